"""Normalisation by air columns: the flux of every row of every frame, measured in the frame."""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.counts import PixelCounts


def air_normalise(
    projections: Array,
    *,
    left: int = 0,
    right: int = 0,
    counts: PixelCounts | None = None,
    out: Array | None = None,
) -> Array:
    """Divide each row of each projection by the level of its air columns.

    For scans without flats, or whose flux jumps between flats. With air on both sides the level
    is the line through the means of both; with air on one side it is that mean. A row whose
    level is not above 0 at every column (a frame without beam) becomes 1, which is an empty row.

    Parameters
    ----------
    projections : array, shape (angles, rows, columns)
        Counts with the dark level taken off, or transmission. Integers become float32. Values
        that are not finite are left out of the means.
    left, right : int
        Number of outermost columns on either side that see air at every angle; one at least.
    counts : PixelCounts, optional
        Takes the number of values of rows without a level as ``empty_row``.
    out : array, shape of the projections, their dtype, optional
        May be the projections themselves.

    Returns
    -------
    array, shape (angles, rows, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape or dtype is wrong, or the air columns do not fit the detector.

    Examples
    --------
    >>> import numpy as np
    >>> air_normalise(np.array([[[100.0, 60.0, 80.0, 200.0]]]), left=1, right=1).round(3).tolist()
    [[[1.0, 0.45, 0.48, 1.0]]]
    """
    projections = floating(three_axes(projections, "projections", "angles, rows, columns"))
    columns = projections.shape[2]
    if left < 0 or right < 0 or left + right < 1 or left + right > columns:
        raise InputError(
            f"left is {left} and right is {right}; together the air columns have to be between "
            f"1 and the {columns} columns of the detector."
        )
    xp = namespace(projections)
    out = output(out, projections.shape, projections.dtype, projections)
    lost: list[Array] = []

    def work(start: int, stop: int) -> None:
        for angle in range(start, stop):
            lost.append(_normalise(projections[angle], left, right, out[angle]))

    if xp is np:
        parallel_for(work, len(projections))
    elif projections.dtype == np.float32:
        from hipct.preparation.air_cuda import normalise_lines

        lost.append(normalise_lines(projections, left, right, out))
    else:
        lost.append(_normalise(projections, left, right, out))
    if counts is not None:
        counts.add(empty_row=sum(int(number) for number in lost) * columns)
    return out


def _normalise(frames: Array, left: int, right: int, out: Array) -> Array:
    """Any number of rows by their air level; returns how many have none, an array of one number."""
    xp = namespace(frames)
    level = _level(frames, left, right)
    usable = (level > 0).all(axis=-1, keepdims=True)
    xp.divide(xp.where(usable, frames, 1), xp.where(usable, level, 1), out=out)
    return (~usable).sum()


def _level(frames: Array, left: int, right: int) -> Array:
    """Air level of each pixel, NaN where it is unknown."""
    xp = namespace(frames)
    columns = frames.shape[-1]
    column = xp.arange(columns, dtype=frames.dtype)
    if not right:
        return xp.broadcast_to(_mean(frames[..., :left]), frames.shape)
    if not left:
        return xp.broadcast_to(_mean(frames[..., columns - right :]), frames.shape)
    first, last = (left - 1) / 2, columns - 1 - (right - 1) / 2
    share = ((column - first) / (last - first)).astype(frames.dtype)
    on_left, on_right = _mean(frames[..., :left]), _mean(frames[..., columns - right :])
    return on_left + (on_right - on_left) * share


def _mean(values: Array) -> Array:
    xp = namespace(values)
    finite = xp.isfinite(values)
    number = finite.sum(axis=-1, keepdims=True)
    total = xp.where(finite, values, 0).sum(axis=-1, keepdims=True, dtype=np.float64)
    mean = xp.where(number > 0, total / xp.maximum(number, 1), np.nan)
    return mean.astype(values.dtype)
