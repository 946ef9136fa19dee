"""Which views of a scan should show the same, had the sample not moved in between.

Views taken again at the end show what a projection of the same angle showed; so do projections a
whole turn apart. Half a turn apart, a view shows the same mirrored at the axis, in a half-
acquisition in the strip around the axis that both see. Angles seldom agree to a fraction of a
step, so the first view of a pair is interpolated between two neighbouring projections; at the ends
of a scan, whose last angle is a step short of the full turn, it is extrapolated by up to one step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError
from hipct.preparation.checks import per_frame

OPPOSITE_PAIRS = 12
"""Opposite views that are compared, where a scan has as many."""

_SHORTEST = 0.1
"""Views of a pair are this share of the scan's time apart, or nothing has moved in between."""
_SAME = 0.02
"""Angles closer than this share of a step count as the same."""

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Pair:
    """Two views that should show the same.

    Attributes
    ----------
    first : int
        The reference is the projection ``first`` times ``1 - share`` and the next one times
        ``share``.
    share : float
        From -1 to 2; 0: the projection alone.
    second : int
        The view compared with it: a projection, or behind those a view taken again.
    mirrored : bool
        Whether it is seen from the other side.
    angle_rad : float
        Angle of the reference.
    times : (float, float)
        When the two were taken; 0 is the first and 1 the last projection.
    """

    first: int
    share: float
    second: int
    mirrored: bool
    angle_rad: float
    times: tuple[float, float]


def scan_times(projection_index: ArrayLike) -> Float:
    """Times of the projections from their frame numbers: the first is 0, the last is 1.

    Examples
    --------
    >>> scan_times([0, 1, 4, 5]).tolist()
    [0.0, 0.2, 0.8, 1.0]
    """
    index = np.asarray(projection_index, dtype=np.float64)
    span = index.max() - index.min()
    return (index - index.min()) / span if span > 0 else np.zeros(index.size)


def find_pairs(
    angles_rad: ArrayLike,
    times: ArrayLike,
    return_angles_rad: ArrayLike = (),
    *,
    within: bool = True,
    opposite: int = OPPOSITE_PAIRS,
) -> tuple[Pair, ...]:
    """Pairs of a scan.

    Parameters
    ----------
    angles_rad, times : array_like, shape (projections,)
        In the order of the projections, which rises or falls in angle throughout; wrapped or not.
    return_angles_rad : array_like, shape (returns,)
        Angles of views taken again at the end. They count as taken with the last projection: what
        happens while flats are taken in between is not known.
    within : bool
        Whether projections are compared with one another.
    opposite : int
        Most pairs of opposite projections.

    Returns
    -------
    tuple of Pair
        Empty where nothing repeats, or where angles turn back.

    Raises
    ------
    InputError
        If numbers are missing or not finite.
    """
    again = np.atleast_1d(np.asarray(return_angles_rad, dtype=np.float64))
    count = np.asarray(angles_rad).size
    angles = np.unwrap(per_frame(angles_rad, count, "angles_rad", f"{count} projections"))
    when = per_frame(times, count, "times", f"{count} projections")
    if again.ndim != 1 or not np.isfinite(again).all():
        raise InputError(f"return_angles_rad is {again.tolist()}; give one finite angle for each.")
    steps = np.diff(angles)
    if count < 4 or not ((steps > 0).all() or (steps < 0).all()):
        return ()
    views = _Views(angles, when)
    pairs = []
    for k, angle in enumerate(again):
        for mirrored in (False, True):
            pairs += views.alike(float(angle), 1.0, count + k, mirrored)
    if within:
        seconds = np.arange(count)
        for turn, most in ((2 * math.pi, 1), (math.pi, opposite)):
            late = seconds[views.has(angles - math.copysign(turn, steps[0]))]
            for k in late[_spread(late.size, most)]:
                place = float(angles[k] - math.copysign(turn, steps[0]))
                found = views.pair(place, float(when[k]), int(k), turn < 4)
                pairs += [found] if found is not None else []
    return tuple(pairs)


def _spread(size: int, most: int) -> NDArray[np.int64]:
    """At most so many numbers below ``size``, evenly from the first to the last."""
    count = min(size, most)
    # The last one alone is the longest in time.
    return np.linspace(0 if count > 1 else max(size - 1, 0), max(size - 1, 0), count).astype(
        np.int64
    )


@dataclass(frozen=True)
class _Views:
    """Projections in the order of their angle, unwrapped."""

    angles: Float
    times: Float

    def has(self, angle: Float) -> NDArray[np.bool_]:
        """Whether angles lie within the scan, or up to a step and a bit beyond."""
        position = self._position(angle)
        return (position > -1 - _SAME) & (position < self.angles.size + _SAME)

    def alike(self, angle: float, time: float, second: int, mirrored: bool) -> list[Pair]:
        """The pair of a view with the projection, of those alike, that is the first in time."""
        angle += math.pi if mirrored else 0.0
        low, high = sorted((self.angles[0], self.angles[-1]))
        first = math.ceil((low - angle) / (2 * math.pi) - 0.5)
        last = math.floor((high - angle) / (2 * math.pi) + 0.5)
        found = [
            self.pair(angle + 2 * math.pi * k, time, second, mirrored)
            for k in range(first, last + 1)
        ]
        known = [pair for pair in found if pair is not None]
        return sorted(known, key=lambda pair: pair.times[0])[:1]

    def pair(self, angle: float, time: float, second: int, mirrored: bool) -> Pair | None:
        """The pair of a view with the projections at an angle."""
        if not self.has(np.array([angle]))[0]:
            return None
        position = float(self._position(np.array([angle]))[0])
        first = min(max(math.floor(position + _SAME), 0), self.angles.size - 1)
        share = position - first
        if abs(share) < _SAME:
            share = 0.0
        elif first == self.angles.size - 1:
            first, share = first - 1, share + 1
        following = min(first + 1, self.angles.size - 1)
        taken = (1 - share) * self.times[first] + share * self.times[following]
        if time - taken < _SHORTEST:
            return None
        return Pair(first, share, second, mirrored, angle, (float(max(taken, 0.0)), time))

    def _position(self, angle: Float) -> Float:
        """Place of angles among the projections, in projections; beyond the ends it goes on."""
        sign = 1 if self.angles[-1] > self.angles[0] else -1
        own = sign * self.angles
        place = np.interp(sign * angle, own, np.arange(own.size))
        before = np.minimum(sign * angle - own[0], 0) / (own[1] - own[0])
        after = np.maximum(sign * angle - own[-1], 0) / (own[-1] - own[-2])
        position: Float = place + before + after
        return position


def nearest_views(angles_rad: ArrayLike, wanted_rad: ArrayLike) -> NDArray[np.int64]:
    """The projection that is nearest to each of some angles, whole turns aside.

    Examples
    --------
    >>> nearest_views([0.0, 1.0, 2.0], [6.3, 1.2]).tolist()
    [0, 1]
    """
    angles = np.asarray(angles_rad, dtype=np.float64)
    wanted = np.asarray(wanted_rad, dtype=np.float64)
    apart = np.cos(wanted[:, None] - angles)
    nearest: NDArray[np.int64] = apart.argmax(axis=1)
    return nearest
