"""Local tomography: an organ that is larger than the field of a half-acquisition.

The field reaches 228 columns to either side of the axis, the organ 1.1 times as far, and more; a
lobe of another density sees to it that its outline is no ellipse. It stands on a ground of zero:
jar and medium have been divided out by a reference scan. Its line integrals are those of an organ
of 10 cm.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

import hipct
from hipct.preparation.outside import continue_outside
from hipct.simulation import Organ, Truth
from hipct.simulation.anatomy import TISSUE, build_organ
from hipct.simulation.primitives import ellipsoid
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

COLUMNS, AXIS, ANGLES, PIXEL_UM = 256, 228.0, 900, 5.0
CONTRAST = 40
MU = CONTRAST * TISSUE
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
SIZE = 457
EXTRA_PX = 100

# %% [markdown]
# ## The scan
# `times` is how far the organ reaches, in radii of the field.


# %%
def simulate(times: float) -> tuple[np.ndarray, np.ndarray]:
    """True slice in 1/cm, and line integrals (1, angles, columns)."""
    setup = Setup(
        acquisition="half", rows=1, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=3,
    )  # fmt: skip
    radius = times * AXIS * PIXEL_UM
    lobe = ellipsoid(
        (0.35 * radius, 0.45 * radius, 0), np.array([0.55, 0.5, 2]) * radius, mu=MU / 2
    )
    organ = build_organ(radius, seed=3).scaled(CONTRAST).together_with(Organ.of(lobe))
    truth = Truth(organ, setup)
    return truth.volume(size=SIZE)[0], truth.attenuation(ANGLES_RAD).swapaxes(0, 1)


# %% [markdown]
# ## Three figures of an error
# Bias is its mean, cupping the error at the rim less that at the centre, structure what is left
# (rms) after one affine fit of the whole slice: what no window of grey values can take away.


# %%
def errors(image: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Bias, cupping and structure in % of mu, 4 px away from edges, within 0.95 of the field."""
    distance = np.hypot(*np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2) / AXIS
    even = maximum_filter(true, 9) - minimum_filter(true, 9) < 1e-3 * MU
    inner = even & (distance < 0.95)
    error = image - true
    design = np.stack([image[inner], np.ones(inner.sum())], axis=1)
    left = design @ np.linalg.lstsq(design, true[inner])[0] - true[inner]
    rim, centre = inner & (distance > 0.85), inner & (distance < 0.15)
    cupping = error[rim].mean() - error[centre].mean()
    in_percent = 100 / MU * np.array([error[inner].mean(), cupping, left.std()])
    return tuple(in_percent.tolist())


# %% [markdown]
# ## Before and after
# Edge values continue each row for ever; the chord of a body ends where the body does.


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    figures, images = {}, []
    for times in (1.1, 1.25):
        true, lines = simulate(times)
        rows, axis = continue_outside(lines, ANGLES_RAD, AXIS, EXTRA_PX)
        for name, given, at in (("edge values", lines, AXIS), ("chords", rows, axis)):
            image = hipct.fbp(
                given, ANGLES_RAD, at, acquisition="half", size=SIZE, pixel_size_um=PIXEL_UM
            )[0]
            bias, cupping, structure = errors(image, true)
            figures |= {
                f"{times} times the field, {name}: bias, % of mu": bias,
                f"{times} times the field, {name}: cupping, % of mu": cupping,
                f"{times} times the field, {name}: structure, % of mu": structure,
            }
            images.append(image)
    images.append(true)
    small = [image[:-1, :-1].reshape(228, 2, 228, 2).mean((1, 3)) for image in images]
    captions = ["1.1, edge values", "1.1, chords", "1.25, edge values", "1.25, chords", "truth"]
    sheet = panels([grey(each, 0.0, 1.8 * MU) for each in small], captions, columns=5)
    write_png(Path(out) / "local_tomography.png", sheet)
    return figures


# %%
if __name__ == "__main__":
    print(main(Path()))
