"""Dask arrays of volumes: a task is a shard, or a part of one, here and on a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hipct.core.errors import InputError
from hipct.volume.lazy import as_dask
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.storage import open_storage
from hipct.volume.storage_zarr import ReadStore

SHAPE = (40, 70, 93)


def test_tasks_are_shards_or_parts_of_one(sharded: zarr.Array[Any]) -> None:
    lazy = as_dask(sharded)
    assert lazy.chunks == ((16, 16, 8), (32, 32, 6), (32, 32, 29))
    np.testing.assert_array_equal(lazy.compute(), sharded[...])
    for block in ((8, 32, 8), (32, 64, 32), (16, 16, 96)):
        parts = as_dask(sharded, block)
        assert parts.chunksize == tuple(min(b, n) for b, n in zip(block, SHAPE))
        np.testing.assert_array_equal(parts.compute(), sharded[...])
    for block in ((4, 32, 32), (16, 48, 32), (16, 24, 32), (0, 32, 32), (16, 32), (-16, 32, 32)):
        with pytest.raises(InputError, match="cut the shards"):
            as_dask(sharded, block)


def test_a_task_asks_for_its_shard_alone(sharded: zarr.Array[Any], web: Any) -> None:
    far = zarr.open_array(ReadStore(open_storage(f"{web.url}/sharded.zarr")), mode="r")
    lazy = as_dask(far)
    web.begin()
    np.testing.assert_array_equal(lazy[16:32, :32, 32:64].compute(), sharded[16:32, :32, 32:64])
    assert [one.path for one in web.requests] == ["/sharded.zarr/c/1/0/1"]
    web.begin()
    np.testing.assert_array_equal(lazy.compute(), sharded[...])
    asked = [one.path for one in web.requests]
    for place in np.ndindex(3, 3, 3):
        times = asked.count(f"/sharded.zarr/c/{'/'.join(map(str, place))}")
        # Shards that the volume fills by one request; others by their index and chunks.
        filled = place[0] < 2 and place[1] < 2 and place[2] < 2
        inside = [min(s, n - p * s) for p, s, n in zip(place, (16, 32, 32), SHAPE)]
        assert times == (1 if filled else 1 + int(np.prod([-(-n // 8) for n in inside]))), place


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lazy") / "organ.ome.zarr"
    values = np.random.default_rng(0).integers(0, 60000, SHAPE, np.uint16)
    write_pyramid(values, path, voxel_size_um=20, window=(-0.1, 0.5), chunk=16)
    return path


@pytest.mark.parametrize("level", [0, 2])
def test_a_level_of_a_volume_in_grey_and_in_physical_values(organ: Path, level: int) -> None:
    volume = open_volume(organ)
    stored = volume.level(level).array
    grey = volume.level(level).dask()
    assert grey.chunksize == tuple(min(s, n) for s, n in zip(stored.shards, stored.shape))
    np.testing.assert_array_equal(grey.compute(), stored[...])
    lazy = volume.dask(level, physical=True)
    assert lazy.dtype == np.float32
    assert lazy.chunks == grey.chunks
    np.testing.assert_allclose(lazy.compute(), stored[...] * (0.6 / 65535) - 0.1, atol=1e-6)
    np.testing.assert_array_equal(lazy[3, 4:9].compute(), volume.physical(level, (3, slice(4, 9))))
    part = volume.dask(level, block=stored.chunks, physical=True)
    np.testing.assert_array_equal(part.compute(), lazy.compute())


def test_physical_values_that_nobody_knows(organ: Path) -> None:
    volume = replace(open_volume(organ), scale=None)
    with pytest.raises(InputError, match="does not store what its grey values mean"):
        volume.dask(physical=True)
    assert volume.dask().dtype == np.uint16
