"""Inner loop of the median over frames.

Partial bubble sort of all frames of 64 columns at a time: pairs of minimum and maximum over one
contiguous run are SIMD code, which beats a selection per pixel by far up to hundreds of frames.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

LANES = 64


@njit(cache=True, nogil=True)
def median_rows(
    frames: Any, dark: Any, factors: Any, start: int, stop: int, out: Any
) -> None:  # pragma: no cover - compiled
    """Median over frames of ``(frames - dark) * factors`` for rows ``start .. stop``.

    A column with a NaN or infinite value becomes NaN.
    """
    count, _, columns = frames.shape
    work = np.empty((count, LANES), np.float32)
    poison = np.empty(LANES, np.float32)
    zero = np.float32(0)
    # Sorting down from the top, the upper half is all that a median needs.
    passes = count // 2 + 1
    for row in range(start, stop):
        for first in range(0, columns, LANES):
            width = min(LANES, columns - first)
            poison[:] = zero
            for k in range(count):
                lane = work[k]
                for c in range(width):
                    value = (np.float32(frames[k, row, first + c]) - dark[row, first + c]) * (
                        factors[k]
                    )
                    lane[c] = value
                    poison[c] += value * zero
            for done in range(passes):
                for k in range(count - 1 - done):
                    low = work[k]
                    high = work[k + 1]
                    for c in range(width):
                        a = low[c]
                        b = high[c]
                        low[c] = a if a < b else b
                        high[c] = b if a < b else a
            middle = work[count // 2]
            if count % 2:
                for c in range(width):
                    out[row, first + c] = middle[c] + poison[c]
            else:
                below = work[count // 2 - 1]
                for c in range(width):
                    out[row, first + c] = (below[c] + middle[c]) * np.float32(0.5) + poison[c]
