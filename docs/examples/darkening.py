"""Optic darkening: sub-scans that lose light, 3 % from one to the next and 2 % within each."""

# %%
from __future__ import annotations

from pathlib import Path

import numpy as np

import hipct
from hipct.preparation.darkening import correct_level, darkened, fit_drift, frame_levels
from hipct.simulation import Truth
from hipct.simulation.anatomy import TISSUE, build_tall_organ
from hipct.simulation.truth import Setup
from hipct.volume.pictures import grey, panels, write_png

SUB_SCANS, ROWS, COLUMNS, AXIS, ANGLES, PIXEL_UM, CONTRAST = 3, 16, 128, 110.3, 301, 5.0, 40
ANGLES_RAD = np.arange(ANGLES) * 2 * np.pi / ANGLES
MU = CONTRAST * TISSUE
AIR_PX = 10


# %%
def simulate() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Transmission of the sub-scans, one above the other: as it should be, and darkened."""
    radius = 0.85 * AXIS * PIXEL_UM
    organ = build_tall_organ(radius, height_um=1.5 * radius, seed=7).scaled(CONTRAST)
    setup = Setup(
        acquisition="half", rows=ROWS, columns=COLUMNS, axis_px=AXIS, pixel_size_um=PIXEL_UM,
        distance_m=0.0, energy_kev=90.0, blur_px=0.5, oversampling=4, seed=7,
    )  # fmt: skip
    clean, dark = [], []
    random = np.random.default_rng(7)
    for k in range(SUB_SCANS):
        height = (k - (SUB_SCANS - 1) / 2) * ROWS * PIXEL_UM
        scan = np.exp(-Truth(organ.moved(0, 0, -height), setup).attenuation(ANGLES_RAD))
        scan = (scan * random.normal(1, 1e-4, scan.shape)).astype(np.float32)
        level = (1 - 0.03 * k) * (1 - 0.02 * np.arange(ANGLES) / ANGLES)
        clean.append(scan)
        dark.append((scan * level[:, None, None]).astype(np.float32))
    return clean, dark


# %% [markdown]
# ## Measured in air
# The outermost columns see no sample: their mean is the level of a frame, a line through these
# the drift of a sub-scan.


# %%
def corrected(scans: list[np.ndarray]) -> list[np.ndarray]:
    """Transmission with the drift that its own outer columns show divided out."""
    drifts = [fit_drift(frame_levels(scan, left=AIR_PX), ANGLES_RAD) for scan in scans]
    if not darkened(drifts):
        return scans
    return [correct_level(scan, drift.levels(ANGLES)) for scan, drift in zip(scans, drifts)]


# %%
def volume(scans: list[np.ndarray], padding: str = "zero") -> np.ndarray:
    """All slices of all sub-scans, in 1/cm."""
    parts = [
        hipct.fbp(
            hipct.line_integral(scan).swapaxes(0, 1), ANGLES_RAD, AXIS,
            acquisition="half", padding=padding, pixel_size_um=PIXEL_UM,
        )
        for scan in scans
    ]  # fmt: skip
    return np.concatenate(parts)


# %%
def main(out: Path) -> dict[str, float]:
    """Figures of the example; its picture is written into ``out``."""
    clean, dark = simulate()
    levels = [100 * float(scan[:, :, :AIR_PX].mean()) for scan in dark]
    true, before, after = (volume(scans) for scans in (clean, dark, corrected(dark)))
    size = true.shape[1]
    inner = np.hypot(*np.mgrid[:size, :size] - (size - 1) / 2) < 0.8 * AXIS

    def percent(image: np.ndarray) -> float:
        return 100 / MU * float(np.sqrt(np.mean((image - true)[:, inner] ** 2)))

    sections = [np.repeat(v[::-1, size // 2], 2, axis=0) for v in (before, after)]
    slices = [v[-ROWS // 2] for v in (before, after)]
    sheet = panels(
        [grey(each, 0, 1.5 * MU) for each in (*slices, *sections)],
        ["slice, darkened", "slice, corrected", "upright, darkened", "upright, corrected"],
        columns=4,
    )
    write_png(Path(out) / "darkening.png", sheet)
    edge = volume(dark, "edge") - volume(clean, "edge")
    return {
        "mean level of the first sub-scan, %": levels[0],
        "mean level of the last sub-scan, %": levels[-1],
        "rms error, darkened, zero padding, % of mu": percent(before),
        "rms error, darkened, edge padding, % of mu": percent(edge + true),
        "rms error, corrected, zero padding, % of mu": percent(after),
    }


# %%
if __name__ == "__main__":
    print(main(Path()))
