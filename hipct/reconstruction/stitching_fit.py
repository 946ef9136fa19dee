"""Robust least squares: the shifts of one pair of sub-scans, and the chain of all pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

CERTAIN = 0.95
"""Confidence from which on a shift is used."""

SMALLEST_ERROR_PX = 0.005
"""Errors are taken to be this large at least: what noise leaves is not all that is wrong."""

_CAUCHY = 2.385
"""Residual, in standard errors, that halves the weight: 95 % efficient on normal errors."""

_FAR = 5.0
"""Residuals, in standard errors, of what is left out and named."""

_ROUNDS = 25
_SETTLED = 1e-4

_SMALL = 8
"""Unknowns of a problem that is solved by its singular values."""


@dataclass(frozen=True, eq=False)
class Solution:
    """Of a least-squares problem in standard errors; residuals are signed."""

    values: Float
    covariance: Float
    residuals: Float
    weights: Float


@dataclass(frozen=True, eq=False)
class PairFit:
    """What two neighbours tell: shifts from the lower to the upper sub-scan.

    Attributes
    ----------
    row_shift, row_error : float
        Along the rows, pixels.
    column_shift : ndarray, (3,)
        Differences of axis, x and y.
    root : ndarray, (3, 3)
        Square root of their information: ``root @ column_shift`` has unit errors.
    """

    row_shift: float
    row_error: float
    column_shift: Float
    root: Float


def robust_solve(design: Float, values: Float, doubted: NDArray[np.bool_]) -> Solution:
    """Solve ``design @ x = values``, both in standard errors, some rows with Cauchy's weights.

    Parameters
    ----------
    design : ndarray, (n, m)
    values : ndarray, (n,)
    doubted : ndarray of bool, (n,)
        Rows that may be outliers; the others keep their full weight.

    Notes
    -----
    Iteratively reweighted least squares: first with Huber's weights, which have one solution, so
    that a few gross outliers do not decide where it ends, then with Cauchy's,
    ``1 / (1 + (r / c)^2)``. A small problem may leave something undetermined: the smallest solution
    is taken. A large one must not.
    """
    weights: Float = np.ones(len(values))
    solution: Float = weights
    residuals: Float = weights
    for weigh in (_huber, _cauchy):
        for _ in range(_ROUNDS):
            solution = _weighted(design, values, weights)
            residuals = design @ solution - values
            new = np.where(doubted, weigh(np.abs(residuals) / _CAUCHY), 1.0)
            change = np.abs(new - weights).max()
            weights = new
            if change < _SETTLED:
                break
    covariance = np.asarray(np.linalg.pinv((design * weights[:, None]).T @ design), np.float64)
    return Solution(solution, covariance, residuals, weights)


def _huber(size: Float) -> Float:
    return 1 / np.maximum(size, 1.0)


def _cauchy(size: Float) -> Float:
    return 1 / (1 + size**2)


def _weighted(design: Float, values: Float, weights: Float) -> Float:
    if design.shape[1] <= _SMALL:
        root = np.sqrt(weights)
        solved = np.linalg.lstsq(design * root[:, None], values * root, rcond=1e-12)[0]
        return np.asarray(solved, np.float64)
    weighted = (design * weights[:, None]).T
    return np.asarray(np.linalg.solve(weighted @ design, weighted @ values), np.float64)


def fit_pair(angles: Float, table: Float) -> tuple[PairFit | None, str]:
    """Fit the shifts of a pair.

    Parameters
    ----------
    angles : ndarray, (angles,)
        Radians.
    table : ndarray, (angles, 5)
        Shifts along rows and columns, their errors, and 1 where they count.

    Returns
    -------
    PairFit or None
        None where no shift counts.
    str
        What there is to say of the pair, without its name; empty if nothing.
    """
    counts = np.flatnonzero(table[:, 4] > 0)
    if not counts.size:
        return None, "no view shows a clear shift, so that their distance is that of the motors."
    rows, columns, row_errors, column_errors, _ = table[counts].T
    everywhere = np.ones(counts.size, bool)
    down = robust_solve(1 / row_errors[:, None], rows / row_errors, everywhere)
    a = angles[counts]
    design = np.column_stack([np.ones(a.size), np.cos(a), np.sin(a)])
    across = robust_solve(design / column_errors[:, None], columns / column_errors, everywhere)
    # A pair whose shifts scatter by more than their errors is less certain than they say.
    down_scatter, across_scatter = (
        _scatter(part, unknowns) for part, unknowns in ((down, 1), (across, 3))
    )
    far = (np.abs(down.residuals) > _FAR * down_scatter) | (
        np.abs(across.residuals) > _FAR * across_scatter
    )
    sentence = _left_out(len(angles), counts.size, np.rad2deg(a[far]))
    error = float(np.sqrt(down.covariance[0, 0])) * down_scatter
    weighted = np.sqrt(across.weights)[:, None] * design / (column_errors[:, None] * across_scatter)
    # Any matrix whose square is the information serves; one of few angles has less than full rank.
    power, vectors = np.linalg.eigh(weighted.T @ weighted)
    root = (vectors * np.sqrt(np.maximum(power, 0))) @ vectors.T
    shift = float(down.values[0])
    return PairFit(shift, max(error, SMALLEST_ERROR_PX), across.values, root), sentence


def _left_out(views: int, clear: int, far: Float) -> str:
    """What there is to say of views that do not count."""
    parts = []
    if clear < views:
        parts.append(f"{views - clear} of {views} views show no clear shift")
    if far.size:
        some = ", ".join(f"{angle:.0f}" for angle in far[:5])
        more = " and more" if far.size > 5 else ""
        parts.append(
            f"{far.size} of {views} views (at {some}{more} degrees) show a shift that does not fit "
            "those of the others"
        )
    return " and ".join(parts) + ("; they are left out." if parts else "")


def _scatter(solution: Solution, unknowns: int) -> float:
    """How much larger the residuals are than their errors say, 1 at least."""
    count = len(solution.residuals)
    if count <= unknowns + 1:
        return 1.0
    spread = 1.4826 * float(np.median(np.abs(solution.residuals)))
    return max(1.0, spread * float(np.sqrt(count / (count - unknowns))))
