"""Optic darkening: the level of a series drifts from sub-scan to sub-scan and within each.

Hours of white beam brown the glass of the optics and age the scintillator, by more than 5 % over a
series. Flats of the beginning no longer fit the end. The level is measured where no sample is: in
columns of air or of the jar's rim, or between sub-scans in the rows that both have. It is one
number a frame, and goes the way of the machine current: multiply the current by it, or give it to
:func:`correct_level`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import floating, output, per_frame, three_axes

TOLERANCE = 0.05
"""Drift of level between sub-scans above which the beamline corrects it."""


def frame_levels(
    transmission: Array,
    *,
    left: int = 0,
    right: int = 0,
    rows: slice = slice(None),
) -> Array:
    """Level of each frame: the mean over its outer columns, and over some rows.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns)
        Values that are not finite are left out.
    left, right : int
        Outer columns on either side that see air or the jar; both 0: all columns (for the rows
        that two sub-scans share).
    rows : slice
        Which rows are taken; all by default.

    Returns
    -------
    array, shape (angles,), float64
        On the device where the projections are. NaN for a frame without finite values.

    Raises
    ------
    InputError
        If the shape is wrong or columns or rows do not fit.
    """
    transmission = three_axes(transmission, "transmission", "angles, rows, columns")
    columns = transmission.shape[2]
    if left < 0 or right < 0 or left + right > columns:
        raise InputError(
            f"left is {left} and right is {right}; together they have to be between 0 and the "
            f"{columns} columns of the detector."
        )
    taken = transmission[:, rows]
    if taken.shape[1] == 0:
        raise InputError(f"rows is {rows}, which takes none of {transmission.shape[1]} rows.")
    parts = [taken]
    if left or right:
        parts = [taken[:, :, :left], taken[:, :, columns - right :]]
    xp = namespace(transmission)
    total = xp.zeros(len(transmission))
    number = xp.zeros(len(transmission))
    for part in parts:
        finite = xp.isfinite(part)
        total += xp.where(finite, part, 0).sum(axis=(1, 2), dtype=np.float64)
        number += finite.sum(axis=(1, 2))
    return xp.where(number > 0, total / xp.maximum(number, 1), np.nan)


@dataclass(frozen=True)
class LevelDrift:
    """Level of a sub-scan as a straight line in time, of its logarithm.

    Attributes
    ----------
    level : float
        In the middle of the sub-scan.
    slope : float
        Change of the logarithm of the level from the first frame to the last.
    scatter : float
        Median absolute departure of the logarithm from the line.
    """

    level: float
    slope: float
    scatter: float

    def levels(self, frames: int) -> NDArray[np.float64]:
        """Level of each of the frames of the sub-scan, (frames,)."""
        line: NDArray[np.float64] = self.level * np.exp(self.slope * _time(frames))
        return line


def fit_drift(levels: ArrayLike, angles_rad: ArrayLike | None = None) -> LevelDrift:
    """Straight line through the logarithm of the levels of one sub-scan.

    Least absolute deviations, by reweighted least squares, so that a bubble or a lost frame does
    not tilt it.

    Parameters
    ----------
    levels : array_like, shape (frames,)
        Level of each frame in order of acquisition; values not finite or not above 0 are left out.
        On the host: ``frame_levels(...)`` of all blocks.
    angles_rad : array_like, shape (frames,), optional
        Angles of the frames. A jar off the axis brings a sine and a cosine of one turn and of two
        into the levels of its columns; given the angles they are fitted too and not taken for
        drift. Needs most of a turn.

    Raises
    ------
    InputError
        If fewer than 3 levels (8 with angles) are usable, or shapes disagree.

    Examples
    --------
    >>> round(fit_drift(np.exp(np.linspace(0.1, -0.1, 51))).slope, 6)
    -0.2
    """
    values = np.asarray(levels, dtype=np.float64)
    usable = np.isfinite(values) & (values > 0)
    least = 3 if angles_rad is None else 8
    if values.ndim != 1 or usable.sum() < least:
        raise InputError(
            f"levels has shape {values.shape} and {int(usable.sum())} usable values; a drift needs "
            f"one axis and {least} values above 0."
        )
    terms = [np.ones(len(values)), _time(len(values))]
    if angles_rad is not None:
        angles = per_frame(angles_rad, len(values), "angles_rad", f"the {len(values)} frames")
        terms += [wave(order * angles) for order in (1, 2) for wave in (np.sin, np.cos)]
    design = np.stack(terms, axis=1)[usable]
    found, scatter = _least_absolute(design, np.log(values[usable]))
    return LevelDrift(float(np.exp(found[0])), float(found[1]), scatter)


def match_series(below: ArrayLike, above: ArrayLike) -> NDArray[np.float64]:
    """Levels of the sub-scans of a series from the rows that neighbours share.

    Parameters
    ----------
    below, above : array_like, shape (sub-scans - 1,)
        Mean transmission of the common rows of the sub-scans k and k + 1, in k and in k + 1: from
        :func:`frame_levels` with the rows, averaged over the angles.

    Returns
    -------
    ndarray, shape (sub-scans,)
        Relative levels; their median is 1.

    Raises
    ------
    InputError
        If shapes disagree or a value is not above 0.

    Examples
    --------
    >>> match_series([0.5, 0.45], [0.45, 0.45]).round(3).tolist()
    [1.111, 1.0, 1.0]
    """
    lower, upper = np.asarray(below, dtype=np.float64), np.asarray(above, dtype=np.float64)
    good = (
        lower.ndim == 1
        and lower.shape == upper.shape
        and np.isfinite(lower).all()
        and np.isfinite(upper).all()
        and (lower > 0).all()
        and (upper > 0).all()
    )
    if not good:
        raise InputError(
            f"below has shape {lower.shape} and above {upper.shape}; both need one mean "
            "transmission above 0 for each pair of neighbouring sub-scans."
        )
    levels = np.exp(np.concatenate([[0.0], np.cumsum(np.log(upper / lower))]))
    relative: NDArray[np.float64] = levels / np.median(levels)
    return relative


def darkened(drifts: list[LevelDrift], tolerance: float = TOLERANCE) -> bool:
    """Whether the level of a series drifts by more than a share of its median.

    The levels at the start and at the end of each sub-scan count.
    """
    ends = np.array(
        [drift.level * np.exp(s * drift.slope / 2) for drift in drifts for s in (-1, 1)]
    )
    return bool(np.ptp(ends) > tolerance * np.median(ends))


def correct_level(
    transmission: Array, levels: ArrayLike | Array, *, out: Array | None = None
) -> Array:
    """Divide each projection by its level.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns)
        Integers become float32.
    levels : array_like, shape (angles,)
        Above 0, of these projections: ``LevelDrift.levels(frames)[block]``.
    out : array, shape of the transmission, its dtype, optional
        May be the transmission itself.

    Raises
    ------
    InputError
        If shapes disagree or a level is not above 0.
    """
    transmission = floating(three_axes(transmission, "transmission", "angles, rows, columns"))
    count = len(transmission)
    values = per_frame(levels, count, "levels", f"the {count} projections")
    if not (values > 0).all():
        raise InputError(f"levels holds {values.min()}; all levels have to be above 0.")
    xp = namespace(transmission)
    out = output(out, transmission.shape, transmission.dtype, transmission)
    factors = xp.asarray(1 / values, transmission.dtype)
    xp.multiply(transmission, factors[:, None, None], out=out)
    return out


def _time(frames: int) -> NDArray[np.float64]:
    """From -1/2 at the first frame to 1/2 at the last."""
    frame = np.arange(frames, dtype=np.float64)
    return np.asarray((frame - (frames - 1) / 2) / max(frames - 1, 1), dtype=np.float64)


def _least_absolute(
    design: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Solution of least absolute deviations, and the median of these deviations."""
    root = np.ones(len(values))
    for _ in range(30):
        found = np.linalg.lstsq(design * root[:, None], values * root, rcond=None)[0]
        departures = np.abs(values - design @ found)
        scatter = float(np.median(departures))
        root = 1 / np.sqrt(np.maximum(departures, max(1e-3 * scatter, 1e-9)))
    return found.astype(np.float64), scatter
