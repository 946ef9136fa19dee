"""Levels of OME-Zarr volumes of one's own, 0.4 or 0.5, in the blocks that the atlas is read in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.grid import BlockGrid, Place, Shape3
from hipct.core.errors import FormatError, HipctError
from hipct.volume.open import Volume, VolumeLevel
from hipct.volume.storage import is_address


@dataclass(frozen=True)
class StoredLevel(BlockGrid):
    """One level of a volume, read through Zarr.

    Attributes
    ----------
    array : zarr.Array, which names its files
    chunks_of : the same array without shards, whose indexes are read once
    name : where it lies, for people
    axes : numbers of the array's axes that are z, y, x
    folder : of the array where it is on this machine; files that are missing there are told
    """

    array: Any
    chunks_of: Any
    name: str
    axes: Shape3
    folder: Path | None

    def fetch(self, place: Place) -> bytes | None:
        """Voxels of a block in C order; None where its chunk or shard has no file."""
        if self.folder is not None and not (self.folder / self._key(place)).is_file():
            return None
        region = [slice(0)] * 3
        for axis, p, c, n in zip(self.axes, place, self.chunks, self.inside(place)):
            region[axis] = slice(p * c, p * c + n)
        try:
            values = np.asarray(self.chunks_of[tuple(region)])
        except HipctError:
            raise
        except Exception as error:  # Codecs and Zarr have no common class for what they raise.
            raise FormatError(
                f"The block {place} (z, y, x) of {self.name} cannot be read ({error})."
            ) from error
        return values.transpose(self.axes).tobytes()

    def decode(self, data: bytes | None, place: Place) -> NDArray[Any]:
        """Values (z, y, x) of a block, cut at the ends of the level."""
        inside = self.inside(place)
        if data is None:
            return np.full(inside, self.fill, self.dtype)
        if len(data) != self.dtype.itemsize * inside[0] * inside[1] * inside[2]:
            raise FormatError(
                f"The block {place} (z, y, x) of {self.name} has {len(data)} bytes, which are not "
                f"those of {inside} voxels."
            )
        return np.frombuffer(data, self.dtype).reshape(inside)

    def _key(self, place: Place) -> str:
        """Key of the file that holds a block."""
        files = self.array.shards or self.array.chunks
        at = [0, 0, 0]
        for axis, p, c in zip(self.axes, place, self.chunks):
            at[axis] = p * c // files[axis]
        key: str = self.array.metadata.encode_chunk_key(tuple(at))
        return key


def stored_levels(volume: Volume) -> list[StoredLevel]:
    """All levels of a volume, the finest first."""
    axes = tuple(volume.axes.index(axis) for axis in "zyx")
    return [_level(volume, level, axes) for level in volume.levels]


def _level(volume: Volume, level: VolumeLevel, axes: Any) -> StoredLevel:
    array = level.array
    dtype = np.dtype(array.dtype)
    return StoredLevel(
        shape=_turned(array.shape, axes),
        chunks=_turned(array.chunks, axes),
        dtype=dtype.newbyteorder("="),
        fill=int(array.fill_value or 0),
        compression=", ".join(_codec(one) for one in array.compressors) or "raw",
        array=array,
        chunks_of=level.chunkwise,
        name=f"{volume.address}/{level.path}",
        axes=axes,
        folder=None if is_address(volume.address) else volume.path / level.path,
    )


def _turned(shape: Any, axes: Any) -> Shape3:
    z, y, x = (int(shape[axis]) for axis in axes)
    return (z, y, x)


def _codec(codec: Any) -> str:
    """``blosc-zstd``, as the atlas's own are told."""
    told = codec.to_dict() if hasattr(codec, "to_dict") else codec.get_config()
    settings = told.get("configuration", told)
    name = str(told.get("name", told.get("id", "unknown")))
    return f"{name}-{settings['cname']}" if "cname" in settings else name
