"""The axis to a fraction of a pixel, from views and their opposites.

Least squares between lines and mirrored opposites. The way to the minimum and which smoothing is
best are found on a few of the lines; all of them have the last word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.reconstruction.axis_compare import Comparison, Estimate, Lines
from hipct.reconstruction.axis_filter import off_lines, single
from hipct.reconstruction.axis_pair import Pairs

Reals = NDArray[np.floating[Any]]

_SMOOTHING_PX = (4.0, 2.0, 1.0, 0.5)
_FEW_LINES = 8
_FEW_SHARE = 16
_LEADS_PX = 0.3
"""Error of a few lines up to which they lead to the minimum of all."""
_NEAR_PX = 0.25
"""Steps of a part of the lines that the first order holds for."""
_SETTLED_PX = 0.05
"""Steps, for each pixel of smoothing and one more, after which the next one is too small to do."""
_SCOUTS_SETTLED_PX = 0.1
"""The same where all lines follow."""
_MOST_STEPS = 12
_GAIN = 0.9
"""Share of the error that narrower smoothing has to leave for a still narrower to be tried."""
_RESERVE = 1.25
"""How much better than with stripes a few lines without them have to be."""
_CHANCE = 2.0
_AS_EXPECTED = 1.3
"""Errors of all lines, against what those of a few had them expect."""


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
    both = single(lines), single(opposites), off_lines(None)
    found = _best(Lines(*both, 1, np.arange(len(lines))), start)
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
    found = _found(pairs, variants, start)
    estimates = [(start, math.inf) if found is None else found.whole]
    for number in range(2 if rows > 1 else 0):
        value, error = (start, math.inf) if found is None else found.half(number, rows)
        if found is None or not math.isfinite(error) or abs(value - found.at) > _NEAR_PX:
            # Too far from where all rows were compared: a tilt.
            half = slice(0, rows // 2) if number == 0 else slice(rows // 2, rows)
            value, error = refine_pairs(pairs.of_rows(half), start)[0]
        estimates.append((value, error))
    return estimates


def _found(pairs: Pairs, variants: Sequence[bool], start: float) -> Comparison | None:
    """All lines, with or without stripes, at the smoothing that is best."""
    scouts = _scouts(pairs, variants, start)
    best: Comparison | None = None
    for striped, scout in scouts:
        lines = Lines.of(pairs, striped=striped)
        found, expected = None, 0.0
        if scout is not None and scout.whole[1] < _LEADS_PX:
            found = _settled(lines, scout.whole[0], scout.sigma)
            expected = scout.whole[1] * math.sqrt(len(scout.pull) / pairs.count)
        # Where it does not fall with their number, a few have found chance.
        if found is None or found.whole[1] > _CHANCE * expected:
            found = _best(lines, start)
        if found is not None and (best is None or found.whole[1] < best.whole[1]):
            best = found
        if best is not None and best.whole[1] < _AS_EXPECTED * expected:
            break
    return best


Scout = tuple[bool, Comparison | None]


def _scouts(pairs: Pairs, variants: Sequence[bool], start: float) -> list[Scout]:
    """A few lines with and without stripes at the smoothings that suit them, the best first.

    None where all lines are few.
    """
    few = max(_FEW_LINES, pairs.count // _FEW_SHARE)
    if 2 * few > pairs.count:
        return [(striped, None) for striped in variants]
    thin, some = pairs.thinned(few)
    found: list[Scout] = []
    smoothings: Sequence[float] = _SMOOTHING_PX
    for striped in variants:
        lines = Lines.of(thin, striped=striped).part(some)
        scout = _best(lines, start, smoothings, _SCOUTS_SETTLED_PX)
        if scout is not None:
            # With stripes they do not want another smoothing by much, nor lie far off.
            smoothings, start = (scout.sigma,), scout.whole[0]
        found.append((striped, scout))
    return sorted(found, key=_error)


def _error(scout: Scout) -> float:
    """Error, for the order of the variants: what is taken off needs to have been there."""
    striped, found = scout
    return math.inf if found is None else found.whole[1] * (1 if striped else _RESERVE)


def _best(
    lines: Lines,
    start: float,
    smoothings: Sequence[float] = _SMOOTHING_PX,
    settled_px: float = _SETTLED_PX,
) -> Comparison | None:
    """At the smoothing with the least error, from the widest on, each followed to its minimum."""
    best: Comparison | None = None
    value, error = start, math.inf
    for sigma in smoothings:
        found = _settled(lines, value, sigma, settled_px)
        if found is None:
            continue
        before = error
        if found.whole[1] < error:
            best, (value, error) = found, found.whole
        if found.whole[1] > _GAIN * before:
            break
    return best


def _settled(
    lines: Lines, value: float, sigma: float, settled_px: float = _SETTLED_PX
) -> Comparison | None:
    """Steps at one smoothing, until what the next one could change is too little."""
    found: Comparison | None = None
    for _ in range(_MOST_STEPS):
        found = lines.compare(value, sigma)
        if found is None or not math.isfinite(found.whole[1]):
            return None
        value = found.whole[0]
        if abs(value - found.at) < settled_px * (1 + sigma):
            break
    return found
