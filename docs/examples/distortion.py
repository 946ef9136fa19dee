"""Detector distortion: optics that move what they show, by 4 px at the edge of the field."""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import map_coordinates

import hipct
from hipct.preparation.distortion import Undistortion, radial_displacement
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

ROWS, COLUMNS, AXIS, ANGLES, PIXEL_UM, CONTRAST = 16, 256, 226.3, 720, 5.0, 40
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
MU = CONTRAST * TISSUE
CENTRE = (ROWS / 2, COLUMNS / 2)
BARREL = [1.0, 0.0, 2e-6]
"""Raw radius = radius (1 + 2e-6 radius^2): 4 px at the edge of the detector."""
ROW = 8

# %% [markdown]
# ## The scan
# Each raw pixel shows the scene at its corrected place: the inverse of the model, found by
# iteration. Frames are sampled there by SciPy's cubic splines.


# %%
def simulate() -> tuple[np.ndarray, np.ndarray]:
    """Line integrals (angles, rows, columns) as they should be, and as the optics show them."""
    setup = Setup(
        acquisition="half", rows=ROWS, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.7, oversampling=4, seed=6,
    )  # fmt: skip
    organ = build_organ(0.94 * AXIS * PIXEL_UM, seed=6).scaled(CONTRAST)
    true = Truth(organ, setup).attenuation(ANGLES_RAD)
    place = [axis - centre for axis, centre in zip(np.indices((ROWS, COLUMNS)), CENTRE)]
    raw = radius = np.hypot(*place)
    for _ in range(30):
        radius = raw / np.polynomial.polynomial.polyval(radius, BARREL)
    shrink = radius / np.maximum(raw, 1e-9)
    seen = [centre + part * shrink for centre, part in zip(CENTRE, place)]
    return true, np.stack([map_coordinates(frame, seen, order=3, mode="nearest") for frame in true])


# %% [markdown]
# ## Before and after
# In a half-acquisition a point is seen near the one edge of the detector from here and well
# inside of it from there: what the optics move, they double.


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    true, raw = simulate()
    displacement = radial_displacement(ROWS, COLUMNS, CENTRE, BARREL)
    mend = Undistortion(displacement, slice(ROW, ROW + 1))
    corrected = mend.apply(np.ascontiguousarray(raw[:, mend.source]))
    known, before, after = (
        hipct.fbp(
            lines.swapaxes(0, 1), ANGLES_RAD, AXIS, acquisition="half", pixel_size_um=PIXEL_UM
        )[0]
        for lines in (true[:, ROW : ROW + 1], raw[:, ROW : ROW + 1], corrected)
    )
    inner = np.hypot(*np.mgrid[: len(known), : len(known)] - (len(known) - 1) / 2) < 0.95 * AXIS

    def percent(image: np.ndarray) -> float:
        return 100 / MU * float(np.sqrt(np.mean((image - known)[inner] ** 2)))

    part = np.s_[50:130, 128:208]
    shown = [
        np.kron(grey(image[part], 0.4 * MU, 1.3 * MU), np.ones((3, 3), np.uint8))
        for image in (before, after, known)
    ]
    sheet = panels(shown, ["distorted", "corrected", "never distorted"], columns=3)
    write_png(Path(out) / "distortion.png", sheet)
    return {
        "largest displacement in the row, px": float(np.abs(displacement[ROW, :, 1]).max()),
        "rms error, distorted, edges included, % of mu": percent(before),
        "rms error, corrected, edges included, % of mu": percent(after),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
