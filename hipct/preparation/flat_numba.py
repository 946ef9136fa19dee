"""Inner loop of the flat field: one pass from raw counts to mended transmission.

The arithmetic of a row is one SIMD loop. Whether it holds a value that is not usable is a second
one over the row, which lies in the first cache by then: read as unsigned integers, positive finite
floats are a range, so that one maximum over integers answers for 64 columns. Only those 64 are
looked at one by one.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

RUN = 64
ONE = np.uint32(1)
POSITIVE_FINITE = np.uint32(0x7F7FFFFF)  # bits of the largest float32
SIGN_OFF = np.uint32(0x7FFFFFFF)
DEAD, NAN, NONPOSITIVE, EMPTY = 0, 1, 2, 3


@njit(cache=True, nogil=True, error_model="numpy")
def flat_field_rows(
    projections: Any,
    dark: Any,
    references: Any,
    before: Any,
    after: Any,
    weights: Any,
    keep: bool,
    tile: int,
    start: int,
    stop: int,
    out: Any,
    found: Any,
) -> None:  # pragma: no cover - compiled
    """Transmission of the units ``start .. stop``; unit = (tile of rows, angle), angle fastest.

    ``found[row, kind]`` grows by the values of that kind.
    """
    angles, rows, columns = projections.shape
    for unit in range(start, stop):
        angle = unit % angles
        top = unit // angles * tile
        weight_before = weights[angle, 0]
        weight_after = weights[angle, 1]
        for row in range(top, min(top + tile, rows)):
            source = projections[angle, row]
            target = out[angle, row]
            level = dark[row]
            reference = references[before[angle], row]
            if after[angle] == before[angle]:
                for c in range(columns):
                    target[c] = (np.float32(source[c]) - level[c]) / (reference[c] * weight_before)
            else:
                later = references[after[angle], row]
                for c in range(columns):
                    target[c] = (np.float32(source[c]) - level[c]) / (
                        reference[c] * weight_before + later[c] * weight_after
                    )
            if not _all_usable(target.view(np.uint32), keep):
                _mend(target, reference, keep, found[row])


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
