"""Decoded chunks that were looked at, kept within a budget of memory, each and all together."""

from __future__ import annotations

import threading
from collections import OrderedDict
from functools import cache
from typing import Any
from weakref import WeakSet

from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.memory import free_memory

Key = tuple[int, tuple[int, ...]]
"""A level, and the place of a chunk in it."""

_SHARE = 0.25
_LARGEST_BYTES = 4 * 2**30


@cache
def default_budget_bytes() -> int:
    """Bytes that all volumes may keep together: a quarter of what was free, at most 4 GiB."""
    return max(2**26, min(int(_SHARE * free_memory()), _LARGEST_BYTES))


class ChunkCache:
    """Chunks by level and place; those that were not looked at for longest go first.

    Parameters
    ----------
    budget_bytes : int
        What the chunks may take together.
    kept_level : int, optional
        A level whose chunks never go: what stands in for all others.

    Raises
    ------
    InputError
        If the budget is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> cache = ChunkCache(30)
    >>> for number in range(4):
    ...     cache.put((0, (number,)), np.zeros(10, np.uint8))
    >>> cache.get((0, (0,))) is None, len(cache.get((0, (1,)))), cache.bytes
    (True, 10, 30)
    """

    def __init__(self, budget_bytes: int, kept_level: int | None = None) -> None:
        if budget_bytes <= 0:
            raise InputError(f"A cache of {budget_bytes} bytes holds nothing; give more than 0.")
        self.budget_bytes, self._kept_level = budget_bytes, kept_level
        self._chunks: OrderedDict[Key, NDArray[Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        _caches.add(self)

    @property
    def bytes(self) -> int:
        """Bytes of the chunks that are kept."""
        return self._bytes

    def __contains__(self, key: Key) -> bool:
        return key in self._chunks

    def get(self, key: Key) -> NDArray[Any] | None:
        """A chunk, which is now the one looked at last; None if it is not kept."""
        with self._lock:
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def put(self, key: Key, chunk: NDArray[Any]) -> None:
        """Keep a chunk; one that is larger than the budget is kept alone."""
        with self._lock:
            former = self._chunks.pop(key, None)
            self._bytes += chunk.nbytes - (0 if former is None else former.nbytes)
            self._chunks[key] = chunk
            while self._bytes > self.budget_bytes and self._drop_oldest(key):
                pass
        _share_out()

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._chunks.clear()
            self._bytes = 0

    def _drop_oldest(self, but: Key | None = None) -> bool:
        """Whether there was a chunk to drop, other than this one."""
        oldest = next((k for k in self._chunks if k[0] != self._kept_level), None)
        if oldest is None or oldest == but:
            return False
        self._bytes -= self._chunks.pop(oldest).nbytes
        return True


_caches: WeakSet[ChunkCache] = WeakSet()
_sharing = threading.Lock()


def _share_out() -> None:
    """Let the largest caches drop what is too much for all together."""
    with _sharing:
        while sum(cache.bytes for cache in _caches) > default_budget_bytes():
            largest = max(_caches, key=lambda cache: cache.bytes)
            with largest._lock:
                if not largest._drop_oldest():
                    return
