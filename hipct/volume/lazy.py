"""Stored volumes as Dask arrays whose tasks read whole shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr

from hipct.core.errors import InputError
from hipct.volume.storage_zarr import chunkwise


def as_dask(array: zarr.Array[Any], block: tuple[int, ...] | None = None) -> Any:
    """A Zarr array as a Dask array, one task a shard.

    Dask's own ``from_zarr`` makes a task of each chunk: each of them asks for the index of its
    shard, and what is stored from there onto shards loses voxels.

    Parameters
    ----------
    array : zarr.Array
    block : tuple of int, optional
        Voxels of a task along each axis. Each has to hold whole chunks and divide a shard, or
        hold whole shards. Default: a shard, and where there are none a chunk.

    Returns
    -------
    dask.array.Array
        Of the same values; nothing is read yet.

    Raises
    ------
    InputError
        If a task of this block would read a part of a chunk, or parts of several shards.
    """
    import dask.array as da

    shard = tuple(array.shards or array.chunks)
    block = shard if block is None else tuple(block)
    fits = len(block) == array.ndim and all(
        b > 0 and (b % s == 0 or (s % b == 0 and b % c == 0))
        for b, s, c in zip(block, shard, array.chunks)
    )
    if not fits:
        raise InputError(
            f"Blocks of {block} voxels cut the shards of {shard} voxels (chunks {array.chunks}) of "
            f"{array.store_path}; give whole chunks that divide a shard, or whole shards."
        )
    parts = any(b < s for b, s in zip(block, shard))
    return da.from_array(
        chunkwise(array) if parts else array,
        chunks=block,
        name=False,  # The same address may hold another volume tomorrow.
        meta=np.empty((0,) * array.ndim, array.dtype),
    )
