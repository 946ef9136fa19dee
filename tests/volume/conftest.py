"""An array in shards that parts are read of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:  # the grey values of this floor are tested on nodes without zarr too
    import zarr

SHAPE = (40, 70, 93)


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory, web: Any) -> zarr.Array[Any]:
    """Chunks of 8 in shards of 16 x 32 x 32, odd ends, an absent chunk and an absent shard."""
    import zarr

    array = zarr.create_array(
        web.folder / "sharded.zarr",
        shape=SHAPE,
        dtype="u2",
        chunks=(8, 8, 8),
        shards=(16, 32, 32),
        fill_value=7,
    )
    values = np.random.default_rng(1).integers(0, 60000, SHAPE, np.uint16)
    values[:8, :8, :8] = 7
    values[16:32, 32:64, 32:64] = 7
    array[...] = values
    return array
