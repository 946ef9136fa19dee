"""Loops of the search of the axis that arrays would take in dozens of small steps.

On some thousand columns each step of arrays costs more to call than to compute.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.fft_numba import transform
from hipct.core.log_numba import negative_log
from hipct.core.simd_numba import load, multiply, subtract, total, transpose

LANES = (0,) * 8
"""Lines that are transformed at a time."""


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _add_power(lines, factor, power):  # type: ignore[no-untyped-def]
    """Squares of all lines by columns, times a factor."""
    for k in range(len(lines)):
        line = lines[k]
        for i in range(len(power)):
            power[i] += factor * line[np.uintp(i)] * line[np.uintp(i)]


@njit(cache=True, nogil=True)
def variances(first, second, changes, width, tolerance):  # type: ignore[no-untyped-def]
    """Powers of both by columns, what true mirror images differ by, and scales that whiten it.

    Parameters
    ----------
    first, second : float32 (lines, columns)
    changes : float32 (n, columns)
        Half of their power is the noise.
    width : int
        Neighbours whose mean is a column's power, odd.
    tolerance : float
        Share of their power by which mirror images may differ.

    Returns
    -------
    float32 (4, columns)
        Power of the first and the second, expected variance of the first and the second.
    float32 (2, columns)
        ``1 / sqrt(expected)``.
    """
    columns = first.shape[1]
    values, scales = np.empty((4, columns), np.float32), np.empty((2, columns), np.float32)
    noise, power = np.zeros(columns, np.float32), np.zeros((2, columns), np.float32)
    _add_power(changes, np.float32(0.5 / len(changes)), noise)
    _add_power(first, np.float32(1 / len(first)), power[0])
    _add_power(second, np.float32(1 / len(second)), power[1])
    smooth, largest, half = np.empty((2, columns)), 0.0, width // 2
    for one in range(2):
        total = power[one, 0] * (half + 1.0)
        for i in range(1, half + 1):
            total += power[one, min(i, columns - 1)]
        for i in range(columns):
            smooth[one, i] = max(0.0, total / width)
            largest = max(largest, smooth[one, i])
            total += power[one, min(i + half + 1, columns - 1)] - power[one, max(i - half, 0)]
    smallest = 0.5e-12 * largest
    for one in range(2):
        for i in range(columns):
            value = smooth[one, i] + smallest
            expected = min(noise[i], smooth[one, i]) + tolerance * value
            values[one, i], values[2 + one, i] = value, expected
            scales[one, i] = 1 / np.sqrt(expected)
    return values, scales


@njit(cache=True, nogil=True, error_model="numpy")
def of_powers(variances, each):  # type: ignore[no-untyped-def]
    """What the powers of two columns say without what the lines have in common, by antidiagonals.

    Parameters
    ----------
    variances : float32 (4, columns)
        As of :func:`variances`.
    each : int
        Columns that are taken together.

    Returns
    -------
    float64 (2 columns - 1,)
        Between the antidiagonals of such columns it is interpolated.
    """
    columns, bins = variances.shape[1], variances.shape[1] // each
    binned = np.zeros((4, bins), np.float32)
    for one in range(4):
        for i in range(bins):
            for k in range(i * each, (i + 1) * each):
                binned[one, i] += variances[one, k]
    sums, values = np.zeros(2 * bins - 1, np.float32), np.empty(bins, np.float32)
    for i in range(bins):
        for j in range(bins):
            ratio = (binned[0, i] + binned[1, j]) / (binned[2, i] + binned[3, j])
            values[j] = np.float32(1) - negative_log(ratio) - ratio
        for j in range(bins):
            sums[i + j] += values[j]
    result = np.empty(2 * columns - 1)
    step = 1 / each
    for place in range(len(result)):
        from_first = min(max((place + 1) * step - 1, 0.0), 2.0 * bins - 2)
        before = int(from_first)
        after = min(before + 1, 2 * bins - 2)
        share = from_first - before
        result[place] = each * ((1 - share) * sums[before] + share * sums[after])
    return result


@njit(cache=True, nogil=True)
def highest(evidence, first, stop, apart, valley):  # type: ignore[no-untyped-def]
    """Highest place of a part of the evidence, and what else is nearly as high.

    Parameters
    ----------
    evidence : float64 (places,)
    first, stop : int
        Part that is searched, 3 places or more.
    apart : float
        Other places are farther than so many.
    valley : float
        And lie beyond a place that is lower than this share of them.

    Returns
    -------
    best : int
    runner_up : float
        Evidence at the best other place, at least 0.
    doubt : int
        Farthest place up to which no valley of the highest lies.
    """
    best = first
    for i in range(first, stop):
        if evidence[i] > evidence[best]:
            best = i
    runner_up, doubt = 0.0, 0
    for direction in (-1, 1):
        lowest = evidence[best]
        i = best + direction
        while first <= i < stop:
            here = evidence[i]
            lowest = min(lowest, here)
            if lowest > valley * evidence[best]:
                doubt = max(doubt, abs(i - best))
            other = abs(i - best) > apart and first < i < stop - 1 and lowest < valley * here
            if other and evidence[i - 1] <= here > evidence[i + 1]:
                runner_up = max(runner_up, here)
            i += direction
    return best, runner_up, doubt


@njit(cache=True, nogil=True)
def _scale(lines, scale, room):  # type: ignore[no-untyped-def]
    """Lines times a factor of each column, without anything in what is left of the room."""
    columns = len(scale)
    for k in range(len(lines)):
        line, out = lines[k], room[k]
        for i in range(columns):
            out[np.uintp(i)] = line[np.uintp(i)] * scale[np.uintp(i)]
        out[columns:] = 0
    room[len(lines) :] = 0


@njit(cache=True, nogil=True)
def add_squares(first, second, scale1, scale2, plan, factors, common):  # type: ignore[no-untyped-def]
    """Squares of the spectra of ``first scale1 + i second scale2``, of all lines.

    Parameters
    ----------
    first, second : float32 (lines, columns)
    scale1, scale2 : float32 (columns,)
    plan : int64
        Radices of the length of the transforms.
    factors : float32
        Their twiddles, see :func:`hipct.core.fft_numba.transform`.
    common : complex128 (length,)
        Sums are added to it.
    """
    lines, columns = first.shape
    lanes, length = len(LANES), len(common)
    width = 2 * lanes
    work, other = np.empty((2, length * width), np.float32)
    scaled = np.empty((lanes, -(-columns // lanes) * lanes), np.float32)
    flat, pitch = scaled.reshape(-1), scaled.shape[1]
    for start in range(0, lines, lanes):
        some = slice(start, min(start + lanes, lines))
        _scale(first[some], scale1, scaled)
        for i in range(0, pitch, lanes):
            transpose(LANES, flat, i, pitch, other, i * width, width)
        _scale(second[some], scale2, scaled)
        for i in range(0, pitch, lanes):
            transpose(LANES, flat, i, pitch, other, i * width + lanes, width)
        other[pitch * width :] = 0
        spectra = transform(
            LANES, other, np.intp(0), width, np.intp(0), length, plan, factors, work, other
        )
        for i in range(length):
            re, im = load(spectra, i * width, LANES), load(spectra, i * width + lanes, LANES)
            real = total(subtract(multiply(re, re), multiply(im, im)))
            common[i] += complex(real, 2 * total(multiply(re, im)))
