"""Lines smoothed, mirrored and compared in one pass each, while they lie in the first cache.

A line of some thousand columns is smoothed and moved by a part of a column in one convolution of
a dozen taps: cheaper than a transform there and back, and nothing comes around from the other end.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.simd_numba import (
    add,
    deal,
    divide,
    every,
    larger,
    load,
    multiply,
    multiply_add,
    reverse,
    store,
    subtract,
    total,
)

RUN = 64
"""Samples that are convolved at a time: as many sums as hide each other's latency."""
LIKE = (0,) * RUN
WIDTH = 16
"""Samples that are compared at a time."""
WIDE = (0,) * WIDTH
TWO, FOUR = (0,) * 2, (0,) * 4
SIDE = 2
"""Columns at each side that a slope is taken from."""
NEAR, FAR = 4 / 3, -1 / 6
"""Twice the slope by the differences of both: their errors of third order cancel."""


@njit(cache=True, nogil=True)
def _convolve(source, step, taps, out):  # type: ignore[no-untyped-def]
    """Sums of ``taps[j] line[step i + j]`` for every i of ``out``, of whole runs.

    The columns ``p``, ``p + step`` and so on of the line follow each other in the source.
    """
    pitch = len(source) // step
    for i in range(0, len(out), RUN):
        sums = every(np.float32(0), LIKE)
        for p in range(step):
            place = i + p * pitch
            for j in range(p, len(taps), step):
                sums = multiply_add(every(taps[j], LIKE), load(source, place, LIKE), sums)
                place += 1
        store(out, i, sums)


@njit(cache=True, nogil=True)
def _comb(line, step, out):  # type: ignore[no-untyped-def]
    """Every ``step``-th column (2 or 4) after the other, from the first, the second and so on."""
    pitch = len(out) // step
    for i in range(0, pitch, WIDTH):
        if step == 2:
            deal(TWO, WIDE, line, 2 * i, out, i, pitch)
        else:
            deal(FOUR, WIDE, line, 4 * i, out, i, pitch)


@njit(cache=True, nogil=True)
def _load(line, stripes, first, out):  # type: ignore[no-untyped-def]
    """Columns from ``first`` on without their stripes (if any); beyond the ends the last one."""
    low, high = max(0, first), min(first + len(out), len(line))
    vectors = low + (high - low) // WIDTH * WIDTH
    for i in range(low, vectors, WIDTH):
        value = load(line, i, WIDE)
        if len(stripes):
            value = subtract(value, load(stripes, i, WIDE))
        store(out, i - first, value)
    for i in range(vectors, high):
        out[i - first] = line[i] - (stripes[i] if len(stripes) else np.float32(0))
    for i in range(low - first):
        out[i] = out[low - first]
    for i in range(high - first, len(out)):
        out[i] = out[high - first - 1]


@njit(cache=True, nogil=True)
def _load_backwards(line, stripes, last, out):  # type: ignore[no-untyped-def]
    """The same backwards, from the column ``last`` on."""
    low, high = max(0, last - len(out) + 1), min(last + 1, len(line))
    vectors = high - (high - low) // WIDTH * WIDTH
    for i in range(high - WIDTH, vectors - 1, -WIDTH):
        value = load(line, i, WIDE)
        if len(stripes):
            value = subtract(value, load(stripes, i, WIDE))
        store(out, last - i - WIDTH + 1, reverse(value))
    for i in range(low, vectors):
        out[last - i] = line[i] - (stripes[i] if len(stripes) else np.float32(0))
    for i in range(last - high + 1):
        out[i] = out[last - high + 1]
    for i in range(last - low + 1, len(out)):
        out[i] = out[last - low]


@njit(cache=True, nogil=True)
def _whole(count, run):  # type: ignore[no-untyped-def]
    """Length of so many in whole runs."""
    return -(-count // run) * run


@njit(cache=True, nogil=True)
def _room(width, step, taps):  # type: ignore[no-untyped-def]
    """Room for a line as it is, every ``step``-th column after the other, and smoothed."""
    length = _whole(width, RUN)
    pitch = _whole(length + len(taps) // step, WIDTH)
    loaded, combed = np.empty((2, step * pitch), np.float32)
    return loaded, combed, np.empty(length, np.float32)


@njit(cache=True, nogil=True)
def _convolved(loaded, step, taps, combed, out):  # type: ignore[no-untyped-def]
    """A line that is loaded, smoothed and moved, at every ``step``-th column from the first on."""
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
        _load(lines[line], stripes[line % len(stripes)], first - len(taps) // 2, loaded)
        _convolved(loaded, step, taps, combed, smooth)
        out[k] = smooth[:width]


@njit(cache=True, nogil=True, error_model="numpy")
def _tapered(width, step, reach):  # type: ignore[no-untyped-def]
    """Places from the axis, weights, and what projects values on level and slope, (2, columns).

    The weights are 1 and fall to 0 over the last 0.3 of the reach. They are symmetric, so that
    level and slope do not see each other. All are of whole vectors, without weight beyond the
    width.
    """
    from_axis, window = np.zeros((2, _whole(width, WIDTH)), np.float32)
    for i in range(width):
        place = step * (i - (width - 1) / 2)
        outside = min(max((abs(place) / reach - 0.7) / 0.3, 0.0), 1.0)
        from_axis[i], window[i] = place, 1 - outside * outside * (3 - 2 * outside)
    project = np.empty((2, len(window)), np.float32)
    project[0] = window / window.sum()
    project[1] = window * from_axis
    project[1] /= (project[1] * from_axis).sum()
    return from_axis, window, project


@njit(cache=True, nogil=True)
def _slope(line, i, near, far):  # type: ignore[no-untyped-def]
    """Twice the slope, falling lines positive, by two columns on both sides."""
    inner = subtract(load(line, i + 1, WIDE), load(line, i + 3, WIDE))
    outer = subtract(load(line, i, WIDE), load(line, i + 4, WIDE))
    return multiply_add(near, inner, multiply(far, outer))


@njit(cache=True, nogil=True)
def _level(values, project):  # type: ignore[no-untyped-def]
    """Level and slope of values."""
    level = slope = every(np.float32(0), WIDE)
    for i in range(0, len(values), WIDTH):
        value = load(values, i, WIDE)
        level = multiply_add(load(project[0], i, WIDE), value, level)
        slope = multiply_add(load(project[1], i, WIDE), value, slope)
    return total(level), total(slope)


@njit(cache=True, nogil=True)
def _compare(one, two, step, apart, slope1, slope2):  # type: ignore[no-untyped-def]
    """Differences of two lines and twice their slopes."""
    near, far = every(np.float32(NEAR / step), WIDE), every(np.float32(FAR / step), WIDE)
    for i in range(0, len(apart), WIDTH):
        store(apart, i, subtract(load(one, i + SIDE, WIDE), load(two, i + SIDE, WIDE)))
        store(slope1, i, _slope(one, i, near, far))
        store(slope2, i, _slope(two, i, near, far))


@njit(cache=True, nogil=True)
def _flat(values, i, x, level):  # type: ignore[no-untyped-def]
    """Values without their level and slope."""
    return subtract(
        load(values, i, WIDE), multiply_add(every(level[1], WIDE), x, every(level[0], WIDE))
    )


@njit(cache=True, nogil=True)
def _pull(apart, slope1, slope2, from_axis, window, project, limit, columns):  # type: ignore[no-untyped-def]
    """Sums of pull and curvature, which are added to those of the columns."""
    off, off1, off2 = _level(apart, project), _level(slope1, project), _level(slope2, project)
    pull = curvature = zero = every(np.float32(0), WIDE)
    widest = every(limit, WIDE)
    half = every(np.float32(0.5), WIDE)
    for i in range(0, len(apart), WIDTH):
        x = load(from_axis, i, WIDE)
        difference = _flat(apart, i, x, off)
        one, two = _flat(slope1, i, x, off1), _flat(slope2, i, x, off2)
        size = larger(larger(difference, subtract(zero, difference)), widest)
        share = divide(multiply(load(window, i, WIDE), widest), size)
        pulled = multiply(multiply(share, difference), multiply(half, add(one, two)))
        bent = multiply(share, multiply(one, two))
        pull, curvature = add(pull, pulled), add(curvature, bent)
        store(columns[0], i, add(load(columns[0], i, WIDE), pulled))
        store(columns[1], i, add(load(columns[1], i, WIDE), bent))
    return total(pull), total(curvature)


@njit(cache=True, nogil=True)
def _both(ahead, back, stripes, line, first, width, step, taps, mirrored, loaded, combed, one, two):  # type: ignore[no-untyped-def]
    """A line and the mirror image of its opposite, smoothed, with ``SIDE`` more at both sides."""
    off, begin = stripes[line % len(stripes)], first - SIDE * step - len(taps) // 2
    _load(ahead[line], off, begin, loaded)
    _convolved(loaded, step, taps, combed, one)
    last = begin + step * (width + 2 * SIDE - 1) + len(taps) - 1
    _load_backwards(back[line], off, last, loaded)
    _convolved(loaded, step, mirrored, combed, two)


@njit(cache=True, nogil=True)
def typical_difference(  # type: ignore[no-untyped-def]
    ahead, back, stripes, which, first, width, step, reach, taps, most
):
    """Median of the differences that :func:`compare_lines` weighs, of at most about ``most``.

    Gives also the lines that it took, smoothed, with their opposites: (lines, 2, columns).
    """
    from_axis, _, project = _tapered(width, step, reach)
    loaded, combed, one = _room(len(from_axis) + 2 * SIDE, step, taps)
    smooth = np.empty((len(which), 2, len(one)), np.float32)
    mirrored = taps[::-1].copy()
    apart, slope1, slope2 = np.empty((3, len(from_axis)), np.float32)
    stride = max(1, len(which) * width // most)
    each = -(-width // stride)
    sizes = np.empty(len(which) * each, np.float32)
    for k in range(len(which)):
        one, two = smooth[k]
        place = (which[k], first, width, step)
        _both(ahead, back, stripes, *place, taps, mirrored, loaded, combed, one, two)
        _compare(one, two, step, apart, slope1, slope2)
        level, slope = _level(apart, project)
        for i in range(each):
            sizes[k * each + i] = abs(apart[i * stride] - level - slope * from_axis[i * stride])
    middle = len(sizes) // 2
    return np.partition(sizes, middle)[middle], smooth


@njit(cache=True, nogil=True)
def compare_lines(  # type: ignore[no-untyped-def]
    ahead, back, stripes, rows, which, first, width, step, reach, taps, smooth, sparse, widest,
    pull, curvature, columns, start, stop,
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
    smooth : float32 (lines, 2, columns)
        Every ``sparse``-th line that is compared, as of :func:`typical_difference`.
    sparse : int
    widest : float
        Differences beyond weigh less.
    pull, curvature : float64 (n,)
    columns : float64 (parts, 2, 2, width)
        Of the upper and the lower half of the rows pull and curvature by columns, for each part
        of ``which``.
    start, stop : int
        Parts that are done.
    """
    each = -(-len(which) // len(columns))
    from_axis, window, project = _tapered(width, step, reach)
    loaded, combed, one = _room(len(window) + 2 * SIDE, step, taps)
    mirrored, two = taps[::-1].copy(), np.empty_like(one)
    apart, slope1, slope2 = np.empty((3, len(window)), np.float32)
    for part in range(start, stop):
        halves = np.zeros((2, 2, len(window)), np.float32)
        for k in range(part * each, min((part + 1) * each, len(which))):
            if k % sparse == 0:
                known = smooth[k // sparse]
                _compare(known[0], known[1], step, apart, slope1, slope2)
            else:
                place = (which[k], first, width, step)
                _both(ahead, back, stripes, *place, taps, mirrored, loaded, combed, one, two)
                _compare(one, two, step, apart, slope1, slope2)
            half = halves[0 if which[k] % rows < rows // 2 else 1]
            pull[k], curvature[k] = _pull(
                apart, slope1, slope2, from_axis, window, project, np.float32(widest), half
            )
        columns[part] = halves[:, :, :width]


@njit(cache=True, nogil=True)
def _scatter(pulls, curvatures, step, each):  # type: ignore[no-untyped-def]
    """Standard error of the sum of pulls a step on, from that of ``each`` neighbours at a time.

    Few groups tell their own scatter badly: what is divided by it has a t-distribution of one
    degree of freedom less, whose variance is as much larger.
    """
    groups = int(np.ceil((len(pulls) - 1e-6) / each))
    total, squares = 0.0, 0.0
    for group in range(groups):
        stop = int((group + 1) * each) if group + 1 < groups else len(pulls)
        one = 0.0
        for i in range(int(group * each), stop):
            one += pulls[i] - step * curvatures[i]
        total += one
        squares += one * one
    return np.sqrt(max(0.0, groups * squares - total * total) / max(1, groups - 3))


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


@njit(cache=True, nogil=True)
def compare_few(  # type: ignore[no-untyped-def]
    ahead, back, stripes, rows, which, first, width, step, reach, taps, sparse, most, wide, least,
    tied, blocks,
):  # fmt: skip
    """:func:`compare_lines` of one part, with the differences that are typical of it.

    Every ``sparse``-th line tells them; those beyond ``wide`` times the typical one, and
    ``least``, weigh less. Gives pull, curvature, columns (2, 2, width) and :func:`estimate`.
    """
    place = (first, width, step, reach, taps)
    typical, smooth = typical_difference(ahead, back, stripes, which[::sparse], *place, most)
    pull, curvature = np.empty((2, len(which)))
    columns = np.empty((1, 2, 2, width))
    both = np.empty((2, width))
    compare_lines(
        ahead, back, stripes, rows, which, *place, smooth, sparse, wide * typical + least,
        pull, curvature, columns, 0, 1,
    )  # fmt: skip
    for i in range(width):
        both[0, i] = columns[0, 0, 0, i] + columns[0, 1, 0, i]
        both[1, i] = columns[0, 0, 1, i] + columns[0, 1, 1, i]
    move = estimate(pull, curvature, both[0], both[1], tied, blocks)
    return pull, curvature, columns[0], move
