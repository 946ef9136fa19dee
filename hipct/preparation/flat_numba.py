"""Inner loop of the flat field: one pass from raw counts to mended transmission or line integrals.

A row is one SIMD loop, which keeps the smallest and the largest result: read as integers, positive
finite floats are a range. Only a row with values outside of it is computed again, and looked at one
by one where 64 columns hold such a value. So the transmission never reaches the memory on its way
to the logarithm. Tried and lost: stores past the caches (a third slower), the three as loops over a
row in the cache (two thirds slower).
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from hipct.core.log_numba import INFINITE, line_integrals, negative_log
from hipct.core.simd_numba import bits_of_float

RUN = 64
ONE = np.uint32(1)
POSITIVE_FINITE = np.uint32(0x7F7FFFFF)  # bits of the largest float32
SIGN_OFF = np.uint32(0x7FFFFFFF)
DEAD, NAN, NONPOSITIVE, EMPTY, CLAMPED = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True, error_model="numpy")
def flat_field_rows(
    projections: Any,
    first_row: int,
    dark: Any,
    references: Any,
    before: Any,
    after: Any,
    weights: Any,
    keep: bool,
    minimum: Any,
    tile: int,
    start: int,
    stop: int,
    out: Any,
    steps: Any,
    found: Any,
) -> None:  # pragma: no cover - compiled
    """Transmission of the units ``start .. stop``; unit = (tile of rows, angle), angle fastest.

    Row 0 of the first tile is ``first_row`` of the projections, and ``found`` has as many rows as
    are wanted. ``out`` is a run of memory in which angles and rows begin ``steps`` floats apart.
    Where ``minimum`` is above 0, what is put there is ``-log(max(T, minimum))``.
    ``found[row, kind]`` grows by the values of that kind.
    """
    angles, _, columns = projections.shape
    rows = len(found)
    line = np.empty(columns, np.float32)
    least = bits_of_float(minimum) if minimum > 0 else np.int32(1)
    for unit in range(start, stop):
        angle = unit % angles
        top = unit // angles * tile
        first, second = weights[angle, 0], weights[angle, 1]
        for number in range(top, min(top + tile, rows)):
            row = first_row + number
            place = angle * steps[0] + number * steps[1]
            result = out[place : place + columns]
            source = projections[angle, row]
            level = dark[row]
            reference = references[before[angle], row]
            later = references[after[angle], row]  # the same, with a weight of 0, at the ends
            lowest, highest = INFINITE, np.int32(0)
            if minimum > 0:
                for c in range(columns):
                    value = (np.float32(source[c]) - level[c]) / (
                        reference[c] * first + later[c] * second
                    )
                    lowest = min(lowest, bits_of_float(value))
                    highest = max(highest, bits_of_float(value))
                    result[c] = negative_log(value)
            else:
                for c in range(columns):
                    value = (np.float32(source[c]) - level[c]) / (
                        reference[c] * first + later[c] * second
                    )
                    lowest = min(lowest, bits_of_float(value))
                    highest = max(highest, bits_of_float(value))
                    result[c] = value
            if lowest >= least and highest < INFINITE:
                continue
            target = line if minimum > 0 else result
            for c in range(columns):
                target[c] = (np.float32(source[c]) - level[c]) / (
                    reference[c] * first + later[c] * second
                )
            if not _all_usable(target.view(np.uint32), keep):
                _mend(target, reference, keep, found[number])
            if minimum > 0:
                found[number, CLAMPED] += line_integrals(target, minimum, result)


@njit(cache=True, nogil=True, inline="always")
def _all_usable(bits: Any, keep: bool) -> Any:  # pragma: no cover - compiled
    worst = np.uint32(0)
    if keep:
        for c in range(len(bits)):
            worst = max(worst, np.uint32(bits[c] & SIGN_OFF))
        return worst <= POSITIVE_FINITE
    for c in range(len(bits)):
        # Zero wraps around to the largest integer, so it is out of range too.
        worst = max(worst, np.uint32(bits[c] - ONE))
    return worst < POSITIVE_FINITE


@njit(cache=True, nogil=True)
def _mend(
    target: Any, reference: Any, keep: bool, found: Any
) -> None:  # pragma: no cover - compiled
    columns = len(target)
    left = -1
    column = 0
    dead, nan, dark = 0, 0, 0
    bits = target.view(np.uint32)
    while column < columns:
        end = min(column + RUN, columns)
        if _all_usable(bits[column:end], keep):
            column = end
            left = end - 1
            continue
        while column < end:
            if _usable(target[column], keep):
                left = column
                column += 1
                continue
            right = column
            while right < columns and not _usable(target[right], keep):
                if np.isnan(reference[right]):
                    dead += 1
                elif not np.isfinite(target[right]):
                    nan += 1
                else:
                    dark += 1
                right += 1
            _fill(target, left, right)
            if left < 0 and right == columns:
                found[EMPTY] += columns
                return
            column = right
            left = right - 1
    found[DEAD] += dead
    found[NAN] += nan
    found[NONPOSITIVE] += dark


@njit(cache=True, nogil=True)
def _usable(value: Any, keep: bool) -> Any:  # pragma: no cover - compiled
    return np.isfinite(value) and (keep or value > 0)


@njit(cache=True, nogil=True)
def _fill(target: Any, left: int, right: int) -> None:  # pragma: no cover - compiled
    """Fill ``left + 1 .. right - 1`` from the usable values at ``left`` and ``right``."""
    columns = len(target)
    if left < 0:
        target[:right] = target[right] if right < columns else np.float32(1)
    elif right == columns:
        target[left + 1 :] = target[left]
    else:
        a = target[left]
        step = target[right] - a
        for c in range(left + 1, right):
            target[c] = a + step * np.float32((c - left) / (right - left))
