"""Regions of a pyramid at any resolution, in (z, y, x) and micrometres, within bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.volume.open import Volume

Float = NDArray[np.float64]

_SMALLEST = 48
"""Levels are made coarser until their longest side is as short."""
_KEPT_BYTES = 64 * 2**20


@dataclass(frozen=True, eq=False)
class Place:
    """Where the voxels of a level lie: ``origin_um + index step_um``."""

    shape: tuple[int, int, int]
    step_um: Float
    origin_um: Float
    number: int
    """Of the stored level that it is read from."""
    binning: int
    """How many voxels of the stored level along each axis become one."""

    @property
    def voxel_um(self) -> float:
        """Geometric mean of the voxel's sides."""
        return float(np.prod(self.step_um) ** (1 / 3))


class Levels:
    """The levels of a volume, and coarser ones made from the coarsest that is stored.

    Parameters
    ----------
    volume : Volume
        Its axes may stand in any order.
    role : str
        What to call it in a sentence.

    Raises
    ------
    InputError
        If the volume holds labels, is empty, or its voxel size is not known.
    """

    def __init__(self, volume: Volume, role: str) -> None:
        if volume.labels:
            raise InputError(
                f"The {role} {volume.address} holds labels, whose numbers cannot be correlated; "
                "give the grey values that they were made of."
            )
        if volume.length_unit != "um":
            raise InputError(
                f"The {role} {volume.address} does not say how large its voxels are; registration "
                "needs both voxel sizes, so write the volume again with its pixel size."
            )
        if not all(volume.levels[0].array.shape):
            raise InputError(
                f"The {role} {volume.address} has no voxels, its shape is "
                f"{volume.levels[0].array.shape}; give a volume with voxels."
            )
        self.volume, self.role = volume, role
        self._order = tuple(volume.axes.index(axis) for axis in "zyx")
        self.places: list[Place] = []
        for number, level in enumerate(volume.levels):
            self.places.append(
                Place(
                    self._sorted(level.array.shape),
                    np.array(self._sorted(level.scale), np.float64),
                    np.array(self._sorted(level.translation), np.float64),
                    number,
                    1,
                )
            )
        self.places.sort(key=lambda place: place.voxel_um)
        last = self.places[-1]
        while max(last.shape) > _SMALLEST and min(last.shape) >= 2:
            half = last.step_um / 2
            shape = tuple(n // 2 for n in last.shape)
            last = Place(
                (shape[0], shape[1], shape[2]),
                last.step_um * 2,
                last.origin_um + half,
                last.number,
                last.binning * 2,
            )
            self.places.append(last)
        self._kept: dict[int, NDArray[np.float32]] = {}

    @property
    def extent_um(self) -> Float:
        """Lengths of the volume along z, y and x."""
        finest = self.places[0]
        length: Float = np.array(finest.shape) * finest.step_um
        return length

    @property
    def centre_um(self) -> Float:
        """The middle of the volume."""
        finest = self.places[0]
        middle: Float = finest.origin_um + (np.array(finest.shape) - 1) / 2 * finest.step_um
        return middle

    def at_most(self, voxel_um: float) -> int:
        """The coarsest level with voxels no larger than that (within 1 %), else the finest."""
        fitting = [k for k, place in enumerate(self.places) if place.voxel_um <= 1.01 * voxel_um]
        return fitting[-1] if fitting else 0

    def read(self, level: int, low: Any, high: Any) -> NDArray[np.float32]:
        """Voxels ``low`` to ``high`` (not included) of a level; outside of the volume they are NaN.

        Parameters
        ----------
        level : int
            Place in :attr:`places`.
        low, high : three integers
            Along z, y and x.

        Returns
        -------
        ndarray of float32, (z, y, x)
        """
        place = self.places[level]
        low, high = np.asarray(low, int), np.asarray(high, int)
        out = np.full(tuple(high - low), np.nan, np.float32)
        first, last = np.maximum(low, 0), np.minimum(high, place.shape)
        if (first >= last).any():
            return out
        target = tuple(slice(a - o, b - o) for a, b, o in zip(first, last, low))
        out[target] = self._inside(level, first, last)
        return out

    def _inside(self, level: int, first: Any, last: Any) -> NDArray[np.float32]:
        place = self.places[level]
        if level not in self._kept and np.prod(place.shape) * 4 <= _KEPT_BYTES:
            self._kept[level] = self._binned(place, np.zeros(3, int), np.array(place.shape))
        if level in self._kept:
            return self._kept[level][tuple(slice(a, b) for a, b in zip(first, last))]
        return self._binned(place, first, last)

    def _binned(self, place: Place, first: Any, last: Any) -> NDArray[np.float32]:
        """Means of binning^3 stored voxels, a few slices in memory at a time."""
        array, b = self.volume.levels[place.number].array, place.binning
        shape = tuple(int(n) for n in last - first)
        out = np.empty(shape, np.float32)
        depth = max(1, int(_KEPT_BYTES / (4 * b**3 * shape[1] * shape[2])))
        for start in range(0, shape[0], depth):
            stop = min(start + depth, shape[0])
            box = [slice((first[0] + start) * b, (first[0] + stop) * b)]
            box += [slice(first[k] * b, last[k] * b) for k in (1, 2)]
            stored = [slice(None)] * 3
            for axis, part in zip(self._order, box):
                stored[axis] = slice(int(part.start), int(part.stop))
            values = np.asarray(array[tuple(stored)]).transpose(self._order).astype(np.float32)
            grouped = values.reshape(stop - start, b, shape[1], b, shape[2], b)
            out[start:stop] = grouped.mean(axis=(1, 3, 5)) if b > 1 else values
        return out

    def _sorted(self, values: Any) -> Any:
        return tuple(values[axis] for axis in self._order)
