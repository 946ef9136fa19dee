"""Writes a scan store: frames as they come, every shard once, whole before it has its name."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from hipct.acquisition.scan import FrameKind, ScanInfo
from hipct.acquisition.store_layout import (
    ATTRIBUTE,
    CHUNK_ANGLES,
    FORMAT,
    PARTIAL_SUFFIX,
    SHARD_ANGLES,
    VERSION,
    FrameLayout,
    fast_codecs,
)
from hipct.core.errors import HipctError, InputError, OutputError, PlanError
from hipct.core.files import free_bytes

DEFAULT_MEMORY_BYTES = 2 << 30

_KINDS: tuple[FrameKind, ...] = ("projections", "flats", "darks")


class ScanStoreWriter:
    """A scan store while it is written; a context manager.

    Leaving the ``with`` block without an error makes the store whole (:meth:`close`); an error
    removes it (:meth:`abort`). Until then it lies at ``<path>.partial`` and carries no mark of
    a scan store, so that a killed job leaves nothing that looks whole; what such a job left is
    replaced by the next writer of the same store.

    Parameters
    ----------
    path : str or Path
        The store to make.
    info : ScanInfo
        Numbers of frames, geometry and everything else that is kept.
    overwrite : bool
        Replace an existing scan store, once the new one is whole.
    memory_bytes : int
        Bound for the frames held in memory. It decides how many angles a shard has.
    attributes : mapping, optional
        More attributes for the group, in JSON's types, e.g. the parameters of a simulation.

    Raises
    ------
    OutputError
        If the output exists, is being written by another job, or the disk is too small.
    PlanError
        If not even one row of chunks fits into ``memory_bytes``.
    """

    def __init__(
        self,
        path: str | Path,
        info: ScanInfo,
        *,
        overwrite: bool = False,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.info = info
        self._attributes = dict(attributes or {})
        if ATTRIBUTE in self._attributes:
            raise InputError(f"The attribute {ATTRIBUTE!r} belongs to the store itself; rename it.")
        refuse_existing_store(self.path, overwrite)
        shard_frames = plan_shard_frames(info, memory_bytes)
        _refuse_full_disk(self.path, info)
        self._partial = self.path.with_name(self.path.name + PARTIAL_SUFFIX)
        self._lock_file = _claim(self._partial)
        self._open = True
        try:
            with _writing(self.path):
                self._group = zarr.create_group(self._partial, zarr_format=3)
                self._sinks = {
                    kind: _FrameSink(self._group, kind, getattr(info, kind), info, shard_frames)
                    for kind in _KINDS
                }
                self._write_vectors()
        except BaseException:
            self.abort()
            raise

    @property
    def angle_chunk(self) -> int:
        """Angles of a shard: blocks of a multiple of these are written without waiting."""
        return self._sinks["projections"].layout.shards[0]

    def write_projections(self, first: int, block: NDArray[Any]) -> None:
        """Append projections.

        Parameters
        ----------
        first : int
            Number of the block's first projection: blocks come in order, without gaps.
        block : numpy.ndarray
            (angles, rows, columns), ``info.dtype``; may be reused after the call.
        """
        self._write("projections", first, block)

    def write_flats(self, first: int, block: NDArray[Any]) -> None:
        """Append flats, as :meth:`write_projections` does projections."""
        self._write("flats", first, block)

    def write_darks(self, first: int, block: NDArray[Any]) -> None:
        """Append darks, as :meth:`write_projections` does projections."""
        self._write("darks", first, block)

    def write_frames(self, kind: FrameKind, first: int, block: NDArray[Any]) -> None:
        """Append frames of one kind."""
        self._write(kind, first, block)

    def write_truth(
        self, name: str, array: NDArray[Any], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an array of what a simulated scan was made from, as ``truth/<name>``."""
        with _writing(self.path):
            values = np.asarray(array)
            stored = self._truth_group().create_array(
                name,
                shape=values.shape,
                chunks=tuple(min(64, max(size, 1)) for size in values.shape),
                dtype=values.dtype,
                attributes=dict(attributes or {}),
            )
            stored[...] = values

    def write_truth_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Keep values that a simulated scan was made from, as attributes of ``truth``."""
        with _writing(self.path):
            self._truth_group().attrs.update(dict(attributes))

    def close(self) -> None:
        """Make the store whole: all frames on disk, marked, under its own name.

        Raises
        ------
        InputError
            If frames are missing (the store is removed).
        OutputError
            If the disk is full or fails (the store is removed).
        """
        if not self._open:
            return
        try:
            with _writing(self.path):
                for sink in self._sinks.values():
                    sink.close()
                self._group.attrs.update({ATTRIBUTE: self._header(), **self._attributes})
                _flush_to_disk(self._partial)
                self._lock_name.unlink()
                _replace(self._partial, self.path)
        except BaseException:
            self.abort()
            raise
        self._release()

    def abort(self) -> None:
        """Remove what was written."""
        if not self._open:
            return
        for sink in getattr(self, "_sinks", {}).values():
            sink.stop()
        shutil.rmtree(self._partial, ignore_errors=True)
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    @property
    def _lock_name(self) -> Path:
        return self._partial / _LOCK_NAME

    def _release(self) -> None:
        self._open = False
        os.close(self._lock_file)

    def _write(self, kind: FrameKind, first: int, block: NDArray[Any]) -> None:
        if not self._open:
            raise InputError(f"{self.path} is closed already; open a new writer.")
        with _writing(self.path):
            self._sinks[kind].write(first, block)

    def _truth_group(self) -> zarr.Group:
        return self._group.require_group("truth")

    def _write_vectors(self) -> None:
        info = self.info
        vectors = {
            "angles_rad": (info.angles_rad, "angle"),
            "projection_index": (info.projection_index, "angle"),
            "flat_index": (info.flat_index, "flat"),
            "dark_index": (info.dark_index, "dark"),
            "current": (info.current, "angle"),
            "flat_current": (info.flat_current, "flat"),
        }
        for name, (vector, axis) in vectors.items():
            if vector is None:
                continue
            array = self._group.create_array(
                name,
                shape=vector.shape,
                chunks=(max(vector.size, 1),),
                dtype=np.float64,
                dimension_names=[axis],
            )
            if vector.size:
                array[...] = vector

    def _header(self) -> dict[str, Any]:
        info = self.info
        return {
            "format": FORMAT,
            "version": VERSION,
            "acquisition": info.acquisition,
            "kind": info.kind,
            "pixel_size_um": info.pixel_size_um,
            "distance_m": info.distance_m,
            "energy_kev": info.energy_kev,
            "rotation_axis_px": info.rotation_axis_px,
            "subframes": info.subframes,
            "current_unit": info.current_unit,
            "source": info.source,
            "source_format": info.format,
            "notes": list(info.notes),
        }


class _FrameSink:
    """Collects frames until a row of shards is full, and writes it while the next one fills.

    The buffer is one array per row of shards, so that a shard is contiguous when it is encoded.
    """

    def __init__(
        self, group: zarr.Group, kind: FrameKind, count: int, info: ScanInfo, shard_frames: int
    ) -> None:
        self.kind, self.count = kind, count
        self.layout = FrameLayout.of((count, info.rows, info.columns), shard_frames)
        self._dtype = info.dtype
        self._next = 0
        self._buffers: list[NDArray[Any]] = []
        self._spare: list[NDArray[Any]] = []
        self._worker: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        with fast_codecs():
            self._array = group.create_array(
                kind,
                shape=self.layout.shape,
                chunks=self.layout.chunks,
                shards=self.layout.shards,
                dtype=self._dtype,
                compressors=BloscCodec(
                    cname="lz4", clevel=5, shuffle="bitshuffle", typesize=self._dtype.itemsize
                ),
                dimension_names=[{"projections": "angle"}.get(kind, kind[:-1]), "row", "column"],
                # Blocks of zeros are stored too: comparing costs more than lz4 of zeros does,
                # and -0.0 would come back as 0.0.
                config={"write_empty_chunks": True},
            )

    def write(self, first: int, block: NDArray[Any]) -> None:
        """Append a block."""
        block = np.asarray(block)
        _, rows, columns = self.layout.shape
        if block.ndim != 3 or block.shape[1:] != (rows, columns) or block.dtype != self._dtype:
            raise InputError(
                f"A block of {self.kind} has the shape {block.shape} and the dtype {block.dtype}; "
                f"it has to be (n, {rows}, {columns}) of {self._dtype}."
            )
        if first != self._next or first + len(block) > self.count:
            raise InputError(
                f"A block of {self.kind} {first} to {first + len(block)} was given where "
                f"{self._next} of {self.count} come next; blocks come in order and without gaps."
            )
        depth = self.layout.shards[0]
        taken = 0
        while taken < len(block):
            if not self._buffers:
                self._buffers = self._fresh_buffers()
            inside = self._next % depth
            take = min(depth - inside, len(block) - taken)
            for (top, bottom), buffer in zip(self.layout.bands, self._buffers, strict=True):
                buffer[inside : inside + take] = block[taken : taken + take, top:bottom]
            taken += take
            self._next += take
            if self._next % depth == 0 or self._next == self.count:
                self._flush()

    def close(self) -> None:
        """Wait until all is written."""
        if self._next < self.count:
            raise InputError(
                f"Only {self._next} of {self.count} {self.kind} were written; the store cannot "
                "be made whole."
            )
        self._wait()
        self.stop()

    def stop(self) -> None:
        """End the worker thread, whatever it does."""
        if self._worker is not None:
            self._worker.shutdown(wait=True)
            self._worker = None
        self._buffers, self._spare, self._pending = [], [], None

    def _fresh_buffers(self) -> list[NDArray[Any]]:
        if self._spare:
            spare, self._spare = self._spare, []
            return spare
        frames = min(self.layout.shards[0], self.count)
        columns = self.layout.shape[2]
        return [
            np.empty((frames, bottom - top, columns), self._dtype)
            for top, bottom in self.layout.bands
        ]

    def _flush(self) -> None:
        self._wait()
        start = (self._next - 1) // self.layout.shards[0] * self.layout.shards[0]
        buffers, self._buffers = self._buffers, []
        if self._worker is None:
            self._worker = ThreadPoolExecutor(1, thread_name_prefix="hipct-store")
        self._pending = self._worker.submit(self._store, start, self._next, buffers)
        if self._next == self.count:
            self._wait()
            self._spare = []

    def _wait(self) -> None:
        if self._pending is not None:
            self._pending.result()
            self._pending = None

    def _store(self, start: int, stop: int, buffers: list[NDArray[Any]]) -> None:
        for (top, bottom), buffer in zip(self.layout.bands, buffers, strict=True):
            self._array[start:stop, top:bottom] = buffer[: stop - start]
        self._spare = buffers


def plan_shard_frames(info: ScanInfo, memory_bytes: int) -> int:
    """Angles of a shard whose two buffers, and one shard being encoded, fit the memory.

    Raises
    ------
    PlanError
        If the smallest shard does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> info = ScanInfo(projections=6000, rows=2048, columns=2048, dtype=np.dtype("uint16"),
    ...                 angles_rad=np.linspace(0, 3, 6000))
    >>> plan_shard_frames(info, 4 << 30), plan_shard_frames(info, 1 << 30)
    (128, 32)
    """
    frame = info.rows * info.columns * info.dtype.itemsize
    most = max(info.projections, info.flats, info.darks)
    frames = SHARD_ANGLES
    while True:
        held = min(frames, most)
        layout = FrameLayout.of((most, info.rows, info.columns), frames)
        # Raw and encoded bytes of the shard at work come on top of the two buffers.
        needed = 2 * held * frame + 2 * math.prod(layout.shards) * info.dtype.itemsize
        if needed <= memory_bytes:
            return frames
        if frames == CHUNK_ANGLES:
            raise PlanError(
                f"Writing the scan store of frames of {info.rows} x {info.columns} {info.dtype} "
                f"needs {needed / 1e9:.2f} GB of memory and {memory_bytes / 1e9:.2f} GB are "
                f"allowed; allow at least the former."
            )
        frames //= 2


def refuse_existing_store(path: Path, overwrite: bool) -> None:
    """Raise unless a store may be written at ``path``.

    Raises
    ------
    OutputError
        If something lies there and it is not an overwritable scan store, or its folder is
        missing.
    """
    if not path.name:
        raise OutputError(f"{path} is no name for a scan store; give one such as scan.zarr.")
    if not path.parent.is_dir():
        raise OutputError(
            f"{path} cannot be written, since the folder {path.parent} does not exist; make it "
            "first."
        )
    if not path.exists() and not path.is_symlink():
        return
    if not overwrite:
        raise OutputError(
            f"{path} exists already and was left as it is; choose another name, "
            "or give --overwrite (Python: overwrite=True) to replace it."
        )
    if not _is_store(path):
        raise OutputError(
            f"{path} exists and is no scan store, so that it is not overwritten; choose another "
            "name, or remove it yourself."
        )


_LOCK_NAME = ".writing"


def _is_store(path: Path) -> bool:
    try:
        attributes = zarr.open_group(path, mode="r").attrs
        header = attributes.get(ATTRIBUTE)
    except Exception:  # zarr raises many kinds of errors for what is no group
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT


def _refuse_full_disk(path: Path, info: ScanInfo) -> None:
    free = free_bytes(path.parent)
    if info.nbytes > free:
        raise OutputError(
            f"{path} may take up to {info.nbytes / 1e9:.2f} GB and the disk has "
            f"{free / 1e9:.2f} GB free; make room or choose another disk."
        )


def _claim(partial: Path) -> int:
    """Own ``partial``: made anew, and locked for as long as this process lives."""
    try:
        if partial.exists():
            try:
                stale = os.open(partial / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
            except NotADirectoryError as error:
                raise OutputError(
                    f"{partial} is in the way of the store while it is written; move it away."
                ) from error
            try:
                fcntl.flock(stale, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise OutputError(
                    f"{partial} is being written by another job right now; wait for it, or "
                    "choose another name."
                ) from error
            finally:
                os.close(stale)
            shutil.rmtree(partial)
        partial.mkdir()
        lock = os.open(partial / _LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o666)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if isinstance(error, HipctError):
            raise
        raise OutputError(f"{partial} could not be made: {error.strerror or error}.") from error
    return lock


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the disk or the codecs raise into one sentence."""
    try:
        yield
    except HipctError:
        raise
    except (OSError, RuntimeError) as error:
        # The Rust codecs report a full disk as a RuntimeError with the system's words inside.
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(
            f"{path} could not be written ({reason}); {free_bytes(path.parent) / 1e9:.2f} GB are "
            "free on its disk. What was written of it has been removed."
        ) from error


def _flush_to_disk(folder: Path) -> None:
    for directory, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(directory, name), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _replace(partial: Path, path: Path) -> None:
    if not path.exists():
        os.rename(partial, path)
        return
    old = path.with_name(path.name + ".replaced")
    shutil.rmtree(old, ignore_errors=True)
    os.rename(path, old)
    os.rename(partial, path)
    shutil.rmtree(old, ignore_errors=True)
