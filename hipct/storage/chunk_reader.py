"""Reading arrays of Zarr on a local disk chunk by chunk, on all threads, straight into place.

Zarr's own pipelines make a new array of each chunk and of each selection, and read the index of a
shard anew for every selection. Here each thread keeps the memory that it decodes into. Known are
the chunks that nearly every volume has, in shards or in files of their own: little-endian, blosc,
zstd or nothing, with a checksum or without. Anything else is left to Zarr.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from numcodecs import blosc, zstd
from numpy.typing import NDArray

from hipct.core.errors import FormatError
from hipct.core.threads import parallel_for
from hipct.storage.chunks import Shape
from hipct.storage.shards import index_bytes, read_index

_NO_CHUNK = 2**64 - 1
_CRC_BYTES = 4
_SHARDS_KEPT = 256
"""Indexes of shards that are remembered: those of a layer are asked for row by row."""

Decode = Callable[[Any, NDArray[np.uint8]], None]
UseChunk = Callable[[Shape, NDArray[Any]], None]
"""Takes where a chunk begins, and those of its voxels that are in the array and in the region."""


@dataclass(frozen=True)
class _Layout:
    """How an array is stored."""

    shape: Shape
    dtype: np.dtype[Any]
    chunk: Shape
    shard: Shape
    fill: float
    key: Callable[[Shape], str]
    decode: Decode
    has_checksum: bool
    is_sharded: bool


class ChunkReader:
    """An array of Zarr whose chunks are decoded here; see :func:`open_chunks`.

    Attributes
    ----------
    folder : Path
    shape, chunks, shards : tuple of int
        Of the array, of its chunks, of its files.
    dtype : dtype
        In the machine's byte order.
    """

    def __init__(self, folder: Path, layout: _Layout, *, whole: bool = False) -> None:
        self.folder, self._layout, self._whole = folder, layout, whole
        self.shape, self.chunks, self.shards = layout.shape, layout.chunk, layout.shard
        self.dtype = layout.dtype
        self._lock = threading.Lock()
        self._indexes: dict[Shape, NDArray[np.uint64] | None] = {}
        self._memory = threading.local()

    def __getitem__(self, region: tuple[slice, ...]) -> NDArray[Any]:
        """Voxels of a region, which takes slices without steps, one an axis."""
        bounds = [part.indices(n)[:2] for part, n in zip(region, self.shape)]
        out = np.empty([stop - start for start, stop in bounds], self.dtype)
        self.read_into(region, out)
        return out

    def read_into(self, region: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Put the voxels of a region into an array of its shape."""
        lows = [part.indices(n)[0] for part, n in zip(region, self.shape)]

        def use(start: Shape, voxels: NDArray[Any]) -> None:
            place = tuple(
                slice(first - low, first - low + size)
                for first, low, size in zip(start, lows, voxels.shape)
            )
            out[place] = voxels

        self.each_chunk(region, use)

    def each_chunk(self, region: tuple[slice, ...], use: UseChunk) -> None:
        """Decode every chunk of a region once, on all threads.

        Parameters
        ----------
        region : slices without steps, one an axis
        use : callable
            Called by several threads, once a chunk; the voxels are overwritten afterwards.

        Raises
        ------
        FormatError
            If a file is damaged or cannot be read.
        """
        bounds = [part.indices(n)[:2] for part, n in zip(region, self.shape)]
        ranges = [range(low // c, -(-high // c)) for (low, high), c in zip(bounds, self.chunks)]
        places = list(product(*ranges))

        def task(start: int, stop: int) -> None:
            for place in places[start:stop]:
                voxels = self._chunk(place)
                first = tuple(p * c for p, c in zip(place, self.chunks))
                inside = tuple(
                    slice(max(low - f, 0), min(high - f, c))
                    for f, c, (low, high) in zip(first, self.chunks, bounds)
                )
                starts = tuple(f + part.start for f, part in zip(first, inside))
                use(starts, voxels[inside])

        parallel_for(task, len(places), reads=True)

    def _chunk(self, place: Shape) -> NDArray[Any]:
        """Voxels of a chunk, in the memory of this thread."""
        kept: tuple[NDArray[np.uint8], NDArray[np.uint8]] | None
        kept = getattr(self._memory, "kept", None)
        size = prod(self.chunks) * self.dtype.itemsize
        if kept is None:
            kept = self._memory.kept = (np.empty(size, np.uint8), np.empty(size, np.uint8))
        voxels, room = kept
        stored = self._stored(place, room)
        shaped = voxels.view(self.dtype).reshape(self.chunks)
        if stored is None:
            shaped[...] = self._layout.fill
            return shaped
        try:
            if self._layout.has_checksum:
                stored, checksum = stored[:-_CRC_BYTES], stored[-_CRC_BYTES:]
                if google_crc32c.value(stored) != int.from_bytes(checksum.tobytes(), "little"):
                    raise ValueError("its checksum does not fit")
            self._layout.decode(stored, voxels)
        except (RuntimeError, ValueError) as error:
            raise FormatError(
                f"{self.folder}, chunk {place}, is damaged ({error}); copy it again from its "
                "source, or make it again."
            ) from error
        return shaped

    def _stored(self, place: Shape, room: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
        """Bytes of a chunk, none where it holds nothing but the fill value."""
        each = tuple(s // c for s, c in zip(self.shards, self.chunks))
        outer = tuple(p // n for p, n in zip(place, each))
        file = self.folder / self._layout.key(outer)
        try:
            opened = os.open(file, os.O_RDONLY)
        except FileNotFoundError as error:
            if self._whole:
                raise FormatError(
                    f"{file} is missing; copy it again from its source, or make it again."
                ) from error
            return None
        except OSError as error:
            raise FormatError(f"{file} cannot be read ({error.strerror or error}).") from error
        try:
            start, length = 0, os.fstat(opened).st_size
            if self._layout.is_sharded:
                index = self._index(outer, opened, length, prod(each), file)
                inner = tuple(p % n for p, n in zip(place, each))
                number = int(np.ravel_multi_index(inner, each))
                start, length = (int(n) for n in index[number])
                if start == _NO_CHUNK:
                    return None
            if length > len(room):
                room = np.empty(length, np.uint8)
            got = os.preadv(opened, [room[:length].data], start)
        except OSError as error:
            raise FormatError(f"{file} cannot be read ({error.strerror or error}).") from error
        finally:
            os.close(opened)
        if got < length:
            raise FormatError(f"{file} is truncated: it ends inside of a chunk.")
        return room[:length]

    def _index(
        self, outer: Shape, opened: int, size: int, chunks: int, file: Path
    ) -> NDArray[np.uint64]:
        with self._lock:
            index = self._indexes.get(outer)
        if index is None:
            tail = min(size, index_bytes(chunks))
            index = read_index(os.pread(opened, tail, size - tail), size, chunks, file)
            with self._lock:
                if len(self._indexes) >= _SHARDS_KEPT:
                    self._indexes.pop(next(iter(self._indexes)))
                self._indexes[outer] = index
        return index


def open_chunks(folder: Path | str, *, whole: bool = False) -> ChunkReader | None:
    """The array in a folder, if its chunks can be decoded here; None leaves it to Zarr.

    Parameters
    ----------
    folder : path
        An array of Zarr, version 2 or 3, whose metadata can be read.
    whole : bool
        Whether every file has to be there; otherwise one that is missing holds the fill value.
    """
    folder = Path(folder)
    try:
        if (folder / "zarr.json").is_file():
            layout = _layout_v3(json.loads((folder / "zarr.json").read_bytes()))
        else:
            layout = _layout_v2(json.loads((folder / ".zarray").read_bytes()))
    except (OSError, LookupError, TypeError, ValueError, AttributeError):
        return None
    return None if layout is None else ChunkReader(folder, layout, whole=whole)


def _layout_v3(metadata: Mapping[str, Any]) -> _Layout | None:
    shard = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    chunk, codecs = shard, list(metadata["codecs"])
    known = metadata["chunk_grid"]["name"] == "regular"
    known &= not metadata.get("storage_transformers")
    sharded = codecs[0]["name"] == "sharding_indexed"
    if sharded:
        sharding = codecs[0]["configuration"]
        known &= len(codecs) == 1 and _is_usual_index(sharding)
        chunk, codecs = tuple(sharding["chunk_shape"]), list(sharding["codecs"])
    checksum = codecs[-1]["name"] == "crc32c"
    codecs = codecs[:-1] if checksum else codecs
    names = [codec["name"] for codec in codecs]
    little = codecs[0].get("configuration", {}).get("endian", "little") == "little"
    dtype = np.dtype(metadata["data_type"])
    decode = _DECODERS.get((names[1:] or ["none"])[0])
    if not known or names[0] != "bytes" or not little or len(names) > 2:
        return None
    if decode is None or dtype.kind not in "uifb":
        return None
    encoding = metadata["chunk_key_encoding"]
    default = encoding["name"] == "default"
    separator = encoding.get("configuration", {}).get("separator", "/" if default else ".")
    prefix = ["c"] if default else []
    return _Layout(
        shape=tuple(metadata["shape"]),
        dtype=dtype,
        chunk=chunk,
        shard=shard,
        fill=float(metadata["fill_value"]),
        key=lambda place: separator.join([*prefix, *(str(p) for p in place)]),
        decode=decode,
        has_checksum=checksum,
        is_sharded=sharded,
    )


def _is_usual_index(sharding: Mapping[str, Any]) -> bool:
    """Whether the index of a shard is what :func:`hipct.storage.shards.read_index` reads."""
    names = [codec["name"] for codec in sharding["index_codecs"]]
    endian = sharding["index_codecs"][0].get("configuration", {}).get("endian")
    at_end = sharding.get("index_location", "end") == "end"
    return names == ["bytes", "crc32c"] and endian == "little" and at_end


def _layout_v2(metadata: Mapping[str, Any]) -> _Layout | None:
    dtype = np.dtype(metadata["dtype"])
    compressor = metadata["compressor"] or {"id": "none"}
    decode = _DECODERS.get(compressor["id"])
    little = dtype.newbyteorder("<") == dtype
    if metadata.get("filters") or metadata.get("order", "C") != "C" or not little:
        return None
    if decode is None or dtype.kind not in "uifb":
        return None
    separator = metadata.get("dimension_separator", ".")
    return _Layout(
        shape=tuple(metadata["shape"]),
        dtype=dtype.newbyteorder("="),
        chunk=tuple(metadata["chunks"]),
        shard=tuple(metadata["chunks"]),
        fill=float(metadata["fill_value"] or 0),
        key=lambda place: separator.join(str(p) for p in place),
        decode=decode,
        has_checksum=False,
        is_sharded=False,
    )


def _blosc(stored: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    if len(stored) < 16 or int(stored[4:8].view("<u4")[0]) != len(out):
        raise ValueError("it has another size than its chunk")
    # Blosc believes the head, and would read on behind the end of a truncated chunk.
    if int(stored[12:16].view("<u4")[0]) != len(stored):
        raise ValueError("it is truncated")
    blosc.decompress(stored, out)


def _zstd(stored: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    voxels = zstd.decompress(stored)
    if len(voxels) != len(out):
        raise ValueError("it has another size than its chunk")
    out[...] = np.frombuffer(voxels, np.uint8)


def _plain(stored: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    out[...] = stored


_DECODERS: dict[str, Decode] = {"blosc": _blosc, "zstd": _zstd, "none": _plain}
