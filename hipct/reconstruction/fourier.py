"""The Fourier engine: filtered back-projection in O(N^2 log N) by gridding.

The Fourier slice theorem says that the spectrum of a filtered row is a line of the spectrum of the
slice. So (1) rows are padded, transformed, multiplied by filter, angular weight and the phase that
puts the rotation axis into its place; (2) the samples of these lines are spread onto a Cartesian
grid (:mod:`hipct.reconstruction.gridding`); (3) a two-dimensional inverse transform makes the
slice, which is divided by the kernel's own transform. Any sub-pixel axis is exact: it is a phase.

Slices share the geometry, so many travel together as the innermost axis of every array: taps,
twiddles and phases are computed once for all of them, and every inner loop is a contiguous run.
Lines are handled in blocks whose spectra stay in the cache and out of the memory budget. The
second transform starts by columns and keeps only the rows of the slice, so that its second half
has less to do.

On a device the same steps are taken with slices first (:mod:`hipct.reconstruction.fourier_cuda`).

Accuracy: float32 throughout, phases and places in float64; 1.6e-4 rms of the object against the
exact band-limited back-projection. Every slice is computed by itself: it does not depend, in any
bit, on which slices travel with it, on the number of threads or on the order of the projections.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for, thread_count
from hipct.reconstruction.chunks import chunk_length, in_flight, ranges
from hipct.reconstruction.geometry import Geometry, check_finite, inside_reach
from hipct.reconstruction.gridding import BEFORE, GridPlan, fold_margins, spread
from hipct.reconstruction.kernel import kernel_table

LANES = 16
"""Slices that travel together: 128 bytes a complex sample."""

BLOCK_BYTES = 24 << 20
"""Spectra of a block of lines: what a shared cache holds."""

TILE_BYTES = 256 << 10
"""A tile of the grid, with the samples that pass through it, fits the cache of a core."""

SHARES = 32
"""Parts of about equal work that the tiles of a block are dealt into."""


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
    _known: dict[tuple[int, int], list[_Work]] = field(default_factory=dict, repr=False)
    _on_devices: Any = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plan", GridPlan.create(self.geometry))
        if self.xp is not np:
            from hipct.reconstruction.fourier_cuda import OnDevices

            object.__setattr__(self, "_on_devices", OnDevices(self.plan))

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

            fourier_cuda.reconstruct(self._on_devices, sinograms, out)
            return
        slices = sinograms.shape[0]
        if self.accelerated:
            padded = _aligned_zeros((*self.plan.shape, _lanes(slices)))
            self._spread_fast(padded, sinograms)
            grid = padded[:, :, :slices]
        else:
            grid = np.zeros((*self.plan.shape, slices), np.complex64)
            self._spread_plain(grid, sinograms)
        fold_margins(grid, self.plan)
        _columns_to_rows(grid, self.plan, self.accelerated)
        _rows_to_slices(grid, self.plan, out, self.accelerated)

    def memory_bytes(self, slices: int) -> int:
        """Peak bytes that a call takes beside sinograms and slices."""
        if self.xp is not np:
            from hipct.reconstruction import fourier_cuda

            return fourier_cuda.memory_bytes(self.plan)
        plan, size = self.plan, self.plan.grid
        lanes = _lanes(slices) if self.accelerated else slices
        rows, columns = plan.shape
        block = self._block_lines(slices)
        sample = plan.samples * 8
        # A chunk of padded rows and its spectrum beside the block, a chunk of columns
        # (and its scaled copy), a chunk of rows.
        spreading = block * sample * lanes
        spreading += 2 * in_flight(block, self._chunk_lines(slices)) * sample * slices
        column, row = size * slices * 8, size * slices * 4
        along_v = in_flight(size // 2 + 1, chunk_length(column)) * column
        if not self.accelerated:
            along_v *= 2
        along_u = in_flight(plan.geometry.size, chunk_length(row)) * row
        return rows * columns * lanes * 8 + max(spreading, along_v, along_u)

    def _block_lines(self, slices: int) -> int:
        line = self.plan.samples * slices * 8
        return max(1, min(len(self.plan.order), max(BLOCK_BYTES // line, 2 * thread_count())))

    def _chunk_lines(self, slices: int) -> int:
        return chunk_length(self.plan.samples * slices * 8)

    def _spread_plain(self, grid: Array, sinograms: Array) -> None:
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

    def _spread_fast(self, grid: NDArray[np.complex64], sinograms: NDArray[np.float32]) -> None:
        import scipy.fft

        from hipct.reconstruction import fourier_numba, gridding_numba

        plan, geometry = self.plan, self.geometry
        slices, lanes = sinograms.shape[0], grid.shape[2]
        response = plan.sample_response()
        table = kernel_table().ravel()
        chunk = self._chunk_lines(slices)
        tile = _tile_side(lanes)
        spectra = _aligned_zeros((self._block_lines(slices), plan.samples, lanes))

        def transform(first: int, start: int, stop: int) -> None:
            padded = np.empty((min(chunk, stop - start), geometry.length, slices), np.float32)
            for part in ranges(stop, chunk, start):
                lines = slice(first + part.start, first + part.stop)
                rows = padded[: part.stop - part.start]
                order = plan.order[lines]
                fourier_numba.pad_rows(sinograms, order, geometry.source, geometry.lateral, rows)
                raw = scipy.fft.rfft(rows, axis=1)
                check_finite(raw)
                fourier_numba.apply_factors(
                    _floats(raw),
                    response,
                    geometry.weight[order],
                    plan.shift[lines] / geometry.length,
                    plan.turned[lines],
                    _floats(spectra[part]),
                )

        def spread_share(work: _Work, start: int, stop: int) -> None:
            gridding_numba.spread_tiles(
                _floats(grid[None]).ravel(),
                (*plan.shape, 2 * lanes),
                _floats(spectra[None]).ravel(),
                plan.samples,
                plan.step_u[work.lines],
                plan.step_v[work.lines],
                table,
                work.tiles[work.bounds[start] : work.bounds[stop]],
                tile,
                plan.grid // 2,
            )

        for work in self._works(slices, tile):
            count = work.lines.stop - work.lines.start
            parallel_for(partial(transform, work.lines.start), count)
            parallel_for(partial(spread_share, work), len(work.bounds) - 1)

    def _works(self, slices: int, tile: int) -> list[_Work]:
        """Blocks of lines with the tiles that each touches, worked out once."""
        from hipct.reconstruction.gridding_numba import count_samples

        plan = self.plan
        block = self._block_lines(slices)
        if (block, tile) not in self._known:
            tile_rows, tile_columns = (-(-side // tile) for side in plan.shape)
            works = []
            for lines in ranges(len(plan.order), block):
                counts = np.zeros(tile_rows * tile_columns, np.int64)
                steps = plan.step_u[lines], plan.step_v[lines]
                count_samples(
                    *steps, plan.samples, plan.grid // 2, tile_rows, tile_columns, tile, counts
                )
                tiles = np.flatnonzero(counts)
                done = np.cumsum(counts[tiles])
                bounds = np.searchsorted(done, done[-1] * np.arange(SHARES + 1) / SHARES)
                bounds[-1] = tiles.size
                works.append(_Work(lines, tiles, np.unique(bounds)))
            self._known[block, tile] = works
        return self._known[block, tile]


@dataclass(frozen=True, eq=False)
class _Work:
    """A block of lines, the tiles that it touches, and where to part them into equal work."""

    lines: slice
    tiles: NDArray[np.int64]
    bounds: NDArray[np.intp]


def _columns_to_rows(grid: Array, plan: GridPlan, accelerated: bool) -> None:
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
            if accelerated:
                from hipct.reconstruction import fourier_numba

                fourier_numba.keep_rows(block, plan.deapodisation, grid, columns.start)
                continue
            grid[:before, columns] = block[size - before :] * level[:before]
            grid[before:n, columns] = block[: n - before] * level[before:]

    parallel_for(task, size // 2 + 1)


def _rows_to_slices(grid: Array, plan: GridPlan, out: Array, accelerated: bool) -> None:
    """Transform along u, crop, take the kernel out, cut the circle, put slices first."""
    xp = namespace(grid, out)
    fft = fft_module(xp)
    size, n = plan.grid, plan.geometry.size
    chunk = chunk_length(size * grid.shape[2] * 4)

    def task(start: int, stop: int) -> None:
        for part in ranges(stop, chunk, start):
            half = grid[part, BEFORE : BEFORE + size // 2 + 1]
            rows = fft.irfft(half, n=size, axis=1, norm="forward")
            if accelerated:
                from hipct.reconstruction import fourier_numba

                fourier_numba.unpack(
                    rows,
                    plan.deapodisation,
                    plan.geometry.pivot,
                    plan.geometry.reach**2,
                    part.start,
                    out,
                )
                continue
            rows = xp.roll(rows, n // 2, axis=1)[:, :n]
            level = inside_reach(plan.geometry, part) * plan.deapodisation
            out[:, part] = xp.moveaxis(rows * xp.asarray(level)[:, :, None], 2, 0)

    parallel_for(task, n)


def _tile_side(lanes: int) -> int:
    return int(max(16, 8 * round((TILE_BYTES / (8 * lanes)) ** 0.5 / 8)))


def _lanes(slices: int) -> int:
    """Slices on the grid of the accelerated loops, which take whole vectors."""
    from hipct.reconstruction.gridding_numba import SLICES

    return -(-slices // SLICES) * SLICES


def _aligned_zeros(shape: tuple[int, ...]) -> NDArray[np.complex64]:
    """Zeros that begin at a cache line, so that no vector straddles two."""
    count = int(np.prod(shape))
    buffer = np.zeros(count + 8, np.complex64)
    first = -buffer.ctypes.data % 64 // 8
    return buffer[first : first + count].reshape(shape)


def _floats(array: NDArray[np.complex64]) -> NDArray[np.float32]:
    """Real and imaginary parts of a contiguous array: (items, everything of an item)."""
    return array.view(np.float32).reshape(array.shape[0], -1)
