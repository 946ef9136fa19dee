"""Arrays kept within a budget of bytes; the one that was used longest ago goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any

from numpy.typing import NDArray


class ArrayCache:
    """Arrays by their keys; safe from any thread.

    Parameters
    ----------
    budget_bytes : int
        What they may take together. An array larger than this is not kept.

    Examples
    --------
    >>> import numpy as np
    >>> cache = ArrayCache(100)
    >>> for name in "abc":
    ...     cache.put(name, np.zeros(10, np.float32))
    >>> cache.get("a") is None, cache.get("c").shape, cache.held_bytes
    (True, (10,), 80)
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._lock = threading.Lock()
        self._arrays: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._held

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """The array of a key, or ``None``; it counts as used."""
        with self._lock:
            found = self._arrays.get(key)
            if found is not None:
                self._arrays.move_to_end(key)
            return found

    def put(self, key: Hashable, array: NDArray[Any]) -> None:
        """Keep an array, which must not change from now on, if the budget holds it."""
        array.flags.writeable = False
        with self._lock:
            self._drop(key)
            if array.nbytes > self.budget_bytes:
                return
            while self._held + array.nbytes > self.budget_bytes:
                self._drop(next(iter(self._arrays)))
            self._arrays[key] = array
            self._held += array.nbytes

    def clear(self) -> None:
        """Let go of all."""
        with self._lock:
            self._arrays.clear()
            self._held = 0

    def _drop(self, key: Hashable) -> None:
        dropped = self._arrays.pop(key, None)
        if dropped is not None:
            self._held -= dropped.nbytes
