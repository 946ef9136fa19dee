"""Which sub-scans make an organ row, with which weights, and rows between rows.

Sub-scan k covers the organ rows from ``offset_px[k]`` to ``offset_px[k] + rows - 1``. Where it
begins, its weight grows from 0 to 1 along half a period of a cosine, over as many rows as it has in
common with the one before; that one gets what is left, and passes on of it to nobody. With
ramps u_k the weights are

    w_k = u_k (1 - u_{k+1}) (1 - u_{k+2}) ...,

which add up to 1 wherever there is any sub-scan, also where three or more overlap: the sum is
1 minus the product of all (1 - u), one of which is 0.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array
from hipct.core.errors import InputError
from hipct.core.interpolation import between_samples

HALO_ROWS = (4, 5)
"""Rows that :func:`resample_rows` needs before and after the one whose fraction it makes."""

Float = NDArray[np.float64]


def organ_rows(offset_px: ArrayLike, rows: ArrayLike, *, margin_px: int = 0) -> range:
    """Whole organ rows from the first to the last that the series covers, gaps included.

    Parameters
    ----------
    offset_px : array_like, (sub-scans,)
        Organ row of the first row of each sub-scan, ascending.
    rows : int or array_like of int, (sub-scans,)
        Rows of a sub-scan.
    margin_px : int
        Rows at either end of every sub-scan that do not count: dark edges of the beam, or the halo
        of an interpolation.

    Examples
    --------
    >>> organ_rows([0.5, 80.2], 100)
    range(1, 180)
    """
    begin, end = _extents(offset_px, rows, margin_px)
    return range(int(np.ceil(begin[0])), int(np.floor(end[-1])) + 1)


def series_gaps(offset_px: ArrayLike, rows: ArrayLike, *, margin_px: int = 0) -> list[range]:
    """Organ rows between the first and the last that no sub-scan covers.

    Parameters as of :func:`organ_rows`.

    Examples
    --------
    >>> series_gaps([0.0, 80.0, 185.5], 100)
    [range(180, 186)]
    """
    begin, end = _extents(offset_px, rows, margin_px)
    bounds = [
        range(int(np.floor(last)) + 1, int(np.ceil(first)))
        for last, first in zip(end[:-1], begin[1:])
    ]
    return [gap for gap in bounds if gap]


def overlap_weights(
    offset_px: ArrayLike, rows: ArrayLike, organ: range, *, margin_px: int = 0
) -> NDArray[np.float64]:
    """Weights of all sub-scans in some organ rows.

    Parameters
    ----------
    offset_px, rows, margin_px
        As of :func:`organ_rows`.
    organ : range
        The organ rows.

    Returns
    -------
    ndarray of float64, (sub-scans, organ rows)
        They add up to 1 in each row that any sub-scan covers, and are 0 in gaps. The row z of the
        organ is the row ``z - offset_px[k]`` of sub-scan k, which is between two rows as a rule
        (:func:`resample_rows`).

    Raises
    ------
    InputError
        If offsets are not finite or do not ascend, or the margins leave no row.

    Examples
    --------
    >>> overlap_weights([0, 6], 11, range(4, 13)).round(2)
    array([[1.  , 1.  , 1.  , 0.85, 0.5 , 0.15, 0.  , 0.  , 0.  ],
           [0.  , 0.  , 0.  , 0.15, 0.5 , 0.85, 1.  , 1.  , 1.  ]])
    """
    begin, end = _extents(offset_px, rows, margin_px)
    z = np.asarray(organ, dtype=np.float64)
    common = np.maximum(end[:-1] - begin[1:], 0)[:, None]
    into = z - begin[1:, None]
    # Without an overlap the next one begins at once.
    share = np.clip(np.divide(into, common, out=1.0 * (into >= 0), where=common > 0), 0, 1)
    ramps = np.vstack([np.ones((1, z.size)), 0.5 - 0.5 * np.cos(np.pi * share)])
    left = np.cumprod(np.vstack([np.ones((1, z.size)), 1 - ramps[:0:-1]]), axis=0)[::-1]
    covered = (z >= begin[:, None]) & (z <= end[:, None])
    weights: Float = np.where(covered, ramps * left, 0.0)
    return weights


def resample_rows(block: Array, fraction: float, *, axis: int = 0) -> Array:
    """Values a fraction of a row further on.

    :func:`hipct.core.interpolation.between_samples` along z, which says how faithful it is; linear
    interpolation would blur, more in some sub-scans than in others.

    Parameters
    ----------
    block : array, float32 or float64
        Rows along ``axis``: slices (z, y, x), or sinograms; with the axis 1 projections (angles,
        rows, columns). NumPy or CuPy.
    fraction : float
        From 0, which returns the rows as they are, to 1.
    axis : int
        The axis of the rows.

    Returns
    -------
    array, dtype of the block
        Element r is the value at the row ``r + 4 + fraction`` of the block; 9 rows fewer
        (:data:`HALO_ROWS`).

    Raises
    ------
    InputError
        If the fraction is not within 0 to 1, or the block has less than 10 rows.
    """
    return between_samples(block, fraction, axis=axis, count=sum(HALO_ROWS) + 1)


def _extents(offset_px: ArrayLike, rows: ArrayLike, margin_px: int) -> tuple[Float, Float]:
    """First and last organ position of each sub-scan, (sub-scans,) each."""
    offset = np.asarray(offset_px, dtype=np.float64)
    if offset.ndim != 1 or not offset.size or not np.isfinite(offset).all():
        raise InputError(
            f"offset_px has shape {offset.shape}; give one finite organ row for each sub-scan."
        )
    if (np.diff(offset) < 0).any():
        raise InputError(
            "The offsets of the sub-scans have to ascend; sort the sub-scans by their height."
        )
    height = np.broadcast_to(np.asarray(rows), offset.shape)
    if margin_px < 0 or height.min() - 2 * margin_px < 1:
        raise InputError(
            f"Margins of {margin_px} rows leave nothing of sub-scans of {height.min()}; give 0 or "
            "more, less than half of the rows."
        )
    return offset + margin_px, offset + (height - 1 - margin_px)
