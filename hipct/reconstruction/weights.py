"""What share of the back-projection integral each projection angle stands for."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError

SAME_ANGLE_RAD = 1e-6
"""Angles closer than this (modulo the period) are repeats of one another and share its weight."""


def angular_weights(
    angles: ArrayLike, *, period: float = np.pi, total: float = np.pi
) -> NDArray[np.float64]:
    """Quadrature weights of projection angles: half the gaps to both neighbours.

    The gaps are taken on the circle of ``period``, so the order of the angles, their direction,
    their origin and turns beyond the period do not matter, and repeated angles (0 and 180 degrees
    of a full scan, 0 and 360 of a half-acquisition) share the weight of one. The weights always
    add up to ``total``: where a wedge of angles is missing, its two edges stand in for it, which
    keeps the level of the slice right and leaves the wedge's streaks in it.

    Parameters
    ----------
    angles : array_like, shape (angles,)
        Radians, in any order.
    period : float
        pi where a projection and its mirror image are the same measurement (full scan), 2 pi where
        they are not (half-acquisition).
    total : float
        Sum of the weights, in radians.

    Returns
    -------
    ndarray, shape (angles,), float64

    Raises
    ------
    InputError
        If there is no angle, or one is not finite.

    Examples
    --------
    >>> angular_weights(np.deg2rad([0, 45, 90, 135])) / np.pi
    array([0.25, 0.25, 0.25, 0.25])
    >>> angular_weights(np.deg2rad([180, 120, 60, 0])) * 6 / np.pi
    array([1., 2., 2., 1.])
    """
    values = check_angles(angles)
    folded = np.mod(values, period)
    # An angle a rounding error below the period is the angle 0.
    folded[period - folded < SAME_ANGLE_RAD] -= period
    order = np.argsort(folded, kind="stable")
    ordered = folded[order]
    group = np.concatenate([[0], np.cumsum(np.diff(ordered) > SAME_ANGLE_RAD)])
    members = np.bincount(group)
    centres = np.bincount(group, weights=ordered) / members
    gaps = np.diff(centres, append=centres[0] + period)
    share = 0.5 * (gaps + np.roll(gaps, 1)) / members * (total / period)
    weights = np.empty_like(values)
    weights[order] = share[group]
    return weights


def largest_gap(angles: ArrayLike, *, period: float) -> float:
    """Largest gap between neighbouring angles on the circle of ``period``, in radians.

    Examples
    --------
    >>> float(np.rad2deg(largest_gap(np.deg2rad([0, 90, 180, 260]), period=2 * np.pi)).round(6))
    100.0
    """
    ordered = np.sort(np.mod(check_angles(angles), period))
    return float(np.max(np.diff(ordered, append=ordered[0] + period)))


def check_angles(angles: ArrayLike) -> NDArray[np.float64]:
    """Angles as a float64 vector, or the sentence that says what is wrong with them."""
    values = np.array(angles, dtype=np.float64)
    if values.ndim != 1 or values.size == 0:
        raise InputError(
            f"The angles have the shape {values.shape}; give one angle in radians for each "
            "projection, as a vector."
        )
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"{bad.size} of {values.size} angles are not finite (the first is number {bad[0]}); "
            "give radians, or leave those projections out."
        )
    return values
