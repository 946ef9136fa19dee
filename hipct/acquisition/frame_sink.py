"""Collects frames into shards, in a bounded memory, and writes each shard once."""

from __future__ import annotations

import math
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from hipct.acquisition.scan import FrameKind, ScanInfo
from hipct.acquisition.store_layout import CHUNK_ANGLES, SHARD_ANGLES, FrameLayout, fast_codecs
from hipct.core.errors import InputError, PlanError
from hipct.core.memory import format_bytes


class FrameSink:
    """Collects frames until a row of shards is full, and writes it while the next one fills.

    The buffer is one array per row of shards, so that a shard is contiguous when it is encoded.
    """

    def __init__(
        self, group: zarr.Group, kind: FrameKind, info: ScanInfo, shard_frames: int
    ) -> None:
        self.kind: FrameKind = kind
        self.count: int = getattr(info, kind)
        self.layout = FrameLayout.of((self.count, info.rows, info.columns), shard_frames)
        self._dtype = info.dtype
        self._next = 0
        self._buffers: list[NDArray[Any]] = []
        self._spare: list[NDArray[Any]] = []
        self._worker: ThreadPoolExecutor | None = None
        self._pending: Future[None] | None = None
        with fast_codecs():
            self.array = group.create_array(
                kind,
                shape=self.layout.shape,
                chunks=self.layout.chunks,
                shards=self.layout.shards,
                dtype=self._dtype,
                # Lz4 decodes most damaged blocks without a word: each chunk has a checksum.
                compressors=[
                    BloscCodec(
                        cname="lz4", clevel=5, shuffle="bitshuffle", typesize=self._dtype.itemsize
                    ),
                    Crc32cCodec(),
                ],
                dimension_names=[{"projections": "angle"}.get(kind, kind[:-1]), "row", "column"],
                # Blocks of zeros are stored too: comparing costs more than lz4 of zeros does. Of
                # a shard of nothing else the Rust pipeline makes no file all the same.
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
            self.array[start:stop, top:bottom] = buffer[: stop - start]
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
                f"needs {format_bytes(needed)} of memory and {format_bytes(memory_bytes)} are "
                f"allowed; allow at least the former."
            )
        frames //= 2
