"""Opposite projections of a half-acquisition brought to the same level, row by row.

A half-acquisition puts two projections together to one row. Where their levels differ, by a
machine current that was read wrongly, a beam that moved or scattered light, the row has a step
at the axis, and the slice a vortex around its centre that darkens one side of it and brightens
the other.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.opposite import Opposites, Strip

FEWEST_COLUMNS = 8
"""A strip narrower than this says nothing about levels."""


def pair_levels(sinograms: Array, angles: ArrayLike, axis: float, *, border_px: int = 0) -> Array:
    """By how much each row of each projection stands above its opposite, halved.

    The level is the mean over the strip that both see, weighted by cos^2 around the axis: there
    both measure the same rays, so that without errors of the level the means are equal, however
    the axis lies between columns and whatever the stripes. Half of the difference is the
    projection's share, the other half, with the opposite sign, that of its opposite. Opposites
    that were not measured are interpolated between their neighbours in angle; where there are
    none (a gap in the angles) the level is 0.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals of a half-acquisition, finite. Integers become float32.
    angles : array_like, shape (angles,)
        Radians over about 360 degrees or more, in any order.
    axis : float
        Rotation axis in columns, on the detector.
    border_px : int
        Outermost columns of the detector that are not to be trusted.

    Returns
    -------
    array, shape (slices, angles), float32 (float64 from float64)
        In the sinograms' unit. Its root mean square says whether matching is worth it.

    Raises
    ------
    InputError
        If a shape or dtype is wrong, the strip is narrower than 8 columns, or an angle is not
        finite.

    Examples
    --------
    >>> import numpy as np
    >>> angles = np.arange(8) * np.pi / 4
    >>> rows = np.ones((1, 8, 32)) + 0.1 * (angles < np.pi)[None, :, None]
    >>> pair_levels(rows, angles, 24.5).round(3).tolist()
    [[0.05, 0.05, 0.05, 0.05, -0.05, -0.05, -0.05, -0.05]]
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    xp = namespace(sinograms)
    strip = _checked_strip(sinograms.shape[2], axis, border_px)
    opposites = Opposites.of(angles, sinograms.shape[1])
    columns, weights = strip.window(border_px)
    means = sinograms[:, :, columns] @ xp.asarray(weights.astype(sinograms.dtype))
    measured = xp.asarray((0.5 * opposites.measured).astype(sinograms.dtype))
    return (means - opposites.take(means)) * measured


def match_pair_levels(
    sinograms: Array,
    angles: ArrayLike,
    axis: float,
    *,
    border_px: int = 0,
    out: Array | None = None,
) -> Array:
    """Take :func:`pair_levels` off the sinograms, before rings and back-projection.

    Of two projections with different levels nobody knows the right one: both move to their mean.
    What the mean itself has of an error is the same over the whole row, of which the ramp filter
    leaves next to nothing: an even shift of the level, without structure.

    Parameters
    ----------
    sinograms, angles, axis, border_px
        As of :func:`pair_levels`.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        As of :func:`pair_levels`.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    xp = namespace(sinograms)
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)
    levels = pair_levels(sinograms, angles, axis, border_px=border_px)[:, :, None]

    def work(start: int, stop: int) -> None:
        xp.subtract(sinograms[start:stop], levels[start:stop], out=out[start:stop])

    if xp is np:
        parallel_for(work, len(sinograms))
    else:
        work(0, len(sinograms))
    return out


def _checked_strip(columns: int, axis: float, border_px: int) -> Strip:
    strip = Strip(columns, axis)
    if border_px < 0:
        raise InputError(f"border_px is {border_px}; it has to be 0 or more columns.")
    width = 2 * (strip.half_width - border_px)
    if width < FEWEST_COLUMNS:
        raise InputError(
            f"With the axis at {axis}, opposite projections of {columns} columns share "
            f"{max(width, 0):.1f} columns between borders of {border_px}; levels are matched on "
            f"{FEWEST_COLUMNS} or more: correct the axis, or leave the levels as they are."
        )
    return strip
