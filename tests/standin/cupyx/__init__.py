"""Pinned host arrays, and SciPy's functions for arrays of the stand-in's device."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy._memory import garbage
from cupy.cuda.pinned_memory import alloc_pinned_memory


def empty_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """A host array in pinned memory, with garbage in it."""
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    count = int(np.prod(shape, dtype=np.int64))
    memory = alloc_pinned_memory(count * np.dtype(dtype).itemsize)
    out = np.frombuffer(memory, dtype, count).reshape(shape, order=order)
    garbage(out)
    return out


def zeros_pinned(shape: Any, dtype: Any = float, order: str = "C") -> np.ndarray:
    """A host array of zeros in pinned memory."""
    out = empty_pinned(shape, dtype, order)
    out[...] = 0
    return out


def empty_like_pinned(
    a: Any, dtype: Any = None, order: str = "K", subok: Any = None, shape: Any = None
) -> np.ndarray:
    """A host array like another one, in pinned memory."""
    return empty_pinned(a.shape if shape is None else shape, a.dtype if dtype is None else dtype)


__all__ = ["empty_like_pinned", "empty_pinned", "zeros_pinned"]
