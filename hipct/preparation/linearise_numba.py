"""Inner loops of the logarithm: clamped, and from projections to sinograms in one pass."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from hipct.core.log_numba import negative_log
from hipct.core.simd_numba import bits_of_float

INFINITE = np.int32(0x7F800000)
"""Bits of infinity. Those of NaN are above, those of negative numbers below 0."""


RUN = 2048
"""Values that are looked at and then computed while they lie in the first cache."""


@njit(cache=True, nogil=True)
def line_integrals(values: Any, minimum: Any, out: Any) -> Any:  # pragma: no cover - compiled
    """Put ``-log(max(values, minimum))`` into ``out``, 0 where a value is not finite.

    Both are runs of float32, and may be the same. Returns how many values were replaced. Bits of
    floats from the minimum on are a range of integers, so that two reductions tell of a clean run.
    """
    replaced = 0
    for first in range(0, len(values), RUN):
        part = values[first : first + RUN]
        target = out[first : first + RUN]
        lowest, highest = INFINITE, np.int32(0)
        for k in range(len(part)):
            lowest = min(lowest, bits_of_float(part[k]))
            highest = max(highest, bits_of_float(part[k]))
        if lowest >= bits_of_float(minimum) and highest < INFINITE:
            for k in range(len(part)):
                target[k] = negative_log(part[k])
            continue
        for k in range(len(part)):
            value = part[k]
            if not np.isfinite(value):
                replaced += 1
                value = np.float32(1)
            elif value < minimum:
                replaced += 1
                value = minimum
            target[k] = negative_log(value)
    return replaced


@njit(cache=True, nogil=True)
def sinogram_rows(
    transmission: Any, minimum: Any, start: int, stop: int, out: Any, steps: Any
) -> Any:  # pragma: no cover - compiled
    """Line integrals of the rows ``start .. stop``, counted over (angle, row).

    ``out`` is a run of memory in which angles and rows begin ``steps`` floats apart. Returns how
    many values were replaced.
    """
    _, rows, columns = transmission.shape
    replaced = 0
    for unit in range(start, stop):
        angle, row = unit // rows, unit % rows
        place = angle * steps[0] + row * steps[1]
        replaced += line_integrals(transmission[angle, row], minimum, out[place : place + columns])
    return replaced
