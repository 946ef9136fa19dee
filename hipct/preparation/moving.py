"""Frames moved back to where the sample stood: fractions of a pixel, another one in each frame.

Values between pixels are those of :mod:`hipct.core.interpolation`: 10 taps along the rows, then 10
along the columns, where a frame is moved that way. Frames of a block that lie some whole pixels
apart get a row of taps as long as the block's, with zeros where others have theirs: a tap is a
slice of the block, and there is neither an index for each pixel nor a loop over the frames. What
becomes of a frame does not depend on the others.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.interpolation import fraction_taps
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.preparation.checks import output, per_frame, three_axes

_COUNT, _BAND = 10, 0.36
_BEFORE = _COUNT // 2 - 1
_STEPS = 4096
"""Fractions are whole multiples of 1/4096 px: taps come from a table, and are the same always."""


def moving_halo(rows_px: ArrayLike) -> tuple[int, int]:
    """Rows that :func:`move_frames` needs before the first and after the last row wanted.

    Parameters
    ----------
    rows_px : array_like
        Shifts along the rows in pixels, of all frames.

    Examples
    --------
    >>> moving_halo([0.3]), moving_halo([-1.2, 0.0]), moving_halo(2.0), moving_halo(0.0)
    ((4, 5), (6, 3), (0, 2), (0, 0))
    """
    shifts = np.asarray(rows_px, dtype=np.float64).ravel()
    first, last = _reach(*_parts(shifts))
    return max(0, -first), max(0, last)


def move_frames(
    frames: Array,
    rows_px: ArrayLike,
    columns_px: ArrayLike,
    rows: range,
    *,
    ends: tuple[bool, bool] = (False, False),
    out: Array | None = None,
) -> Array:
    """Values of frames at places beside their pixels, each frame by a shift of its own.

    Parameters
    ----------
    frames : array, shape (frames, rows, columns), float32
        Finite; NumPy or CuPy.
    rows_px, columns_px : float or array_like, shape (frames,)
        Shifts in pixels, on the host: the value of row r and column c is taken from the row
        ``r + rows_px`` and the column ``c + columns_px``. Rounded to 1/4096 px; whole numbers
        copy. Columns beyond the border have its value.
    rows : range
        Rows wanted, as indices of the frames; around them lie those of :func:`moving_halo`.
    ends : tuple of bool
        Whether the first and the last row of the frames are the detector's: rows beyond have
        their value then, instead of being refused.
    out : array, shape (frames, rows wanted, columns), float32, optional
        Other memory than the frames.

    Returns
    -------
    array, shape (frames, rows wanted, columns), float32

    Raises
    ------
    InputError
        If shapes, dtype or shifts are wrong, or the frames lack rows that are needed.

    Examples
    --------
    >>> wave = np.sin(0.8 * np.arange(20, dtype=np.float32)).reshape(1, 20, 1)
    >>> moved = move_frames(wave, 0.3, 0.0, range(4, 15))
    >>> bool(np.abs(moved[0, :, 0] - np.sin(0.8 * (np.arange(4, 15) + 0.3))).max() < 0.003)
    True
    """
    xp = namespace(frames, out)
    frames = three_axes(frames, "frames", "frames, rows, columns")
    if frames.dtype != np.float32:
        raise InputError(f"The frames are {frames.dtype}; give float32.")
    count, height, columns = frames.shape
    down = _parts(_each(rows_px, count, "rows_px"))
    right = _parts(_each(columns_px, count, "columns_px"))
    _check(rows, height, _reach(*down), ends)
    out = output(out, (count, len(rows), columns), np.float32, frames)
    if xp is np and has_numba():
        _fused(frames, down, right, rows, out)
    elif not _moves(right):
        _along_rows(frames, down, rows, out)
    else:
        middle = frames[:, rows.start : rows.stop]
        if _moves(down):
            middle = _along_rows(frames, down, rows, xp.empty_like(out))
        _along_columns(middle, right, out)
    return out


Parts = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Whole pixels and 4096ths of some shifts, (frames,) each."""


def _each(shifts: ArrayLike, count: int, name: str) -> NDArray[np.float64]:
    values = np.asarray(shifts, dtype=np.float64)
    return per_frame(
        np.full(count, values) if values.ndim == 0 else values, count, name, f"{count} frames"
    )


def _parts(shifts: NDArray[np.float64]) -> Parts:
    steps = np.rint(shifts * _STEPS).astype(np.int64)
    return steps // _STEPS, steps % _STEPS


def _moves(parts: Parts) -> bool:
    return bool(parts[0].any() or parts[1].any())


def _reach(whole: NDArray[np.int64], fraction: NDArray[np.int64]) -> tuple[int, int]:
    """First and last pixel that a value is made of, from its own place, over all frames."""
    between = fraction > 0
    first = np.where(between, whole - _BEFORE, whole)
    last = np.where(between, whole + _COUNT - 1 - _BEFORE, whole)
    return int(first.min()), int(last.max())


@cache
def _table() -> NDArray[np.float32]:
    """Taps of all fractions, (4096, 10)."""
    taps = np.stack([fraction_taps(k / _STEPS, _COUNT, _BAND) for k in range(_STEPS)])
    # Of the fraction 0 exactly the sample.
    taps[0] = np.arange(_COUNT) == _BEFORE
    return taps.astype(np.float32)


def _taps(parts: Parts) -> tuple[int, NDArray[np.float32]]:
    """First place of the taps of a block, from a value's own, and the taps (frames, places)."""
    whole, fraction = parts
    first, last = _reach(whole, fraction)
    taps = np.zeros((whole.size, last - first + 1 + 2 * _COUNT), np.float32)
    place = whole[:, None] - _BEFORE - first + _COUNT + np.arange(_COUNT)
    np.put_along_axis(taps, place, _table()[fraction], axis=1)
    return first, np.ascontiguousarray(taps[:, _COUNT : _COUNT + last - first + 1])


def _along_rows(frames: Array, parts: Parts, rows: range, out: Array) -> Array:
    xp = namespace(frames)
    first, taps = _taps(parts)
    weights = xp.asarray(taps)[:, :, None, None]
    height = frames.shape[1]
    out[...] = 0
    part = xp.empty_like(out)
    for k in range(taps.shape[1]):
        start, stop = rows.start + first + k, rows.stop + first + k
        if start >= 0 and stop <= height:
            source = frames[:, start:stop]
        else:
            places = np.clip(np.arange(start, stop), 0, height - 1)
            source = xp.take(frames, xp.asarray(places), axis=1)
        xp.multiply(source, weights[:, k], out=part)
        out += part
    return out


def _along_columns(frames: Array, parts: Parts, out: Array) -> None:
    xp = namespace(frames)
    first, taps = _taps(parts)
    weights = xp.asarray(taps)[:, :, None, None]
    columns = frames.shape[2]
    out[...] = 0
    part = xp.empty_like(out)
    for k in range(taps.shape[1]):
        xp.multiply(frames, weights[:, k], out=part)
        # What of a shifted frame falls beside the others, and its borders on either side.
        left = min(max(0, -first - k), columns)
        right = min(max(0, first + k), columns)
        out[:, :, left : columns - right] += part[:, :, right : columns - left]
        out[:, :, :left] += part[:, :, :1]
        out[:, :, columns - right :] += part[:, :, columns - 1 :]


def _fused(
    frames: NDArray[Any], down: Parts, right: Parts, rows: range, out: NDArray[np.float32]
) -> None:
    from hipct.preparation.moving_numba import moved_rows

    table = _table()

    def work(start: int, stop: int) -> None:
        moved_rows(frames, table, *down, *right, rows.start, start, stop, out)

    parallel_for(work, len(rows))


def _check(rows: range, height: int, reach: tuple[int, int], ends: tuple[bool, bool]) -> None:
    if rows.step != 1 or not 0 <= rows.start < rows.stop <= height:
        raise InputError(
            f"rows is {rows}; give rows that follow one another among the {height} of the frames."
        )
    before = min(reach[0], 0) + rows.start
    after = height - (max(reach[1], 0) + rows.stop)
    for number, end, side in ((before, ends[0], "before"), (after, ends[1], "after")):
        if number < 0 and not end:
            raise InputError(
                f"The shifts need {-number} rows more {side} those of the frames; give as many "
                "rows around the wanted ones as moving_halo says, or tell by ends that the "
                "detector ends there."
            )
