"""Where the sub-scans of a series lie: motors refined by what neighbours see of each other.

Sub-scan k sees the organ row ``offset_px[k] + r`` in its detector row r, and a point (x, y) of the
sample in the column ``axis_px[k] + (x + x[k]) cos a + (y + y[k]) sin a``. Of two neighbours, views
at the same angle show the overlap shifted by the difference of the offsets along the rows, and
along the columns by

    shift(a) = (axis' - axis) + (x' - x) cos a + (y' - y) sin a,

so that shifts at several angles tell the three apart. Each pair gives differences with errors, the
motors and the search of the axis give places with (larger) errors; a weighted least-squares
adjustment of the whole chain takes all of them at once. What is wrong by far more than its error
loses its weight (M-estimation with Cauchy's weights) and is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError
from hipct.reconstruction.stitching_fit import (
    CERTAIN,
    SMALLEST_ERROR_PX,
    Float,
    PairFit,
    fit_pair,
    robust_solve,
)

NAMED_ERRORS = 4.0
"""Residuals above this many standard errors are named."""

_UNKNOWN_AXIS_PX = 1000.0


class ShiftLike(Protocol):
    """A measured shift, as of :func:`hipct.preparation.registration.measure_shift`."""

    @property
    def rows(self) -> float:
        """Along the rows, pixels."""

    @property
    def columns(self) -> float:
        """Along the columns, pixels."""

    @property
    def confidence(self) -> float:
        """From 0 to 1."""

    @property
    def error_px(self) -> tuple[float, float]:
        """Standard errors of rows and columns."""


@dataclass(frozen=True, eq=False)
class SeriesPositions:
    """Places of the sub-scans of a series.

    Attributes
    ----------
    offset_px : ndarray of float64, (sub-scans,)
        Organ row of each sub-scan's detector row 0; ascending.
    lateral_px : ndarray of float64, (sub-scans, 2)
        By how much the sample was moved in each sub-scan, (y, x) in the frame of the slices: the
        ``centre_px`` of its reconstruction.
    axis_px : ndarray of float64, (sub-scans,)
        Rotation axis of each sub-scan in its detector columns.
    error_px : ndarray of float64, (sub-scans, 4)
        Standard errors of offset, y, x and axis; of the first three against the mean of the
        series, as a common shift of all sub-scans is of no consequence.
    motor_error_px : ndarray of float64, (sub-scans,)
        By how much the offsets differ from those of the motors.
    notes : tuple of str
        A sentence for each outlier, and for each pair that could not be measured.
    """

    offset_px: Float
    lateral_px: Float
    axis_px: Float
    error_px: Float
    motor_error_px: Float = field(repr=False)
    notes: tuple[str, ...] = ()


def refine_positions(
    motor_offset_px: ArrayLike,
    axis_px: ArrayLike,
    angles: ArrayLike,
    shifts: Sequence[Sequence[ShiftLike] | None],
    *,
    motor_lateral_px: ArrayLike | None = None,
    offset_error_px: float = 3.0,
    lateral_error_px: float = 3.0,
    axis_error_px: ArrayLike = 0.5,
) -> SeriesPositions:
    """Adjust the chain of sub-scans to motors, axes and measured shifts.

    Parameters
    ----------
    motor_offset_px : array_like, (sub-scans,)
        Organ row of each sub-scan's first row by its motors, ascending.
    axis_px : array_like, (sub-scans,)
        The measured axis of each sub-scan in detector columns; NaN where none was found, but one
        at least is needed.
    angles : array_like, (angles,)
        Angles of the views that were compared, radians: the same of all pairs. Three, spread over
        half a turn or more, tell axis from lateral position; a dozen tell outliers as well.
    shifts : sequence of length sub-scans - 1
        For each pair of neighbours (k, k + 1) one shift for each angle, sub-scan k the reference
        and k + 1 the moving one (:func:`hipct.preparation.registration.measure_shifts`); ``None``
        where there is nothing to compare. Shifts of a confidence below 0.95 are left out.
    motor_lateral_px : array_like, (sub-scans, 2), optional
        Lateral positions (y, x) by the motors; 0 by default.
    offset_error_px, lateral_error_px : float
        Standard errors of the motors, vertical and lateral.
    axis_error_px : float or array_like, (sub-scans,)
        Standard error of the measured axes.

    Returns
    -------
    SeriesPositions

    Raises
    ------
    InputError
        If lengths do not fit, offsets do not ascend, no axis is known, or a number is out of range.
    """
    motor, axes, axis_error = _checked(motor_offset_px, axis_px, axis_error_px)
    count = motor.size
    lateral = np.zeros((count, 2)) if motor_lateral_px is None else np.array(
        motor_lateral_px, dtype=np.float64
    )  # fmt: skip
    if lateral.shape != (count, 2) or not np.isfinite(lateral).all():
        raise InputError(
            f"motor_lateral_px has shape {lateral.shape}; give finite (y, x) for each of the "
            f"{count} sub-scans."
        )
    for name, value in (("offset", offset_error_px), ("lateral", lateral_error_px)):
        if not 0 < value < np.inf:
            raise InputError(f"{name}_error_px is {value}; give a number of pixels above 0.")
    radians = np.atleast_1d(np.asarray(angles, dtype=np.float64))
    if len(shifts) != count - 1 or any(s is not None and len(s) != radians.size for s in shifts):
        raise InputError(
            f"There are shifts of {len(shifts)} pairs; for {count} sub-scans give {count - 1}, "
            f"each with {radians.size} shifts, one for each angle (or None)."
        )
    fits, notes = [], []
    for k, pair in enumerate(shifts):
        fit, sentence = fit_pair(radians, _table(pair, radians.size))
        fits.append(fit)
        if sentence:
            notes.append(f"Sub-scans {k} and {k + 1}: {sentence}")
    offset, offset_errors = _vertical(motor, offset_error_px, fits)
    side, side_errors, bad_axes = _sideways(axes, axis_error, lateral, lateral_error_px, fits)
    notes += [
        f"Sub-scan {k}: no axis was found; {side[k, 0]:.2f} follows from its neighbours."
        for k in np.flatnonzero(~np.isfinite(axes)).tolist()
    ]
    for k in bad_axes:
        notes.append(
            f"Sub-scan {k}: the measured axis {axes[k]:.2f} does not fit those of its "
            f"neighbours, from which {side[k, 0]:.2f} follows; the latter is taken."
        )
    moved = offset - motor
    moved -= np.median(moved)
    for k in np.flatnonzero(np.abs(moved) > NAMED_ERRORS * offset_error_px).tolist():
        notes.append(
            f"Sub-scan {k}: it lies {moved[k]:+.1f} rows from where its motors put it, against "
            f"an error of {offset_error_px:g} that was expected of them."
        )
    return SeriesPositions(
        offset_px=offset,
        lateral_px=side[:, [2, 1]],
        axis_px=side[:, 0],
        error_px=np.column_stack([offset_errors, side_errors[:, [2, 1, 0]]]),
        motor_error_px=offset - motor,
        notes=tuple(notes),
    )


def smooth_axes(
    axis_px: ArrayLike, offset_px: ArrayLike, *, degree: int = 1, error_px: ArrayLike = 0.5
) -> NDArray[np.float64]:
    """A polynomial through the axes of a series, outliers disregarded.

    For a stage that is known to drift evenly while single axes are in doubt; what is measured is
    left as it is unless this is called.

    Parameters
    ----------
    axis_px, offset_px : array_like, (sub-scans,)
        Axes in columns and the sub-scans' organ rows.
    degree : int
        Of the polynomial: 0 for one axis for all, 1 for an even drift.
    error_px : float or array_like, (sub-scans,)
        Standard errors of the axes.

    Returns
    -------
    ndarray of float64, (sub-scans,)

    Raises
    ------
    InputError
        If there are not more axes than coefficients, or numbers are not finite.

    Examples
    --------
    >>> smooth_axes([10.0, 11.0, 12.0, 40.0, 14.0], [0, 10, 20, 30, 40]).round(1).tolist()
    [10.0, 11.0, 12.0, 13.0, 14.0]
    """
    axes = np.asarray(axis_px, dtype=np.float64)
    rows = np.asarray(offset_px, dtype=np.float64)
    errors = np.broadcast_to(np.asarray(error_px, dtype=np.float64), axes.shape)
    if axes.ndim != 1 or rows.shape != axes.shape or not 0 <= degree < axes.size:
        raise InputError(
            f"A polynomial of degree {degree} through axes of shape {axes.shape} at rows of shape "
            f"{rows.shape} is not determined; give a lower degree, and one row for each axis."
        )
    if not (np.isfinite(axes).all() and np.isfinite(rows).all() and (errors > 0).all()):
        raise InputError("Axes and rows have to be finite, and errors above 0, to be smoothed.")
    scale = max(float(np.ptp(rows)), 1.0)
    design = np.vander((rows - rows.mean()) / scale, degree + 1)
    solution = robust_solve(design / errors[:, None], axes / errors, np.ones(axes.size, bool))
    smoothed: NDArray[np.float64] = design @ solution.values
    return smoothed


def _vertical(motor: Float, error: float, fits: list[PairFit | None]) -> tuple[Float, Float]:
    """Offsets of the sub-scans and their errors against the mean."""
    count = motor.size
    rows, values = [np.eye(count) / error], [motor / error]
    for k, fit in enumerate(fits):
        if fit is not None:
            difference = np.zeros(count)
            difference[[k, k + 1]] = -1 / fit.row_error, 1 / fit.row_error
            rows.append(difference[None])
            values.append(np.array([-fit.row_shift / fit.row_error]))
    # The motors may be far off; what was measured is certain.
    doubted = np.arange(sum(map(len, values))) < count
    solution = robust_solve(np.concatenate(rows), np.concatenate(values), doubted)
    relative = np.eye(count) - 1 / count
    covariance = relative @ solution.covariance @ relative
    return solution.values, np.sqrt(np.maximum(np.diagonal(covariance), 0))


def _sideways(
    axes: Float, axis_error: Float, lateral: Float, error: float, fits: list[PairFit | None]
) -> tuple[Float, Float, list[int]]:
    """(axis, x, y) of the sub-scans, their errors, and whose measured axis is an outlier."""
    count = axes.size
    size = 3 * count
    known = np.isfinite(axes)
    start = np.where(known, axes, np.median(axes[known]))
    errors = np.where(known, axis_error, _UNKNOWN_AXIS_PX)
    prior = np.zeros((count, size))
    prior[np.arange(count), 3 * np.arange(count)] = 1 / errors
    motors = np.eye(size)[[i for i in range(size) if i % 3]] / error
    rows = [prior, motors]
    values = [start / errors, lateral[:, ::-1].ravel() / error]
    for k, fit in enumerate(fits):
        if fit is not None:
            block = np.zeros((3, size))
            block[:, 3 * k : 3 * k + 3] = -fit.root
            block[:, 3 * k + 3 : 3 * k + 6] = fit.root
            rows.append(block)
            values.append(fit.root @ fit.column_shift)
    doubted = np.arange(sum(map(len, values))) < size
    solution = robust_solve(np.concatenate(rows), np.concatenate(values), doubted)
    relative = np.eye(size)
    for part in (1, 2):
        relative[part::3, part::3] -= 1 / count
    covariance = relative @ solution.covariance @ relative.T
    found = np.sqrt(np.maximum(np.diagonal(covariance), 0)).reshape(count, 3)
    bad = np.flatnonzero(known & (np.abs(solution.residuals[:count]) > NAMED_ERRORS))
    return solution.values.reshape(count, 3), found, bad.tolist()


def _table(pair: Sequence[ShiftLike] | None, count: int) -> Float:
    """Rows, columns, their errors and 1 where certain: (angles, 5)."""
    if pair is None:
        return np.zeros((count, 5))
    table = np.array([
        (s.rows, s.columns, *s.error_px, float(s.confidence >= CERTAIN)) for s in pair
    ], dtype=np.float64)  # fmt: skip
    table[~np.isfinite(table).all(axis=1)] = 0.0
    table[:, 2:4] = np.maximum(table[:, 2:4], SMALLEST_ERROR_PX)
    return table


def _checked(
    motor_offset_px: ArrayLike, axis_px: ArrayLike, axis_error_px: ArrayLike
) -> tuple[Float, Float, Float]:
    motor = np.array(motor_offset_px, dtype=np.float64)
    axes = np.array(axis_px, dtype=np.float64)
    if motor.ndim != 1 or motor.size == 0 or axes.shape != motor.shape:
        raise InputError(
            f"motor_offset_px has shape {motor.shape} and axis_px {axes.shape}; give one of each "
            "for every sub-scan."
        )
    if not np.isfinite(motor).all() or (np.diff(motor) <= 0).any():
        raise InputError(
            "The offsets of the sub-scans have to be finite and to ascend; sort the sub-scans by "
            "their height."
        )
    if not np.isfinite(axes).any():
        raise InputError("No sub-scan has a measured axis; find one, or give it.")
    errors = np.broadcast_to(np.asarray(axis_error_px, dtype=np.float64), motor.shape)
    if not (errors > 0).all():
        raise InputError(f"axis_error_px is {errors.tolist()}; give numbers of pixels above 0.")
    return motor, axes, errors
