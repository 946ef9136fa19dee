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
