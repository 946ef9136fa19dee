"""Slow drift of the sample during a scan: from views that should show the same.

A point of the sample falls on the column ``axis + x cos a + y sin a``. Has the sample moved by
(x, y, z) in between, a view at the angle a is shifted by z along the rows and by x cos a + y sin a
along the columns, and as much when it is seen from the other side and mirrored; then twice the
error of the axis comes to it. Over all pairs of views (:mod:`hipct.preparation.motion_pairs`) this
is linear in the coefficients of a smooth path. Paths are polynomials in time, or in its square
root: what settles moves fastest at first. How many coefficients there are is decided by what they
explain against what chance would (Schwarz, Ann. Statist. 6 (1978) 461). Pairs that disagree with
all others are left out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.motion_fit import Fit, best_fits, powers
from hipct.preparation.motion_pairs import Pair
from hipct.preparation.registration import Shift, measure_shifts
from hipct.preparation.registration_search import filtered

Float = NDArray[np.float64]

HIGHEST_DEGREE = 4

FINE_PX, COARSE_PX = 1.0, 12.0
"""Band-pass of the registration: fringes of the propagation are the sharpest that it has."""

_LEAST_CONFIDENCE = 0.9
_STRIPES_PX = 6.0
_LEAST_STRIP = 24
"""Columns that opposite views need to have in common."""
_FLOOR_PX = 0.05
"""Part of the error of a measured shift that its noise does not tell."""


@dataclass(frozen=True)
class Path:
    """How far the sample has moved along one direction since the first projection.

    Attributes
    ----------
    coefficients_px : tuple of float
        Of ``t**power``, ``t**(2 power)``...; the time t is 0 at the first and 1 at the last
        projection. Empty: it stands still, or nothing tells.
    power : float
        1, or 1/2 for what settles.
    error_px : float
        Largest standard error during the scan; infinite where nothing tells.
    """

    coefficients_px: tuple[float, ...] = ()
    power: float = 1.0
    error_px: float = np.inf

    def at(self, times: ArrayLike) -> Float:
        """Distance in pixels at times, (times,) float64."""
        when = np.atleast_1d(np.asarray(times, dtype=np.float64))
        terms = powers(when, self.power, len(self.coefficients_px))
        moved: Float = terms @ np.array(self.coefficients_px, dtype=np.float64)
        return moved


@dataclass(frozen=True)
class Drift:
    """Path of the sample during a scan.

    Attributes
    ----------
    x, y, z : Path
        x and y as in ``column = axis + x cos a + y sin a``, z along the rows.
    axis_shift_px : float or None
        By how much the axis is off, with the sample where it was at first; ``None`` where no
        opposite views tell.
    residual_px : (float, float)
        Root mean square of what the paths leave of the measured shifts, along rows and columns.
    pairs, left_out : int
        Pairs of views that were used, and that were not as they disagree.
    """

    x: Path
    y: Path
    z: Path
    axis_shift_px: float | None
    residual_px: tuple[float, float]
    pairs: int
    left_out: int

    def shifts_px(self, angles_rad: ArrayLike, times: ArrayLike) -> tuple[Float, Float]:
        """Rows and columns by which views stand beside where they would be, (views,) each."""
        angles = np.asarray(angles_rad, dtype=np.float64)
        return self.z.at(times), self.x.at(times) * np.cos(angles) + self.y.at(times) * np.sin(
            angles
        )


def measure_pairs(
    references: Array,
    seconds: Array,
    pairs: Sequence[Pair],
    *,
    axis_px: float,
    reach_px: float,
    static: Array | None = None,
) -> tuple[Shift, ...]:
    """Shifts between the views of pairs.

    Parameters
    ----------
    references, seconds : array, shape (pairs, rows, columns)
        Line integrals of both views, as they lie on the detector; NumPy or CuPy.
    pairs : sequence of Pair
    axis_px : float
        Detector column of the rotation axis.
    reach_px : float
        Largest shift that is looked for.
    static : array, shape (rows, columns), optional
        Mean of many views from all directions. What is fine in it in both directions belongs to
        the detector; it does not move, and left in it would pull shifts towards 0.

    Returns
    -------
    tuple of Shift
        Of opposite views mirrored at the axis. Its confidence is 0 where they share too little.
    """
    namespace(references, seconds)
    if static is not None:
        stripes = filtered(static, _fine, math.ceil(3 * _STRIPES_PX))
        references, seconds = references - stripes, seconds - stripes
    found: dict[int, Shift] = {}
    for mirrored in (False, True):
        chosen = [k for k, pair in enumerate(pairs) if pair.mirrored == mirrored]
        strip = common_strip(axis_px, references.shape[2], mirrored)
        if not chosen or strip.width < _LEAST_STRIP:
            continue
        shifts = measure_shifts(
            *strip.cut(references[chosen], seconds[chosen]),
            reach_px=(reach_px, reach_px),
            expected_px=(0.0, strip.offset_px),
            fine_px=FINE_PX,
            coarse_px=COARSE_PX,
            remove_static=False,
        )
        for k, shift in zip(chosen, shifts):
            found[k] = replace(shift, columns=shift.columns - strip.offset_px)
    nothing = Shift(0.0, 0.0, 0.0, (np.inf, np.inf))
    return tuple(found.get(k, nothing) for k in range(len(pairs)))


def _fine(shape: Sequence[int]) -> Float:
    """Response of a filter that lets pass what is fine in both directions.

    Layers of the sample, which are fine along the rows alone, stay in a mean over all directions,
    and would be taken out where they stand on average.
    """
    down, right = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])
    rows, columns = (-np.expm1(-2 * (np.pi * _STRIPES_PX * f) ** 2) for f in (down, right))
    response: Float = rows * columns
    return response


def extrapolated(pair: Pair, near: Shift, far: Shift) -> Shift:
    """Shift of a pair whose reference lies beyond the ends of the scan.

    Parameters
    ----------
    pair : Pair
        With a share below 0 or above 1.
    near, far : Shift
        Of its second view against the projection ``first``, and against the next one.

    Returns
    -------
    Shift
        Along the columns the sample has turned on; along the rows it does not move.
    """
    share = pair.share
    rows, down = (near.rows, near.error_px[0]) if share < 0.5 else (far.rows, far.error_px[0])
    right = math.hypot((1 - share) * near.error_px[1], share * far.error_px[1])
    columns = (1 - share) * near.columns + share * far.columns
    return Shift(rows, columns, min(near.confidence, far.confidence), (down, right))


@dataclass(frozen=True)
class Strip:
    """Columns that two views have in common.

    Attributes
    ----------
    first, width : int
        On the detector, of both views.
    mirrored : bool
        Whether the second view is seen from the other side.
    offset_px : float
        Shift of the second, mirrored, against the first where nothing has moved: whole columns
        change places, and the axis may lie beside their middle.
    """

    first: int
    width: int
    mirrored: bool
    offset_px: float

    def cut(self, first: Array, second: Array) -> tuple[Array, Array]:
        """The strip of two views, or of stacks (views, rows, columns)."""
        xp = namespace(first, second)
        columns = slice(self.first, self.first + self.width)
        one, other = first[..., columns], second[..., columns]
        return one, xp.ascontiguousarray(other[..., ::-1]) if self.mirrored else other


def common_strip(axis_px: float, columns: int, mirrored: bool) -> Strip:
    """What two views have in common: all columns, or those around the axis.

    Examples
    --------
    >>> strip = common_strip(95.3, 128, mirrored=True)
    >>> strip.first, strip.width, round(strip.offset_px, 3)
    (64, 63, -0.6)
    """
    if not mirrored:
        return Strip(0, columns, mirrored, 0.0)
    reach = int(min(axis_px, columns - 1 - axis_px))
    if reach < 1:
        return Strip(0, 0, mirrored, 0.0)
    first = max(0, round(axis_px) - reach)
    last = min(columns, round(axis_px) + reach + 1)
    return Strip(first, last - first, mirrored, first + last - 1 - 2 * axis_px)


def fit_drift(
    pairs: Sequence[Pair], shifts: Sequence[Shift], *, degree: int | None = None
) -> Drift | None:
    """The smooth drift that explains measured shifts.

    Parameters
    ----------
    pairs : sequence of Pair
    shifts : sequence of Shift
        Of each pair, opposite views mirrored at the axis (:func:`measure_pairs`).
    degree : int, optional
        Coefficients of each path, 1 to 4; by default as many as the shifts ask for, and 0 where
        they tell of no drift.

    Returns
    -------
    Drift or None
        None if there is no shift that is to be believed.

    Raises
    ------
    InputError
        If the degree is not allowed, or pairs and shifts differ in number.
    """
    if degree is not None and not 1 <= degree <= HIGHEST_DEGREE:
        raise InputError(f"The degree of the drift is {degree}; give 1 to {HIGHEST_DEGREE}.")
    if len(pairs) != len(shifts):
        raise InputError(f"There are {len(pairs)} pairs and {len(shifts)} shifts; give one each.")
    known = [k for k, shift in enumerate(shifts) if shift.confidence >= _LEAST_CONFIDENCE]
    if not known:
        return None
    pairs, shifts = [pairs[k] for k in known], [shifts[k] for k in known]
    degrees = range(HIGHEST_DEGREE + 1) if degree is None else range(1, degree + 1)
    values = np.array([(shift.rows, shift.columns) for shift in shifts])
    errors = np.hypot(np.array([shift.error_px for shift in shifts]), _FLOOR_PX)
    (along, across), errors_px = best_fits(pairs, values, errors, degrees)
    residual = [
        _rms(values[:, k] - fit.model.matrix(pairs) @ fit.coefficients, fit.used)
        for k, fit in enumerate((along, across))
    ]
    used = along.used & across.used
    return Drift(
        _path(across, "x", errors_px["x"]),
        _path(across, "y", errors_px["y"]),
        _path(along, "z", errors_px["z"]),
        float(across.coefficients[-1]) if across.model.axis else None,
        (residual[0], residual[1]),
        int(used.sum()),
        int((~used).sum()),
    )


def _path(fit: Fit, name: str, error_px: float) -> Path:
    if name not in fit.model.names:
        return Path(error_px=error_px)
    return Path(fit.path(name), fit.model.power, error_px)


def _rms(rest: Float, used: NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.mean(rest[used] ** 2)))
