"""Bubbles: what has changed between two views that should show the same, and no shift explains.

One view is moved to where the other stands, and their difference passes a band-pass: what the beam
does is slow, noise is fine. A change is a spot that stands out from the noise of the difference,
and from what edges leave that a shift of a fraction of a pixel has not quite met. A bubble is seen
in several pairs of views, in the same rows and, as the sample turns, in other columns; a spot that
is in the same place in all is the detector's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.preparation.motion_pairs import Pair
from hipct.preparation.motion_steps import gaussian_confidence
from hipct.preparation.moving import move_frames, moving_halo
from hipct.preparation.registration import Shift
from hipct.preparation.registration_search import filtered, gaussian

Float = NDArray[np.float64]

SMALLEST_BUBBLE_PX = 4.0

_FINE_PX, _COARSE_PX = 1.5, 24.0
_SIGNIFICANT = 8.0
_MISMATCH_PX = 0.1
"""Shift of edges that registration leaves, as a standard deviation."""
_SAME_PLACE_PX = 4.0
_HALF_OF_BALL = math.sqrt(3) / 2
"""Where the path through a ball is half of the longest, in radii."""
_MOST = 16


@dataclass(frozen=True)
class Change:
    """A spot that differs between two views.

    Attributes
    ----------
    row, column : float
        Its middle, in pixels of the reference.
    diameter_px : float
        Of a ball whose path is as wide at half of its depth.
    depth : float
        Line integral at its peak: below 0, matter has gone.
    confidence : float
        Probability that noise has none as far out.
    times : (float, float)
        When the two views were taken.
    angle_rad : float
        Angle of the reference.
    """

    row: float
    column: float
    diameter_px: float
    depth: float
    confidence: float
    times: tuple[float, float]
    angle_rad: float


def find_changes(reference: Array, second: Array, shift: Shift, pair: Pair) -> tuple[Change, ...]:
    """Spots that differ between two views of the same.

    Parameters
    ----------
    reference, second : array, shape (rows, columns), float32
        Line integrals; NumPy or CuPy. They are compared where both show the sample.
    shift : Shift
        Of the second against the reference (:func:`hipct.preparation.registration.measure_shift`).
    pair : Pair
        Which views they are; one from the other side is mirrored already.

    Returns
    -------
    tuple of Change
        The largest first. None where the views are too low.
    """
    xp = namespace(reference, second)
    before, after = moving_halo(shift.rows)
    rows = range(before, len(reference) - after)
    if len(rows) < 2 * SMALLEST_BUBBLE_PX:
        return ()
    moved = move_frames(second[None], shift.rows, shift.columns, rows)[0]
    still = reference[rows.start : rows.stop]
    margin = math.ceil(3 * _COARSE_PX)
    change = filtered(moved - still, _band, margin)
    smooth = filtered(still, lambda shape: gaussian(shape, _FINE_PX), margin)
    slope = xp.zeros_like(smooth)
    slope[1:-1] += 0.5 * xp.abs(smooth[2:] - smooth[:-2])
    slope[:, 1:-1] += 0.5 * xp.abs(smooth[:, 2:] - smooth[:, :-2])
    # One transfer for both; what follows is about few pixels.
    both = xp.stack([change, slope])
    values = both if xp is np else both.get()
    # Columns that were moved in from beyond the border show nothing.
    lost = math.ceil(abs(shift.columns)) + 5
    inside = slice(lost, values.shape[2] - lost)
    spots = _spots(values[0][:, inside].astype(float), values[1][:, inside].astype(float))
    return tuple(
        Change(
            rows.start + row, lost + column, diameter, depth, confidence, pair.times, pair.angle_rad
        )
        for row, column, diameter, depth, confidence in spots
    )


def bubbles(changes: Iterable[Change], axis_px: float) -> tuple[Change, ...]:
    """Changes of several pairs of views put together: one for each bubble.

    Parameters
    ----------
    changes : iterable of Change
    axis_px : float
        Detector column of the rotation axis: only beside it do places in the sample move.

    Returns
    -------
    tuple of Change
        The surest of each, between the latest time at which it was not there yet and the first at
        which it was. The largest first.
    """
    groups: list[list[Change]] = []
    for change in sorted(changes, key=lambda change: -change.diameter_px):
        for group in groups:
            if abs(group[0].row - change.row) < max(0.5 * group[0].diameter_px, _SAME_PLACE_PX):
                group.append(change)
                break
        else:
            groups.append([change])
    found = []
    for group in groups:
        columns = np.array([change.column for change in group])
        turned = np.ptp(
            [(math.cos(one.angle_rad), math.sin(one.angle_rad)) for one in group], axis=0
        )
        fixed = turned.max() > 0.1 and float(np.ptp(columns)) < _SAME_PLACE_PX
        if fixed and abs(columns.mean() - axis_px) > 2 * _SAME_PLACE_PX:
            continue
        surest = max(group, key=lambda change: (change.confidence, change.diameter_px))
        since = max(change.times[0] for change in group)
        until = min(change.times[1] for change in group)
        if since < until:
            surest = replace(surest, times=(since, until))
        found.append(surest)
    return tuple(sorted(found, key=lambda change: -change.diameter_px)[:_MOST])


def _band(shape: Sequence[int]) -> Float:
    response: Float = gaussian(shape, _FINE_PX) - gaussian(shape, _COARSE_PX)
    return response


def _spots(change: Float, slope: Float) -> list[tuple[float, float, float, float, float]]:
    """Row, column, diameter, depth and confidence of what stands out."""
    from scipy import ndimage

    if min(change.shape) < SMALLEST_BUBBLE_PX:
        return []
    spread = 1.4826 * float(np.median(np.abs(change - np.median(change))))
    expected = np.hypot(max(spread, 1e-9), _MISMATCH_PX * slope)
    far = np.abs(change) / expected
    # Values this far apart are independent: what is tried.
    tries = max(1, int(change.size / (4 * math.pi * _FINE_PX**2)))
    labels, count = ndimage.label(far > 0.5 * _SIGNIFICANT)
    spots = []
    for number, box in enumerate(ndimage.find_objects(labels, count), 1):
        part = labels[box] == number
        place = np.unravel_index(np.argmax(np.where(part, far[box], 0.0)), part.shape)
        peak, depth = float(far[box][place]), float(change[box][place])
        wide = part & (np.abs(change[box]) > 0.5 * abs(depth)) & (change[box] * depth > 0)
        diameter = math.sqrt(4 * float(wide.sum()) / math.pi) / _HALF_OF_BALL
        if peak < _SIGNIFICANT or diameter < SMALLEST_BUBBLE_PX:
            continue
        rows, columns = np.nonzero(wide)
        middle = box[0].start + float(rows.mean()), box[1].start + float(columns.mean())
        spots.append((*middle, diameter, depth, gaussian_confidence(peak, tries)))
    return sorted(spots, key=lambda spot: -spot[2])[:_MOST]
