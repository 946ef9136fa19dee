"""How well opposites mirror onto lines, at all positions of the axis."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.jit import has_numba
from hipct.reconstruction.axis_filter import derivative_taps, filtered, single
from hipct.reconstruction.axis_pair import Pairs

Float = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]
Singles = NDArray[np.float32]

_COARSE_SIGMA_PX = 2.0
_MARGIN_PX = 6
"""Columns at both ends that the filter knows a part of only."""
_TOLERANCE = 0.1
"""Share of their power by which true mirror images may differ: interpolation, drift, tilt."""
_WORST = 5.0
_ENOUGH_LINES = 32
_QUICK_STEP = 2
_FEW_CHANGES, _MOST_CHANGES = 16, 4096
_FEW_LINES = 8
_FEW_SHARE = 16
_MORE = 4
_BATCH_LINES = 64
_MANY_COLUMNS = 256
_BIN_COLUMNS, _MOST_BINS = 8, 64
_VALLEY = 0.7
_CLEAR_SIGNIFICANCE, _CLEAR_SHARE = 10.0, 0.7


@dataclass(frozen=True)
class MirrorPeak:
    """Where lines and mirrored opposites agree best.

    Attributes
    ----------
    value : float
        Axis in columns, to half a column or as far as ``doubt_px`` says.
    evidence : float
        How much better the lines are explained by mirrored opposites with noise than by lines of
        their own: log-likelihood ratio, summed over the shared columns, for one pair of lines.
    runner_up : float
        The same at the best other place, at least 0.
    significance : float
        The evidence in standard deviations of what noise alone gives.
    at_border : bool
        The best position is the first or last one allowed, so that it is no peak.
    doubt_px : float
        How far from it, without a valley between, the evidence is nearly as good: lines that are
        smooth and noisy make a wide hill with ripples, of which one is the highest by chance.
    """

    value: float
    evidence: float
    runner_up: float
    significance: float
    at_border: bool
    doubt_px: float

    @property
    def clear(self) -> bool:
        """Nothing that more lines say could name another place."""
        return (
            not self.at_border
            and self.significance >= _CLEAR_SIGNIFICANCE
            and self.runner_up <= _CLEAR_SHARE * self.evidence
        )


def search_mirror(pairs: Pairs, low: float, high: float, min_overlap: int) -> MirrorPeak | None:
    """:func:`mirror_peak` of some lines by the quick way if it is clear, of all in any case."""
    columns = pairs.views.shape[2]
    if columns >= _MANY_COLUMNS:
        count = max(_FEW_LINES, pairs.count // _FEW_SHARE)
        while True:
            count = count if 2 * count <= pairs.count else pairs.count
            thin, some = pairs.thinned(count)
            # What is smoothed so much is told by every other column.
            changes = _band(pairs.changes(max(_FEW_CHANGES, count)), step=_QUICK_STEP)
            bands = [_band(one, thin.stripes, some, step=_QUICK_STEP) for one in thin.lines]
            peak = _peak(bands, changes, (low, high), min_overlap, step=_QUICK_STEP)
            if peak is not None and peak.clear:
                return peak
            if count == pairs.count:
                break
            count *= _MORE
    bands = [_band(stack, pairs.stripes) for stack in pairs.lines]
    changes = _band(pairs.changes(_MOST_CHANGES))
    return _peak(bands, changes, (low, high), min_overlap)


def mirror_peak(
    lines: tuple[Reals, Reals],
    changes: Reals,
    low: float,
    high: float,
    min_overlap: int,
    *,
    quick: bool = False,
) -> MirrorPeak | None:
    """Find the axis that mirrors opposites onto lines, to half a column.

    Both are differentiated (Gaussian derivative, 2 px), so that neither the level nor slow
    shading matters. For every pair of columns the variance D of the difference of lines and
    mirrored opposites is compared with what noise explains (N, plus a tolerance) and with what
    unrelated lines would have (V): ``1 + log(V / N) - D / N``. Summed over the columns that an
    axis makes share, this is the log-likelihood ratio of "the same, with noise" to "unrelated".
    A correlation would not do: it is small at the true axis of a noisy scan, and high wherever
    the outline of a body that is nearly symmetric enters the field.

    Parameters
    ----------
    lines : (views, opposites), ndarray of float, (lines, columns)
    changes : ndarray of float, (n, columns)
        Differences of views that follow each other, which tell the noise.
    low, high : float
        Range of the axis.
    min_overlap : int
        Fewest columns that must be shared.
    quick : bool
        By a transform instead of all pairs of columns, which is near to it.

    Returns
    -------
    MirrorPeak or None
        None if there is no position to try, or nothing in the lines.
    """
    step = _QUICK_STEP if quick else 1
    first, second, some = (_band(stack, step=step) for stack in (*lines, changes))
    return _peak([first, second], some, (low, high), min_overlap, step=step)


def _peak(
    bands: list[Reals],
    changes: Reals,
    limits: tuple[float, float],
    min_overlap: int,
    *,
    step: int = 1,
) -> MirrorPeak | None:
    """:func:`mirror_peak` of every column, or so-many-th by the quick way, as :func:`_band` has."""
    first, second = bands
    columns = first.shape[1]
    if columns < 4 or not first.any() or not second.any():
        return None
    # The derivative changes its sign in a mirror.
    evidence = (_quick_evidence if step > 1 else _evidence)(first, -second, changes)
    # Every other antidiagonal has one column more: a running mean takes the zigzag out.
    evidence = step * np.convolve(evidence, (0.25, 0.5, 0.25), mode="same")
    # Place k is that of the axis k step / 2 + margin, which makes so many columns share.
    begin = max(math.ceil(2 * (limits[0] - _MARGIN_PX) / step), 0)
    end = min(math.floor(2 * (limits[1] - _MARGIN_PX) / step), 2 * columns - 2)
    fewest = math.ceil(max(4, min_overlap - 2 * _MARGIN_PX) / step) - 1
    begin, end = max(begin, fewest), min(end, 2 * columns - 2 - fewest)
    if end - begin < 2:
        return None
    apart = 6 * _COARSE_SIGMA_PX / step
    best, runner_up, doubt = _highest(evidence, begin, end + 1, apart)
    # A variance of n lines has a relative error of sqrt(2 / n); columns are tied over 2 sigma.
    shared = step * (min(best, 2 * columns - 2 - best) + 1)
    chance = math.sqrt(4 * _COARSE_SIGMA_PX * shared / len(first))
    vertex = _vertex(evidence, best) if begin < best < end else 0.0
    return MirrorPeak(
        (best + vertex) * step / 2 + _MARGIN_PX,
        float(evidence[best]),
        runner_up,
        float(evidence[best]) / chance,
        best in (begin, end),
        doubt * step / 2,
    )


def _highest(evidence: Float, begin: int, end: int, apart: float) -> tuple[int, float, int]:
    """Highest place of ``begin .. end``, the evidence of the best other one, and the doubt.

    Other places are more than ``apart`` off it, beyond a valley: a ripple on the slope of the
    highest is none. The doubt is how many places off it no valley lies before.
    """
    if has_numba():
        from hipct.reconstruction.axis_overlap_numba import highest

        best, runner_up, doubt = highest(evidence, begin, end, apart, _VALLEY)
        return int(best), float(runner_up), int(doubt)
    some = evidence[begin:end]
    best = int(np.argmax(some))
    inner = np.flatnonzero((some[1:-1] >= some[:-2]) & (some[1:-1] > some[2:])) + 1
    before = np.minimum.accumulate(some[best::-1])[::-1]
    behind = np.minimum.accumulate(some[best:])
    valley = np.concatenate([before, behind[1:]])
    others = inner[(np.abs(inner - best) > apart) & (valley[inner] < _VALLEY * some[inner])]
    runner_up = max(0.0, float(some[others].max())) if others.size else 0.0
    near = np.abs(np.arange(len(some)) - best)[valley > _VALLEY * some[best]]
    return begin + best, runner_up, int(np.max(near, initial=0))


def _vertex(values: Float, place: int) -> float:
    """Where a parabola through a highest value and its neighbours is highest, from its place."""
    before, middle, behind = (float(values[place + k]) for k in (-1, 0, 1))
    return (behind - before) / max(2 * (2 * middle - before - behind), 1e-300)


def _evidence(first: Reals, second: Reals, changes: Reals) -> Float:
    """Log-likelihood ratios summed along the antidiagonals i + j of all pairs of columns."""
    count, columns = first.shape
    one, two = (stack.astype(np.float32, copy=False) for stack in (first, second))
    variances, _ = _variances(first, second, changes)
    powers, expected = variances[:2], variances[2:]
    result = np.zeros(2 * columns - 1)
    for start in range(0, columns, 64):
        part = slice(start, min(start + 64, columns))
        unrelated = np.add.outer(powers[0][part], powers[1])
        score = one[:, part].T @ two
        score *= 2 / count
        score -= unrelated
        explained = np.add.outer(expected[0][part], expected[1])
        score /= explained
        unrelated /= explained
        np.log(unrelated, out=unrelated)
        score += unrelated
        # A few columns that cannot agree (a dead one) must not outweigh all others.
        np.maximum(score, -1 - _WORST, out=score)
        score += 1
        result[start : part.stop + columns - 1] += _antidiagonals(score)
    return result


def _quick_evidence(first: Reals, second: Reals, changes: Reals) -> Float:
    """The same but for the worst columns, by a transform instead of all pairs of columns.

    What lines have in common is divided by the expected variance, a sum of the two columns'. Where
    they mirror each other the two are alike, and the sum is twice its geometric mean: a product,
    so that the lines are whitened and correlated. What depends on the powers alone varies slowly
    with the column.
    """
    variances, scales = _variances(first, second, changes, _QUICK_STEP)
    return _correlated(first, second, *scales) + _of_powers(variances)


def _of_powers(variances: Singles) -> Float:
    """``1 + log(V / N) - V / N`` summed along the antidiagonals, of means over some columns."""
    columns = variances.shape[1]
    each = max(_BIN_COLUMNS, columns // _MOST_BINS)
    if has_numba():
        from hipct.reconstruction.axis_overlap_numba import of_powers

        sums: Float = of_powers(variances, each)
        return sums
    bins = columns // each
    binned = variances[:, : bins * each].reshape(4, bins, each).sum(axis=2)
    ratio = (binned[0][:, None] + binned[1]) / (binned[2][:, None] + binned[3])
    alone = each * _antidiagonals(1 + np.log(ratio) - ratio)
    middles = each * np.arange(1, 2 * bins) - 1
    between: Float = np.interp(np.arange(2 * columns - 1), middles, alone)
    return between


def _correlated(first: Reals, second: Reals, *scales: Reals) -> Float:
    """Mean over the lines of their convolutions with each other, both scaled by columns."""
    import scipy.fft

    count, columns = first.shape
    size = scipy.fft.next_fast_len(2 * columns - 1, real=True)
    common = np.zeros(size, np.complex128)
    if has_numba():
        from hipct.reconstruction.axis_overlap_numba import add_squares

        add_squares(single(first), single(second), *scales, *_transform_of(size), common)
    else:
        for start in range(0, count, _BATCH_LINES):
            part = slice(start, start + _BATCH_LINES)
            scaled = first[part] * scales[0] + 1j * second[part] * scales[1]
            spectra = scipy.fft.fft(scaled, size, axis=1)
            common += np.einsum("ij,ij->j", spectra, spectra)
    # (f + i s) * (f + i s) = f * f - s * s + 2 i f * s: one transform for both.
    squares = scipy.fft.ifft(common).imag[: 2 * columns - 1]
    mean: Float = squares / (2 * count)
    return mean


@lru_cache(maxsize=8)
def _transform_of(size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Radices and twiddles."""
    from hipct.core.fft_numba import radices, twiddles

    return np.array(radices(size)), twiddles(size)


def _variances(
    first: Reals, second: Reals, changes: Reals, step: int = 1
) -> tuple[Singles, Singles]:
    """Powers of both and what true mirror images differ by, (4, columns), and scales of that.

    Both variances sum over two lines.
    """
    # Few lines tell the power of a column badly: its neighbours have about the same.
    width = 1 + 2 * (_ENOUGH_LINES // (len(first) * step))
    if has_numba():
        from hipct.reconstruction.axis_overlap_numba import variances

        both = single(first), single(second), single(changes)
        found: tuple[Singles, Singles] = variances(*both, width, _TOLERANCE)
        return found
    from scipy import ndimage

    noise = np.einsum("ij,ij->j", changes, changes) / (2 * len(changes))
    powers = np.stack(
        [
            ndimage.uniform_filter1d(
                np.einsum("ij,ij->j", stack, stack) / len(stack), width, mode="nearest"
            )
            for stack in (first, second)
        ]
    )
    floors = np.minimum(noise, powers)
    powers += 0.5e-12 * powers.max()
    expected = (floors + _TOLERANCE * powers).astype(np.float32)
    return np.concatenate([powers.astype(np.float32), expected]), 1 / np.sqrt(expected)


def _antidiagonals(score: Reals) -> Float:
    """Sums over the antidiagonals i + j of (rows, columns)."""
    rows, columns = score.shape
    # With as many zeros behind it as there are rows, each row of one place less begins one later.
    padded = np.zeros((rows, columns + rows), score.dtype)
    padded[:, :columns] = score
    length = columns + rows - 1
    sums: Float = padded.reshape(-1)[: rows * length].reshape(rows, length).sum(axis=0)
    return sums


def _band(
    lines: Reals,
    stripes: Reals | None = None,
    some: NDArray[np.intp] | None = None,
    *,
    step: int = 1,
) -> Reals:
    """Derivative of lines, without the columns at both ends; of every ``step``-th column."""
    inside = slice(_MARGIN_PX, max(_MARGIN_PX, lines.shape[1] - _MARGIN_PX), step)
    return filtered(lines, _band_taps(), stripes, some, inside)


@cache
def _band_taps() -> NDArray[np.float32]:
    return derivative_taps(_COARSE_SIGMA_PX, _MARGIN_PX)
