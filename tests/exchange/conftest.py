"""A volume of anisotropic voxels that exports begin with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hipct.volume.pyramid import write_pyramid

VOXEL = (30.0, 20.0, 10.0)
SHAPE = (45, 60, 52)


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = np.random.default_rng(0).uniform(-0.1, 0.5, SHAPE).astype(np.float32)
    path = tmp_path_factory.mktemp("export") / "heart.ome.zarr"
    write_pyramid(
        values,
        path,
        voxel_size_um=VOXEL,
        window=(-0.1, 0.5),
        chunk=16,
        attributes={"beamline": "BM18"},
    )
    node = json.loads((path / "zarr.json").read_text())
    window = node["attributes"]["ome"]["omero"]["channels"][0]["window"]
    window["start"], window["end"] = 10_000, 40_000
    (path / "zarr.json").write_text(json.dumps(node))
    return path
