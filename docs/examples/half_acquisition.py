"""Half-acquisition: opposite projections of different level, and columns at the border that lie.

256 columns, the rotation axis 27 columns from the right edge, 901 views over 360 degrees (an odd
number: no view has its exact opposite). The organ has 40 times the contrast of tissue on pixels of
5 um: the line integrals of an organ of 9 cm.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

import hipct
from hipct.preparation.borders import mend_borders
from hipct.preparation.pair_levels import match_pair_levels, pair_levels
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

COLUMNS, AXIS, ANGLES, PIXEL_UM = 256, 228.3, 901, 5.0
CONTRAST = 40
MU = CONTRAST * TISSUE
BORDER_PX = 8

# %% [markdown]
# ## The scan
# Line integrals of an organ, as a detector of one row sees them; what the reconstruction should
# give is known: the organ's own voxels, in 1/cm.


# %%
def simulate() -> tuple[Truth, np.ndarray, np.ndarray]:
    """Truth, angles and line integrals (1, angles, columns)."""
    setup = Setup(
        acquisition="half", rows=1, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=1,
    )  # fmt: skip
    truth = Truth(build_organ(0.96 * AXIS * PIXEL_UM, seed=1).scaled(CONTRAST), setup)
    angles = np.arange(ANGLES) * 2 * np.pi / ANGLES
    return truth, angles, truth.attenuation(angles).swapaxes(0, 1)


# %% [markdown]
# ## What goes wrong
# The level of a projection is off by up to 2 %, because the current was read wrongly or the beam
# moved: `-log T` is off by as much. At both edges of the detector the last columns are too dark
# by 10 %, which is gone within a few columns.


# %%
def spoil(lines: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """With levels that change, and with levels and dark borders."""
    levels = 0.012 * np.sin(3 * angles) + 0.008 * np.cos(angles)
    column = np.arange(COLUMNS)
    dark = 0.1 * np.exp(-column / 1.5) + 0.1 * np.exp(-(COLUMNS - 1 - column) / 1.5)
    return lines + levels[:, None], lines + levels[:, None] + dark


# %% [markdown]
# ## Before and after
# Errors are those of places at least 4 px away from every edge, within 0.95 of the field.


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    truth, angles, lines = simulate()
    uneven, spoilt = spoil(lines, angles)
    matched = match_pair_levels(uneven, angles, AXIS)
    mended = mend_borders(match_pair_levels(spoilt, angles, AXIS, border_px=BORDER_PX), BORDER_PX)
    found = [
        hipct.fbp(each, angles, AXIS, acquisition="half", pixel_size_um=PIXEL_UM)[0]
        for each in (lines, uneven, matched, spoilt, mended)
    ]
    clean, vortex, levelled, dark, whole = found
    true = truth.volume(size=len(clean))[0]
    distance = np.hypot(*np.mgrid[: len(clean), : len(clean)] - (len(clean) - 1) / 2)
    even = maximum_filter(true, 9) - minimum_filter(true, 9) < 1e-3 * MU
    inner = even & (distance < 0.95 * AXIS)

    def percent(image: np.ndarray, within: float = 1.0) -> float:
        chosen = inner & (distance < within * AXIS)
        return 100 * float(np.sqrt(np.mean((image - true)[chosen] ** 2))) / MU

    quarters = [
        image[: len(image) // 2 * 2, : len(image) // 2 * 2]
        .reshape(len(image) // 2, 2, -1, 2)
        .mean((1, 3))
        for image in (vortex, levelled, dark, whole)
    ]
    captions = ["levels off by 2 %", "levels matched", "and dark borders", "borders mended too"]
    sheet = panels([grey(q, 0.3 * MU, 1.3 * MU) for q in quarters], captions, columns=4)
    write_png(Path(out) / "half_acquisition.png", sheet)
    centre = 0.2
    return {
        "rms error of the exact scan, % of mu": percent(clean),
        "rms of the levels found, % of transmission": 100
        * float(pair_levels(uneven, angles, AXIS).std()),
        "rms error within 0.2 of the field, levels off, % of mu": percent(vortex, centre),
        "the same, levels matched, % of mu": percent(levelled, centre),
        "rms error with dark borders as well, % of mu": percent(dark),
        "the same, borders mended and levels matched, % of mu": percent(whole),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
