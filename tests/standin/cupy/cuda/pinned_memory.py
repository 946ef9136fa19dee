"""Host memory that the device copies from and to without the host's help."""

from __future__ import annotations

import weakref

import numpy as np

_live: weakref.WeakValueDictionary[int, PinnedMemoryPointer]


class PinnedMemoryPointer(bytearray):
    """A run of pinned memory; a buffer, for ``numpy.frombuffer``."""

    def __init__(self, size: int):
        super().__init__(b"\xa5" * max(size, 1))
        self._size = size
        self.ptr = np.frombuffer(self, np.uint8).ctypes.data
        _live[self.ptr] = self

    def size(self) -> int:
        """Bytes of it."""
        return self._size


_live = weakref.WeakValueDictionary()


class PinnedMemoryPool:
    """Pinned memory; freed as soon as nothing uses it."""

    def malloc(self, size: int) -> PinnedMemoryPointer:
        """New pinned memory."""
        return PinnedMemoryPointer(size)

    def free_all_blocks(self) -> None:
        """Give back what nothing uses (nothing is kept here)."""

    def n_free_blocks(self) -> int:
        """Blocks that are kept and that nothing uses."""
        return 0


_pool = PinnedMemoryPool()


def alloc_pinned_memory(size: int) -> PinnedMemoryPointer:
    """New pinned memory of so many bytes."""
    return _pool.malloc(size)


def is_pinned(array: np.ndarray) -> bool:
    """Whether an array lies in pinned memory as a whole."""
    place = array.ctypes.data
    return any(
        begin <= place and place + array.nbytes <= begin + block._size
        for begin, block in list(_live.items())
    )


__all__ = ["PinnedMemoryPool", "alloc_pinned_memory"]
