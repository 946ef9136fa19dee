"""Unusable pixels, mended along their detector row before the logarithm.

Rows never look at each other here, so that slabs of any height give the same numbers.
"""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.preparation.counts import PixelCounts

__all__ = ["PixelCounts", "mend_rows"]


def mend_rows(values: Array, usable: Array) -> Array:
    """Replace unusable values by the line between the nearest usable ones of their row.

    Before the first and after the last usable value of a row the nearest one is repeated. A row
    without any becomes 1: as a transmission that is an empty row, the one answer that invents no
    object.

    Parameters
    ----------
    values : array, shape (..., columns)
        Floating point; what unusable places hold does not matter.
    usable : array of bool, the same shape

    Returns
    -------
    array, shape and dtype of ``values``

    Examples
    --------
    >>> import numpy as np
    >>> row = np.array([np.nan, 2.0, np.nan, np.nan, 5.0, -1.0])
    >>> mend_rows(row, np.isfinite(row) & (row > 0)).tolist()
    [2.0, 2.0, 3.0, 4.0, 5.0, 5.0]
    """
    xp = namespace(values, usable)
    columns = values.shape[-1]
    values = xp.where(usable, values, 0)
    column = xp.broadcast_to(xp.arange(columns), values.shape)
    left = _largest_so_far(xp.where(usable, column, -1))
    right = -_largest_so_far(xp.where(usable, -column, -columns)[..., ::-1])[..., ::-1]
    from_left = xp.take_along_axis(values, xp.maximum(left, 0), axis=-1)
    from_right = xp.take_along_axis(values, xp.minimum(right, columns - 1), axis=-1)
    span = xp.maximum(right - left, 1)
    # One rounding of the fraction, then the arithmetic of the dtype, as in the accelerator.
    fraction = ((column - left) / span).astype(values.dtype)
    mended = from_left + (from_right - from_left) * fraction
    mended = xp.where(left < 0, from_right, mended)
    mended = xp.where(right >= columns, from_left, mended)
    mended = xp.where((left < 0) & (right >= columns), 1, mended)
    return xp.where(usable, values, mended).astype(values.dtype)


def _largest_so_far(values: Array) -> Array:
    """Running maximum along the last axis, in as many steps as the length has binary digits.

    CuPy has no ``maximum.accumulate``.
    """
    xp = namespace(values)
    if xp is np:
        return np.maximum.accumulate(values, axis=-1)
    step = 1
    while step < values.shape[-1]:
        reached = values[..., :step]
        later = xp.maximum(values[..., step:], values[..., :-step])
        values = xp.concatenate([reached, later], axis=-1)
        step *= 2
    return values
