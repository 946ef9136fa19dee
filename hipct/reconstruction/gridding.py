"""Gridding: samples on the polar lines of the frequency plane, spread onto a Cartesian grid.

A slice is real, so half of the plane is enough. Each line is turned to the right half (u >= 0),
where samples of angles that were turned by pi become their complex conjugates. The grid has

* axis 0: v from -grid/2 - BEFORE to grid/2 + AFTER,
* axis 1: u from -BEFORE to grid/2 + AFTER,
* axis 2: slices, innermost: what is computed for a sample (place, taps) serves all slices, and
  every inner loop is one contiguous run.

The margins let every sample write its four taps in each direction without looking for an edge;
:func:`fold_margins` then adds them where periodicity and conjugate symmetry put them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array
from hipct.reconstruction.geometry import Geometry
from hipct.reconstruction.kernel import OVERSAMPLING, WIDTH, kernel_transform, kernel_values
from hipct.reconstruction.lengths import fast_length

BEFORE = WIDTH // 2 - 1
AFTER = WIDTH // 2
"""Cells that a sample touches before and after the one it lies in."""

PLACES = 40
"""Binary places of the step between two samples: 1e-8 cells after 10 000 of them."""


@dataclass(frozen=True, eq=False)
class GridPlan:
    """Places of all samples on the grid, shared by all slices of a scan.

    Angles are sorted by the direction of their line, so that neighbours in a block of angles touch
    the same part of the grid, and so that results do not depend on the order of the projections.
    """

    geometry: Geometry = field(repr=False)
    grid: int
    """Cells along each direction of the periodic grid, even."""
    order: NDArray[np.intp] = field(repr=False)
    """Index of the projection that is the k-th line."""
    step_u: NDArray[np.float64] = field(repr=False)
    """Cells along u from one sample of a line to the next."""
    step_v: NDArray[np.float64] = field(repr=False)
    turned: NDArray[np.bool_] = field(repr=False)
    """Lines that were turned by pi: their samples are conjugated."""
    shift: NDArray[np.float64] = field(repr=False)
    """Column that the phase ramp of a line moves to the centre of the slice."""
    deapodisation: NDArray[np.float32] = field(repr=False)
    """What the kernel took from each pixel along one direction, inverted: (size,)."""

    @classmethod
    def create(cls, geometry: Geometry) -> GridPlan:
        """Sort the angles into lines and choose the grid."""
        grid = _grid_size(geometry.size)
        # Directions in [-pi/2, pi/2): cos >= 0.
        half_turns = np.floor(geometry.angles / np.pi + 0.5)
        direction = geometry.angles - half_turns * np.pi
        order = np.lexsort((half_turns, direction))
        cos, sin = np.maximum(np.cos(direction[order]), 0.0), np.sin(direction[order])
        # A hair less than the exact step keeps the last sample from rounding out of the grid, and
        # samples on borders of cells on the same side of them in all directions.
        step = grid / geometry.length * (1.0 - 2.0**-50)
        turned = (half_turns[order] % 2).astype(bool)
        # The slice is evaluated at whole pixels from pixel size // 2; the centre of an even slice
        # lies half a pixel before it, and the phase ramp carries that half pixel, as it carries
        # the distance of the slice from the axis.
        offset = geometry.size // 2 - (geometry.size - 1) / 2
        y, x = (offset + centre for centre in geometry.centre_px)
        sign = np.where(turned, -1.0, 1.0)
        pixels = np.arange(geometry.size) - geometry.size // 2
        return cls(
            geometry=geometry,
            grid=grid,
            order=order,
            step_u=_binary_places(cos * step),
            step_v=_binary_places(sin * step),
            turned=turned,
            shift=geometry.axis + sign * (x * cos + y * sin),
            deapodisation=(1.0 / kernel_transform(pixels / grid)).astype(np.float32),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid with its margins."""
        return self.grid + 1 + BEFORE + AFTER, self.grid // 2 + 1 + BEFORE + AFTER

    @property
    def samples(self) -> int:
        """Samples of a line: frequencies 0 to 1/2 of the padded row."""
        return self.geometry.length // 2 + 1

    def sample_response(self) -> NDArray[np.float64]:
        """Filter at each sample of a line, with the scale of the transforms: (samples,).

        The real part of the sum over half the plane counts every frequency but the first and the
        last of a line twice; those two get half the weight here, and the transform doubles all.
        """
        response = self.geometry.response / self.geometry.length
        response[[0, -1]] *= 0.5
        return response

    def factors(self, lines: slice) -> NDArray[np.complex128]:
        """Filter, angular weight and phase ramp of some lines: (lines, samples)."""
        geometry = self.geometry
        frequency = np.arange(self.samples) / geometry.length
        phase = 2 * np.pi * self.shift[lines, None] * frequency
        weight = geometry.weight[self.order[lines], None]
        ramp: NDArray[np.complex128] = np.exp(1j * phase)
        return weight * self.sample_response() * ramp


def spread(grid: Array, spectra: Array, plan: GridPlan, lines: slice) -> None:
    """Add the samples of some lines to the grid (in place).

    Parameters
    ----------
    grid : array, shape (rows, columns, slices), complex64
        As in the module's description, ``plan.shape`` and the slices.
    spectra : array, shape (lines, samples, slices), complex64
        Samples of the lines, turned to the right half plane.
    plan : GridPlan
    lines : slice
        Which lines of the plan ``spectra`` holds.
    """
    import scipy.sparse

    m = np.arange(plan.samples)
    u, du = _cells(plan.step_u[lines, None] * m)
    v, dv = _cells(plan.step_v[lines, None] * m)
    rows, columns = plan.shape
    column = u.ravel()[:, None] + np.arange(WIDTH)  # the first tap lies BEFORE cells before u
    row = v.ravel()[:, None] + plan.grid // 2 + np.arange(WIDTH)
    taps = np.arange(-BEFORE, AFTER + 1)
    weight_u = kernel_values(taps - du.ravel()[:, None])
    weight_v = kernel_values(taps - dv.ravel()[:, None])
    cell = (row[:, :, None] * columns + column[:, None, :]).ravel()
    weight = (weight_v[:, :, None] * weight_u[:, None, :]).astype(np.float32).ravel()
    sample = np.repeat(np.arange(u.size), WIDTH * WIDTH)
    matrix = scipy.sparse.csr_matrix((weight, (cell, sample)), shape=(rows * columns, u.size))
    lanes = 2 * grid.shape[2]
    values = np.ascontiguousarray(spectra).view(np.float32).reshape(-1, lanes)
    grid.view(np.float32).reshape(-1, lanes)[...] += matrix @ values


def fold_margins(
    grid: Array, plan: GridPlan, conjugate: Callable[[Array], Array] = np.conj
) -> None:
    """Add the margins of the grid where they belong (in place).

    v is periodic in ``plan.grid``; a cell at negative u, or beyond grid/2, is the complex conjugate
    of the cell mirrored at the origin. ``conjugate`` is for grids that are stored otherwise.
    """
    size = plan.grid
    grid[size : size + BEFORE] += grid[:BEFORE]
    grid[BEFORE : BEFORE + AFTER + 1] += grid[size + BEFORE :]
    inner = grid[BEFORE : BEFORE + size]
    mirror = (-np.arange(size)) % size
    for k in range(1, BEFORE + 1):
        inner[:, BEFORE + k] += conjugate(inner[mirror, BEFORE - k])
    last = size // 2 + BEFORE
    for k in range(1, AFTER + 1):
        inner[:, last - k] += conjugate(inner[mirror, last + k])


def _grid_size(size: int) -> int:
    cells = int(np.ceil(max(OVERSAMPLING * size, 16) / 2))
    return 2 * fast_length(cells)


def _binary_places(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps with :data:`PLACES` binary places, so that every product with a frequency is exact.

    All inner loops then agree on the cell of a sample, also where a cosine or sine is 0 but for a
    rounding. Towards 0: no sample leaves the grid.
    """
    return np.trunc(steps * 2.0**PLACES) * 2.0**-PLACES


def _cells(position: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    cell = np.floor(position)
    return cell.astype(np.intp), position - cell
