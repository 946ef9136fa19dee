"""Helical scan: the sample rises while it turns, here by 11 rows a turn on a detector of 32.

A row of the organ is seen in two or three turns, each time at another height of the detector.
"""

# %%
from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

import hipct
from hipct.reconstruction.helical import Helix
from hipct.simulation import Truth, simulate_helix
from hipct.simulation.anatomy import TISSUE, build_tall_organ
from hipct.volume.pictures import grey, panels, write_png
from hipct.volume.ring_score import ring_score

TURNS, PITCH_PX, ROWS, COLUMNS, ANGLES = 3.2, 11.0, 32, 128, 320
PIXEL_UM, CONTRAST = 5.0, 40
MU = CONTRAST * TISSUE

# %% [markdown]
# ## The scan
# Counts of a detector with spots that its flats do not know (they make rings); the simulator
# writes a scan store, which says at which height each projection was taken.


# %%
def simulate(folder: Path) -> tuple[Truth, np.ndarray, np.ndarray, np.ndarray]:
    """Truth, line integrals (projections, rows, columns), angles and heights in pixels."""
    radius = 104 * PIXEL_UM
    organ = build_tall_organ(radius, height_um=2 * radius, seed=2).scaled(CONTRAST)
    store = simulate_helix(
        folder / "helix.zarr", turns=TURNS, pitch_px=PITCH_PX, columns=COLUMNS, rows=ROWS,
        angles_per_turn=ANGLES, pixel_size_um=PIXEL_UM, organ=organ, propagation=False,
        noise=None, rings=0.01, seed=2,
    )  # fmt: skip
    with hipct.open_scan(store) as scan:
        info, rows = scan.info, slice(0, ROWS)
        transmission = hipct.flat_field(
            scan.read_projections(slice(0, info.projections), rows),
            scan.read_flats(rows), scan.read_darks(rows),
            projection_index=info.projection_index, flat_index=info.flat_index,
            current=info.current, flat_current=info.flat_current,
        )  # fmt: skip
    height = (info.projection_z_um - info.projection_z_um[0]) / PIXEL_UM
    return hipct.load_truth(store), hipct.line_integral(transmission), info.angles_rad, height


# %% [markdown]
# ## One row of the organ
# Gathered from all turns that see it; and, for comparison, one turn of the middle row of the
# detector, as if the sample had stood still.


# %%
def gather(helix: Helix, lines: np.ndarray, row: int) -> np.ndarray:
    """Sinogram (1, angles, columns) of a row of the organ."""
    slab = helix.slab(range(row, row + 1))
    sinogram = np.zeros((1, slab.angles, COLUMNS), np.float32)
    for block in slab.blocks(256):
        needed = slab.detector_rows(block)
        part = lines[block.start : block.stop, needed.start : needed.stop]
        slab.add(part, block, sinogram, first_detector_row=needed.start)
    return sinogram


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    with tempfile.TemporaryDirectory() as folder:
        truth, lines, angles, height = simulate(Path(folder))
    axis = truth.setup.axis_px
    helix = Helix(angles, height, ROWS)
    row = helix.organ_rows[len(helix.organ_rows) // 2]
    middle = int(np.argmin(np.abs(height + (ROWS - 1) / 2 - row)))
    turn = slice(middle - ANGLES // 2, middle + ANGLES // 2)
    circle = truth.attenuation(helix.turn)[:, row][None]
    images = [
        hipct.fbp(sinogram, theta, axis, acquisition="half", pixel_size_um=PIXEL_UM)
        for sinogram, theta in (
            (lines[turn, ROWS // 2][None], angles[turn]),
            (gather(helix, lines, row), helix.turn),
            (circle, helix.turn),
        )
    ]
    still, gathered, standing = images
    size = still.shape[-1]
    true = truth.volume(slice(row, row + 1), size=size)[0]
    distance = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2)
    even = maximum_filter(true, 9) - minimum_filter(true, 9) < 1e-3 * MU
    inner = even & (distance < 0.95 * axis)

    def percent(difference: np.ndarray) -> float:
        return 100 / MU * float(np.sqrt(np.mean(difference[inner] ** 2)))

    captions = ["one turn, as if it stood still", "gathered from all turns", "truth"]
    sheet = panels(
        [grey(image, 0, 1.5 * MU) for image in (still[0], gathered[0], true)], captions, columns=3
    )
    write_png(Path(out) / "helical.png", sheet)
    return {
        "rows of the organ that all directions see": float(len(helix.organ_rows)),
        "rms error, one turn as if it stood still, % of mu": percent(still[0] - true),
        "rms error, gathered, % of mu": percent(gathered[0] - true),
        "rms error of a circular scan without spots, % of mu": percent(standing[0] - true),
        "rings of one turn, % of mu": 100 / MU * float(ring_score(still).ring_rms[0]),
        "rings, gathered, % of mu": 100 / MU * float(ring_score(gathered).ring_rms[0]),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
