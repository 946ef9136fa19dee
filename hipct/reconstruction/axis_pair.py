"""Views that look at each other: their mirror images coincide about the rotation axis.

A view at angle t and one at t + 180 degrees see the same line integrals, mirrored about the axis
c: p(t, c + s) = p(t + pi, c - s). This holds for any function of each pixel alone, hence for
transmission as well as for line integrals.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.reconstruction.axis_filter import filtered, gaussian_taps

Float = NDArray[np.float64]
Reals = NDArray[np.floating[Any]]

# Stripes are the part of the angular mean that is finer than this many columns.
_STRIPE_SIGMA_PX = 3.0
_TURN = 2 * np.pi
# Views farther apart show too little in common for a view between them.
_WIDEST_GAP_RAD = 0.3
_MOST_COUPLES = 64


@dataclass(frozen=True)
class Pairs:
    """Views and their opposites.

    Attributes
    ----------
    views, opposites : ndarray of float, (pairs, rows, columns)
        View k and its partner half a turn later; ``opposites`` may be interpolated.
    mean : ndarray of float, (rows, columns), or None
        Mean over views, which holds what is static. None: there are no views but these.
    stripes_exact : bool
        The mean holds nothing of the object that is not symmetric about the axis, so that its
        removal is free of doubt. Otherwise only what is fine of it is taken for stripes.
    error_rad : float
        Angle that is missing to half a turn: 0 unless no opposite view exists.
    couples : (earlier, later), ndarray of float, (n, rows, columns)
        Views that follow each other. Half the power of their differences is the noise; at most,
        since what turned meanwhile adds to it.
    """

    views: Reals
    opposites: Reals
    mean: Reals | None
    stripes_exact: bool
    couples: tuple[Reals, Reals]
    error_rad: float = 0.0

    @property
    def count(self) -> int:
        """Lines: pairs x rows."""
        pairs, rows, _ = self.views.shape
        return int(pairs * rows)

    @property
    def lines(self) -> tuple[Reals, Reals]:
        """Lines of views and opposites, (lines, columns) both, rows fastest."""
        columns = self.views.shape[2]
        return self.views.reshape(-1, columns), self.opposites.reshape(-1, columns)

    def changes(self, most: int) -> Reals:
        """Differences of about so many lines at most of views that follow each other."""
        earlier, later = (stack.reshape(-1, stack.shape[2]) for stack in self.couples)
        step = max(1, len(later) // most)
        return later[::step] - earlier[::step]

    @cached_property
    def stripes(self) -> Reals:
        """What of the mean is taken for stripes, (rows, columns)."""
        mean = self.mean
        if mean is None:
            mean = (self.views.sum(axis=0) + self.opposites.sum(axis=0)) / (2 * len(self.views))
        return mean if self.stripes_exact else fine_part(mean)

    def thinned(self, count: int) -> tuple[Pairs, NDArray[np.intp]]:
        """About so many of the lines, of rows and views all over: pairs, and lines of those."""
        # Kept, since the search and the refinement want the same ones and their stripes.
        if count not in self._thin:
            self._thin[count] = self._thinned(count)
        return self._thin[count]

    @cached_property
    def _thin(self) -> dict[int, tuple[Pairs, NDArray[np.intp]]]:
        return {}

    def _thinned(self, count: int) -> tuple[Pairs, NDArray[np.intp]]:
        rows = self.views.shape[1]
        if len(self.views) == 1 and rows >= 2 * count:
            few = self.of_rows(slice(rows // count // 2, None, rows // count))
            return few, np.arange(few.count)
        return self, evenly(self.count, count)

    def of_rows(self, rows: slice) -> Pairs:
        """The same of some rows."""
        return replace(
            self,
            views=self.views[:, rows],
            opposites=self.opposites[:, rows],
            mean=None if self.mean is None else self.mean[rows],
            couples=(self.couples[0][:, rows], self.couples[1][:, rows]),
        )


def opposite_pairs(
    projections: NDArray[Any], angles: Float, most: int, mean: Callable[[], Reals] | None = None
) -> list[Pairs]:
    """Pair views with their opposites.

    Parameters
    ----------
    projections : ndarray, (angles, rows, columns)
    angles : ndarray of float64, (angles,)
        Radians, any order and range.
    most : int
        Most pairs taken; they are spread evenly over the range.
    mean : callable, optional
        Gives the mean of the projections over all angles, (rows, columns), where it is known.

    Returns
    -------
    list of Pairs
        One set where opposites exist (or lie between two views). In a scan of 180 degrees whose
        last angle is left out there are none; then the sets that miss half a turn by one and by
        two steps, from which the caller extrapolates.
    """
    mean = partial(mean_view, projections) if mean is None else mean
    folded = np.mod(angles - angles.min(), _TURN)
    order = folded.argsort(kind="stable")
    folded = folded[order]
    step = typical_step(folded)
    target = np.mod(folded + np.pi, _TURN)
    upper = folded.searchsorted(target)
    lower = upper - 1  # -1 is the last one
    upper[upper == len(folded)] = 0
    below = np.mod(target - folded[lower], _TURN)
    above = np.mod(folded[upper] - target, _TURN)
    inside = below + above < min(2.5 * step, _WIDEST_GAP_RAD)
    exact_below, exact_above = below < 0.02 * step, above < 0.02 * step
    (usable,) = (inside | exact_below | exact_above).nonzero()
    if not usable.size:
        return _inexact_pairs(projections, order, folded, step, mean)
    # The second half of a turn looks back at the first: the same pairs once more, whose noise
    # would pass for new.
    usable = first if (first := usable[folded[usable] < np.pi - 0.5 * step]).size else usable
    couples = _couples(projections, order)
    chosen = usable[evenly(len(usable), most)]
    share = below / np.maximum(below + above, 1e-12)
    share[exact_above], share[exact_below] = 1.0, 0.0
    share, lower, upper = share[chosen], lower[chosen], upper[chosen]
    views = _some(projections, order[chosen])
    opposites = _some(projections, order[np.where(share == 1, upper, lower)])
    (mixed,) = ((share > 0) & (share < 1)).nonzero()
    if mixed.size:
        part = share[mixed, None, None].astype(views.dtype)
        opposites = opposites.copy() if len(opposites) == 1 else opposites
        opposites[mixed] *= 1 - part
        opposites[mixed] += part * projections[order[upper[mixed]]]
    if len(chosen) >= 8 and np.ptp(folded[chosen]) > np.pi / 6:
        # The mean over both members of all pairs is symmetric about the axis but for what is
        # static, so that its removal takes every static pattern and disturbs no symmetry.
        symmetric = (views.mean(axis=0) + opposites.mean(axis=0)) / 2
        return [Pairs(views, opposites, symmetric, True, couples)]
    return [Pairs(views, opposites, mean() if len(projections) > 2 else None, False, couples)]


def _some(projections: NDArray[Any], chosen: NDArray[np.intp] | list[np.intp]) -> Reals:
    """Some views, of single precision at least; copies, but for a single one."""
    some = projections[chosen] if len(chosen) > 1 else projections[chosen[0] :][:1]
    exact: Reals = some.astype(np.result_type(some.dtype, np.float32), copy=False)
    return exact


def _couples(projections: NDArray[Any], order: NDArray[np.intp]) -> tuple[Reals, Reals]:
    """At most 64 couples of views that follow each other in angle."""
    firsts = evenly(len(order) - 1, _MOST_COUPLES)
    return _some(projections, order[firsts]), _some(projections, order[firsts + 1])


def mean_view(projections: NDArray[Any]) -> Reals:
    """Mean over all angles, (rows, columns)."""
    exact = projections.mean(axis=0, dtype=np.float64)
    mean: Reals = exact.astype(np.result_type(projections.dtype, np.float32))
    return mean


def fine_part(mean: Reals) -> Reals:
    """What is fine in a mean over all angles, (rows, columns): what rings are made of.

    Over less than 360 degrees it holds fine parts of the object too.
    """
    fine: Reals = mean - filtered(mean, _stripe_taps())
    return fine


@cache
def _stripe_taps() -> NDArray[np.float32]:
    return gaussian_taps(_STRIPE_SIGMA_PX)


def evenly(count: int, most: int) -> NDArray[np.intp]:
    """So many of ``count`` at most, from the first to the last."""
    if count <= most:
        return np.arange(count)
    return np.linspace(0, count - 1, most).round().astype(np.intp)


def typical_step(sorted_angles: Float) -> float:
    """Median distance of neighbours, repeated angles left out."""
    steps = sorted_angles[1:] - sorted_angles[:-1]
    steps = np.sort(steps[steps > 1e-9])
    middle = len(steps) // 2
    return float(steps[middle] + steps[~middle]) / 2 if steps.size else 0.0


def _inexact_pairs(
    projections: NDArray[Any],
    order: NDArray[np.intp],
    folded: Float,
    step: float,
    mean: Callable[[], Reals],
) -> list[Pairs]:
    couples = _couples(projections, order)
    sets: list[Pairs] = []
    # Two or three views leave nothing to extrapolate from.
    for missing in (1, 2) if len(order) > 3 else (1,):
        offsets = range(missing)
        first = [order[offset] for offset in offsets]
        last = [order[len(order) - missing + offset] for offset in offsets]
        angle_missing = float(np.pi - (folded[-missing] - folded[0]))
        views, opposites = (_some(projections, chosen) for chosen in (first, last))
        if sets and abs(angle_missing - sets[-1].error_rad) < 0.5 * step:
            # Repeated views miss the same angle: there is nothing to extrapolate along.
            break
        sets.append(Pairs(views, opposites, mean(), False, couples, angle_missing))
    return sets if abs(sets[0].error_rad) < min(1.5 * step, _WIDEST_GAP_RAD / 2) else []
