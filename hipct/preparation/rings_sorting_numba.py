"""Inner loops of the sorting-based ring removal.

Strip after strip of 16 columns streams through: it is sorted
(:mod:`hipct.preparation.rings_ranks_numba`); ranks then lie along the contiguous axis, and medians
across columns are taken for 16 ranks at a time by networks
(:mod:`hipct.preparation.networks_numba`); very wide ones by replacement in a sorted window that
slides, for 256 ranks at a time; then values return to their angles. A slice in work needs some
(1.5 to 2.5 windows + 150) columns of 4 bytes, not a second sinogram.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hipct.preparation.networks_numba import ROWS, STRIP, WIDEST, group_of, medians, schedule
from hipct.preparation.rings_ranks_numba import rank_columns, restore_columns, work_space

LANES = 256

_STRIP = (0,) * STRIP


def smooth_ranks(
    sinogram: NDArray[np.float32], size: int, first: int, last: int, out: NDArray[np.float32]
) -> bool:
    """Columns ``first .. last`` of one sinogram, sorted, median filtered and put back.

    Rows of both sinograms (angles, columns) are contiguous; ``out`` may be the same memory if all
    columns are done in one call. Returns whether all values read were finite.
    """
    angles = len(sinogram)
    origin = np.empty((size + 2 * STRIP + 1, angles), angle_type(angles))
    return bool(
        _smooth_ranks(sinogram, size, *networks(size), steps(angles), first, last, origin, out)
    )


def angle_type(angles: int) -> type[np.unsignedinteger[Any]]:
    """Type that holds the number of an angle."""
    return np.uint16 if angles <= 2**16 else np.uint32


def steps(angles: int) -> NDArray[np.int64]:
    """The schedule that sorts columns of so many angles."""
    return schedule(-(-angles // ROWS) * ROWS)


def networks(size: int) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Tuples of the lengths that the network takes for medians of ``size`` columns.

    None where there is no network.
    """
    return ((0,) * size, (0,) * group_of(size)) if 1 < size <= WIDEST else (None, None)


@njit(cache=True, nogil=True)
def _smooth_ranks(
    sinogram: Any,
    size: int,
    wide: Any,
    group: Any,
    steps: Any,
    first: int,
    last: int,
    origin: Any,
    out: Any,
) -> Any:  # pragma: no cover - compiled
    angles, columns = sinogram.shape
    half = size // 2
    blocks = (angles + LANES - 1) // LANES
    ranked = np.zeros((len(origin), blocks * LANES), np.float32)
    smooth = np.empty((STRIP, blocks * LANES), np.float32)
    work = work_space(steps)
    if wide is None:
        window = np.empty((blocks, size, LANES), np.float32)
    finite = True
    ready = max(0, first - half) // STRIP * STRIP
    for left in range(first, last, STRIP):
        right = min(left + STRIP, last)
        stop = min(right + half, columns)
        while ready < stop:
            end = min(ready + STRIP, columns)
            finite &= rank_columns(sinogram, ready, end, ranked, origin, steps, work)
            ready = end
        if wide is None:
            for block in range(blocks):
                ranks = slice(block * LANES, (block + 1) * LANES)
                for column in range(left, right):
                    _slide(ranked, columns, column, column == first, ranks, window[block])
                    smooth[column - left, ranks] = window[block, half]
        else:
            for column in range(left, right, len(group)):
                take_medians(wide, group, ranked, columns, column, angles, smooth, column - left)
        restore_columns(smooth, origin, left, right, out, work)
    return finite


@njit(cache=True, nogil=True)
def take_medians(
    wide: Any,
    group: Any,
    ranked: Any,
    columns: int,
    first: int,
    ranks: int,
    smooth: Any,
    target: int,
) -> None:  # pragma: no cover - compiled
    """Medians around as many columns from ``first`` on as the group is long, at every rank.

    Columns lie in their slots of ``ranked``; results go to the rows from ``target`` on. What is
    beyond the last column has no meaning.
    """
    slots, pitch = ranked.shape
    rows = np.empty(len(wide) + len(group) - 1, np.int64)
    for k in range(len(rows)):
        near = reflect(first - len(wide) // 2 + k, columns)
        rows[k] = max(near, 0) % slots * pitch
    stride = smooth.shape[1]
    for rank in range(0, ranks, STRIP):
        medians(wide, group, _STRIP, ranked, rows, rank, smooth, target * stride + rank, stride)


@njit(cache=True, nogil=True)
def reflect(column: int, columns: int) -> Any:  # pragma: no cover - compiled
    """Column whose values continue a row beyond its borders."""
    if column < 0:
        return -1 - column
    return column if column < columns else 2 * columns - 1 - column


@njit(cache=True, nogil=True)
def _slide(
    ranked: Any, columns: int, column: int, begin: bool, ranks: slice, window: Any
) -> None:  # pragma: no cover - compiled
    """Bring sorted windows (size, ranks) to a column, from the one before or from nothing."""
    slots, half = len(ranked), len(window) // 2
    carry = np.empty(LANES, np.float32)
    if begin:
        window[:] = np.float32(np.inf)
        for near in range(column - half, column + half + 1):
            carry[:] = ranked[reflect(near, columns) % slots, ranks]
            _insert(window, carry)
    else:
        gone = ranked[reflect(column - half - 1, columns) % slots, ranks]
        carry[:] = ranked[reflect(column + half, columns) % slots, ranks]
        _replace(window, gone, carry)


@njit(cache=True, nogil=True)
def smooth_band_sliding(
    ranked: Any, size: int, first: int, last: int, smooth: Any
) -> None:  # pragma: no cover - compiled
    """Medians of ``size`` columns at every rank, for columns ``first .. last``."""
    columns, ranks = ranked.shape
    window = np.empty((size, LANES), np.float32)
    for start in range(0, ranks, LANES):
        block = slice(start, start + LANES)
        for column in range(first, last):
            _slide(ranked, columns, column, column == first, block, window)
            smooth[column, block] = window[size // 2]


@njit(cache=True, nogil=True)
def smooth_band_by_network(
    ranked: Any, wide: Any, group: Any, first: int, last: int, smooth: Any
) -> None:  # pragma: no cover - compiled
    """The same by networks."""
    columns, ranks = ranked.shape
    spare = np.empty((len(group), ranks), np.float32)
    for column in range(first, last, len(group)):
        count = min(len(group), last - column)
        if count == len(group):
            take_medians(wide, group, ranked, columns, column, ranks, smooth, column)
        else:
            take_medians(wide, group, ranked, columns, column, ranks, spare, 0)
            smooth[column:last] = spare[:count]


@njit(cache=True, nogil=True)
def _insert(window: Any, carry: Any) -> None:  # pragma: no cover - compiled
    """Insert into sorted windows, pushing the largest value out."""
    for k in range(len(window)):
        _exchange(window[k], window[k], window[k], carry)


@njit(cache=True, nogil=True)
def _replace(window: Any, gone: Any, carry: Any) -> None:  # pragma: no cover - compiled
    """Take ``gone`` out of sorted windows and put ``carry`` in, in one sweep."""
    last = len(window) - 1
    for k in range(last):
        _exchange(window[k], window[k + 1], gone, carry)
    window[last, :] = carry


@njit(cache=True, nogil=True)
def _exchange(row: Any, above: Any, gone: Any, carry: Any) -> None:  # pragma: no cover - compiled
    """One place of the windows: skip what is gone, keep the smaller, carry the larger on.

    A function of its own, with all loads before the stores, becomes SIMD code; inside of the loop
    over places it does not, and takes five times as long.
    """
    for lane in range(LANES):
        here = row[lane]
        next_one = above[lane]
        a = here if here < gone[lane] else next_one
        b = carry[lane]
        low = a if a < b else b
        high = b if a < b else a
        row[lane] = low
        carry[lane] = high
