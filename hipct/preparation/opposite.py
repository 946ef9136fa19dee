"""Half-acquisitions before back-projection: which columns opposite projections share, and where.

A ray at the distance t from the rotation axis in the projection at the angle a is the ray at -t
half a turn later. With the axis near one edge of the detector, each projection sees one side of
the sample out to the *outer* edge, and of the other side only the strip near the axis; the
opposite projection has the rest. What both see is compared, and what is missing is completed, by
sums over columns: a sum has no fractional columns to interpolate, only angles, as the opposite of
a projection need not have been measured itself (an odd number of projections, a range that is not
360 degrees).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import per_frame

_WIDE_GAP = 2.5
"""Gaps beyond this many typical steps of the angles hold no measured opposite."""
_SAME_PLACE = 1e-3
"""Distance in typical steps at which an opposite counts as measured whatever the gap."""


@dataclass(frozen=True, eq=False)
class Opposites:
    """For each projection, its opposite: a mean of the two projections that enclose it.

    Attributes
    ----------
    before, after : ndarray of int, (angles,)
        The two projections.
    share : ndarray of float64, (angles,)
        Share of the second.
    measured : ndarray of bool, (angles,)
        Whether they are close enough to say anything about details.
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    share: NDArray[np.float64]
    measured: NDArray[np.bool_]

    @classmethod
    def of(cls, angles: ArrayLike, count: int) -> Opposites:
        """Find them for angles in radians, in any order, of about a turn or more.

        Raises
        ------
        InputError
            If there is not one finite angle for each of ``count`` projections, or only one.
        """
        radians = per_frame(angles, count, "angles", "the projections")
        if count < 2:
            raise InputError(
                f"There is {count} projection; a half-acquisition needs angles over 360 degrees."
            )
        turn = 2.0 * np.pi
        folded = np.mod(radians, turn)
        order = np.argsort(folded, kind="stable")
        ordered = folded[order]
        wanted = np.mod(radians + np.pi, turn)
        place = np.searchsorted(ordered, wanted, side="right")
        before, after = (place - 1) % count, place % count
        since = np.mod(wanted - ordered[before], turn)
        until = np.mod(ordered[after] - wanted, turn)
        gap = since + until
        steps = np.diff(ordered, append=ordered[0] + turn)
        steps = steps[steps > 1e-6]
        typical = float(np.median(steps)) if steps.size else turn
        nearest = np.minimum(since, until)
        return cls(
            before=order[before],
            after=order[after],
            share=since / np.where(gap > 0, gap, 1.0),
            measured=(gap < _WIDE_GAP * typical) | (nearest < _SAME_PLACE * typical),
        )

    def take(self, values: Array) -> Array:
        """Values of the opposites: (slices, angles, ...) to the same, linear between angles."""
        xp = namespace(values)
        shape = (1, -1) + (1,) * (values.ndim - 2)
        share = xp.asarray(self.share.astype(values.dtype).reshape(shape))
        first = xp.take(values, xp.asarray(self.before), axis=1)
        second = xp.take(values, xp.asarray(self.after), axis=1)
        return first + (second - first) * share


@dataclass(frozen=True)
class Strip:
    """Where the axis lies on the detector, and what of it opposite projections share.

    Attributes
    ----------
    columns : int
        Width of the detector.
    axis : float
        Rotation axis in columns; beyond them where it lies off the detector.
    """

    columns: int
    axis: float

    def __post_init__(self) -> None:
        if not -self.columns < self.axis < 2 * self.columns - 1:
            raise InputError(
                f"The rotation axis is {self.axis}; for {self.columns} columns it may lie at most "
                "one width of the detector outside of it."
            )

    @property
    def outer_is_left(self) -> bool:
        """Whether column 0 is the outer edge, the far one from the axis."""
        return self.axis > (self.columns - 1) / 2

    @property
    def half_width(self) -> float:
        """Half the width of the strip that both see, in columns; negative: of the hole."""
        return min(self.axis, self.columns - 1 - self.axis) + 0.5

    def window(self, border_px: int = 0) -> tuple[slice, NDArray[np.float64]]:
        """Columns of the strip and their weights, which add up to 1: cos^2, even about the axis.

        Even, so that whatever is the same in all projections (a stripe) gives the same sum in a
        projection and its opposite; without corners, so that it does not matter where between two
        columns the axis lies.
        """
        half = self.half_width - border_px
        first = max(0, int(np.ceil(self.axis - half)))
        last = min(self.columns - 1, int(np.floor(self.axis + half)))
        distance = np.arange(first, last + 1) - self.axis
        weights = np.cos(0.5 * np.pi * distance / half) ** 2
        return slice(first, last + 1), weights / weights.sum()

    def counts_once(self) -> NDArray[np.float64]:
        """Weights of all columns, (columns,), that add up to 1 with those of the opposite ray."""
        outward = np.arange(self.columns) - self.axis
        if self.outer_is_left:
            outward = -outward
        half = max(self.half_width, 0.5)
        phase = 0.5 * np.pi * np.clip(outward / half, -1.0, 1.0)
        weights: NDArray[np.float64] = 0.5 + 0.5 * np.sin(phase)
        return weights
