"""Double flat field of a series: what the flats miss, and all sub-scans have in common.

Dust behind which the sample's light falls otherwise than that of the open beam, a scintillator
that remembers: such spots stay at their pixel, and no flat shows them. They are rings.
"""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np

import hipct
from hipct.preparation.double_flat import (
    MeanProjection,
    apply_double_flat,
    double_flat,
    general_reference,
)
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_tall_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png
from hipct.volume.ring_score import ring_score

SUB_SCANS, ROWS, COLUMNS, AXIS, ANGLES, PIXEL_UM, CONTRAST = 12, 25, 160, 138.3, 480, 5.0, 40
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
MU = CONTRAST * TISSUE
SIGMA_PX = 4.0
ROW = ROWS // 2
RADIUS_UM = 0.95 * AXIS * PIXEL_UM
ORGAN = build_tall_organ(RADIUS_UM, height_um=5 * RADIUS_UM, seed=9).scaled(CONTRAST)

# %% [markdown]
# ## The series
# The same spots in the transmission of every sub-scan, another part of the organ behind them. To
# know the mean of a sub-scan, every sixteenth view is enough.


# %%
def simulate(angles: np.ndarray, sub_scan: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Transmission (angles, middle rows, columns) without and with the spots."""
    setup = Setup(
        acquisition="half", rows=rows, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=9,
    )  # fmt: skip
    height = (sub_scan - (SUB_SCANS - 1) / 2) * 1.5 * ROWS * PIXEL_UM
    clean = np.exp(-Truth(ORGAN.moved(0, 0, -height), setup).attenuation(angles))
    random = np.random.default_rng(9)
    spots = np.where(random.random((ROWS, COLUMNS)) < 0.1, 0.004, 0) * random.normal(
        size=(ROWS, COLUMNS)
    )
    middle = slice(ROW - rows // 2, ROW + rows // 2 + 1)
    return clean, (clean * (1 + spots[middle])).astype(np.float32)


# %% [markdown]
# ## Two double flat fields
# Of one sub-scan, from the mean of its line integrals: rings of the sample itself, which lie
# around the axis, are in it as well. Of the series, the median over sub-scans: they are not.


# %%
def references() -> tuple[np.ndarray, np.ndarray]:
    """Of the middle sub-scan alone, and of the series, (rows, columns)."""
    means, alone = [], MeanProjection()
    for k in range(SUB_SCANS):
        mean = MeanProjection()
        _, spotted = simulate(ANGLES_RAD[::16], k, ROWS)
        mean.add(spotted)
        means.append(mean.transmission())
        if k == SUB_SCANS // 2:
            alone = mean
    return double_flat(alone.line_integral(), SIGMA_PX), general_reference(
        np.stack(means), SIGMA_PX
    )


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    clean, spotted = simulate(ANGLES_RAD, SUB_SCANS // 2, 1)
    of_one, of_series = (reference[ROW : ROW + 1] for reference in references())
    images = [
        hipct.fbp(
            hipct.line_integral(t.copy()).swapaxes(0, 1), ANGLES_RAD, AXIS,
            acquisition="half", pixel_size_um=PIXEL_UM,
        )
        for t in (
            clean,
            spotted,
            apply_double_flat(spotted, of_one),
            apply_double_flat(spotted, of_series),
            apply_double_flat(clean, of_one),
        )
    ]  # fmt: skip
    size = images[0].shape[-1]
    inner = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) < 0.95 * AXIS

    def percent(image: np.ndarray) -> float:
        return 100 / MU * float(np.sqrt(np.mean((image - images[0])[0, inner] ** 2)))

    captions = [
        "flats alone",
        "double flat of the sub-scan",
        "double flat of the series",
        "no spots",
    ]
    shown = (images[1], images[2], images[3], images[0])
    sheet = panels([grey(each[0], 0, 1.5 * MU) for each in shown], captions, columns=4)
    write_png(Path(out) / "double_flat.png", sheet)
    names = ("no spots", "flats alone", "double flat of the sub-scan", "double flat of the series")
    figures = {}
    for name, image in zip(names, images):
        figures[f"{name}: rings, % of mu"] = 100 / MU * float(ring_score(image).ring_rms[0])
        if name != "no spots":
            figures[f"{name}: rms error, % of mu"] = percent(image)
    return figures


# %%
if __name__ == "__main__":
    print(main(Path()))
