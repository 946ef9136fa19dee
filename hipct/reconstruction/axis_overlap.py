"""Mirror correlation over all positions of the axis, and its sub-pixel refinement."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy import ndimage

Float = NDArray[np.float64]

_COARSE_SIGMA_PX = 2.0
_EDGE_SIGMAS = 3.0
_HUBER = 2.5
_SMOOTHING_PX = (4.0, 2.0, 1.0)


@dataclass(frozen=True)
class MirrorPeak:
    """Where lines and mirrored opposites agree best.

    Attributes
    ----------
    value : float
        Axis in columns.
    correlation : float
        Normalised correlation there, -1 to 1.
    runner_up : float
        Highest correlation of any other peak, at least 0.
    significance : float
        The correlation in standard deviations of chance.
    at_border : bool
        The best position is the first or last one allowed, so that it is no peak.
    """

    value: float
    correlation: float
    runner_up: float
    significance: float
    at_border: bool


def mirror_peak(
    lines: Float, opposites: Float, low: float, high: float, min_overlap: int
) -> MirrorPeak | None:
    """Find the axis that mirrors ``opposites`` onto ``lines``, to a quarter of a pixel.

    Both are differentiated (Gaussian derivative, 2 px), so that neither the level nor slow
    shading matters, and correlated in the columns that they share for each axis, with the mean
    and the variance of exactly those columns: the ends of the detector leave no trace.

    Parameters
    ----------
    lines, opposites : ndarray of float64, (lines, columns)
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
    first, second = (_band(stack)[:, margin:-margin] for stack in (lines, opposites))
    columns = first.shape[1]
    if columns < 4:
        return None
    # The derivative changes its sign in a mirror.
    axes, score, shared = _mirror_ncc(first, -second)
    axes = axes + margin
    allowed = (axes >= low) & (axes <= high) & (shared >= max(4, min_overlap - 2 * margin))
    if np.count_nonzero(allowed) < 3 or not np.any(score[allowed]):
        return None
    axes, score, shared = axes[allowed], score[allowed], shared[allowed]
    # A small overlap reaches a high correlation by chance: compare lower bounds (Fisher's z).
    independent = np.maximum(shared * min(len(lines), 64) / (4 * _COARSE_SIGMA_PX), 4)
    bound = np.arctanh(np.clip(score, -0.9999, 0.9999)) - 2 / np.sqrt(independent - 3)
    best = int(np.argmax(bound))
    inner = np.flatnonzero((score[1:-1] >= score[:-2]) & (score[1:-1] > score[2:])) + 1
    others = inner[np.abs(axes[inner] - axes[best]) > 2 * _COARSE_SIGMA_PX]
    runner_up = max(0.0, float(score[others].max())) if others.size else 0.0
    at_border = best in (0, len(axes) - 1)
    shift = 0.0 if at_border else _parabola(score[best - 1 : best + 2])
    return MirrorPeak(
        float(axes[best] + 0.5 * shift),
        float(score[best]),
        runner_up,
        float(score[best] * np.sqrt(independent[best])),
        at_border,
    )


def refine_axis(lines: Float, opposites: Float, start: float) -> tuple[float, float]:
    """Sub-pixel axis: least squares between lines and mirrored opposites (Gauss-Newton).

    Lines are smoothed by a Gaussian (4, 2, then 1 px: the width with the least error counts)
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
        Axis and its standard error in columns. The error takes columns as independent and views
        not, so that what stripes do is contained in it.
    """
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
        difference = lines[:, first : last + 1] - mirrored
        basis = np.stack([np.ones(len(columns_used)), columns_used - value], axis=1)
        difference = _without(basis, window, difference)
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
        by_column = np.sum(weight * difference * (slopes[0] + slopes[1]), axis=0)
        step = float(by_column.sum()) / curvature
        value += float(np.clip(step, -1.0, 1.0))
        # Smoothing ties neighbouring columns: group them before they count as independent.
        groups = np.add.reduceat(by_column, np.arange(0, len(by_column), int(4 * sigma)))
        scatter = np.sum((groups - groups.mean()) ** 2) * len(groups) / (len(groups) - 1)
        uncertainty = float(np.sqrt(scatter)) / curvature
        if abs(step) < 1e-4:
            break
    return value, uncertainty


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


def _mirror_ncc(first: Float, second: Float) -> tuple[Float, Float, Float]:
    """Normalised correlation of lines with mirrored lines at every half pixel of the axis."""
    columns = first.shape[1]
    length = scipy.fft.next_fast_len(2 * columns - 1, real=True)
    spectrum = np.zeros(length // 2 + 1, np.complex128)
    for start in range(0, len(first), 64):
        part = slice(start, start + 64)
        one = scipy.fft.rfft(first[part], length, axis=1)
        one *= scipy.fft.rfft(second[part], length, axis=1)
        spectrum += one.sum(axis=0)
    product = scipy.fft.irfft(spectrum, length)[: 2 * columns - 1]
    twice = np.arange(2 * columns - 1)
    low, high = np.maximum(0, twice - columns + 1), np.minimum(columns - 1, twice) + 1
    shared = (high - low).astype(np.float64)
    sums = [_interval_sums(stack, low, high) for stack in (first, second)]
    squares = [
        _interval_sums(np.sum(stack**2, axis=0, keepdims=True), low, high)[0]
        for stack in (first, second)
    ]
    product = product - np.sum(sums[0] * sums[1], axis=0) / shared
    spreads = [
        np.maximum(square - np.sum(s**2, axis=0) / shared, 0) for s, square in zip(sums, squares)
    ]
    floor = 1e-9 * max(float(spreads[0].max()), float(spreads[1].max()))
    norm = np.sqrt(spreads[0] * spreads[1])
    score = np.divide(product, norm, out=np.zeros_like(product), where=norm > floor)
    return twice / 2, score, shared


def _interval_sums(stack: Float, low: NDArray[np.intp], high: NDArray[np.intp]) -> Float:
    total = np.concatenate([np.zeros((len(stack), 1)), np.cumsum(stack, axis=1)], axis=1)
    result: Float = total[:, high] - total[:, low]
    return result


def _band(lines: Float) -> Float:
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


def _parabola(values: Float) -> float:
    """Position of the top of a parabola through three samples, in samples from the middle."""
    curvature = float(values[0] - 2 * values[1] + values[2])
    return 0.5 * float(values[0] - values[2]) / curvature if curvature < 0 else 0.0
