"""The Fourier engine: filtered back-projection in O(N^2 log N) by gridding.

The Fourier slice theorem says that the spectrum of a filtered row is a line of the spectrum of the
slice. So (1) rows are padded, transformed, multiplied by filter, angular weight and the phase that
puts the rotation axis into its place; (2) the samples of these lines are spread onto a Cartesian
grid (:mod:`hipct.reconstruction.gridding`); (3) a two-dimensional inverse transform makes the
slice, which is divided by the kernel's own transform. Any sub-pixel axis is exact: it is a phase.

Here the steps stand as array code. Where numba is there, :mod:`hipct.reconstruction.fourier_lanes`
takes them with many slices at a time; on a device, with slices first,
:mod:`hipct.reconstruction.fourier_cuda`.

Accuracy: float32 throughout, phases and places in float64; 1.6e-4 rms of the object against the
exact band-limited back-projection. Every slice is computed by itself: it does not depend, in any
bit, on which slices travel with it, on the number of threads or on the order of the projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.reconstruction.chunks import chunk_length, in_flight, ranges
from hipct.reconstruction.geometry import Geometry, check_finite, inside_reach
from hipct.reconstruction.gridding import BEFORE, GridPlan, fold_margins, spread

LANES = 16
"""Slices that travel together."""

BLOCK_BYTES = 24 << 20
"""Spectra of a block of lines."""


@dataclass(frozen=True, eq=False)
class FourierEngine:
    """Plan of one geometry; :meth:`reconstruct` may be called from several threads.

    ``xp`` is the namespace of the arrays that it takes, and where it computes; on a device it
    takes any number of slices at a time.
    """

    geometry: Geometry
    accelerated: bool = field(default_factory=has_numba)
    xp: Any = np
    plan: GridPlan = field(init=False, repr=False)
    _other: Any = field(init=False, repr=False, default=None)
    """What does the work instead of the array code."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", GridPlan.create(self.geometry))
        if self.xp is not np:
            from hipct.reconstruction.fourier_cuda import OnDevices

            object.__setattr__(self, "_other", OnDevices(self.plan))
        elif self.accelerated:
            from hipct.reconstruction.fourier_lanes import InLanes

            object.__setattr__(self, "_other", InLanes(self.plan))

    @property
    def batch(self) -> int:
        """Slices that travel together."""
        if self.xp is np:
            return LANES
        from hipct.reconstruction import gridding_cuda

        return gridding_cuda.LANES

    def reconstruct(self, sinograms: Array, out: Array) -> None:
        """Fill ``out`` (slices, size, size) from sinograms (slices, angles, columns), float32."""
        xp = namespace(sinograms, out)
        if xp is not np:
            from hipct.reconstruction import fourier_cuda

            fourier_cuda.reconstruct(self._other, sinograms, out)
        elif self.accelerated:
            self._other.reconstruct(sinograms, out)
        else:
            grid = np.zeros((*self.plan.shape, sinograms.shape[0]), np.complex64)
            self._spread(grid, sinograms)
            fold_margins(grid, self.plan)
            _columns_to_rows(grid, self.plan)
            _rows_to_slices(grid, self.plan, out)

    def memory_bytes(self, slices: int) -> int:
        """Peak bytes that a call takes beside sinograms and slices."""
        if self.xp is not np:
            from hipct.reconstruction import fourier_cuda

            return fourier_cuda.memory_bytes(self.plan)
        if self.accelerated:
            bytes_: int = self._other.memory_bytes(slices)
            return bytes_
        plan, size = self.plan, self.plan.grid
        rows, columns = plan.shape
        # Padded rows, their spectra and the matrix; chunks of columns and a copy; chunks of rows.
        block = self._block_lines(slices)
        spreading = 2 * block * plan.samples * 8 * slices
        column, row = size * slices * 8, size * slices * 4
        along_v = 2 * in_flight(size // 2 + 1, chunk_length(column)) * column
        along_u = in_flight(plan.geometry.size, chunk_length(row)) * row
        return rows * columns * slices * 8 + max(spreading, along_v, along_u)

    def _block_lines(self, slices: int) -> int:
        line = self.plan.samples * slices * 8
        return max(1, min(len(self.plan.order), BLOCK_BYTES // line))

    def _spread(self, grid: Array, sinograms: Array) -> None:
        xp = namespace(grid, sinograms)
        fft = fft_module(xp)
        plan = self.plan
        for lines in ranges(len(plan.order), self._block_lines(sinograms.shape[0])):
            rows = self.geometry.pad(sinograms[:, plan.order[lines]])
            spectra = fft.rfft(rows, axis=1)
            check_finite(spectra)
            spectra *= xp.asarray(plan.factors(lines).astype(np.complex64))[:, :, None]
            turned = xp.asarray(plan.turned[lines])
            spectra[turned] = xp.conj(spectra[turned])
            spread(grid, spectra, plan, lines)


def _columns_to_rows(grid: Array, plan: GridPlan) -> None:
    """Transform along v, keep the rows of the slice (in the first rows of the grid)."""
    xp = namespace(grid)
    fft = fft_module(xp)
    size, n = plan.grid, plan.geometry.size
    before = n // 2
    inner = grid[BEFORE : BEFORE + size]
    level = xp.asarray(plan.deapodisation)[:, None, None]
    chunk = chunk_length(size * grid.shape[2] * 8)

    def task(start: int, stop: int) -> None:
        for part in ranges(stop, chunk, start):
            columns = slice(part.start + BEFORE, part.stop + BEFORE)
            # v = 0 first, as the transform wants it.
            block = xp.concatenate([inner[size // 2 :, columns], inner[: size // 2, columns]])
            block = fft.ifft(block, axis=0, norm="forward", overwrite_x=True)
            # All columns but u = 0 and the last stand for their mirror images as well.
            block[:, [u - part.start for u in (0, size // 2) if part.start <= u < part.stop]] *= 2
            grid[:before, columns] = block[size - before :] * level[:before]
            grid[before:n, columns] = block[: n - before] * level[before:]

    parallel_for(task, size // 2 + 1)


def _rows_to_slices(grid: Array, plan: GridPlan, out: Array) -> None:
    """Transform along u, crop, take the kernel out, cut the circle, put slices first."""
    xp = namespace(grid, out)
    fft = fft_module(xp)
    size, n = plan.grid, plan.geometry.size
    chunk = chunk_length(size * grid.shape[2] * 4)

    def task(start: int, stop: int) -> None:
        for part in ranges(stop, chunk, start):
            half = grid[part, BEFORE : BEFORE + size // 2 + 1]
            rows = fft.irfft(half, n=size, axis=1, norm="forward")
            rows = xp.roll(rows, n // 2, axis=1)[:, :n]
            level = inside_reach(plan.geometry, part) * plan.deapodisation
            out[:, part] = xp.moveaxis(rows * xp.asarray(level)[:, :, None], 2, 0)

    parallel_for(task, n)
