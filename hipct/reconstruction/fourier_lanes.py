"""The Fourier engine with many slices at a time, the slices innermost.

Slices share the geometry, so taps, twiddles and phases are computed once for all of them, and every
inner loop is a few vectors long: real parts of 16 slices, then imaginary parts. Passes are fused
(:mod:`hipct.reconstruction.fourier_numba`): a row is transposed, padded, transformed and filtered
while it lies in the second cache, and so are a column and a row of the grid; the memory sees
sinograms, grid and slices, and once the spectra of a block of lines. The grid's memory stays from
call to call: to take it anew cost a quarter of the time of a half-acquisition.

Equals the array code of :mod:`hipct.reconstruction.fourier` but for the rounding of float32.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from hipct.core.threads import parallel_for, thread_count
from hipct.reconstruction.chunks import aligned, ranges
from hipct.reconstruction.geometry import refuse_not_finite
from hipct.reconstruction.gridding import GridPlan, fold_margins
from hipct.reconstruction.kernel import kernel_table

Floats = NDArray[np.float32]
Like = tuple[int, ...]

LANES = (4, 8, 16)
"""Slices that a vector may hold: the least that fits is taken."""

BLOCK_BYTES = 24 << 20
"""Spectra of a block of lines: what a shared cache holds."""

TILE_BYTES = 512 << 10
"""A tile of the grid, with the samples that pass through it, fits the cache of a core."""

SHARES = 32
"""Parts of about equal work that the tiles of a block are dealt into."""


@dataclass(frozen=True, eq=False)
class _Scratch:
    """Pairs of work arrays, one for each thread at a time, zero at first."""

    floats: int
    _idle: list[Floats] = field(default_factory=list)

    @contextmanager
    def taken(self) -> Iterator[Floats]:
        """Two arrays."""
        try:
            pair = self._idle.pop()
        except IndexError:
            pair = aligned(np.zeros, (2, self.floats))
        yield pair
        self._idle.append(pair)


class _Grids:
    """The memory of one grid, for whoever comes next; of calls at a time, the others take more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[Floats] = []

    @contextmanager
    def taken(self, shape: tuple[int, ...]) -> Iterator[Floats]:
        """A grid, filled with zeros."""
        size = int(np.prod(shape))
        with self._lock:
            buffer = self._idle.pop() if self._idle else None
        if buffer is None or buffer.size < size:
            buffer = None  # given back before more is taken
            buffer = aligned(np.empty, (size,))
        grid = buffer[:size].reshape(shape)

        def clear(start: int, stop: int) -> None:
            grid[start:stop] = 0.0

        parallel_for(clear, len(grid))
        yield grid
        with self._lock:
            self._idle = [max(*self._idle, buffer, key=np.size)] if self._idle else [buffer]


_grids: weakref.ref[_Grids] | None = None


def _shared_grids() -> _Grids:
    """Of all plans; it ends with the last of them."""
    global _grids  # noqa: PLW0603 - plans of one process take turns, and so one grid serves all
    grids = _grids() if _grids is not None else None
    if grids is None:
        grids = _Grids()
        _grids = weakref.ref(grids)
    return grids


@dataclass(frozen=True, eq=False)
class _Work:
    """A block of lines, the tiles that it touches, and where to part them into equal work."""

    lines: slice
    tiles: NDArray[np.int64]
    bounds: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class InLanes:
    """Reconstructs up to 16 slices at a time; may be called from several threads."""

    plan: GridPlan
    _grids: _Grids = field(default_factory=_shared_grids, repr=False)
    _known: dict[tuple[int, int], list[_Work]] = field(default_factory=dict, repr=False)
    _steps_known: dict[int, tuple[NDArray[np.int64], Floats]] = field(
        default_factory=dict, repr=False
    )

    def reconstruct(self, sinograms: Floats, out: Floats) -> None:
        """Fill ``out`` (slices, size, size) from sinograms (slices, angles, columns)."""
        slices = len(sinograms)
        like = (0,) * _lanes(slices)
        scratch = _Scratch(self._longest * 2 * len(like))
        dense = _dense(out, copy=False)
        with self._grids.taken((*self.plan.shape, 2, len(like))) as grid:
            self._spread(like, grid, _dense(sinograms), slices, scratch)
            fold_margins(grid, self.plan, _conjugate)
            self._columns_to_rows(like, grid.reshape(-1), scratch)
            self._rows_to_slices(like, grid.reshape(-1), dense, slices, scratch)
        if dense is not out:
            out[...] = dense

    def memory_bytes(self, slices: int) -> int:
        """Peak bytes that a call takes beside sinograms and slices."""
        lanes = _lanes(slices)
        rows, columns = self.plan.shape
        samples = rows * columns + self._block_lines(lanes) * self.plan.samples
        return 8 * lanes * (samples + 2 * thread_count() * self._longest)

    @property
    def _longest(self) -> int:
        """Samples of the longest transform."""
        return max(self.plan.geometry.length // 2, self.plan.grid)

    def _block_lines(self, lanes: int) -> int:
        line = self.plan.samples * lanes * 8
        return max(1, min(len(self.plan.order), max(BLOCK_BYTES // line, 2 * thread_count())))

    def _spread(
        self, like: Like, grid: Floats, sinograms: Floats, slices: int, scratch: _Scratch
    ) -> None:
        from hipct.reconstruction import fourier_numba, gridding_numba

        plan, geometry = self.plan, self.plan.geometry
        response = 0.5 * plan.sample_response()
        table = kernel_table().ravel()
        tile = _tile_side(len(like))
        spectra = aligned(np.empty, (self._block_lines(len(like)), plan.samples, 2, len(like)))
        flat, pitch, starts = _flat(sinograms)
        flat.flags.writeable = False  # or else loops are compiled for either kind
        turns = _turns(-geometry.length)
        steps = self._steps(geometry.length // 2)
        finite = [True]

        def transform(first: int, start: int, stop: int) -> None:
            lines = slice(first + start, first + stop)
            order = plan.order[lines]
            with scratch.taken() as work:
                whole = fourier_numba.rows_to_lines(
                    like, flat, starts[order], pitch, slices, geometry.source, geometry.lateral,
                    response, geometry.weight[order], plan.shift[lines] / geometry.length,
                    plan.turned[lines], turns, *steps, *work, spectra[start:stop].reshape(-1),
                )  # fmt: skip
            if not whole:
                finite[0] = False

        def spread_share(work: _Work, start: int, stop: int) -> None:
            gridding_numba.spread_tiles(
                like, grid.reshape(-1), plan.shape, spectra.reshape(-1), plan.samples,
                plan.step_u[work.lines], plan.step_v[work.lines], table,
                work.tiles[work.bounds[start] : work.bounds[stop]], tile, plan.grid // 2,
            )  # fmt: skip

        for work in self._works(len(like), tile):
            count = work.lines.stop - work.lines.start
            parallel_for(partial(transform, work.lines.start), count)
            if not finite[0]:
                refuse_not_finite()
            parallel_for(partial(spread_share, work), len(work.bounds) - 1)

    def _steps(self, length: int) -> tuple[NDArray[np.int64], Floats]:
        """Radices and factors of a transform, worked out once."""
        from hipct.core import fft_numba

        if length not in self._steps_known:
            plan = np.array(fft_numba.radices(length), np.int64)
            self._steps_known[length] = plan, fft_numba.twiddles(length)
        return self._steps_known[length]

    def _columns_to_rows(self, like: Like, grid: Floats, scratch: _Scratch) -> None:
        from hipct.reconstruction import fourier_numba

        plan = self.plan
        size, steps = plan.grid, self._steps(plan.grid)

        def task(start: int, stop: int) -> None:
            with scratch.taken() as work:
                fourier_numba.columns_to_rows(
                    like, grid, plan.shape[1], start, stop, size, plan.deapodisation, *steps, *work
                )

        parallel_for(task, size // 2 + 1)

    def _rows_to_slices(
        self, like: Like, grid: Floats, out: Floats, slices: int, scratch: _Scratch
    ) -> None:
        from hipct.reconstruction import fourier_numba

        plan, geometry = self.plan, self.plan.geometry
        flat, pitch, starts = _flat(out)
        row_pitch = int(starts[1]) if len(starts) > 1 else 0
        turns, steps = _turns(plan.grid), self._steps(plan.grid // 2)

        def task(start: int, stop: int) -> None:
            with scratch.taken() as work:
                fourier_numba.rows_to_slices(
                    like, grid, plan.shape[1], start, stop, plan.grid, plan.deapodisation,
                    geometry.pivot, geometry.reach**2, turns, *steps, *work, slices, flat,
                    row_pitch, pitch,
                )  # fmt: skip

        parallel_for(task, geometry.size)

    def _works(self, lanes: int, tile: int) -> list[_Work]:
        """Blocks of lines with the tiles that each touches, worked out once."""
        from hipct.reconstruction import gridding_numba

        plan = self.plan
        block = self._block_lines(lanes)
        if (block, tile) not in self._known:
            tile_rows, tile_columns = (-(-side // tile) for side in plan.shape)
            works = []
            for lines in ranges(len(plan.order), block):
                counts = np.zeros(tile_rows * tile_columns, np.int64)
                steps = plan.step_u[lines], plan.step_v[lines]
                gridding_numba.count_samples(
                    *steps, plan.samples, plan.grid // 2, tile_rows, tile_columns, tile, counts
                )
                tiles = np.flatnonzero(counts)
                done = np.cumsum(counts[tiles])
                bounds = np.searchsorted(done, done[-1] * np.arange(SHARES + 1) / SHARES)
                bounds[-1] = tiles.size
                works.append(_Work(lines, tiles, np.unique(bounds)))
            self._known[block, tile] = works
        return self._known[block, tile]


def _lanes(slices: int) -> int:
    return next(lanes for lanes in LANES if slices <= lanes)


def _turns(length: int) -> NDArray[np.complex64]:
    """Phases of the transform of real rows: exp(2 pi i m / length) up to a quarter of it."""
    turns = np.exp(2j * np.pi / length * np.arange(abs(length) // 4 + 1))
    rounded: NDArray[np.complex64] = turns.astype(np.complex64)
    return rounded


def _tile_side(lanes: int) -> int:
    return int(max(16, 8 * round((TILE_BYTES / (8 * lanes)) ** 0.5 / 8)))


def _conjugate(cells: Floats) -> Floats:
    """Of an array whose last but one axis holds real and imaginary parts."""
    return cells * np.array([1, -1], np.float32)[:, None]


def _dense(array: Floats, copy: bool = True) -> Floats:
    """The array itself if its strides lead forward by whole floats, and columns are neighbours."""
    strides = array.strides
    if strides[2] == 4 and all(s >= 0 and s % 4 == 0 for s in strides):
        return array
    return np.ascontiguousarray(array) if copy else np.empty(array.shape, np.float32)


def _flat(array: Floats) -> tuple[Floats, int, NDArray[np.int64]]:
    """All memory that a dense array spans, floats from slice to slice, and where rows begin."""
    slices, rows, columns = array.shape
    pitch, step, _ = (stride // 4 for stride in array.strides)
    span = (slices - 1) * pitch + (rows - 1) * step + columns
    return as_strided(array, (span,), (4,)), pitch, np.arange(rows) * step
