"""The files of a block of voxels: one shard (OME-Zarr 0.5), or each chunk by itself (0.4).

A block has the size of a shard in both versions; it is encoded by one task and written whole, each
file under another name first. Chunks of zeros are left out of a shard, but not off the disk where
they are files: a file that is missing is missing, and a layer that is written again leaves nothing
of what stood there.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError
from hipct.core.threads import parallel_for
from hipct.storage.chunks import (
    Shape,
    chunk_grid,
    chunk_region,
    compress_chunk,
    decompress_chunk,
)
from hipct.storage.shards import decode_shard, encode_shard
from hipct.volume.layout import Level, OmeZarr, PyramidSpec

Block = NDArray[Any]


def encode_block(spec: PyramidSpec, level: int, place: Shape, voxels: Block) -> dict[str, bytes]:
    """Files of a block, by their keys in the group.

    Parameters
    ----------
    spec : PyramidSpec
    level : int
    place : (int, int, int)
        Which block: its place in ``spec.levels[level].shard_grid``.
    voxels : ndarray, shape up to the shard's
        What of the block lies in the volume.
    """
    geometry = spec.levels[level]
    if spec.version == "0.5":
        data = encode_shard(voxels, geometry.shard, geometry.chunk)
        return {block_key(spec.version, level, place): data}
    places = chunk_grid(voxels.shape, geometry.chunk)
    encoded = [b""] * len(places)

    def task(start: int, stop: int) -> None:
        for number in range(start, stop):
            part = voxels[chunk_region(places[number], geometry.chunk)]
            encoded[number] = compress_chunk(part, geometry.chunk)

    parallel_for(task, len(places))
    keys = _chunk_keys(geometry, level, place, voxels.shape)
    return dict(zip(keys, encoded))


def decode_block(path: Path, spec: PyramidSpec, level: int, place: Shape, out: Block) -> None:
    """Read a block into ``out`` (shape up to the shard's).

    Raises
    ------
    FormatError
        If a file is missing, truncated or damaged.
    """
    geometry = spec.levels[level]
    if spec.version == "0.5":
        file = path / block_key(spec.version, level, place)
        decode_shard(_read(file), geometry.shard, geometry.chunk, out, file)
        return
    places = chunk_grid(out.shape, geometry.chunk)
    keys = list(_chunk_keys(geometry, level, place, out.shape))

    def task(start: int, stop: int) -> None:
        for number in range(start, stop):
            file = path / keys[number]
            target = out[chunk_region(places[number], geometry.chunk)]
            voxels = decompress_chunk(_read(file), geometry.chunk, out.dtype, str(file))
            target[...] = voxels[tuple(slice(0, n) for n in target.shape)]

    parallel_for(task, len(places))


def remove_torn(path: Path, spec: PyramidSpec, level: int, index: int) -> None:
    """Remove what a killed process left of a layer under another name; nobody else writes it."""
    geometry = spec.levels[level]
    deep = 1 if spec.version == "0.5" else geometry.shard[0] // geometry.chunk[0]
    for z in range(index * deep, (index + 1) * deep):
        for torn in (path / block_key(spec.version, level, (z,))).glob("*/.*.tmp"):
            torn.unlink(missing_ok=True)


def block_key(version: OmeZarr, level: int, place: Shape) -> str:
    """Key of a shard or of a chunk in the group: ``0/c/<z>/<y>/<x>``, or ``0/<z>/<y>/<x>``."""
    parts = [str(level), *(["c"] if version == "0.5" else []), *(str(p) for p in place)]
    return "/".join(parts)


def _chunk_keys(geometry: Level, level: int, place: Shape, shape: Shape) -> Iterator[str]:
    """Keys of the chunks of a block, of which ``shape`` lies in the volume, in C order."""
    first = np.multiply(place, np.floor_divide(geometry.shard, geometry.chunk))
    for inner in chunk_grid(shape, geometry.chunk):
        yield block_key("0.4", level, tuple(int(n) for n in np.add(first, inner)))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FormatError(
            f"{file} cannot be read ({error.strerror or error}); write this layer again."
        ) from error
