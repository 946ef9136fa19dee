"""Scans in memory (those of the pipeline's tests) and what a run makes of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

RETRIEVAL = {"pixel_size_um": 10.0, "distance_m": 1.0, "energy_kev": 80.0}


@pytest.fixture(scope="module")
def discs() -> Callable[..., Any]:
    """Maker of scans of discs that change along z, held in memory."""
    from tests.pipeline.conftest import disc_scan

    return disc_scan


@pytest.fixture(scope="module")
def as_a_run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Slices (z, y, x) in float64 that a run writes: ``as_a_run(scan, config)``, and a grey step.

    The window of the configuration decides the step.
    """
    import zarr

    from hipct.pipeline.run import reconstruct

    def make(scan: Any, config: Any) -> tuple[Any, float]:
        path = tmp_path_factory.mktemp("run") / "v.ome.zarr"
        result = reconstruct(scan, path, config)
        grey = zarr.open_group(path, mode="r")["0"][:].astype(np.float64)
        return grey * result.window.scale + result.window.offset, result.window.scale

    return make
