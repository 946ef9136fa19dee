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
SIDE = 2
"""Columns at each side that a slope is taken from."""
NEAR, FAR = 4 / 3, -1 / 6
"""Twice the slope by the differences of both: their errors of third order cancel."""

FAST = {"reassoc", "contract", "nsz"}
"""Sums may be taken in another order: of one line, so that no thread changes them."""


@njit(cache=True, nogil=True)
def _convolve(source, step, taps, out):  # type: ignore[no-untyped-def]
    """Sums of ``taps[j] line[step i + j]`` for every i of ``out``, of whole runs.

    The columns ``p``, ``p + step`` and so on of the line follow each other in the source.
    """
    pitch = len(source) // step
    for i in range(0, len(out), RUN):
        total = every(np.float32(0), LIKE)
        for p in range(step):
            place = i + p * pitch
            for j in range(p, len(taps), step):
                total = multiply_add(every(taps[j], LIKE), load(source, place, LIKE), total)
                place += 1
        store(out, i, total)


@njit(cache=True, nogil=True)
def _comb(line, step, out):  # type: ignore[no-untyped-def]
    """Every ``step``-th column after the other, from the first, the second on and so on."""
    pitch = len(out) // step
    for p in range(step):
        for i in range(pitch):
            out[np.uintp(p * pitch + i)] = line[np.uintp(step * i + p)]


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
def _room(width, step, taps):  # type: ignore[no-untyped-def]
    """Room for a line as it is, every ``step``-th column after the other, and smoothed."""
    length = -(-width // RUN) * RUN
    loaded = np.empty(step * length + len(taps), np.float32)
    return loaded, np.empty(len(loaded) // step * step, np.float32), np.empty(length, np.float32)


@njit(cache=True, nogil=True)
def _smoothed(line, stripes, first, step, taps, loaded, combed, out):  # type: ignore[no-untyped-def]
    """A line, smoothed and moved, at every ``step``-th column from the first on."""
    _load(line, stripes, first - len(taps) // 2, loaded)
    if step == 1:
        _convolve(loaded, 1, taps, out)
    else:
        _comb(loaded, step, combed)
        _convolve(combed, step, taps, out)


@njit(cache=True, nogil=True)
def filter_lines(lines, stripes, which, first, step, taps, out, start, stop):  # type: ignore[no-untyped-def]
    """Convolve some lines, whose ends go on beyond the detector.

    Parameters
    ----------
    lines : float32 (lines, columns)
    stripes : float32 (rows, columns) or (1, 0)
        Are taken off the lines, rows fastest.
    which : int64 (n,)
        Lines that are taken.
    first, step : int
        Columns that are taken: the first, and how far apart (1, 2 or 4).
    taps : float32 (4 k,)
        The one of an output's own column is number ``len(taps) // 2``.
    out : float32 (n, columns)
    start, stop : int
        Part of ``which``.
    """
    width = out.shape[1]
    loaded, combed, smooth = _room(width, step, taps)
    for k in range(start, stop):
        line = which[k]
        off = stripes[line % len(stripes)]
        _smoothed(lines[line], off, first, step, taps, loaded, combed, smooth)
        out[k] = smooth[:width]


@njit(cache=True, nogil=True, error_model="numpy")
def _tapered(width, step, reach):  # type: ignore[no-untyped-def]
    """Places from the axis, and weights: 1, and falling to 0 over the last 0.3 of the reach."""
    from_axis, window = np.empty(width, np.float32), np.empty(width, np.float32)
    for i in range(width):
        from_axis[i] = step * (i - (width - 1) / 2)
        window[i] = 1
    for i in range(width // 2):
        outside = (abs(from_axis[i]) / reach - 0.7) / 0.3
        if outside <= 0:
            break
        window[i] = 0.5 + 0.5 * np.cos(np.pi * min(1.0, outside))
        window[width - 1 - i] = window[i]
    return from_axis, window


@njit(cache=True, nogil=True)
def _mirror(line, out):  # type: ignore[no-untyped-def]
    """The first so many of a line, backwards."""
    for i in range(len(out)):
        out[i] = line[np.uintp(len(out) - 1 - i)]


@njit(cache=True, nogil=True)
def _subtract(one, two, out):  # type: ignore[no-untyped-def]
    """Differences.

    Of one array at a time: LLVM gives up vectors where it had to check many for overlap.
    """
    for i in range(len(out)):
        out[i] = one[np.uintp(i + SIDE)] - two[np.uintp(i + SIDE)]


@njit(cache=True, nogil=True, fastmath=FAST)
def _slope(line, near, far, out):  # type: ignore[no-untyped-def]
    """Twice the slope, falling lines positive, by two columns on both sides."""
    for i in range(len(out)):
        out[i] = near * (line[np.uintp(i + 1)] - line[np.uintp(i + 3)]) + far * (
            line[np.uintp(i)] - line[np.uintp(i + 4)]
        )


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
def _flatten(values, from_axis, window):  # type: ignore[no-untyped-def]
    """Take level and slope off."""
    level, slope = _level(values, from_axis, window)
    for i in range(len(window)):
        values[i] -= level + slope * from_axis[i]


@njit(cache=True, nogil=True, error_model="numpy")
def _weigh(difference, from_axis, window, limit, share):  # type: ignore[no-untyped-def]
    """Take level and slope off, and weigh what is left."""
    _flatten(difference, from_axis, window)
    for i in range(len(window)):
        share[i] = window[i] * limit / max(abs(difference[i]), limit)


@njit(cache=True, nogil=True, fastmath=FAST)
def _pulled(difference, slope1, slope2, share, columns):  # type: ignore[no-untyped-def]
    """Sum of the pull, which is added to that of the columns."""
    total = np.float32(0)
    for i in range(len(share)):
        one = np.float32(0.5) * share[i] * difference[i] * (slope1[i] + slope2[i])
        total += one
        columns[i] += one
    return total


@njit(cache=True, nogil=True, fastmath=FAST)
def _bent(slope1, slope2, share, columns):  # type: ignore[no-untyped-def]
    """Sum of the curvature, which is added to that of the columns."""
    total = np.float32(0)
    for i in range(len(share)):
        one = share[i] * slope1[i] * slope2[i]
        total += one
        columns[i] += one
    return total


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def typical_difference(  # type: ignore[no-untyped-def]
    ahead, back, stripes, which, first, width, step, reach, taps, most
):
    """Median of the differences that :func:`compare_lines` weighs, of at most about ``most``."""
    from_axis, window = _tapered(width, step, reach)
    loaded, combed, one = _room(width + 2 * SIDE, step, taps)
    other = np.empty_like(one)
    two, apart = np.empty(width + 2 * SIDE, np.float32), np.empty(width, np.float32)
    stride = max(1, len(which) * width // most)
    each = -(-width // stride)
    sizes = np.empty(len(which) * each, np.float32)
    for k in range(len(which)):
        off = stripes[which[k] % len(stripes)]
        _smoothed(ahead[which[k]], off, first - SIDE * step, step, taps, loaded, combed, one)
        _smoothed(back[which[k]], off, first - SIDE * step, step, taps, loaded, combed, other)
        _mirror(other, two)
        _subtract(one, two, apart)
        level, slope = _level(apart, from_axis, window)
        for i in range(each):
            sizes[k * each + i] = abs(apart[i * stride] - level - slope * from_axis[i * stride])
    middle = len(sizes) // 2
    return np.partition(sizes, middle)[middle]


@njit(cache=True, nogil=True, fastmath=FAST, error_model="numpy")
def compare_lines(  # type: ignore[no-untyped-def]
    ahead, back, stripes, rows, which, first, width, step, reach, taps, widest, pull, curvature,
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
    first, width, step : int
        Columns that are compared: the first, how many, and how far apart, about the axis.
    reach : float
        From the axis to where the weights of the columns become 0.
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
    from_axis, window = _tapered(width, step, reach)
    loaded, combed, one = _room(width + 2 * SIDE, step, taps)
    other = np.empty_like(one)
    two, share = np.empty(width + 2 * SIDE, np.float32), np.empty(width, np.float32)
    difference = np.empty(width, np.float32)
    slope1, slope2 = np.empty_like(difference), np.empty_like(difference)
    near, far = np.float32(NEAR / step), np.float32(FAR / step)
    limit = np.float32(widest)
    for k in range(start * each, min(stop * each, len(which))):
        line = which[k]
        off = stripes[line % len(stripes)]
        _smoothed(ahead[line], off, first - SIDE * step, step, taps, loaded, combed, one)
        _smoothed(back[line], off, first - SIDE * step, step, taps, loaded, combed, other)
        _mirror(other, two)
        _subtract(one, two, difference)
        _slope(one, near, far, slope1)
        _slope(two, near, far, slope2)
        _weigh(difference, from_axis, window, limit, share)
        _flatten(slope1, from_axis, window)
        _flatten(slope2, from_axis, window)
        half = columns[k // each, 0 if line % rows < rows // 2 else 1]
        pull[k] = _pulled(difference, slope1, slope2, share, half[0])
        curvature[k] = _bent(slope1, slope2, share, half[1])


@njit(cache=True, nogil=True)
def compare_few(  # type: ignore[no-untyped-def]
    ahead, back, stripes, rows, which, first, width, step, reach, taps, sparse, most, wide, least
):
    """:func:`compare_lines` of one part, with the differences that are typical of it.

    Every ``sparse``-th line tells them; those beyond ``wide`` times the typical one, and
    ``least``, weigh less. Gives pull, curvature and columns (2, 2, width).
    """
    few = which[::sparse]
    typical = typical_difference(ahead, back, stripes, few, first, width, step, reach, taps, most)
    pull, curvature = np.empty(len(which)), np.empty(len(which))
    columns = np.zeros((1, 2, 2, width))
    compare_lines(
        ahead, back, stripes, rows, which, first, width, step, reach, taps, wide * typical + least,
        pull, curvature, columns, 0, 1,
    )  # fmt: skip
    return pull, curvature, columns[0]


@njit(cache=True, nogil=True)
def _scatter(pulls, curvatures, step, each):  # type: ignore[no-untyped-def]
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


@njit(cache=True, nogil=True)
def estimate(pull, curvature, pulls, curvatures, tied, blocks):  # type: ignore[no-untyped-def]
    """Step to the axis and its standard error, infinite where nothing pulls.

    Parameters
    ----------
    pull, curvature : float64 (lines,)
    pulls, curvatures : float64 (columns,)
        The same by columns.
    tied : int
        Neighbouring columns that depend on each other.
    blocks : int
        Blocks of lines that do not; 0 where there are too few to tell.
    """
    total = curvature.sum()
    if not total > 0:
        return 0.0, np.inf
    step = min(1.0, max(-1.0, pull.sum() / total))
    spread = _scatter(pulls, curvatures, step, tied)
    if blocks:
        spread = max(spread, _scatter(pull, curvature, step, len(pull) / blocks))
    return step, spread / total
