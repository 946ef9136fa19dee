"""Quarter-acquisition: two annuli of the same angles joined to one wide half-acquisition.

Where half of the sample is wider than the detector as well, the detector (or the axis) is moved
sideways and the scan repeated: the inner annulus holds the axis near one edge, the outer one goes
on where it ends, with some columns in common. Joined projection by projection, before phase
retrieval, they are the half-acquisition of a wider detector, and everything that follows treats
them so. A third annulus is joined to the result in the same way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.resampling import REACH, sample
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.registration import Shift, measure_shift

FEWEST_COMMON = 16
"""Common columns, without the borders, that a join needs."""

_BLOCK_ROWS = 16

Pixels = tuple[float, float]


@dataclass(frozen=True)
class AnnulusJoin:
    """How two annuli are put together: the geometry, and the join of projections.

    Parameters
    ----------
    inner_columns, outer_columns : int
        Widths of the two. The inner one has the rotation axis.
    offset_px : tuple of float
        Row and column of the inner annulus at which pixel (0, 0) of the outer one lies; the column
        is below 0 where the outer annulus continues the inner one to the left.
    border_px : int
        Columns at the meeting edges of both that are not used.

    Raises
    ------
    InputError
        If the annuli have fewer than 16 columns in common between their borders, or the outer one
        does not go beyond the inner one.

    Examples
    --------
    >>> join = AnnulusJoin(2048, 2048, (0.0, 1065.6))
    >>> join.columns, join.common_px, join.axis(120.5)
    (3113, 982, 120.5)
    """

    inner_columns: int
    outer_columns: int
    offset_px: Pixels
    border_px: int = REACH

    def __post_init__(self) -> None:
        if not all(math.isfinite(value) for value in self.offset_px):
            raise InputError(f"The offset of the annuli is {self.offset_px}; give two numbers.")
        if self.border_px < 0:
            raise InputError(f"border_px is {self.border_px}; it has to be 0 or more columns.")
        to_left, to_right = self._left_end() < 0, self._right_end() >= self.inner_columns
        if to_left == to_right:
            raise InputError(
                f"With {self.outer_columns} columns from column {self.offset_px[1]:g} on, the "
                f"outer annulus has to go beyond the {self.inner_columns} columns of the inner one "
                "on one side; look at the shift, and at which of the two is the inner one."
            )
        common = self.common_px - 2 * self.border_px
        if common < FEWEST_COMMON:
            raise InputError(
                f"The annuli have {max(common, 0)} columns in common between borders of "
                f"{self.border_px}, and {FEWEST_COMMON} are needed: the outer one has "
                f"{self.outer_columns} columns from column {self.offset_px[1]:g} of the inner one "
                "on; look at the shift."
            )

    @property
    def columns(self) -> int:
        """Width of the joined projections."""
        return max(self._right_end() + 1, self.inner_columns) - self._first()

    @property
    def common_px(self) -> int:
        """Columns that both annuli have."""
        return min(self._right_end(), self.inner_columns - 1) - max(self._left_end(), 0) + 1

    def axis(self, inner_axis: float) -> float:
        """Column of the joined projections at a column of the inner annulus."""
        return inner_axis - self._first()

    def join(self, inner: Array, outer: Array, *, out: Array | None = None) -> Array:
        """Join projections.

        The outer annulus is resampled to the columns (and rows) of the inner one; each row of it
        is brought to the level that the inner one has in the common columns, by a factor; over
        these columns the one goes over into the other, linearly.

        Parameters
        ----------
        inner, outer : array, shape (angles, rows, columns of each)
            Transmission of the same angles and rows, finite; the rows of ``outer`` are those of
            the same indices, which the offset's rows refer to. Integers become float32.
        out : array, shape (angles, rows, :attr:`columns`), dtype of ``inner``, optional

        Returns
        -------
        array, shape (angles, rows, :attr:`columns`), float32 (float64 from float64)

        Raises
        ------
        InputError
            If shapes or dtypes are wrong.
        """
        inner = floating(three_axes(inner, "inner", "angles, rows, columns"))
        outer = floating(three_axes(outer, "outer", "angles, rows, columns")).astype(
            inner.dtype, copy=False
        )
        xp = namespace(inner, outer)
        expected = (*inner.shape[:2], self.outer_columns)
        if inner.shape[2] != self.inner_columns or outer.shape != expected:
            raise InputError(
                f"The annuli have the shapes {inner.shape} and {outer.shape}; for this join the "
                f"inner one needs {self.inner_columns} columns, the outer one the same angles and "
                f"rows and {self.outer_columns} columns."
            )
        out = output(out, (*inner.shape[:2], self.columns), inner.dtype, inner)
        window, share = (xp.asarray(w.astype(inner.dtype)) for w in self._weights())

        # A few rows at a time stay in the cache; a device takes all at once.
        angles, rows = (1, _BLOCK_ROWS) if xp is np else inner.shape[:2]

        def work(start: int, stop: int) -> None:
            for k in range(start, stop, angles):
                part = slice(k, k + angles)
                moved = self._rows_of(outer[part])
                for row in range(0, inner.shape[1], rows):
                    block = slice(row, row + rows)
                    self._join(inner[part, block], moved[:, block], window, share, out[part, block])

        if xp is np:
            parallel_for(work, len(inner))
        else:
            work(0, len(inner))
        return out

    def _rows_of(self, outer: Array) -> Array:
        """The outer annulus on the rows of the inner one."""
        row = self.offset_px[0]
        return sample(outer, -row, outer.shape[1], axis=1) if row else outer

    def _join(self, inner: Array, outer: Array, window: Array, share: Array, out: Array) -> None:
        xp = namespace(inner)
        left, right = self._left_end(), self._right_end()
        outer = sample(outer, left - self.offset_px[1], right - left + 1, axis=2)
        begin, end = max(left, 0), min(right, self.inner_columns - 1) + 1
        one, other = inner[:, :, begin:end], outer[:, :, begin - left : end - left]
        # A product of matrices sums in an order that depends on how many rows there are.
        levels = (one * window).sum(axis=2), (other * window).sum(axis=2)
        usable = (levels[0] > 0) & (levels[1] > 0)
        gain = xp.where(usable, levels[0] / xp.where(usable, levels[1], 1), 1)
        outer *= gain[:, :, None]
        first = self._first()
        out[:, :, left - first : right + 1 - first] = outer
        out[:, :, -first : self.inner_columns - first] = inner
        out[:, :, begin - first : end - first] = other + (one - other) * share

    def _weights(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the common columns: their part in the level, and the share of the inner annulus."""
        place = np.arange(self.common_px) + 0.5 - self.border_px
        ramp = np.clip(place / (self.common_px - 2 * self.border_px), 0.0, 1.0)
        window = np.sin(np.pi * ramp) ** 2
        return window / window.sum(), ramp if self._first() < 0 else 1 - ramp

    def _left_end(self) -> int:
        """First column of the inner annulus that the outer one has, beyond its edges too."""
        return math.ceil(self.offset_px[1] - 1e-9)

    def _right_end(self) -> int:
        return math.floor(self.offset_px[1] + self.outer_columns - 1 + 1e-9)

    def _first(self) -> int:
        """Column of the inner annulus that is the first one of the joined projections."""
        return min(self._left_end(), 0)


def measure_annuli(
    inner: Array,
    outer: Array,
    expected_px: Pixels,
    *,
    reach_px: Pixels = (4.0, 16.0),
) -> Shift:
    """Refine the offset of two annuli, known from motors, on the columns that they have in common.

    Parameters
    ----------
    inner, outer : array, shape (angles, rows, columns of each)
        Transmission of a few of the angles, spread over the turn.
    expected_px : tuple of float
        Row and column of the inner annulus at which pixel (0, 0) of the outer one is expected.
    reach_px : tuple of float
        How far from it to look, along rows and columns.

    Returns
    -------
    Shift
        ``rows`` and ``columns`` are the offset as :class:`AnnulusJoin` takes it.

    Raises
    ------
    InputError
        As of :func:`hipct.preparation.registration.measure_shift`.
    """
    found = measure_shift(
        inner, outer, reach_px=reach_px, expected_px=(-expected_px[0], -expected_px[1])
    )
    return replace(found, rows=-found.rows, columns=-found.columns)
