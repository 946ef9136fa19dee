"""The centred disc of a slice: the part that every view has seen.

Whether a pixel lies inside is decided by whole numbers: twice its distance from the middle of the
slice is one along each axis, so ``(2x - columns + 1)^2 + (2y - rows + 1)^2 <= floor(4 r^2)`` has no
rounding, and NumPy, numba and CUDA code agree on every pixel.
"""

from __future__ import annotations

from math import floor

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array
from hipct.core.errors import InputError

_FARTHEST = 2.0**30
WHOLE_PLANE = 2**62
"""Reach of a disc that holds every pixel."""
_LINE = 1 << 20


def squared_reach(radius_px: float | None) -> int:
    """``floor(4 r^2)``; without a radius :data:`WHOLE_PLANE`.

    Raises
    ------
    InputError
        If the radius is negative or not a number.
    """
    if radius_px is None:
        return WHOLE_PLANE
    if not radius_px >= 0:
        raise InputError(f"The radius of the disc is {radius_px} pixels; give 0 or more.")
    return floor(4 * min(float(radius_px), _FARTHEST) ** 2)


def columns_inside(rows: int, columns: int, reach: int) -> NDArray[np.int64]:
    """How many pixels of each row lie in the disc: those in the middle of the row.

    Parameters
    ----------
    rows, columns : int
        Size of the slice.
    reach : int
        :func:`squared_reach` of the disc.

    Returns
    -------
    ndarray, int64, shape (rows,)
        Where there are any, they start at ``(columns - inside) / 2``, a whole number.

    Examples
    --------
    >>> columns_inside(3, 5, squared_reach(1.5))
    array([3, 3, 3])
    """
    # More than the plane's corner has no meaning, and its root would not be exact in float64.
    farthest = (rows - 1) ** 2 + (columns - 1) ** 2
    offsets = 2 * np.arange(rows, dtype=np.int64) - (rows - 1)
    rest = min(reach, farthest) - offsets * offsets
    root = np.sqrt(np.maximum(rest, 0).astype(np.float64)).astype(np.int64)
    root -= root * root > rest
    # Twice the distance of a column is even where the number of columns is odd.
    root -= (root + columns - 1) & 1
    return np.where(rest >= 0, np.minimum(root + 1, columns), 0)


def images(array: Array, reach: int) -> list[Array]:
    """Views (slices, rows, columns) of a C-contiguous array, for kernels that take rows.

    Where the disc is the whole plane, its shape does not matter, and the rows are made long: a
    block of threads is a part of one row.
    """
    if reach < WHOLE_PLANE:
        rows, columns = array.shape[-2:]
        return [array.reshape((array.size // max(1, rows * columns), rows, columns))]
    flat = array.reshape(-1)
    whole = flat.size // _LINE * _LINE
    return [flat[:whole].reshape((1, whole // _LINE, _LINE)), flat[whole:].reshape((1, 1, -1))]


def circle(rows: int, columns: int, radius_px: float | None = None) -> NDArray[np.bool_]:
    """Mask (rows, columns) of the pixels whose centres lie in the circle about the middle.

    ``radius_px`` is half of the shorter side unless given.
    """
    radius = min(rows, columns) / 2 if radius_px is None else radius_px
    inside = columns_inside(rows, columns, squared_reach(radius))[:, np.newaxis]
    offsets = np.abs(2 * np.arange(columns) - (columns - 1))
    return np.asarray(offsets < inside)
