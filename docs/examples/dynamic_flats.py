"""Dynamic flats: stripes of a multilayer monochromator that drift by up to 0.7 px.

A flat of another moment leaves them in every projection; in a sinogram they are levels that
change from view to view, in the slice streaks.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np

import hipct
from hipct.preparation.dynamic_flats import EigenFlats
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

ROWS, COLUMNS, AXIS, ANGLES, PIXEL_UM, CONTRAST = 48, 160, 138.3, 360, 5.0, 40
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
MU = CONTRAST * TISSUE
FLATS, PHOTONS, ROW, AIR_PX = 30, 1e8, 7, 12

# %% [markdown]
# ## The beam
# Sharp horizontal lines on a smooth profile; their height and strength wander.


# %%
def beams(number: int, seed: int) -> np.ndarray:
    """Counts of the open beam at so many moments, (moments, rows, columns)."""
    lines = np.random.default_rng(10)
    heights, depths = lines.uniform(0, ROWS, 16), lines.uniform(0.02, 0.1, 16)
    gain = 1 + lines.normal(0, 0.03, (ROWS, COLUMNS))
    random = np.random.default_rng(seed)
    row, column = np.mgrid[:ROWS, :COLUMNS]
    counts = []
    for _ in range(number):
        shift, strength = random.uniform(-0.7, 0.7), random.uniform(0.85, 1.15)
        place = row + 0.02 * column - shift
        stripes = sum(d * np.exp(-(((place - h) / 1.8) ** 2) / 2) for h, d in zip(heights, depths))
        counts.append(PHOTONS * (1 + strength * stripes) * gain)
    return np.stack(counts)


def simulate() -> tuple[Truth, np.ndarray, np.ndarray]:
    """Truth, counts of the flats and of the projections."""
    setup = Setup(
        acquisition="half", rows=ROWS, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=10,
    )  # fmt: skip
    truth = Truth(build_organ(0.8 * AXIS * PIXEL_UM, seed=10).scaled(CONTRAST), setup)
    random = np.random.default_rng(10)
    behind = beams(ANGLES, 11) * np.exp(-truth.attenuation(ANGLES_RAD))
    return (
        truth,
        random.poisson(beams(FLATS, 12)).astype(np.float32),
        random.poisson(behind).astype(np.float32),
    )


# %% [markdown]
# ## Each projection with a flat of its own
# The flats differ along few directions, the eigen flats. What a projection has of each is read
# from the columns that see no sample.


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    truth, flats, projections = simulate()
    eigen = EigenFlats.from_frames(flats)
    static = hipct.flat_field(
        projections, flats, np.zeros((1, ROWS, COLUMNS), np.float32), reduction="mean"
    )
    background = np.zeros((ROWS, COLUMNS), bool)
    background[:, :AIR_PX] = True
    dynamic = eigen.apply(static, eigen.follow(static, background=background))
    images = [
        hipct.fbp(
            hipct.line_integral(t[:, ROW : ROW + 1].copy()).swapaxes(0, 1), ANGLES_RAD, AXIS,
            acquisition="half", pixel_size_um=PIXEL_UM,
        )[0]
        for t in (static, dynamic, np.exp(-truth.attenuation(ANGLES_RAD)))
    ]  # fmt: skip
    size = len(images[0])
    known = images.pop()
    inner = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) < 0.8 * AXIS
    rms = [100 / MU * float(np.sqrt(np.mean((i - known)[inner] ** 2))) for i in images]
    views = [
        np.kron(grey(t[3, :, :139], 0.6, 1.05), np.ones((2, 2), np.uint8))
        for t in (static, dynamic)
    ]
    captions = ["a projection, mean flat", "dynamic flats", "slice of one row", "dynamic flats"]
    sheet = panels(
        [*views, *(grey(each, 0.5 * MU, 1.2 * MU) for each in images)], captions, columns=4
    )
    write_png(Path(out) / "dynamic_flats.png", sheet)
    left = [100 * float(np.log(t[:, ROW, :AIR_PX].mean(axis=1)).std()) for t in (static, dynamic)]
    return {
        "eigen flats above the noise": float(len(eigen.eigen)),
        "level of the row in air, mean flat, rms over views, %": left[0],
        "level of the row in air, dynamic flats, rms over views, %": left[1],
        "rms error, mean flat, % of mu": rms[0],
        "rms error, dynamic flats, % of mu": rms[1],
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
