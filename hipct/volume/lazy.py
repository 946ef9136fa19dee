"""Stored volumes as Dask arrays whose tasks read whole shards."""

from __future__ import annotations

from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

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
    return da.from_array(
        _Blocks(array),
        chunks=block,
        name=False,  # The same address may hold another volume tomorrow.
        meta=np.empty((0,) * array.ndim, array.dtype),
    )


class _Blocks:
    """An array read by whole shards where it can be: each is one request then.

    Of a shard that the array does not fill, Zarr reads the chunks one after the other; it is read
    chunk by chunk too, but many at a time.
    """

    def __init__(self, array: zarr.Array[Any]) -> None:
        self._array, self._chunkwise = array, chunkwise(array)
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim

    def __getitem__(self, region: tuple[Any, ...]) -> NDArray[Any]:
        # Dask asks for less than a task where a slice follows: then numbers may stand here too.
        whole = all(
            isinstance(part, slice) and part.start % n == 0 and part.stop % n == 0
            for part, n in zip(region, self._array.shards or self._array.chunks)
        )
        return np.asarray((self._array if whole else self._chunkwise)[region])
