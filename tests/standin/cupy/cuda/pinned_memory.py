"""Host memory that the device copies from and to without the host's help."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np

_live: weakref.WeakValueDictionary[int, PinnedMemory]


class PinnedMemory(bytearray):
    """A run of pinned memory."""

    def __init__(self, size: int, flags: int = 0):
        super().__init__(b"\xa5" * max(size, 1))
        self.size = size
        self.ptr = np.frombuffer(self, np.uint8).ctypes.data
        _live[self.ptr] = self


_live = weakref.WeakValueDictionary()


def PinnedMemoryPointer(mem: Any, offset: int) -> Any:  # noqa: N802
    """What lies from a place in pinned memory on: a buffer, for NumPy's arrays to hold."""
    pointer = (ctypes.c_char * (mem.size - offset)).from_address(mem.ptr + offset)
    pointer.mem, pointer.ptr = mem, mem.ptr + offset
    return pointer


class PinnedMemoryPool:
    """Pinned memory; freed as soon as nothing uses it."""

    def malloc(self, size: int) -> Any:
        """New pinned memory."""
        return PinnedMemoryPointer(PinnedMemory(size), 0)

    def free_all_blocks(self) -> None:
        """Give back what nothing uses (nothing is kept here)."""

    def n_free_blocks(self) -> int:
        """Blocks that are kept and that nothing uses."""
        return 0


_pool = PinnedMemoryPool()


def alloc_pinned_memory(size: int) -> Any:
    """New pinned memory of so many bytes."""
    return _pool.malloc(size)


def is_pinned(array: np.ndarray) -> bool:
    """Whether an array lies in pinned memory as a whole."""
    place = array.ctypes.data
    return any(
        begin <= place and place + array.nbytes <= begin + block.size
        for begin, block in list(_live.items())
    )


__all__ = ["PinnedMemory", "PinnedMemoryPointer", "PinnedMemoryPool", "alloc_pinned_memory"]
