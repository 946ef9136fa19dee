"""Vertical stitching: sub-scans that are not quite where the motors say.

Three heights of a half-acquisition with 30 % overlap; the motors are wrong by up to 3 px, the
sample sits up to 2 px aside, the axis drifts by 2 px and the light by 5 % from what the flats say.
"""

# %%
from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

import hipct
from hipct.simulation import SeriesTruth, Truth, load_series_truth, simulate_series
from hipct.simulation.anatomy import TISSUE, build_tall_organ
from hipct.volume.pictures import grey, panels, write_png
from hipct.volume.seam import row_differences, seam_score

SUB_SCANS, ROWS, COLUMNS, ANGLES, PIXEL_UM, CONTRAST = 3, 52, 96, 200, 5.0, 40
MU = CONTRAST * TISSUE
AXIS, RADIUS_PX = 72.3, 64

# %% [markdown]
# ## The series
# The simulator writes a series store, one scan for each height, as `hipct import --series` does
# of a beamline's files.


# %%
def simulate(folder: Path) -> tuple[Path, SeriesTruth]:
    """The series, and what is true of it."""
    organ = build_tall_organ(
        RADIUS_PX * PIXEL_UM, height_um=4 * RADIUS_PX * PIXEL_UM, seed=11
    ).scaled(CONTRAST)
    series = simulate_series(
        folder / "series.zarr", sub_scans=SUB_SCANS, overlap=0.3, columns=COLUMNS, rows=ROWS,
        angles=ANGLES, pixel_size_um=PIXEL_UM, organ=organ, propagation=False, axis=AXIS,
        position_error_px=3.0, lateral_error_px=2.0, axis_drift_px=2.0, light_steps=0.05,
        noise=None, rings=0.0, drift=0.0, seed=11,
    )  # fmt: skip
    return series, load_series_truth(series)


# %% [markdown]
# ## Two runs
# By the motors, with the axis of each sub-scan, and refined. On the command line:
# `hipct reconstruct series.zarr -o organ.ome.zarr`, and for the first
# `--set stitching.refine=false --set stitching.levels=none`.


# %%
def run(scan: Path, **stitching: object) -> tuple[np.ndarray, range, list[dict]]:
    """Volume in 1/cm, the rows of the organ that it has, and what was found of each sub-scan."""
    config = hipct.Config(
        phase={"method": "none"}, stitching=stitching, volume={"window": (-0.5 * MU, 3 * MU)}
    )
    result = hipct.reconstruct(scan, scan.parent / "organ.ome.zarr", config, overwrite=True)
    volume = hipct.open_volume(result.path)
    found = result.provenance
    values = volume.levels[0].array[:] * volume.scale + volume.offset
    return values, range(*found["source"]["rows"]), found["series"]["sub_scans"]


# %% [markdown]
# ## Against the truth
# Where a series lies as a whole is not a matter of stitching: the true organ is put where the
# volume has it, and what the sub-scans differ by remains.


# %%
def compare(truth: SeriesTruth, run: tuple) -> tuple[np.ndarray, np.ndarray, float, float]:
    """True volume in the place of the found one, errors in place and level, rms, seam score."""
    volume, rows, found = run
    size = volume.shape[1]
    offset = truth.offsets_px - [each["offset_px"] for each in found]
    lateral = truth.lateral_px - [each["centre_px"] for each in found]
    down, (y, x) = offset.mean(), lateral.mean(axis=0)
    organ = truth.whole.organ.moved(x * PIXEL_UM, y * PIXEL_UM, -down * PIXEL_UM)
    true = Truth(organ, truth.whole.setup).volume(slice(rows.start, rows.stop), size=size)
    inner = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) < 0.85 * RADIUS_PX
    even = maximum_filter(true, 9) - minimum_filter(true, 9) < 1e-3 * MU
    error = (volume - true)[even & inner]
    own, changes = (row_differences(each, inside=inner) for each in (true, volume))
    seams = [
        seam_score(changes / own, upper["rows"][0] - rows.start, lower["rows"][1] - rows.start)
        for lower, upper in pairwise(found)
    ]
    errors = np.column_stack([offset - down, lateral - lateral.mean(axis=0)])
    return true, errors, 100 / MU * float(np.sqrt(np.mean(error**2))), max(seams)


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    with tempfile.TemporaryDirectory() as folder:
        series, truth = simulate(Path(folder))
        by_motors = run(series, refine=False, levels="none")
        refined = run(series)
    _, errors, rms, seam = compare(truth, by_motors)
    true, errors_refined, rms_refined, seam_refined = compare(truth, refined)
    middle = true.shape[1] // 2
    shown = (by_motors[0], refined[0], true)
    sections = [np.kron(each[::-1, middle], np.ones((2, 2))) for each in shown]
    captions = ["by the motors", "refined and matched", "truth"]
    sheet = panels([grey(each, 0, 1.5 * MU) for each in sections], captions, columns=3)
    write_png(Path(out) / "stitching.png", sheet)
    return {
        "largest error of place by the motors, px": float(np.abs(errors).max()),
        "largest error of place, refined, px": float(np.abs(errors_refined).max()),
        "rms error by the motors, % of mu": rms,
        "rms error, refined and matched, % of mu": rms_refined,
        "seam score by the motors": seam,
        "seam score, refined and matched": seam_refined,
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
