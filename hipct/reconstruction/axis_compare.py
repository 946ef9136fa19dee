"""Lines compared with their mirrored opposites about a place: what pulls the axis from there.

Both are smoothed and moved until the place lies on a column or between two, where the mirror image
is the same columns backwards. What is left of their difference, times the slope of the lines, says
how far the axis is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.reconstruction.axis_filter import filtered, gaussian_taps, off_lines, single
from hipct.reconstruction.axis_pair import Pairs

Reals = NDArray[np.floating[Any]]
Singles = NDArray[np.float32]

_HUBER = 2.5
_BLOCKS = 64
_FEWEST_BLOCKS = 4
_SCALE_LINES = 4
_SCALE_SAMPLES = 512
_SPREAD = 1.4826
"""Standard deviation of a normal distribution whose absolute values have the median 1."""
_TINY = 1e-30
_PART_LINES = 64
_MOST_PARTS = 64

Estimate = tuple[float, float]


@dataclass(frozen=True)
class Comparison:
    """Lines and mirrored opposites about a place: what pulls the axis, by lines and by columns.

    Attributes
    ----------
    at : float
        Axis that was tried.
    sigma : float
        Smoothing in columns.
    step : int
        Every so many columns were compared.
    pull, curvature : ndarray of float64, (lines,)
    columns : ndarray of float64, (2, 2, columns)
        Pull and curvature by columns, of the upper and the lower half of the rows.
    move : (step, error)
        What all lines say.
    """

    at: float
    sigma: float
    step: int
    pull: Reals
    curvature: Reals
    columns: Reals
    move: Estimate

    @property
    def whole(self) -> Estimate:
        """Value, one step better, and standard error of all lines."""
        return self.at + self.move[0], self.move[1]

    def half(self, number: int, rows: int) -> Estimate:
        """The same of the upper (0) or the lower (1) half of the rows."""
        half = slice(0, rows // 2) if number == 0 else slice(rows // 2, rows)
        pull, curvature = (
            one.reshape(-1, rows)[:, half].ravel() for one in (self.pull, self.curvature)
        )
        step, error = _estimate(pull, curvature, self.columns[number], _tied(self.sigma, self.step))
        return self.at + step, error


def _tied(sigma: float, step: int) -> int:
    """Neighbours among the columns that depend on each other because of the smoothing."""
    return max(1, int(4 * sigma / step))


def _blocks(lines: int) -> int:
    """Blocks of lines that do not depend on each other; 0 where there are too few to tell."""
    return min(_BLOCKS, lines) if lines >= _FEWEST_BLOCKS else 0


def _estimate(pull: Reals, curvature: Reals, columns: Reals, tied: int) -> Estimate:
    """Step to the axis and its standard error, infinite where nothing pulls."""
    blocks = _blocks(len(pull))
    if has_numba():
        from hipct.reconstruction.axis_numba import estimate

        move: Estimate = estimate(pull, curvature, columns[0], columns[1], tied, blocks)
        return move
    total = float(curvature.sum())
    if not total > 0:
        return 0.0, math.inf
    step = min(1.0, max(-1.0, float(pull.sum()) / total))
    spread = _scatter(columns[0], columns[1], step, tied)
    if blocks:
        spread = max(spread, _scatter(pull, curvature, step, len(pull) / blocks))
    return step, spread / total


def _scatter(pulls: Reals, curvatures: Reals, step: float, each: float) -> float:
    """Standard error of the sum of pulls a step on, from that of ``each`` neighbours at a time.

    Few groups tell their own scatter badly: what is divided by it has a t-distribution of one
    degree of freedom less, whose variance is as much larger.
    """
    starts = np.arange(0, len(pulls) - 1e-6, each).astype(np.intp)
    groups = np.add.reduceat(pulls - step * curvatures, starts)
    return len(groups) * float(np.std(groups)) / math.sqrt(max(1, len(groups) - 3))


@dataclass(frozen=True)
class Lines:
    """Lines to compare: all columns, stripes on them that are taken off when they are read.

    Attributes
    ----------
    ahead, back : ndarray of float32, (lines, columns)
    stripes : ndarray of float32, (rows, columns) or (1, 0)
    rows : int
        The lines are those of one row after the other, view by view.
    some : ndarray of int
        Lines that are compared.
    """

    ahead: Singles
    back: Singles
    stripes: Singles
    rows: int
    some: NDArray[np.intp]

    @classmethod
    def of(cls, pairs: Pairs, *, striped: bool) -> Lines:
        """All lines of pairs."""
        ahead, back = (single(stack) for stack in pairs.lines)
        stripes = off_lines(None if striped else pairs.stripes)
        return cls(ahead, back, stripes, pairs.views.shape[1], np.arange(len(ahead)))

    def part(self, some: NDArray[np.intp]) -> Lines:
        """The same, of which some are compared."""
        return replace(self, some=some)

    def compare(self, axis: float, sigma: float) -> Comparison | None:
        """Compare about an axis; None where the overlap is too narrow for the smoothing."""
        columns = self.ahead.shape[1]
        reach = min(axis, columns - 1 - axis) - 3 * sigma
        if reach < 6 * sigma:
            return None
        # What is smoothed so much is told by some of its columns.
        step = int(max(1, sigma))
        centre = round(axis) if step > 1 else round(2 * axis) / 2
        side = math.floor(reach / step) if step > 1 else centre - math.ceil(centre - reach)
        columns = _Columns(round(centre - step * side), round(2 * side) + 1, step, reach)
        taps = gaussian_taps(sigma, axis - centre)
        task = _compiled if has_numba() else _plain
        return Comparison(axis, sigma, step, *task(self, columns, taps, _tied(sigma, step)))


@dataclass(frozen=True)
class _Columns:
    """Columns that are compared, as many on both sides of the axis.

    Attributes
    ----------
    first, width, step : int
        The first, how many, and how far apart.
    reach : float
        From the axis to where their weights become 0.
    """

    first: int
    width: int
    step: int
    reach: float


Pulls = tuple[Reals, Reals, Reals, Estimate]


def _compiled(lines: Lines, columns: _Columns, taps: Singles, tied: int) -> Pulls:
    """Pull and curvature of lines, both by columns, and what they say, by the compiled loop."""
    from hipct.reconstruction.axis_numba import compare_few, compare_lines, typical_difference

    both, which = (lines.ahead, lines.back, lines.stripes), lines.some
    place = (columns.first, columns.width, columns.step, columns.reach, taps)
    sparse = -(-len(which) // _SCALE_LINES)
    wide = _HUBER * _SPREAD
    if len(which) <= _PART_LINES:
        # In one call, which is a large part of the time that so few take.
        typical = (sparse, _SCALE_SAMPLES, wide, _TINY)
        few: Pulls = compare_few(
            *both, lines.rows, which, *place, *typical, tied, _blocks(len(which))
        )
        return few
    typical, smooth = typical_difference(*both, which[::sparse], *place, _SCALE_SAMPLES)
    parts = min(_MOST_PARTS, -(-len(which) // _PART_LINES))
    pull, curvature = np.empty((2, len(which)))
    by_columns = np.empty((parts, 2, 2, columns.width))
    known = (smooth, sparse, wide * typical + _TINY)
    found = (pull, curvature, by_columns)
    parallel_for(partial(compare_lines, *both, lines.rows, which, *place, *known, *found), parts)
    halves = by_columns.sum(axis=0)
    return pull, curvature, halves, _estimate(pull, curvature, halves[0] + halves[1], tied)


def _plain(lines: Lines, columns: _Columns, taps: Singles, tied: int) -> Pulls:
    """The same in arrays."""
    which, width, step = lines.some, columns.width, columns.step
    from_axis = step * (np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2))
    window = _taper(np.abs(from_axis) / columns.reach)
    basis = np.stack([np.ones_like(from_axis), from_axis])
    # The window is symmetric, so that level and slope do not see each other.
    project = (basis * window).T / np.sum(basis**2 * window, axis=1)
    pull, curvature = np.empty(len(which)), np.empty(len(which))
    by_columns = np.zeros((2, 2, width))
    # With the two next columns on both sides, which the slopes need.
    inside = columns.first + step * np.arange(-2, width + 2)

    def difference(some: NDArray[np.intp]) -> tuple[Reals, Reals, Reals]:
        stripes = lines.stripes if lines.stripes.size else None
        ahead, back = (
            filtered(stack, taps, stripes, some)[:, inside] for stack in (lines.ahead, lines.back)
        )
        back = back[:, ::-1]
        apart = ahead[:, 2:-2] - back[:, 2:-2]
        return apart - (apart @ project) @ basis, ahead, back

    few = np.abs(difference(which[:: -(-len(which) // _SCALE_LINES)])[0])
    sizes = few[:, :: max(1, few.size // _SCALE_SAMPLES)].ravel()
    middle = len(sizes) // 2
    widest = _HUBER * _SPREAD * float(np.partition(sizes, middle)[middle]) + _TINY
    for start in range(0, len(which), _PART_LINES):
        part = slice(start, start + _PART_LINES)
        apart, ahead, back = difference(which[part])
        # d/dc of p(2c - s) is twice the slope, of which both know; their noise is independent.
        # The product of the two, unlike a square, does not grow with the noise.
        slopes = [
            (8 * (p[:, 1:-3] - p[:, 3:-1]) - (p[:, :-4] - p[:, 4:])) / (6 * step)
            for p in (ahead, back)
        ]
        one, two = (slope - (slope @ project) @ basis for slope in slopes)
        weight = window * widest / np.maximum(np.abs(apart), widest)
        bent = weight * one * two
        pulled = weight * apart * (one + two) / 2
        pull[part], curvature[part] = pulled.sum(axis=1), bent.sum(axis=1)
        upper = which[part] % lines.rows < lines.rows // 2
        for half, of_half in enumerate((upper, ~upper)):
            by_columns[half] += pulled[of_half].sum(axis=0), bent[of_half].sum(axis=0)
    both = by_columns[0] + by_columns[1]
    return pull, curvature, by_columns, _estimate(pull, curvature, both, tied)


def _taper(distance: Reals) -> Reals:
    """1 up to 0.7 of the overlap's half width, falling to 0 at its end."""
    outside = np.clip((distance - 0.7) / 0.3, 0, 1)
    result: Reals = 1 - outside**2 * (3 - 2 * outside)
    return result
