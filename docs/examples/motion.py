"""Motion: a sample that settles during its scan, by 3 px sideways and 2 px down.

It moves fast at first and comes to rest, as a sample does that was just put on the stage. Four
views at 0, 90, 180 and 270 degrees are taken again at the end.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np

import hipct
from hipct.preparation.motion import fit_drift, measure_pairs
from hipct.preparation.motion_pairs import find_pairs
from hipct.preparation.moving import move_frames
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_tall_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

ROWS, COLUMNS, AXIS, ANGLES, PIXEL_UM, CONTRAST = 28, 128, 100.3, 270, 5.0, 40
MU = CONTRAST * TISSUE
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
RETURNS_RAD = np.arange(4) * np.pi / 2
TIMES = np.arange(ANGLES) / (ANGLES - 1)
MOVED_PX = np.array([2.5, -2.0, 2.0])
"""(x, y, z) at the end."""
RADIUS_UM = 0.9 * AXIS * PIXEL_UM
ORGAN = build_tall_organ(RADIUS_UM, height_um=2 * RADIUS_UM, seed=12).scaled(CONTRAST)
NOISE = 1e-4
ROW = ROWS // 2

# %% [markdown]
# ## The scan
# Line integrals of an organ that has moved by `sqrt(t)` of the whole way at the time t.


# %%
def simulate(angles: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Line integrals (views, rows, columns) with noise."""
    setup = Setup(
        acquisition="half", rows=ROWS, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.7, oversampling=4, seed=12,
    )  # fmt: skip
    views = [
        Truth(ORGAN.moved(*(MOVED_PX * np.sqrt(t) * PIXEL_UM)), setup).attenuation([a])[0]
        for a, t in zip(angles, times)
    ]
    random = np.random.default_rng(len(views))
    return (np.stack(views) + random.normal(0, NOISE, (len(views), ROWS, COLUMNS))).astype("f4")


# %% [markdown]
# ## Pairs of views that should show the same
# The views taken again against the projections at their angles, and against those from the
# opposite side; and opposite projections of the scan itself. A smooth path explains their shifts.


# %%
def measure(lines: np.ndarray, again: np.ndarray) -> tuple:
    """The drift, and how far each projection stands beside where it would be."""
    pairs = find_pairs(ANGLES_RAD, TIMES, RETURNS_RAD)
    views = np.concatenate([lines, again])
    first = [(1 - p.share) * views[p.first] + p.share * views[p.first + 1] for p in pairs]
    seconds = np.stack([views[p.second] for p in pairs])
    shifts = measure_pairs(np.stack(first), seconds, pairs, axis_px=AXIS, reach_px=6.0)
    drift = fit_drift(pairs, shifts)
    return drift, drift.shifts_px(ANGLES_RAD, TIMES)


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    lines = simulate(ANGLES_RAD, TIMES)
    still = simulate(ANGLES_RAD, np.zeros(ANGLES))
    drift, (rows, columns) = measure(lines, simulate(RETURNS_RAD, np.ones(4)))
    mended = move_frames(lines, rows, columns, range(ROW, ROW + 1))
    images = [
        hipct.fbp(
            each.swapaxes(0, 1), ANGLES_RAD, AXIS, acquisition="half", pixel_size_um=PIXEL_UM
        )[0]
        for each in (lines[:, ROW : ROW + 1], mended, still[:, ROW : ROW + 1])
    ]
    moved, mended, known = images
    size = len(known)
    inner = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) < 0.9 * AXIS

    def percent(image: np.ndarray) -> float:
        return 100 / MU * float(np.sqrt(np.mean((image - known)[inner] ** 2)))

    captions = ["moved during the scan", "drift taken out", "stood still"]
    twice = np.ones((2, 2), np.uint8)
    shown = [np.kron(grey(each[10:190, 20:190], 0, 1.5 * MU), twice) for each in images]
    sheet = panels(shown, captions, columns=3)
    write_png(Path(out) / "motion.png", sheet)
    path = np.column_stack([each.at(TIMES) for each in (drift.x, drift.y, drift.z)])
    errors = np.abs(path - np.sqrt(TIMES)[:, None] * MOVED_PX).max(axis=0)
    return {
        "pairs of views used": float(drift.pairs),
        "largest error of the path across, px": float(errors[:2].max()),
        "largest error of the path along z, px": float(errors[2]),
        "rms error, moved, edges included, % of mu": percent(moved),
        "rms error, drift taken out, edges included, % of mu": percent(mended),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
