"""Slices of a series, of joined annuli included, against what a run writes."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.live.scan import LiveScan
from hipct.pipeline.config import Config
from hipct.simulation import simulate_series

WINDOW = (-0.05, 0.5)


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Three half-acquisitions, off in height, axis and level, moved sideways."""
    return simulate_series(
        tmp_path_factory.mktemp("series") / "organ.series.zarr",
        sub_scans=3, rows=40, columns=96, angles=120, axis=75.4, overlap=0.4,
        acquisition="half", distance_m=0.0, pixel_size_um=200.0, blur_px=0.7, position_error_px=2.0,
        lateral_error_px=1.5, axis_drift_px=2.0, level_steps=0.05, noise=None, drift=0.0,
        rings=0.0, seed=3,
    )  # fmt: skip


@pytest.mark.parametrize("circle", [True, False])
def test_slices_of_a_series_are_those_of_a_run(series, as_a_run, circle):
    config = Config(
        phase={"method": "none"},
        volume={"window": WINDOW, "chunk": 32},
        stitching={"margin_px": 5},
        reconstruction={"circle": circle},
        compute={"backend": "numpy"},
    )
    volume, step = as_a_run(series, config)
    with LiveScan(series, config) as live:
        assert live.shape == volume.shape
        y, x = (np.arange(side) - (side - 1) / 2 for side in live.shape[1:])
        keep = np.hypot(y[:, None], x) < live.settle().organ.parts[0].measured_radius_px - 4
        # In one sub-scan, where two are blended, and at the ends.
        for z in range(0, live.shape[0], 9):
            wrong = abs(live.slice(z).clip(*WINDOW) - volume[z])[keep]
            assert wrong.max() <= 0.51 * step
        # Coarse slices lie where the fine ones do, across the sub-scans too.
        for z in (3, live.shapes[1][0] // 2, live.shapes[1][0] - 4):
            fine = (live.slice(2 * z) + live.slice(2 * z + 1)) / 2
            rows, columns = (side // 2 for side in fine.shape)
            means = fine[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean(axis=(1, 3))
            wrong = live.slice(z, level=1)[:rows, :columns] - means
            assert wrong.std() < 0.06 * means.max()
            assert abs(wrong.mean()) < 0.004 * means.max()
