"""The axis to a fraction of a pixel, from views and their opposites.

Least squares between lines and mirrored opposites. What makes it cheap: lines are transformed once,
so that smoothing and moving them by a part of a column is one factor in their spectra, and no
spline is fitted; both are moved until the axis lies on a column or between two, where the mirror
image is the same columns backwards. The way to the minimum and which smoothing is best are found on
a few of the lines; all of them have the last word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.reconstruction.axis_pair import Pairs

Reals = NDArray[np.floating[Any]]
Complexes = NDArray[np.complexfloating[Any, Any]]

_HUBER = 2.5
_SMOOTHING_PX = (4.0, 2.0, 1.0, 0.5)
_BLOCKS = 64
_FEWEST_BLOCKS = 4
_FEW_LINES = 16
_FEW_SHARE = 16
_LEADS_PX = 0.3
"""Error of a few lines up to which they lead to the minimum of all."""
_NEAR_PX = 0.25
"""Steps of a part of the lines that the first order holds for."""
_SETTLED_PX = 0.05
"""Steps after which the next one would change less than a hundredth."""
_MOST_STEPS = 12
_SCALE_SAMPLES = 4096
_BATCH_SAMPLES = 1 << 15
"""Samples that are compared at a time, so that they stay in the cache."""

Estimate = tuple[float, float]


def refine_axis(lines: Reals, opposites: Reals, start: float) -> Estimate:
    """Sub-pixel axis: least squares between lines and mirrored opposites (Gauss-Newton).

    Lines are smoothed by a Gaussian (4, 2, 1 or 0.5 px: the width with the least error counts)
    and compared in the columns that both see, tapered towards the end of the overlap, without
    their level and slope. Outliers weigh less (Huber).

    Parameters
    ----------
    lines, opposites : ndarray of float, (lines, columns)
    start : float
        Axis to about a pixel.

    Returns
    -------
    value, uncertainty : float
        Axis and its standard error in columns: the larger of two. One takes columns as
        independent and views not, so that what stripes do is contained in it; the other takes
        blocks of lines as independent and columns not, so that it holds where the overlap is a
        few lengths of the noise's correlation wide (after phase retrieval), of which the columns
        alone cannot tell. Lines of one view should follow each other. Infinite where nothing was
        found.
    """
    found = _best(_Spectra.of(lines, opposites), start, 1)
    return (start, math.inf) if found is None else found.whole


def refine_pairs(pairs: Pairs, start: float) -> list[Estimate]:
    """Refine on all lines of pairs, and on those of the upper and the lower half of the rows.

    Parameters
    ----------
    pairs : Pairs
    start : float
        Axis to about a pixel.

    Returns
    -------
    list of (value, uncertainty)
        As of :func:`refine_axis`: all rows; and from 2 rows on the upper and the lower half.
    """
    rows = pairs.views.shape[1]
    # Removing stripes may remove some of the object: whichever leaves less doubt.
    variants = (False,) if pairs.stripes_exact else (False, True)
    tries = [one for one in (_found(pairs, start, striped=striped) for striped in variants) if one]
    found = min(tries, key=lambda one: one.whole[1], default=None)
    estimates = [(start, math.inf) if found is None else found.whole]
    for number in range(2 if rows > 1 else 0):
        value, error = (start, math.inf) if found is None else found.half(number, rows)
        if found is None or not math.isfinite(error) or abs(value - found.at) > _NEAR_PX:
            # Too far from where all rows were compared: a tilt.
            half = slice(0, rows // 2) if number == 0 else slice(rows // 2, rows)
            value, error = refine_pairs(pairs.of_rows(half), start)[0]
        estimates.append((value, error))
    return estimates


def _found(pairs: Pairs, start: float, *, striped: bool) -> _Comparison | None:
    """All lines, with or without stripes, at the smoothing that is best."""
    rows = pairs.views.shape[1]
    few = max(_FEW_LINES, pairs.count // _FEW_SHARE)
    lines = _Spectra.of(*pairs.lines(striped=striped))
    if 2 * few <= pairs.count:
        # Rows of different heights and views of different angles alike.
        some = np.linspace(0, pairs.count - 1, few).round().astype(np.intp)
        scout = _best(lines.part(some), start, 1)
        if scout is not None and scout.whole[1] < _LEADS_PX:
            # Few lines tell the best smoothing to about one step.
            near = [one for one in _SMOOTHING_PX if 0.5 <= one / scout.sigma <= 2]
            found = _best(lines, scout.whole[0], rows, near)
            # Where it does not fall with their number, a few have found chance.
            expected = scout.whole[1] * math.sqrt(few / pairs.count)
            if found is not None and found.whole[1] < 2 * expected:
                return found
    return _best(lines, start, rows)


@dataclass(frozen=True)
class _Spectra:
    """Lines and their opposites, transformed, without the straight line from end to end.

    That line is what makes a transform ring, and no comparison sees it.
    """

    ahead: Complexes
    back: Complexes
    columns: int
    size: int

    @classmethod
    def of(cls, lines: Reals, opposites: Reals) -> _Spectra:
        import scipy.fft

        columns = lines.shape[1]
        size = scipy.fft.next_fast_len(columns, real=True)
        ramp = np.linspace(0, 1, columns, dtype=lines.dtype)
        spectra = []
        for stack in (lines, opposites):
            level = stack - stack[:, :1]
            level -= level[:, -1:] * ramp
            spectra.append(scipy.fft.rfft(level, size, axis=1, overwrite_x=True))
        return cls(spectra[0], spectra[1], columns, size)

    def part(self, some: NDArray[np.intp]) -> _Spectra:
        return replace(self, ahead=self.ahead[some], back=self.back[some])

    def sampled(self, which: slice, sigma: float, shift: float) -> tuple[Reals, Reals]:
        """Smoothed by a Gaussian, at columns + shift: (lines, size) both."""
        import scipy.fft

        omega = 2 * np.pi * np.arange(self.ahead.shape[1]) / self.size
        factor = np.exp(omega * (1j * shift - 0.5 * sigma**2 * omega)).astype(self.ahead.dtype)
        ahead, back = (
            scipy.fft.irfft(stack[which] * factor, self.size, axis=1, overwrite_x=True)
            for stack in (self.ahead, self.back)
        )
        return ahead, back


@dataclass(frozen=True)
class _Comparison:
    """Lines and mirrored opposites about a place: what pulls the axis, by lines and by columns.

    Attributes
    ----------
    at : float
        Axis that was tried.
    sigma : float
    pull, curvature : ndarray of float64, (lines,)
    columns : ndarray of float64, (2, columns)
        Pulls by columns, of the upper and the lower half of the rows.
    """

    at: float
    sigma: float
    pull: Reals
    curvature: Reals
    columns: Reals

    @cached_property
    def whole(self) -> Estimate:
        """Value, one step better, and standard error of all lines."""
        return self._estimate(self.pull, self.curvature, self.columns.sum(axis=0))

    def half(self, number: int, rows: int) -> Estimate:
        """The same of the upper (0) or the lower (1) half of the rows."""
        half = slice(0, rows // 2) if number == 0 else slice(rows // 2, rows)
        pull, curvature = (
            one.reshape(-1, rows)[:, half].ravel() for one in (self.pull, self.curvature)
        )
        return self._estimate(pull, curvature, self.columns[number])

    def _estimate(self, pull: Reals, curvature: Reals, columns: Reals) -> Estimate:
        total = float(curvature.sum())
        if not total > 0:
            return self.at, math.inf
        step = min(1.0, max(-1.0, float(pull.sum()) / total))
        return self.at + step, max(_scatters(pull, columns, self.sigma)) / total


def _best(
    lines: _Spectra, start: float, rows: int, smoothings: Sequence[float] = _SMOOTHING_PX
) -> _Comparison | None:
    """At the smoothing with the least error, from the widest on, each followed to its minimum."""
    best: _Comparison | None = None
    value, error = start, math.inf
    for sigma in smoothings:
        found = _settled(lines, value, sigma, rows)
        if found is not None and found.whole[1] < error:
            best, (value, error) = found, found.whole
    return best


def _settled(lines: _Spectra, value: float, sigma: float, rows: int) -> _Comparison | None:
    """Steps at one smoothing, until what the next one could change is too little."""
    found: _Comparison | None = None
    for _ in range(_MOST_STEPS):
        found = _compared(lines, value, sigma, rows)
        if found is None or not math.isfinite(found.whole[1]):
            return None
        value = found.whole[0]
        if abs(value - found.at) < _SETTLED_PX:
            break
    return found


def _compared(lines: _Spectra, axis: float, sigma: float, rows: int) -> _Comparison | None:
    """Compare about an axis; None where the overlap is too narrow for the smoothing."""
    reach = min(axis, lines.columns - 1 - axis) - 3 * sigma
    if reach < 6 * sigma:
        return None
    centre = round(2 * axis) / 2
    first = math.ceil(centre - reach)
    from_axis = np.arange(first, 2 * centre - first + 1) - centre
    window = _taper(np.abs(from_axis) / reach).astype(lines.ahead.real.dtype)
    basis = np.stack([np.ones_like(from_axis), from_axis]).astype(window.dtype)
    # The window is symmetric, so that level and slope do not see each other.
    project = (basis * window).T / np.sum(basis**2 * window, axis=1)
    shift, width = axis - centre, len(from_axis)

    def difference(which: slice) -> tuple[Reals, Reals, Reals]:
        ahead, back = lines.sampled(which, sigma, shift)
        ahead = ahead[:, first - 1 : first + width + 1]
        back = back[:, first - 1 : first + width + 1][:, ::-1]
        apart = ahead[:, 1:-1] - back[:, 1:-1]
        apart -= (apart @ project) @ basis
        return apart, ahead, back

    count = len(lines.ahead)
    pull, curvature = np.empty(count), np.empty(count)
    columns = np.zeros((2, width))
    batch = max(1, _BATCH_SAMPLES // lines.size)
    upper = np.arange(count) % rows < rows // 2
    halves = np.stack([upper, ~upper]).astype(window.dtype)
    scale = _scale(difference(slice(0, count, count // batch + 1))[0]) if batch < count else None
    for start in range(0, count, batch):
        which = slice(start, start + batch)
        apart, ahead, back = difference(which)
        if scale is None:
            scale = _scale(apart)
        # Both give the slope of the line; their noise is independent.
        slopes = []
        for stack in (ahead, back):
            slope = stack[:, :-2] - stack[:, 2:]
            slope -= (slope @ project) @ basis
            slopes.append(slope)
        weight = np.abs(apart)
        weight *= 1 / (_HUBER * scale)
        np.maximum(weight, 1, out=weight)
        np.divide(window, weight, out=weight)
        # d/dc of p(2c - s) is twice the slope. The product of the two slopes, unlike a square,
        # does not grow with the noise.
        apart *= weight
        weight *= slopes[0]
        curvature[which] = np.einsum("ij,ij->i", weight, slopes[1])
        slopes[0] += slopes[1]
        apart *= slopes[0]
        pull[which] = apart.sum(axis=1) / 2
        columns += halves[:, which] @ apart
    columns /= 2
    return _Comparison(axis, sigma, pull, curvature, columns)


def _scale(apart: Reals) -> float:
    """Spread of differences by their median, of some lines where there are many."""
    some = apart[:: max(1, apart.size // _SCALE_SAMPLES)]
    return float(1.4826 * np.median(np.abs(some)) + 1e-30)


def _scatters(lines: Reals, columns: Reals, sigma: float) -> list[float]:
    """Standard error of the sum of all pulls, from their scatter by columns; and by lines."""
    # Smoothing ties neighbouring columns: group them before they count as independent.
    parts = [np.add.reduceat(columns, np.arange(0, len(columns), max(1, int(4 * sigma))))]
    if len(lines) >= _FEWEST_BLOCKS:
        blocks = min(_BLOCKS, len(lines))
        parts.append(np.add.reduceat(lines, np.arange(blocks) * len(lines) // blocks))
    return [math.sqrt(len(part)) * float(np.std(part, ddof=1)) for part in parts]


def _taper(distance: Reals) -> Reals:
    """1 up to 0.7 of the overlap's half width, falling to 0 at its end."""
    ramp = np.clip((1 - distance) / 0.3, 0, 1)
    result: Reals = np.sin(np.pi / 2 * ramp) ** 2
    return result
