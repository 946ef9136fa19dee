"""Mirror correlation over all positions of the axis, and its sub-pixel refinement."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

_COARSE_SIGMA_PX = 2.0
_EDGE_SIGMAS = 3.0
_HUBER = 2.5
_TOLERANCE = 0.1
"""Share of their power by which true mirror images may differ: interpolation, drift, tilt."""
_WORST = 5.0
_ENOUGH_LINES = 32
_SMOOTHING_PX = (4.0, 2.0, 1.0, 0.5)
_BLOCKS = 64
_FEWEST_BLOCKS = 4


@dataclass(frozen=True)
class MirrorPeak:
    """Where lines and mirrored opposites agree best.

    Attributes
    ----------
    value : float
        Axis in columns, to half a column.
    evidence : float
        How much better the lines are explained by mirrored opposites with noise than by lines of
        their own: log-likelihood ratio, summed over the shared columns, for one pair of lines.
    runner_up : float
        The same at the best other place, at least 0.
    significance : float
        The evidence in standard deviations of what noise alone gives.
    at_border : bool
        The best position is the first or last one allowed, so that it is no peak.
    """

    value: float
    evidence: float
    runner_up: float
    significance: float
    at_border: bool


def mirror_peak(
    lines: tuple[Float, Float],
    changes: Float,
    low: float,
    high: float,
    min_overlap: int,
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
    lines : (views, opposites), ndarray of float64, (lines, columns)
    changes : ndarray of float64, (n, columns)
        Differences of views that follow each other, which tell the noise.
    low, high : float
        Range of the axis.
    min_overlap : int
        Fewest columns that must be shared.

    Returns
    -------
    MirrorPeak or None
        None if there is no position to try, or nothing in the lines.
    """
    margin = int(np.ceil(_EDGE_SIGMAS * _COARSE_SIGMA_PX))
    first, second = (_band(stack)[:, margin:-margin] for stack in lines)
    columns = first.shape[1]
    if columns < 4 or not first.any() or not second.any():
        return None
    noise = np.mean(_band(changes)[:, margin:-margin] ** 2, axis=0) / 2
    # The derivative changes its sign in a mirror.
    evidence = _evidence(first, -second, noise)
    twice = np.arange(2 * columns - 1)
    shared = np.minimum(twice, 2 * columns - 2 - twice) + 1
    # Every other antidiagonal has one column more: a running mean takes the zigzag out.
    evidence = np.convolve(evidence, (0.25, 0.5, 0.25), mode="same")
    axes = twice / 2 + margin
    allowed = (axes >= low) & (axes <= high) & (shared >= max(4, min_overlap - 2 * margin))
    if np.count_nonzero(allowed) < 3:
        return None
    axes, evidence, shared = axes[allowed], evidence[allowed], shared[allowed]
    best = int(np.argmax(evidence))
    inner = np.flatnonzero((evidence[1:-1] >= evidence[:-2]) & (evidence[1:-1] > evidence[2:])) + 1
    others = inner[np.abs(axes[inner] - axes[best]) > 3 * _COARSE_SIGMA_PX]
    runner_up = max(0.0, float(evidence[others].max())) if others.size else 0.0
    # A variance of n lines has a relative error of sqrt(2 / n); columns are tied over 2 sigma.
    chance = np.sqrt(4 * _COARSE_SIGMA_PX * shared[best] / len(first))
    return MirrorPeak(
        float(axes[best]),
        float(evidence[best]),
        runner_up,
        float(evidence[best] / chance),
        best in (0, len(axes) - 1),
    )


def refine_axis(lines: Float, opposites: Float, start: float) -> tuple[float, float]:
    """Sub-pixel axis: least squares between lines and mirrored opposites (Gauss-Newton).

    Lines are smoothed by a Gaussian (4, 2, 1, then 0.5 px: the width with the least error counts)
    and compared in the columns that both see, tapered towards the end of the overlap, without
    their level and slope. Outliers weigh less (Huber).

    Parameters
    ----------
    lines, opposites : ndarray of float64, (lines, columns)
    start : float
        Axis to about a pixel.

    Returns
    -------
    value, uncertainty : float
        Axis and its standard error in columns: the larger of two. One takes columns as
        independent and views not, so that what stripes do is contained in it; the other takes
        blocks of lines as independent and columns not, so that it holds where the overlap is a
        few lengths of the noise's correlation wide (after phase retrieval), of which the columns
        alone cannot tell. Lines of one view should follow each other.
    """
    from scipy import ndimage

    best = (start, np.inf)
    for sigma in _SMOOTHING_PX:
        smooth = [ndimage.gaussian_filter1d(stack, sigma, axis=1) for stack in (lines, opposites)]
        found = _gauss_newton(smooth[0], smooth[1], best[0], sigma)
        if found[1] < best[1]:
            best = found
    return best


def _gauss_newton(
    lines: Float, opposites: Float, value: float, sigma: float
) -> tuple[float, float]:
    from scipy import ndimage

    columns = lines.shape[1]
    spline = ndimage.spline_filter1d(opposites, order=3, axis=1, mode="mirror")
    slope = (np.roll(lines, -1, axis=1) - np.roll(lines, 1, axis=1)) / 2
    uncertainty = np.inf
    for _ in range(12):
        reach = min(value, columns - 1 - value) - 3 * sigma
        first, last = int(np.ceil(value - reach)), int(np.floor(value + reach))
        if reach < 6 * sigma:
            return value, np.inf
        columns_used = np.arange(first, last + 1)
        mirrored, mirrored_slope = _mirror(spline, value, columns_used)
        window = _taper(np.abs(columns_used - value) / reach)
        basis = np.stack([np.ones(len(columns_used)), columns_used - value], axis=1)
        difference = _without(basis, window, lines[:, first : last + 1] - mirrored)
        # Both give the slope of the opposite view; their noise is independent.
        slopes = [
            _without(basis, window, own) for own in (mirrored_slope, -slope[:, first : last + 1])
        ]
        scale = 1.4826 * np.median(np.abs(difference)) + 1e-30
        weight = window / np.maximum(1, np.abs(difference) / (_HUBER * scale))
        # d/dc of p(2c - s) is twice the slope. The product of the two slopes, unlike a square,
        # does not grow with the noise.
        curvature = 4 * float(np.sum(weight * slopes[0] * slopes[1]))
        if not curvature > 0:
            return value, np.inf
        pull = weight * difference * (slopes[0] + slopes[1])
        step = float(pull.sum()) / curvature
        uncertainty = _scatter(pull, sigma) / curvature
        value += float(np.clip(step, -1.0, 1.0))
        if abs(step) < 1e-4:
            break
    return value, uncertainty


def _scatter(pull: Float, sigma: float) -> float:
    """Standard error of the sum of all pulls (lines, columns), from their scatter."""
    # Smoothing ties neighbouring columns: group them before they count as independent.
    columns = np.add.reduceat(pull.sum(axis=0), np.arange(0, pull.shape[1], max(1, int(4 * sigma))))
    parts = [columns]
    if len(pull) >= _FEWEST_BLOCKS:
        blocks = min(_BLOCKS, len(pull))
        starts = np.arange(blocks) * len(pull) // blocks
        parts.append(np.add.reduceat(pull.sum(axis=1), starts))
    return max(math.sqrt(len(part)) * float(np.std(part, ddof=1)) for part in parts)


def _mirror(spline: Float, value: float, columns: NDArray[np.intp]) -> tuple[Float, Float]:
    """Opposites and their slope at 2c - s, from cubic spline coefficients."""
    position = 2 * value - columns
    base = np.floor(position[0])
    t = float(position[0] - base)
    index = (np.floor(position + 1e-9) if t < 1e-9 else np.floor(position)).astype(np.intp)
    u = 1 - t
    values = (u**3 / 6, 2 / 3 - t**2 * (1 - t / 2), 2 / 3 - u**2 * (1 - u / 2), t**3 / 6)
    slopes = (-(u**2) / 2, 1.5 * t**2 - 2 * t, 2 * u - 1.5 * u**2, t**2 / 2)
    result = np.zeros((len(spline), len(columns)))
    derivative = np.zeros_like(result)
    last = spline.shape[1] - 1
    for offset in range(4):
        taps = spline[:, np.clip(index + offset - 1, 0, last)]
        result += values[offset] * taps
        derivative += slopes[offset] * taps
    return result, derivative


def _evidence(first: Float, second: Float, noise: Float) -> Float:
    """Log-likelihood ratios summed along the antidiagonals i + j of all pairs of columns."""
    from scipy import ndimage

    count, columns = first.shape
    one, two = (stack.astype(np.float32) for stack in (first, second))
    # Few lines tell the power of a column badly: its neighbours have about the same.
    width = 1 + 2 * (_ENOUGH_LINES // count)
    powers = [
        ndimage.uniform_filter1d(np.mean(stack**2, axis=0), width, mode="nearest")
        for stack in (first, second)
    ]
    floors = [np.minimum(noise, power) for power in powers]
    smallest = 1e-12 * max(float(power.max()) for power in powers)
    result = np.zeros(2 * columns - 1)
    for start in range(0, columns, 256):
        part = slice(start, min(start + 256, columns))
        unrelated = powers[0][part, None] + powers[1] + smallest
        expected = floors[0][part, None] + floors[1] + _TOLERANCE * unrelated
        difference = unrelated - 2 * (one[:, part].T @ two) / count
        score = 1 + np.log(unrelated / expected) - difference / expected
        # A few columns that cannot agree (a dead one) must not outweigh all others.
        np.maximum(score, -_WORST, out=score)
        place = np.add.outer(np.arange(part.start, part.stop), np.arange(columns))
        result += np.bincount(place.ravel(), score.ravel(), 2 * columns - 1)
    return result


def _band(lines: Float) -> Float:
    from scipy import ndimage

    result: Float = ndimage.gaussian_filter1d(
        lines, _COARSE_SIGMA_PX, axis=1, order=1, truncate=_EDGE_SIGMAS
    )
    return result


def _taper(distance: Float) -> Float:
    """1 up to 0.7 of the overlap's half width, falling to 0 at its end."""
    ramp = np.clip((1 - distance) / 0.3, 0, 1)
    result: Float = np.sin(np.pi / 2 * ramp) ** 2
    return result


def _without(basis: Float, window: Float, lines: Float) -> Float:
    """Lines less their weighted least-squares fit by the basis."""
    weighted = basis * window[:, None]
    fit = np.linalg.solve(weighted.T @ basis, weighted.T @ lines.T)
    result: Float = lines - (basis @ fit).T
    return result
