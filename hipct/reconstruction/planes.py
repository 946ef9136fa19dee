"""Planes of any tilt through the volume, back-projected without the volume: for live viewing.

Back-projection is linear, so a pixel between two slices takes from both, in proportion; within a
slice its place is exact, as every pixel of the direct engine collects from the filtered rows at
its own place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.reconstruction.chunks import chunk_length, ranges
from hipct.reconstruction.geometry import Geometry

LARGEST_STEP = 64.0
"""Voxels between neighbouring pixels, at most: float32 counts them within a tile of pixels."""

SLACK = 1e-6
"""Voxels by which a pixel may lie beyond the outermost slices, for rounding in steps."""

_POINT_BYTES = 100
"""Places of a pixel and what is gathered for it."""

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Plane:
    """Pixels of a plane; vectors are (z, y, x) in voxels, z the detector row."""

    origin: Vector
    row_step: Vector
    column_step: Vector
    shape: tuple[int, int]

    @classmethod
    def create(
        cls,
        origin: Sequence[float],
        row_step: Sequence[float],
        column_step: Sequence[float],
        shape: Sequence[int],
    ) -> Plane:
        """Validate a plane.

        Raises
        ------
        InputError
            If a vector is not three finite numbers, a step longer than 64 voxels, or there is no
            pixel.
        """
        plane = cls(
            _vector("origin", origin),
            _vector("row_step", row_step),
            _vector("column_step", column_step),
            _shape(shape),
        )
        for name in ("row_step", "column_step"):
            if max(map(abs, getattr(plane, name))) > LARGEST_STEP:
                raise InputError(
                    f"The {name} of the plane is {getattr(plane, name)}; a step from pixel to "
                    f"pixel may be at most {LARGEST_STEP:g} voxels along each axis."
                )
        return plane

    def seen_from(self, slices: int, first_row: int) -> tuple[slice, Plane] | None:
        """Which of the slices the plane meets, and the plane with z counted from the first of them.

        ``None`` where it meets none. Slice k of those given is the detector row first_row + k.
        """
        rows, columns = self.shape
        down, right = (rows - 1) * self.row_step[0], (columns - 1) * self.column_step[0]
        z = self.origin[0] - first_row
        lowest, highest = z + min(down, 0) + min(right, 0), z + max(down, 0) + max(right, 0)
        if highest < -SLACK or lowest > slices - 1 + SLACK:
            return None
        first = max(math.floor(lowest + SLACK), 0)
        last = min(max(math.ceil(highest - SLACK), first), slices - 1)
        origin = (z - first, *self.origin[1:])
        moved = Plane(origin, self.row_step, self.column_step, self.shape)
        return slice(first, last + 1), moved

    def positions(self, rows: slice) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Voxels z, y, x of the pixels of some rows: each (rows, columns), float64."""
        i = np.arange(self.shape[0], dtype=np.float64)[rows, None]
        j = np.arange(self.shape[1], dtype=np.float64)
        vectors = zip(self.origin, self.row_step, self.column_step)
        z, y, x = (start + i * down + j * right for start, down, right in vectors)
        return z, y, x


@dataclass(frozen=True)
class Span:
    """Of which slices one call of :func:`back_project_plane` has the filtered rows."""

    group: slice
    """One of :func:`groups`."""
    met: int
    """Slices that the plane meets, in all groups."""


@dataclass(frozen=True)
class Points:
    """Pixels of a plane that lie between some slices and inside of the circle."""

    where: tuple[NDArray[np.intp], ...]
    """Their rows, counted from the first of those asked for, and their columns."""
    y: NDArray[np.float64]
    x: NDArray[np.float64]
    """Pixels from the axis."""
    lower: NDArray[np.intp]
    """The slice at or below, counted from the first of the group."""
    up: NDArray[np.float32]
    """How far it is from there to the next one."""

    @classmethod
    def between(cls, plane: Plane, rows: slice, span: Span, geometry: Geometry) -> Points:
        """Those of some rows of the plane that a group of slices serves."""
        z, y, x = plane.positions(rows)
        (row, column), group, met = geometry.pivot, span.group, span.met
        y, x = y - row, x - column
        lower = np.clip(np.floor(z), 0, max(met - 2, 0))
        served = (z >= -SLACK) & (z <= met - 1 + SLACK) & (y * y + x * x <= geometry.reach**2)
        served &= (lower >= group.start) & ((lower < group.stop - 1) | (met == 1))
        up = np.clip(z - lower, 0, 1)[served].astype(np.float32)
        place = lower[served].astype(np.intp) - group.start
        return cls(np.nonzero(served), y[served], x[served], place, up)


def groups(met: int, most: int) -> list[slice]:
    """Groups of at most ``most`` of the slices that a plane meets.

    Neighbours share a slice, so that every place between two slices lies in one group.

    Examples
    --------
    >>> groups(1, 16), groups(5, 3)
    ([slice(0, 1, None)], [slice(0, 3, None), slice(2, 5, None)])
    """
    return [slice(a, min(a + most, met)) for a in range(0, max(met - 1, 1), most - 1)]


def back_project_plane(
    sums: NDArray[np.float32],
    filtered: NDArray[np.float32],
    view: Plane,
    span: Span,
    *,
    geometry: Geometry,
    lines: slice,
    accelerated: bool,
) -> None:
    """Add the filtered rows of some angles, (angles, length, lanes), to the pixels of a plane.

    A pixel between the slices s and s + 1 takes, for every angle, the rows of both at its own
    position, in proportion to its distance from them. Pixels beyond all slices, or out of reach,
    stay as they are.
    """
    angles = geometry.angles[lines]
    cos, sin, last = np.cos(angles), np.sin(angles), span.group.stop - span.group.start - 1
    chunk = chunk_length(view.shape[1] * _POINT_BYTES)

    def task(start: int, stop: int) -> None:
        for rows in ranges(stop, chunk, start):
            points = Points.between(view, rows, span, geometry)
            window = sums[rows]
            values = window[points.where]
            if accelerated:
                from hipct.reconstruction.direct_numba import back_project_points

                place = (points.y, points.x, points.lower, points.up, last)
                back_project_points(values, filtered, cos, sin, geometry.axis, *place)
            else:
                _back_project_points(
                    values, filtered, points, cos=cos, sin=sin, axis=geometry.axis, last=last
                )
            window[points.where] = values

    parallel_for(task, view.shape[0])


def _back_project_points(
    sums: NDArray[np.float32],
    filtered: NDArray[np.float32],
    points: Points,
    *,
    cos: NDArray[np.float64],
    sin: NDArray[np.float64],
    axis: float,
    last: int,
) -> None:
    """Add the rows of some angles (angles, length, lanes) to the sums of points (n,)."""
    length = filtered.shape[1]
    lower, upper = points.lower, np.minimum(points.lower + 1, last)
    for k, rows in enumerate(filtered):
        position = axis + points.y * sin[k] + points.x * cos[k]
        cell = np.floor(position)
        rest = (position - cell).astype(np.float32)
        left = cell.astype(np.intp) % length
        right = (left + 1) % length
        below = rows[left, lower] * (1 - rest) + rows[right, lower] * rest
        above = rows[left, upper] * (1 - rest) + rows[right, upper] * rest
        sums += below * (1 - points.up) + above * points.up


def _vector(name: str, values: Sequence[float]) -> Vector:
    try:
        z, y, x = (float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The {name} of the plane is {values!r}; give three numbers (z, y, x) in voxels."
        ) from error
    if not all(map(math.isfinite, (z, y, x))):
        raise InputError(f"The {name} of the plane is {(z, y, x)}; its numbers have to be finite.")
    return z, y, x


def _shape(values: Sequence[int]) -> tuple[int, int]:
    try:
        rows, columns = (int(value) for value in values)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The shape of the plane is {values!r}; give the numbers of its rows and columns."
        ) from error
    if min(rows, columns) < 1:
        raise InputError(f"The shape of the plane is {(rows, columns)}; it has to have pixels.")
    return rows, columns
