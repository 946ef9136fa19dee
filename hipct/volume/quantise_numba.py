"""Inner loop of :func:`hipct.volume.quantise.quantise`: one pass instead of six."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def quantise_range(values: Any, low: Any, per_grey: Any, out: Any) -> tuple[int, int, int]:
    """Quantise a flat range; returns the numbers of voxels below, above and NaN."""
    below = 0
    above = 0
    nan = 0
    top = values.dtype.type(65535)
    zero = values.dtype.type(0)
    for i in range(values.size):
        step = (values[i] - low) * per_grey
        is_nan = np.isnan(step)
        is_below = step < zero
        is_above = step > top
        nan += is_nan
        below += is_below
        above += is_above
        if is_nan or is_below:
            step = zero
        if is_above:
            step = top
        out[i] = np.uint16(np.rint(step))
    return below, above, nan


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def quantise_rows(
    values: Any, inside: Any, start: int, low: Any, per_grey: Any, out: Any
) -> tuple[int, int, int]:
    """Quantise rows of slices inside of a disc, and write zeros outside of it.

    ``values`` and ``out`` (n, columns) begin with row ``start`` of all rows of all slices;
    ``inside`` (rows of a slice) counts the pixels in the middle of each row that lie in the disc.
    """
    below = 0
    above = 0
    nan = 0
    rows, columns = values.shape
    for i in range(rows):
        count = inside[(start + i) % inside.size]
        first = (columns - count) // 2
        out[i, :first] = 0
        out[i, first + count :] = 0
        numbers = quantise_range(
            values[i, first : first + count], low, per_grey, out[i, first : first + count]
        )
        below += numbers[0]
        above += numbers[1]
        nan += numbers[2]
    return below, above, nan
