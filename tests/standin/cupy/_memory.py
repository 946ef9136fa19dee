"""Memory of the stand-in's device: guarded at both ends, accounted, and never zero by itself."""

from __future__ import annotations

import ctypes
import threading
from collections import Counter

import numpy as np

from cupy._devices import current_device, device_bytes

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


class MemoryPool:
    """Bytes in use on each device, in blocks as CuPy rounds them; no memory is really kept."""

    def __init__(self, allocator: object = None):
        self._used: Counter[int] = Counter()
        self._kept: Counter[int] = Counter()
        self._peak: Counter[int] = Counter()
        self._limits: Counter[int] = Counter()
        self._lock = threading.RLock()

    def used_bytes(self) -> int:
        """Bytes of live arrays on the current device."""
        return self._used[current_device()]

    def total_bytes(self) -> int:
        """Bytes that the pool holds there, of live arrays and of those that were freed."""
        return self._kept[current_device()]

    def free_bytes(self) -> int:
        """Bytes that the pool holds there and that no array uses."""
        return self.total_bytes() - self.used_bytes()

    def n_free_blocks(self) -> int:
        """Blocks that the pool holds there and that no array uses (here one or none)."""
        return int(self.free_bytes() > 0)

    def free_all_blocks(self, stream: object = None) -> None:
        """Give back to the device what no array uses."""
        with self._lock:
            self._kept[current_device()] = self.used_bytes()

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

    def _take(self, size: int, device: int) -> int:
        size = -(-size // ALIGNMENT) * ALIGNMENT
        with self._lock:
            limit = self._limits[device]
            if self._used[device] + size > min(limit or device_bytes(), device_bytes()):
                raise OutOfMemoryError(size, self._used[device], limit)
            self._used[device] += size
            for mark in (self._kept, self._peak):
                mark[device] = max(mark[device], self._used[device])
        return size

    def _give(self, size: int, device: int) -> None:
        with self._lock:
            self._used[device] -= size


pool = MemoryPool()


class Block:
    """One allocation; arrays that are views of it share it, and the last of them frees it."""

    __slots__ = ("_buffer", "_inside", "_taken", "device")

    def __init__(self, nbytes: int):
        self._taken = 0
        self.device = current_device()
        self._taken = pool._take(nbytes, self.device)
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
        if self._taken:
            pool._give(self._taken, self.device)


def garbage(array: np.ndarray) -> None:
    """Fill with what shows up wherever it is used: NaN, or an implausible integer."""
    if array.dtype.kind in "fc":
        array.fill(np.nan)
    elif array.dtype.kind == "b":
        array.fill(True)
    else:
        array.fill(np.frombuffer(b"\xa5" * array.dtype.itemsize, array.dtype)[0])
