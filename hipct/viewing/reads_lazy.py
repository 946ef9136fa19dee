"""What napari is given as a level: it is cut without being read, and read where it is drawn.

napari cuts a level along the axes that are shown first and picks the slice afterwards; an array
that reads at the first cut would read all slices.
"""

from __future__ import annotations

from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Bounds = tuple[tuple[int, int], ...]
"""First index and the one behind the last, of every axis."""


class Reads(Protocol):
    """What reads a level."""

    def given(self, level: int, bounds: Bounds) -> NDArray[Any]:
        """Voxels of a part of a level."""


class LazyLevel:
    """A level, or a part of it, as napari wants arrays.

    Parameters
    ----------
    owner : Reads
        What the level belongs to; parts of it know it too.
    number : int
        Which of its levels it is.
    shape, chunks : tuple of int
        Of the level.
    dtype : dtype

    Examples
    --------
    >>> class Zeros:
    ...     def given(self, level, bounds):
    ...         return np.zeros([high - low for low, high in bounds])
    >>> level = LazyLevel(Zeros(), 0, (9, 8, 7), (4, 4, 4), np.dtype(float))
    >>> part = level[:, 2:99][5]
    >>> part.shape, np.asarray(part).shape
    ((6, 7), (6, 7))
    """

    def __init__(
        self,
        owner: Reads,
        number: int,
        shape: tuple[int, ...],
        chunks: tuple[int, ...],
        dtype: np.dtype[Any],
    ) -> None:
        self.owner, self.number, self.dtype = owner, number, dtype
        self._bounds: Bounds = tuple((0, n) for n in shape)
        self._kept = tuple(range(len(shape)))
        self._level_chunks = chunks

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis that is left."""
        return tuple(self._bounds[axis][1] - self._bounds[axis][0] for axis in self._kept)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Voxels of a chunk along each axis that is left."""
        return tuple(self._level_chunks[axis] for axis in self._kept)

    @property
    def ndim(self) -> int:
        """Axes that are left."""
        return len(self._kept)

    @property
    def size(self) -> int:
        """Voxels."""
        return prod(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Any:
        """A part, not read yet; indexes that are no numbers and plain slices read this one."""
        keys = key if isinstance(key, tuple) else (key,)
        if any(k is Ellipsis for k in keys):
            at = next(number for number, k in enumerate(keys) if k is Ellipsis)
            keys = keys[:at] + (slice(None),) * (self.ndim - len(keys) + 1) + keys[at + 1 :]
        whole = all(
            isinstance(k, int | np.integer) or (isinstance(k, slice) and k.step in (None, 1))
            for k in keys
        )
        if not whole or len(keys) > self.ndim:
            return np.asarray(self)[key]
        bounds, kept = list(self._bounds), []
        for axis, part in zip(self._kept, (*keys, *[slice(None)] * (self.ndim - len(keys)))):
            start, stop = bounds[axis]
            if isinstance(part, slice):
                low, high, _ = part.indices(stop - start)
                bounds[axis] = (start + low, start + max(low, high))
                kept.append(axis)
            else:
                index = range(start, stop)[int(part)]
                bounds[axis] = (index, index + 1)
        view = LazyLevel.__new__(LazyLevel)
        view.__dict__.update(self.__dict__, _bounds=tuple(bounds), _kept=tuple(kept))
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The voxels."""
        voxels = self.owner.given(self.number, self._bounds).reshape(self.shape)
        return voxels if dtype is None else voxels.astype(dtype, copy=False)
