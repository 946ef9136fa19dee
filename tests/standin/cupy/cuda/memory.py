"""The pool of device memory."""

from __future__ import annotations

from cupy._memory import MemoryPool, OutOfMemoryError, pool
from cupy.cuda.pinned_memory import PinnedMemoryPool
from cupy.cuda.pinned_memory import pool as _pinned

__all__ = ["MemoryPool", "OutOfMemoryError"]


def get_default_memory_pool() -> MemoryPool:
    """The pool that all arrays come from."""
    return pool


def get_default_pinned_memory_pool() -> PinnedMemoryPool:
    """The pool that pinned host memory comes from."""
    return _pinned
