"""Inner loop of the zinger removal.

The median of nine by minima and maxima: the three values of each column of the window are sorted,
and the median of all is the median of (largest of the three minima, median of the three medians,
smallest of the three maxima). Along a row that is SIMD code, with the sorted columns shared by
the three windows that hold them.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def replace_bright(
    transmission: Any, threshold: Any, start: int, stop: int, out: Any, found: Any
) -> None:  # pragma: no cover - compiled
    """Rows ``start .. stop`` of all frames one after the other; ``found[row]`` grows."""
    _, rows, columns = transmission.shape
    low = np.empty(columns + 2, np.float32)
    middle = np.empty(columns + 2, np.float32)
    high = np.empty(columns + 2, np.float32)
    for place in range(start, stop):
        angle = place // rows
        row = place % rows
        frame = transmission[angle]
        here = frame[row]
        _sort_three(frame[max(row - 1, 0)], here, frame[min(row + 1, rows - 1)], low, middle, high)
        for values in (low, middle, high):
            values[0] = values[1]
            values[columns + 1] = values[columns]
        found[row] += _replace_row(here, low, middle, high, threshold, out[angle, row])


@njit(cache=True, nogil=True)
def _sort_three(
    above: Any, here: Any, below: Any, low: Any, middle: Any, high: Any
) -> None:  # pragma: no cover - compiled
    for c in range(len(here)):
        a = above[c]
        b = here[c]
        d = below[c]
        small = min(a, b)
        large = max(a, b)
        low[c + 1] = min(small, d)
        high[c + 1] = max(large, d)
        middle[c + 1] = max(small, min(large, d))


@njit(cache=True, nogil=True)
def _replace_row(
    here: Any, low: Any, middle: Any, high: Any, threshold: Any, out: Any
) -> Any:  # pragma: no cover - compiled
    found = np.int32(0)
    for c in range(len(here)):
        a = max(low[c], low[c + 1], low[c + 2])
        d = min(high[c], high[c + 1], high[c + 2])
        small = min(middle[c], middle[c + 1])
        large = max(middle[c], middle[c + 1])
        b = max(small, min(large, middle[c + 2]))
        small = min(a, b)
        large = max(a, b)
        median = max(small, min(large, d))
        value = here[c]
        bright = value > median + threshold
        out[c] = median if bright else value
        found += np.int32(1) if bright else np.int32(0)
    return found
