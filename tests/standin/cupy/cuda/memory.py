"""The pool of device memory."""

from __future__ import annotations

from cupy._memory import MemoryPool, OutOfMemoryError

__all__ = ["MemoryPool", "OutOfMemoryError"]
