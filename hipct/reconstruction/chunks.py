"""How long loops are cut into chunks that fit a cache, and what they hold at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.threads import thread_count

CHUNK_BYTES = 1 << 20
"""What one thread works on at a time."""


def chunk_length(item_bytes: int) -> int:
    """Items of a chunk, at least 1."""
    return max(1, CHUNK_BYTES // item_bytes)


def ranges(stop: int, step: int, start: int = 0) -> list[slice]:
    """Slices of at most ``step`` items from ``start`` to ``stop``.

    Examples
    --------
    >>> ranges(5, 2)
    [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    return [slice(a, min(a + step, stop)) for a in range(start, stop, step)]


def in_flight(items: int, chunk: int) -> int:
    """Items held at a time when ``parallel_for`` runs over them and every range goes by chunks."""
    threads = min(thread_count(), items)
    share = items if threads == 1 else -(-items // min(4 * threads, items))
    return threads * min(chunk, share)


def aligned(
    make: Callable[[int, Any], NDArray[np.float32]], shape: tuple[int, ...]
) -> NDArray[np.float32]:
    """An array that begins at a cache line, so that no vector straddles two.

    ``make`` is ``np.zeros`` or ``np.empty``.
    """
    count = int(np.prod(shape))
    buffer = make(count + 16, np.float32)
    first = -buffer.ctypes.data % 64 // 4
    return buffer[first : first + count].reshape(shape)
