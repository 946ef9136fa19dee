"""Memory of the stand-in's device: guarded at both ends, accounted, and never zero by itself."""

from __future__ import annotations

import ctypes
import threading
from collections import Counter, defaultdict, deque

import numpy as np

from cupy._devices import current_device, current_stream, device_bytes

ALIGNMENT = 512
"""Bytes that every allocation of CuPy is a multiple of."""

_CANARY = 0xC5


def _watched() -> bool:
    """Whether AddressSanitizer watches the ends of all allocations."""
    return hasattr(ctypes.CDLL(None), "__asan_init")


GUARD = 0 if _watched() else 256


class OutOfMemoryError(MemoryError):
    """The device, or the limit that was set to its pool, has no room for an array."""

    def __init__(self, size: int, total: int, limit: int = 0):
        text = f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes"
        text += f", limit set to: {limit:,} bytes)." if limit else ")."
        super().__init__(text)


class _Chunk:
    """A run of memory that was taken from the device at once, or a part of one."""

    __slots__ = ("after", "arena", "before", "size")

    def __init__(self, size: int, arena: _Arena):
        self.size, self.arena = size, arena
        self.before: _Chunk | None = None
        self.after: _Chunk | None = None

    def split(self, size: int) -> _Chunk | None:
        """Keep ``size`` bytes; what is left as a chunk of its own."""
        if size == self.size:
            return None
        rest = _Chunk(self.size - size, self.arena)
        self.size, rest.before, rest.after = size, self, self.after
        if rest.after is not None:
            rest.after.before = rest
        self.after = rest
        return rest

    def swallow(self) -> None:
        """Take in the part behind."""
        assert self.after is not None
        self.size += self.after.size
        self.after = self.after.after
        if self.after is not None:
            self.after.before = self


class _Arena:
    """Chunks of one stream that nobody uses."""

    def __init__(self) -> None:
        self.free: list[_Chunk] = []

    def take(self, size: int) -> _Chunk | None:
        """The smallest chunk that is large enough, its rest cut off; as CuPy does."""
        fitting = [chunk for chunk in self.free if chunk.size >= size]
        if not fitting:
            return None
        chunk = min(fitting, key=lambda chunk: chunk.size)
        self.free.remove(chunk)
        rest = chunk.split(size)
        if rest is not None:
            self.free.append(rest)
        return chunk

    def give(self, chunk: _Chunk) -> None:
        """Take a chunk back, together with parts beside it that are free."""
        while chunk.after is not None and chunk.after in self.free:
            self.free.remove(chunk.after)
            chunk.swallow()
        while chunk.before is not None and chunk.before in self.free:
            chunk = chunk.before
            self.free.remove(chunk)
            chunk.swallow()
        self.free.append(chunk)

    def clear(self) -> int:
        """Let go of whole chunks; parts stay while another part is in use. Returns the bytes."""
        parts = [chunk for chunk in self.free if chunk.before or chunk.after]
        size = sum(chunk.size for chunk in self.free) - sum(chunk.size for chunk in parts)
        self.free = parts
        return size


class MemoryPool:
    """CuPy's pool by its rules: what a stream has freed is kept, split, and kept for it alone.

    So more is held than is used, and a limit may be met by what lies idle in pieces.
    """

    def __init__(self, allocator: object = None):
        self._used: Counter[int] = Counter()
        self._kept: Counter[int] = Counter()
        self._peak: Counter[int] = Counter()
        self._limits: Counter[int] = Counter()
        self._arenas: dict[tuple[int, int], _Arena] = defaultdict(_Arena)
        self._freed: deque[tuple[_Chunk, int]] = deque()
        self._lock = threading.RLock()

    def used_bytes(self) -> int:
        """Bytes of live arrays on the current device."""
        self._settle()
        return self._used[current_device()]

    def total_bytes(self) -> int:
        """Bytes that the pool holds there, of live arrays and of those that were freed."""
        return self._kept[current_device()]

    def free_bytes(self) -> int:
        """Bytes that the pool holds there and that no array uses."""
        return self.total_bytes() - self.used_bytes()

    def n_free_blocks(self) -> int:
        """Blocks that the pool holds there and that no array uses."""
        self._settle()
        here = current_device()
        return sum(len(arena.free) for (where, _), arena in self._arenas.items() if where == here)

    def free_all_blocks(self, stream: object = None) -> None:
        """Give back to the device what no array uses, but for parts of what is used."""
        self._clear(current_device())

    def set_limit(self, size: int | None = None, fraction: float | None = None) -> None:
        """Refuse to grow beyond ``size`` bytes or a ``fraction`` of the device's memory."""
        if size is not None and fraction is not None:
            raise ValueError("size and fraction cannot be specified at one time.")
        if fraction is not None:
            size = int(fraction * device_bytes())
        self._limits[current_device()] = size or 0

    def get_limit(self) -> int:
        """The limit in bytes; 0 for none."""
        return self._limits[current_device()]

    def _take(self, size: int, device: int) -> _Chunk:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        with self._lock:
            self._settle()
            arena = self._arenas[device, current_stream()]
            chunk = arena.take(size) if size else None
            if chunk is None:
                self._grow(size, device)
                chunk = _Chunk(size, arena)
            self._used[device] += size
            self._peak[device] = max(self._peak[device], self._used[device])
        return chunk

    def _grow(self, size: int, device: int) -> None:
        limit = self._limits[device]
        most = min(limit or device_bytes(), device_bytes())
        if self._kept[device] + size > most:
            self._clear(device)
        if self._kept[device] + size > most:
            raise OutOfMemoryError(size, self._kept[device], limit)
        self._kept[device] += size

    def _clear(self, device: int) -> None:
        with self._lock:
            self._settle()
            for (where, _), arena in self._arenas.items():
                if where == device:
                    self._kept[device] -= arena.clear()

    def _give(self, chunk: _Chunk, device: int) -> None:
        # Python may free an array in the midst of anything.
        self._freed.append((chunk, device))

    def _settle(self) -> None:
        with self._lock:
            while self._freed:
                chunk, device = self._freed.popleft()
                self._used[device] -= chunk.size
                chunk.arena.give(chunk)


pool = MemoryPool()


def begin() -> None:
    """A pool of which nothing has been taken; what lives on goes back to where it came from."""
    global pool  # noqa: PLW0603 - CuPy has one for the process
    pool = MemoryPool()


class Block:
    """One allocation; arrays that are views of it share it, and the last of them frees it."""

    __slots__ = ("_buffer", "_inside", "_pool", "_taken", "device")

    def __init__(self, nbytes: int):
        self._taken: _Chunk | None = None
        self.device, self._pool = current_device(), pool
        self._taken = self._pool._take(nbytes, self.device)
        self._buffer: np.ndarray | None = None

    def room(self, shape: tuple[int, ...], dtype: np.dtype, order: str) -> np.ndarray:
        """A NumPy array on the memory, its content garbage, canaries before and behind."""
        nbytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
        if GUARD:
            buffer = np.empty(nbytes + 3 * GUARD, np.uint8)
            begin = GUARD + (-(buffer.ctypes.data + GUARD)) % GUARD
            buffer[:begin] = _CANARY
            buffer[begin + nbytes :] = _CANARY
            self._buffer, self._inside = buffer, (begin, begin + nbytes)
            inside = buffer[begin : begin + nbytes]
        else:
            inside = np.empty(nbytes, np.uint8)
        array = inside.view(dtype).reshape(shape, order=order)
        garbage(array)
        return array

    def intact(self) -> bool:
        """Whether nothing was written before or behind the memory."""
        if self._buffer is None:
            return True
        begin, end = self._inside
        return bool((self._buffer[:begin] == _CANARY).all()) and bool(
            (self._buffer[end:] == _CANARY).all()
        )

    def __del__(self) -> None:
        if self._taken is not None:
            self._pool._give(self._taken, self.device)


def garbage(array: np.ndarray) -> None:
    """Fill with what shows up wherever it is used: NaN, or an implausible integer."""
    if array.dtype.kind in "fc":
        array.fill(np.nan)
    elif array.dtype.kind == "b":
        array.fill(True)
    else:
        array.fill(np.frombuffer(b"\xa5" * array.dtype.itemsize, array.dtype)[0])
