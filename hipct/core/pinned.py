"""Host memory that a device copies from and to at full speed: pages that stay where they are.

CuPy's own pool rounds every size up to a power of two, so that a buffer of 17 GB would take 32, and
keeps all sizes beside one another. Here a block has the size that was asked for. What is freed is
kept for arrays of the same size, because pinning pages costs more than copying them; it goes when
an array of a size that is new is asked for.
"""

from __future__ import annotations

import math
import weakref
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, eq=False)
class _Lease:
    """Memory in the hands of an array, as CuPy's pointer asks for it."""

    ptr: int
    size: int


class PinnedMemory:
    """Pinned arrays of one device; safe from any thread.

    Parameters
    ----------
    xp : module
        ``cupy``.
    """

    def __init__(self, xp: ModuleType) -> None:
        self._xp = xp
        self._sizes: set[int] = set()
        self._idle: dict[int, list[Any]] = {}

    def array(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """An array with no content yet; its memory is kept for the next one when it is gone."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if size == 0:
            return np.empty(shape, dtype)
        if size not in self._sizes:
            self._sizes.add(size)
            self.free()
        try:
            memory = self._idle[size].pop()
        except LookupError:
            memory = self._pin(size)
        lease = _Lease(memory.ptr, size)
        # All views of the array hold the pointer, and that the lease: it ends after the last one.
        weakref.finalize(lease, self._keep, size, memory).atexit = False
        return np.ndarray(shape, dtype, self._xp.cuda.PinnedMemoryPointer(lease, 0))

    def free(self) -> None:
        """Give back what no array uses."""
        self._idle.clear()

    def _keep(self, size: int, memory: Any) -> None:
        self._idle.setdefault(size, []).append(memory)

    def _pin(self, size: int) -> Any:
        cuda = self._xp.cuda
        try:
            return cuda.PinnedMemory(size, cuda.runtime.hostAllocPortable)
        except cuda.runtime.CUDARuntimeError:
            self.free()
            return cuda.PinnedMemory(size, cuda.runtime.hostAllocPortable)
