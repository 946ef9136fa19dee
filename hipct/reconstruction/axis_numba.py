"""Lines smoothed, mirrored and compared in one pass each, while they lie in the first cache.

A line of some thousand columns is smoothed and moved by a part of a column in one convolution of
a dozen taps: cheaper than a transform there and back, and nothing comes around from the other end.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.simd_numba import every, load, multiply_add, store

RUN = 32
"""Samples that are convolved at a time: as many sums as hide each other's latency."""
LIKE = (0,) * RUN

FAST = {"reassoc", "contract", "nsz"}
"""Sums may be taken in another order: of one line, so that no thread changes them."""


@njit(cache=True, nogil=True)
def _convolve(source, taps, out):  # type: ignore[no-untyped-def]
    """Sums of ``taps[j] source[i + j]`` for every i of ``out``, of whole runs."""
    for i in range(0, len(out), RUN):
        total = every(np.float32(0), LIKE)
        for j in range(len(taps)):
            total = multiply_add(every(taps[j], LIKE), load(source, i + j, LIKE), total)
        store(out, i, total)


@njit(cache=True, nogil=True)
def _load(line, stripes, first, out):  # type: ignore[no-untyped-def]
    """Columns from ``first`` on without their stripes (if any); beyond the ends the last one."""
    low, high = max(0, first), min(first + len(out), len(line))
    # Unsigned indices cannot count from the end: nothing stands against vectors.
    if len(stripes):
        for i in range(low, high):
            out[np.uintp(i - first)] = line[np.uintp(i)] - stripes[np.uintp(i)]
    else:
        for i in range(low, high):
            out[np.uintp(i - first)] = line[np.uintp(i)]
    out[: low - first] = out[low - first]
    out[high - first :] = out[high - first - 1]


@njit(cache=True, nogil=True)
def filter_lines(lines, stripes, which, taps, out, start, stop):  # type: ignore[no-untyped-def]
    """Convolve some lines, whose ends go on beyond the detector.

    Parameters
    ----------
    lines : float32 (lines, columns)
    stripes : float32 (rows, columns) or (1, 0)
        Are taken off the lines, rows fastest.
    which : int64 (n,)
        Lines that are taken.
    taps : float32 (4 k,)
        The one of an output's own column is number ``len(taps) // 2``.
    out : float32 (n, columns)
    start, stop : int
        Part of ``which``.
    """
    columns = lines.shape[1]
    length = -(-columns // RUN) * RUN
    padded, smooth = np.empty(length + len(taps), np.float32), np.empty(length, np.float32)
    for k in range(start, stop):
        line = which[k]
        _load(lines[line], stripes[line % len(stripes)], -(len(taps) // 2), padded)
        _convolve(padded, taps, smooth)
        out[k] = smooth[:columns]


@njit(cache=True, nogil=True, error_model="numpy")
def tapered(reach, from_axis, window):  # type: ignore[no-untyped-def]
    """Places from the axis, and weights: 1, and falling to 0 over the last 0.3 of the reach."""
    width = len(window)
    for i in range(width):
        from_axis[i] = i - (width - 1) / 2
        window[i] = 1
    for i in range(width // 2):
        outside = (abs(from_axis[i]) / reach - 0.7) / 0.3
        if outside <= 0:
            break
        window[i] = 0.5 + 0.5 * np.cos(np.pi * min(1.0, outside))
        window[width - 1 - i] = window[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _both(ahead, back, stripes, line, first, taps, loaded, other, one, two):  # type: ignore[no-untyped-def]
    """A line and its mirrored opposite, smoothed and moved, from ``first`` on."""
    off = stripes[line % len(stripes)]
    _load(ahead[line], off, first - len(taps) // 2, loaded)
    _convolve(loaded, taps, one)
    _load(back[line], off, first - len(taps) // 2, loaded)
    _convolve(loaded, taps, other)
    for i in range(len(two)):
        two[i] = other[np.uintp(len(two) - 1 - i)]


@njit(cache=True, nogil=True)
def _subtract(one, two, out):  # type: ignore[no-untyped-def]
    """Differences.

    Of one array at a time: LLVM gives up vectors where it had to check many for overlap.
    """
    for i in range(len(out)):
        out[i] = one[i] - two[i]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def _level(values, from_axis, window):  # type: ignore[no-untyped-def]
    """Level and slope of values; the window is symmetric, so that they do not see each other."""
    mass, level, inertia, slope = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
    for i in range(len(window)):
        w, x = window[i], window[i] * from_axis[i]
        mass += w
        inertia += x * from_axis[i]
        level += w * values[i]
        slope += x * values[i]
    return level / mass, slope / inertia


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def typical_difference(ahead, back, stripes, which, first, from_axis, window, taps, most):  # type: ignore[no-untyped-def]
    """Median of the differences that :func:`compare_lines` weighs, of at most about ``most``."""
    width = len(window)
    length = -(-(width + 2) // RUN) * RUN
    loaded = np.empty(length + len(taps), np.float32)
    one, other = np.empty(length, np.float32), np.empty(length, np.float32)
    two = np.empty(width + 2, np.float32)
    step = max(1, len(which) * width // most)
    each = -(-width // step)
    sizes = np.empty(len(which) * each, np.float32)
    for k in range(len(which)):
        _both(ahead, back, stripes, which[k], first - 1, taps, loaded, other, one, two)
        apart = one[1 : width + 1] - two[1 : width + 1]
        level, slope = _level(apart, from_axis, window)
        for i in range(each):
            sizes[k * each + i] = abs(apart[i * step] - level - slope * from_axis[i * step])
    middle = len(sizes) // 2
    return np.partition(sizes, middle)[middle]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def compare_lines(  # type: ignore[no-untyped-def]
    ahead, back, stripes, rows, which, first, from_axis, window, taps, widest, pull, curvature,
    columns, start, stop,
):  # fmt: skip
    """Pull and curvature of lines against mirrored opposites, about a column or between two.

    Parameters
    ----------
    ahead, back : float32 (lines, columns)
    stripes : float32 (rows, columns) or (1, 0)
        Are taken off the lines, rows fastest.
    rows : int
    which : int64 (n,)
        Lines that are compared.
    first : int
        Column that the window begins at; it ends at the mirror image of it.
    from_axis, window : float32 (width,)
        Places and weights, symmetric about the axis.
    taps : float32 (4 k,)
        Smooth and move a line; the one of an output's own column is number ``len(taps) // 2``.
    widest : float
        Differences beyond weigh less.
    pull, curvature : float64 (n,)
    columns : float64 (parts, 2, 2, width)
        Of the upper and the lower half of the rows pull and curvature by columns are added, for
        each part of ``which``.
    start, stop : int
        Parts that are done.
    """
    each = -(-len(which) // len(columns))
    width = len(window)
    length = -(-(width + 2) // RUN) * RUN
    loaded = np.empty(length + len(taps), np.float32)
    one, other = np.empty(length, np.float32), np.empty(length, np.float32)
    two = np.empty(width + 2, np.float32)
    share = np.empty(width, np.float32)
    difference, slope1, slope2 = np.empty((3, width), np.float32)
    one0, one1, one2 = one[:width], one[1 : width + 1], one[2 : width + 2]
    two0, two1, two2 = two[:width], two[1 : width + 1], two[2 : width + 2]
    limit, nought = np.float32(widest), np.float32(0)
    mass, inertia = nought, nought
    for i in range(width):
        mass += window[i]
        inertia += window[i] * from_axis[i] * from_axis[i]
    for k in range(start * each, min(stop * each, len(which))):
        line = which[k]
        _both(ahead, back, stripes, line, first - 1, taps, loaded, other, one, two)
        _subtract(one1, two1, difference)
        _subtract(one0, one2, slope1)
        _subtract(two0, two2, slope2)
        l0, m0, l1, m1, l2, m2 = nought, nought, nought, nought, nought, nought
        for i in range(width):
            w, x = window[i], window[i] * from_axis[i]
            l0 += w * difference[i]
            m0 += x * difference[i]
            l1 += w * slope1[i]
            m1 += x * slope1[i]
            l2 += w * slope2[i]
            m2 += x * slope2[i]
        l0, l1, l2 = l0 / mass, l1 / mass, l2 / mass
        m0, m1, m2 = m0 / inertia, m1 / inertia, m2 / inertia
        for i in range(width):
            d = difference[i] - (l0 + m0 * from_axis[i])
            difference[i] = d
            share[i] = window[i] * limit / max(abs(d), limit)
        for i in range(width):
            s1 = slope1[i] - (l1 + m1 * from_axis[i])
            s2 = slope2[i] - (l2 + m2 * from_axis[i])
            slope1[i] = np.float32(0.5) * share[i] * (s1 + s2)
            slope2[i] = share[i] * s1 * s2
        for i in range(width):
            difference[i] *= slope1[i]
        pulls, bends = columns[k // each, 0 if line % rows < rows // 2 else 1]
        total, bend = nought, nought
        for i in range(width):
            total += difference[i]
            bend += slope2[i]
            pulls[i] += difference[i]
            bends[i] += slope2[i]
        pull[k], curvature[k] = total, bend


@njit(cache=True, nogil=True)
def scatter(pulls, curvatures, step, each):  # type: ignore[no-untyped-def]
    """Standard error of the sum of pulls a step on, from that of ``each`` neighbours at a time."""
    groups = int(np.ceil((len(pulls) - 1e-6) / each))
    total, squares = 0.0, 0.0
    for group in range(groups):
        stop = int((group + 1) * each) if group + 1 < groups else len(pulls)
        one = 0.0
        for i in range(int(group * each), stop):
            one += pulls[i] - step * curvatures[i]
        total += one
        squares += one * one
    return np.sqrt(max(0.0, groups * squares - total * total) / (groups - 1))
