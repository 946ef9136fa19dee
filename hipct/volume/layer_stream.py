"""Writing a layer chunk by chunk: read, reduced, compressed and written while it is in the cache.

A layer is cut into rows of chunks, one thread each. What is held of it is one row a thread and the
reduced layer, whatever the size of a shard: its chunks go to the disk as they come, in any order,
and its index when the last one is there. The file has another name until then.

The bytes are left to the system to be brought to the disk, as by ``cp``. A process that is killed
loses nothing of them; for a machine that goes down, whoever records finished layers has to look at
their checksums again (:mod:`hipct.volume.pyramid_ledger`).
"""

from __future__ import annotations

import errno
import os
import threading
import uuid
from collections.abc import Callable, Sequence
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import OutputError
from hipct.core.threads import parallel_for
from hipct.storage.chunks import Shape, compress_chunk
from hipct.volume.block_files import block_key, remove_torn
from hipct.volume.layout import Level, PyramidSpec
from hipct.volume.reduce import reduce_block, reduced_shape

_NO_CHUNK = 2**64 - 1

Block = NDArray[Any]
ReadRows = Callable[[slice], Sequence[Block]]
"""Gives the rows ``slice`` of axis y of a layer, as blocks (z, y, x) that stack up along z."""


def stream_layer(
    path: Path | str,
    spec: PyramidSpec,
    level: int,
    index: int,
    read: ReadRows,
    *,
    reduce: bool,
    together: int = 1,
) -> Block | None:
    """Write a layer as it is read, and give its reduced block to the next level.

    Parameters
    ----------
    path : path
        A pyramid made by :func:`hipct.volume.writer.create_pyramid`.
    spec : PyramidSpec
    level, index : int
        Level, and number of the layer in it.
    read : callable
        Gives rows of the layer, each of them once; called by several threads where a row of chunks
        is read at a time.
    reduce : bool
        Whether to return the layer reduced by 2 x 2 x 2.
    together : int
        Rows of chunks that are read at a time; what is left of the volume where it has fewer.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    path, geometry = Path(path), spec.levels[level]
    shape, chunk = geometry.layer_shape(index), geometry.chunk
    reduced = np.empty(reduced_shape(shape), spec.dtype) if reduce else None
    remove_torn(path, spec, level, index)
    scratch = threading.local()
    sink: _Shards | _Files = (_Shards if spec.version == "0.5" else _Files)(
        path, level, index, geometry
    )

    def write_row(number: int, parts: Sequence[Block]) -> None:
        height = min(chunk[1], shape[1] - number * chunk[1])
        voxels = _scratch_of(scratch, chunk, spec.dtype)
        for deep in range(0, shape[0], chunk[0]):
            for left in range(0, shape[2], chunk[2]):
                size = (min(chunk[0], shape[0] - deep), height, min(chunk[2], shape[2] - left))
                inside = voxels[: size[0], : size[1], : size[2]]
                if size != chunk:
                    voxels[...] = 0
                _fill(inside, parts, deep, slice(left, left + size[2]))
                if reduced is not None:
                    starts = (deep // 2, number * chunk[1] // 2, left // 2)
                    half = tuple(slice(a, a + n) for a, n in zip(starts, reduced_shape(size)))
                    reduce_block(inside, out=reduced[half], how=spec.reduction)
                sink.put((deep // chunk[0], number, left // chunk[2]), voxels)

    def write_rows(first: int, last: int, parts: Sequence[Block] | None) -> None:
        def task(start: int, stop: int) -> None:
            for number in range(first + start, first + stop):
                low, high = number * chunk[1], min((number + 1) * chunk[1], shape[1])
                if parts is None:
                    write_row(number, read(slice(low, high)))
                else:
                    top = first * chunk[1]
                    write_row(number, [part[:, low - top : high - top] for part in parts])

        parallel_for(task, last - first)

    rows = -(-shape[1] // chunk[1])
    with sink:
        if together <= 1:
            write_rows(0, rows, None)
        else:
            for first in range(0, rows, together):
                last = min(first + together, rows)
                parts = read(slice(first * chunk[1], min(last * chunk[1], shape[1])))
                write_rows(first, last, parts)
    return reduced


def _scratch_of(local: threading.local, chunk: Shape, dtype: np.dtype[Any]) -> Block:
    """One chunk of this thread: memory that is new each time costs as much as copying into it."""
    voxels: Block | None = getattr(local, "voxels", None)
    if voxels is None:
        voxels = local.voxels = np.empty(chunk, dtype)
    return voxels


def _fill(inside: Block, parts: Sequence[Block], deep: int, columns: slice) -> None:
    """The rows from ``deep`` on of blocks that stack up along z."""
    start = -deep
    for part in parts:
        low, high = max(start, 0), min(start + part.shape[0], inside.shape[0])
        if low < high:
            inside[low:high] = part[low - start : high - start, :, columns]
        start += part.shape[0]


class _Sink:
    """The files of one layer; a context manager that leaves no torn one after an error."""

    def __init__(self, path: Path, level: int, index: int, geometry: Level) -> None:
        self.path, self.level, self.index, self.geometry = path, level, index, geometry

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass


class _Files(_Sink):
    """A file for every chunk (OME-Zarr 0.4)."""

    def put(self, place: Shape, voxels: Block) -> None:
        """Write a chunk."""
        deep = self.geometry.shard[0] // self.geometry.chunk[0]
        key = block_key("0.4", self.level, (self.index * deep + place[0], *place[1:]))
        file = GrowingFile(self.path / key)
        try:
            file.write([compress_chunk(voxels, self.geometry.chunk)], 0)
            file.finish()
        finally:
            file.close()


class _Shards(_Sink):
    """Shards (OME-Zarr 0.5) that grow chunk by chunk."""

    def __init__(self, path: Path, level: int, index: int, geometry: Level) -> None:
        super().__init__(path, level, index, geometry)
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int], _Shard] = {}
        self._each = tuple(s // c for s, c in zip(geometry.shard, geometry.chunk))

    def put(self, place: Shape, voxels: Block) -> None:
        """Write a chunk into its shard, and the shard's index after its last chunk."""
        _, rows, columns = self._each
        key = (place[1] // rows, place[2] // columns)
        inner = (place[0], place[1] % rows, place[2] % columns)
        with self._lock:
            shard = self._open.get(key)
            if shard is None:
                name = block_key("0.5", self.level, (self.index, *key))
                shard = self._open[key] = _Shard(self.path / name, self._each, self._chunks_in(key))
        data = b""
        if _has_voxels(voxels):
            data = compress_chunk(voxels, self.geometry.chunk)
        if shard.put(inner, data):
            with self._lock:
                del self._open[key]
            shard.finish()

    def _chunks_in(self, key: tuple[int, int]) -> int:
        """Chunks of a shard that have voxels."""
        geometry, starts = self.geometry, (self.index, *key)
        left = (n - s * p for n, s, p in zip(geometry.shape, geometry.shard, starts))
        return prod(
            -(-min(rest, s) // c) for rest, s, c in zip(left, geometry.shard, geometry.chunk)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove what an error left unfinished."""
        for shard in self._open.values():
            shard.file.close()


class _Shard:
    """A shard that grows."""

    def __init__(self, path: Path, grid: Shape, chunks: int) -> None:
        self.file = GrowingFile(path)
        self._grid, self._left, self._end = grid, chunks, 0
        self._index = np.full((prod(grid), 2), _NO_CHUNK, "<u8")
        self._lock = threading.Lock()

    def put(self, inner: Shape, data: bytes) -> bool:
        """Write an encoded chunk, nothing for zeros; says whether it was the last one."""
        if data:
            parts = [data, _crc(data)]
            size = sum(len(part) for part in parts)
            with self._lock:
                start, self._end = self._end, self._end + size
            self.file.write(parts, start)
            self._index[np.ravel_multi_index(inner, self._grid)] = start, size
        with self._lock:
            self._left -= 1
            return self._left == 0

    def finish(self) -> None:
        """Write the index; the shard has its name then."""
        table = self._index.tobytes()
        try:
            self.file.write([table, _crc(table)], self._end)
            self.file.finish()
        finally:
            self.file.close()


class GrowingFile:
    """A file that has another name until it is whole."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        self._file: int | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        except OSError as error:
            raise self._failed(error) from error

    def write(self, parts: Sequence[bytes], start: int) -> None:
        """Write parts one after the other, from byte ``start`` on."""
        if self._file is None:
            raise OutputError(f"{self.path} was given up, since another part of it failed.")
        try:
            for part in parts:
                rest = memoryview(part)
                while rest:
                    written = os.pwrite(self._file, rest, start)
                    rest, start = rest[written:], start + written
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> None:
        """Give the file its name."""
        try:
            os.replace(self._temporary, self.path)
        except OSError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file, and remove it where it is not whole."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._temporary.unlink(missing_ok=True)

    def _failed(self, error: OSError) -> OutputError:
        remedy = (
            "; free space there, or write to another disk" if error.errno == errno.ENOSPC else ""
        )
        return OutputError(f"{self.path} could not be written: {error.strerror or error}{remedy}.")


def _has_voxels(voxels: Block) -> bool:
    # A few of them tell nearly always, and looking at all of them costs a tenth of compression.
    return bool(voxels[::16, ::16, ::16].any() or voxels.any())


def _crc(data: bytes) -> bytes:
    return int(google_crc32c.value(data)).to_bytes(4, "little")
