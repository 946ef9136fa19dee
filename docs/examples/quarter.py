"""Quarter-acquisition: two annuli joined to one wide half-acquisition.

A detector of 240 columns is too narrow even for half of the organ. It scans twice: with the axis
24 columns from its right edge, and 122 columns further out. The motors are 3 px off, and the outer
annulus is up to 5 % brighter.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

import hipct
from hipct.preparation.quarter import AnnulusJoin, measure_annuli
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_tall_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

COLUMNS, AXIS, ANGLES, PIXEL_UM = 240, 215.4, 1080, 5.0
CONTRAST = 30
MU = CONTRAST * TISSUE
OFFSET_PX = -122.37
MOTOR_PX = -125.4
NOISE = 1e-4
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
FIELD_PX = AXIS - OFFSET_PX
RADIUS_UM = 0.97 * FIELD_PX * PIXEL_UM
ORGAN = build_tall_organ(RADIUS_UM, height_um=2 * RADIUS_UM, seed=5).scaled(CONTRAST)

# %% [markdown]
# ## The two scans
# Transmission of both annuli, with noise. For the reconstruction one row is enough; to find the
# shift there are 33 rows of 16 views.


# %%
def annuli(rows: int, angles: np.ndarray) -> tuple[Truth, np.ndarray, np.ndarray]:
    """Truth of the inner annulus, and the transmission of both, (angles, rows, columns)."""
    random = np.random.default_rng(rows)
    level = 1.03 + 0.02 * np.sin(2 * angles)[:, None, None]
    scans = []
    for axis, factor in ((AXIS, 1.0), (AXIS - OFFSET_PX, level)):
        setup = Setup(
            acquisition="half", rows=rows, columns=COLUMNS, axis_px=axis, pixel_size_um=PIXEL_UM,
            distance_m=0.0, energy_kev=90.0, blur_px=0.7, oversampling=4, seed=5,
        )  # fmt: skip
        scan = factor * np.exp(-Truth(ORGAN, setup).attenuation(angles))
        scans.append((scan * random.normal(1, NOISE, scan.shape)).astype(np.float32))
        if len(scans) == 1:
            truth = Truth(ORGAN, setup)
    return truth, scans[0], scans[1]


# %% [markdown]
# ## Joined without a look, and joined
# Without: cut in the middle of the common columns, at the place that the motors say. With: the
# shift is measured on the common columns, the level of each row matched there, and one annulus
# goes over into the other.


# %%
def cut(inner: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, float]:
    """The annuli side by side at the whole pixel of the motors, and the axis of that."""
    first = -round(MOTOR_PX)
    half = (COLUMNS - first) // 2
    return np.concatenate([outer[..., : first + half], inner[..., half:]], -1), AXIS + first


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    _, inner, outer = annuli(33, ANGLES_RAD[:: ANGLES // 16])
    found = measure_annuli(inner, outer, (0.0, MOTOR_PX))
    truth, inner, outer = annuli(1, ANGLES_RAD)
    join = AnnulusJoin(COLUMNS, COLUMNS, (0.0, found.columns))
    size = 675
    images = []
    for joined, axis in (cut(inner, outer), (join.join(inner, outer), join.axis(AXIS))):
        lines = -np.log(joined).swapaxes(0, 1)
        images.append(
            hipct.fbp(
                lines, ANGLES_RAD, axis, acquisition="half", size=size, pixel_size_um=PIXEL_UM
            )[0]
        )
    true = truth.volume(size=size)[0]
    distance = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) / FIELD_PX
    even = maximum_filter(true, 17) - minimum_filter(true, 17) < 1e-3 * MU
    inner_disc = even & (distance < 0.95)
    smooth = [100 / MU * np.sqrt(np.mean((image - true)[inner_disc] ** 2)) for image in images]
    small = [
        image[:-1, :-1].reshape(337, 2, 337, 2).mean((1, 3))[30:-30, 30:-30]
        for image in (*images, true)
    ]
    captions = ["cut where the motors say", "measured, matched, blended", "truth"]
    sheet = panels([grey(each, 0.0, 1.5 * MU) for each in small], captions, columns=3)
    write_png(Path(out) / "quarter.png", sheet)
    return {
        "error of the motors, px": abs(MOTOR_PX - OFFSET_PX),
        "error of the shift found, px": abs(found.columns - OFFSET_PX),
        "rms error, cut where the motors say, % of mu": float(smooth[0]),
        "rms error, joined, % of mu": float(smooth[1]),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
