"""A volume in the axes of another one: levels that are interpolated where they are looked at.

A viewer slices along the axes of what it shows. A volume that is turned against them is shown
wrongly by all that slice along its own axes instead: here each region of the world's grid is
computed from the voxels around it, trilinearly (labels: the nearest one), and nothing else is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.grid import Box, Shape3, read_region
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for

Matrix = NDArray[np.float64]
_MOST_POINTS = 1 << 18
"""Of a piece: 512 x 512 of a plane."""
_MOST_READ = 1 << 24
"""Voxels that a piece may read at once; planes across the axes need boxes as deep as they lie."""
_ALIKE = 1.05
_EDGE = 1e-6


class Sliceable(Protocol):
    """An array that is read where it is sliced."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels."""

    @property
    def dtype(self) -> Any:
        """Of the voxels."""

    def __getitem__(self, region: Any) -> Any:
        """A region."""


@dataclass(frozen=True, eq=False)
class SourceLevel:
    """A level of a volume, and where its voxels lie.

    Attributes
    ----------
    array : three axes, read where it is sliced
    matrix : (4, 4) float64, from indices of the array to the world
    """

    array: Sliceable
    matrix: Matrix


@dataclass(frozen=True, eq=False)
class ResampledLevel:
    """A level of the world's grid.

    Attributes
    ----------
    source : what it is interpolated from
    shape : voxels
    scale, origin : edges of a voxel, and centre of the first one, in the world
    labels : whether voxels are numbers of things: taken from the nearest voxel, 0 outside; else
        values are float32, and NaN outside of the volume
    """

    source: SourceLevel
    shape: Shape3
    scale: tuple[float, float, float]
    origin: tuple[float, float, float]
    labels: bool = False

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the values."""
        return np.dtype(self.source.array.dtype if self.labels else np.float32)

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @cached_property
    def to_source(self) -> Matrix:
        """(4, 4), from indices of this grid to indices of the source."""
        world = np.diag([*self.scale, 1.0])
        world[:3, 3] = self.origin
        matrix: Matrix = np.asarray(np.linalg.inv(self.source.matrix) @ world, np.float64)
        return matrix

    def read(self, box: Box) -> NDArray[Any]:
        """Values of a box, whose slices have start and stop inside of the level."""
        outside: Any = 0 if self.labels else np.nan
        values = np.full([part.stop - part.start for part in box], outside, self.dtype)
        pieces = list(self._pieces(box))

        def task(start: int, stop: int) -> None:
            for piece in pieces[start:stop]:
                inner = tuple(
                    slice(p.start - b.start, p.stop - b.start) for p, b in zip(piece, box)
                )
                self._interpolate(piece, values[inner])

        parallel_for(task, len(pieces))
        return values

    def __getitem__(self, region: Any) -> NDArray[Any]:
        """Values of a region: slices, whole numbers and ``...``, as NumPy takes them."""
        return read_region(self.read, region, self.shape, self.dtype)

    def regions(self, box: Box) -> list[Box]:
        """Regions of the source that :meth:`read` reads for a box."""
        ends = [self._reach(piece) for piece in self._pieces(box)]
        return [_slices(first, last) for first, last in ends]

    def _pieces(self, box: Box) -> Iterator[Box]:
        """Parts of a box that need little memory; those beside the volume are left out."""
        first, last = self._reach(box)
        if any(a >= b for a, b in zip(first, last)):
            return
        extent = [part.stop - part.start for part in box]
        if prod(extent) <= _MOST_POINTS and np.prod(last - first) <= _MOST_READ:
            yield box
            return
        axis = int(np.argmax(extent))
        if extent[axis] == 1:
            yield box
            return
        part = box[axis]
        middle = (part.start + part.stop) // 2
        for half in (slice(part.start, middle), slice(middle, part.stop)):
            z, y, x = (half if number == axis else other for number, other in enumerate(box))
            yield from self._pieces((z, y, x))

    def _reach(self, box: Box) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First voxel of the source that a box needs, and the one behind the last."""
        corners = np.array(list(product(*((part.start, part.stop - 1) for part in box))))
        places = corners @ self.to_source[:3, :3].T + self.to_source[:3, 3]
        low, high = places.min(axis=0), places.max(axis=0)
        shape = np.array(self.source.array.shape)
        # The outermost half voxels lie outside of all centres, and belong to the volume.
        beside = (high < -0.5 - _EDGE) | (low > shape - 0.5 + _EDGE)
        first = np.clip(np.floor(low), 0, shape - 1).astype(np.int64)
        last = np.clip(np.floor(high) + 2, 1, shape).astype(np.int64)
        return first, np.where(beside.any(), first, last)

    def _interpolate(self, box: Box, out: NDArray[Any]) -> None:
        from scipy.ndimage import affine_transform

        first, last = self._reach(box)
        matrix = self.to_source[:3, :3]
        offset = matrix @ [part.start for part in box] + self.to_source[:3, 3]
        values = affine_transform(
            np.asarray(self.source.array[_slices(first, last)]),
            matrix,
            offset - first,
            output_shape=out.shape,
            output=self.dtype,
            order=0 if self.labels else 1,
            mode="nearest",
            prefilter=False,
        )
        np.copyto(out, values, where=self._inside(matrix, offset, out.shape))

    def _inside(self, matrix: Matrix, offset: Matrix, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Which of the voxels lie in the volume, up to the outer faces of its voxels."""
        z, y, x = np.ogrid[tuple(slice(n) for n in shape)]
        inside = np.ones(shape, bool)
        for (a, b, c), shift, n in zip(matrix, offset, self.source.array.shape):
            place = (a * z + shift) + b * y + c * x
            inside &= (place >= -0.5 - _EDGE) & (place <= n - 0.5 + _EDGE)
        return inside


def resampled_levels(
    sources: Sequence[SourceLevel], *, labels: bool = False
) -> list[ResampledLevel]:
    """Levels along the axes of the world that hold all of a volume, each half as fine.

    Parameters
    ----------
    sources : sequence of SourceLevel
        Levels of a volume, the finest first.
    labels : bool
        Whether the voxels are numbers of things.

    Returns
    -------
    list of ResampledLevel
        As many as the volume has, or as its coarsest voxels ask for. Their voxels share their outer
        faces, as means of 2 x 2 x 2 do; along each axis of the world they are as fine as the
        volume's voxels along the one of its own that comes next to it.

    Raises
    ------
    InputError
        If a matrix has no inverse.
    """
    sizes = [_voxel_along_world(source.matrix) for source in sources]
    finest = sources[0]
    edges = np.array(list(product(*((-0.5, n - 0.5) for n in finest.array.shape))))
    corners = edges @ finest.matrix[:3, :3].T + finest.matrix[:3, 3]
    low, extent = corners.min(axis=0), np.ptp(corners, axis=0)
    count = 1 + int(np.rint(np.log2(np.max(sizes[-1] / sizes[0]))))
    coarsest = 1 << (count - 1)
    blocks = np.ceil(extent / (sizes[0] * coarsest) - _EDGE).astype(int)
    made = []
    for number in range(count):
        step = sizes[0] * (1 << number)
        fitting = [k for k, size in enumerate(sizes) if (size <= step * _ALIKE).all()]
        nz, ny, nx = (int(n) * (coarsest >> number) for n in blocks)
        made.append(
            ResampledLevel(
                sources[max(fitting, default=0)],
                (nz, ny, nx),
                _vector(step),
                _vector(low + 0.5 * step),
                labels,
            )
        )
    return made


def is_aligned(matrix: Matrix) -> bool:
    """Whether a (4, 4) matrix neither turns nor mirrors nor shears: scale and translation alone."""
    linear = matrix[:3, :3]
    diagonal = np.diag(linear)
    off = np.abs(linear - np.diag(diagonal)).max()
    return bool((diagonal > 0).all() and off <= 1e-9 * diagonal.min())


def _voxel_along_world(matrix: Matrix) -> Matrix:
    """Voxel sizes along the axes of the world, each of the own axis that is next to it."""
    from scipy.optimize import linear_sum_assignment

    if not np.isfinite(matrix).all() or abs(np.linalg.det(matrix[:3, :3])) < 1e-300:
        raise InputError(
            f"The affine {matrix.tolist()} has no inverse; a volume needs three directions."
        )
    lengths = np.linalg.norm(matrix[:3, :3], axis=0)
    _, own = linear_sum_assignment(-np.abs(matrix[:3, :3]) / lengths)
    sizes: Matrix = lengths[own]
    return sizes


def _slices(first: NDArray[np.int64], last: NDArray[np.int64]) -> Box:
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last))
    return (z, y, x)


def _vector(values: Matrix) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return (z, y, x)
