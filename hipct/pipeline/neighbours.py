"""What neighbouring sub-scans see of each other: shifts at some angles, and the step of levels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.linearise import line_integral
from hipct.preparation.moving import move_frames
from hipct.preparation.registration import Shift, measure_shift
from hipct.reconstruction.stitching_levels import LevelStep, measure_level

SEARCHED_ROWS = 16
"""Rows in common by the motors, at least, where views are compared."""

SURE = 0.95
"""Confidence from which a shift counts."""

COMPARED_PIXELS = 1_000_000
"""Common pixels that are compared around each angle, where there are so many projections: with
fewer, noise puts shifts anywhere."""

CLEAR_SHARE, CLEAR_PX = 0.9, 0.02
"""Share of the angles at which single views have to agree on a shift, and the error that all of
them together may leave."""

MOST_VIEWS = 64
"""Projections around each angle, at most."""


@dataclass(frozen=True)
class Neighbours:
    """Two sub-scans compared.

    Attributes
    ----------
    shifts : tuple of Shift, or None
        Of the upper against the lower one in detector rows and columns, one for each angle;
        ``None`` where they have too few rows in common.
    step : LevelStep or None
        From the level of the lower one to that of the upper one.
    notes : tuple of str
        What could not be done.
    """

    shifts: tuple[Shift, ...] | None
    step: LevelStep | None
    notes: tuple[str, ...] = ()


def compare_neighbours(
    scans: Sequence[Scan],
    parts: Sequence[Part],
    clock: StageClock,
    observer: Observer,
    *,
    device: Device = HOST,
) -> tuple[NDArray[np.float64], list[Neighbours]]:
    """Compare each sub-scan with the next one, at the angles that the configuration asks for.

    Frames of the common rows are read at these angles alone, divided by their flats. Where their
    noise hides the shift, views within a share of the turn are compared as one stack, which has one
    likelihood.

    Returns
    -------
    angles_rad : ndarray of float64, (angles,)
        The angles that were compared.
    neighbours : list of Neighbours, of length parts - 1
    """
    wanted = min(parts[0].job.config.stitching.angles, parts[0].job.info.projections)
    first = parts[0].job.info.angles_rad
    targets = first[np.arange(wanted) * len(first) // wanted]
    pairs = len(parts) - 1
    observer.start("neighbours", pairs)
    found = []
    for k in range(pairs):
        found.append(_compare(scans[k : k + 2], parts[k : k + 2], targets, clock, device))
        observer.advance("neighbours")
    observer.finish("neighbours")
    return targets, found


def _compare(
    scans: Sequence[Scan],
    parts: Sequence[Part],
    targets: NDArray[np.float64],
    clock: StageClock,
    device: Device,
) -> Neighbours:
    lower, upper = parts
    settings = lower.job.config.stitching
    apart = upper.offset_px - lower.offset_px
    heights = lower.job.info.rows, upper.job.info.rows
    reach = math.ceil(settings.reach_rows_px)
    names = f"{lower.name} and {upper.name}"
    projections = [part.job.info.projections for part in parts]
    turn = lower.job.info.angular_range_rad + lower.job.info.angular_step_rad
    common = min(heights[0], heights[1] + apart) - apart
    if common < SEARCHED_ROWS:
        return Neighbours(
            None,
            None,
            (
                f"{names} have {max(0.0, common):.0f} rows in common, too few to compare them: the "
                "motors are believed.",
            ),
        )
    # Bands of the same height, so that both show the common rows wherever they really are.
    height = min(*heights, math.ceil(common) + reach)
    start = heights[0] - height
    bands = range(start, heights[0]), range(height)
    drift = 0.0 if lower.axis is None or upper.axis is None else upper.axis - lower.axis
    expected = start - apart, drift
    sources = [
        Transmission(scan, part.job, band, clock, device=device, corrections=part.corrections)
        for scan, part, band in zip(scans, parts, bands)
    ]
    most = _views_at_each(int(common), lower.job.info.columns, len(targets), min(projections))
    shifts: list[Shift] = []
    means: list[Array] = []
    # Single views are the sharpest; only where they are lost in noise it takes stacks of them.
    for count in (1, most) if most > 1 else (1,):
        around = (np.arange(count) + 0.5) / count - 0.5
        wanted = targets[:, None] + around * turn / len(targets)
        means, stacks = [], []
        for source, part in zip(sources, parts):
            views = _views(source, part, wanted.ravel(), device)
            with device.lane("prepare"):
                means.append(views.mean(axis=0))
                stacks.append(views if count == 1 else _without_the_detectors(views, means[-1]))
        with clock.stage("levels", 2 * stacks[0].nbytes), device.lane("prepare"):
            shifts = [
                measure_shift(
                    *(stack[k * count : (k + 1) * count] for stack in stacks),
                    reach_px=(settings.reach_rows_px, settings.reach_columns_px),
                    expected_px=expected,
                    remove_static=False,
                )
                for k in range(len(targets))
            ]
        if _clear(shifts):
            break
    step: LevelStep | None = None
    notes: tuple[str, ...] = ()
    if settings.levels != "none":
        sure = [shift for shift in shifts if shift.confidence >= SURE]
        moved = (
            (float(np.median([s.rows for s in sure])), float(np.median([s.columns for s in sure])))
            if len(sure) >= len(shifts) / 2 and settings.refine
            else expected
        )
        # Annuli that are joined at other fractions of a pixel may differ by a column.
        columns = min(mean.shape[1] for mean in means)
        means = [mean[:, :columns] for mean in means]
        try:
            with clock.stage("levels"), device.lane("prepare"):
                step = measure_level(
                    *means,
                    shift_px=moved,
                    # Edges of the beam are dark; few rows are better than none.
                    margin_px=settings.margin_px if common > 4 * settings.margin_px else 0,
                    fit_gain=settings.levels == "gain",
                )
            step = replace(step, lower_row=step.lower_row + start)
        except InputError as error:
            notes = (f"The levels of {names} were not compared: {error}",)
    # From rows of the band to rows of the detector.
    shifts = [replace(shift, rows=shift.rows - start) for shift in shifts]
    return Neighbours(tuple(shifts), step, notes)


def _clear(shifts: Sequence[Shift]) -> bool:
    """Whether shifts tell the place of a pair together."""
    sure = [shift for shift in shifts if shift.confidence >= SURE]
    if len(sure) < CLEAR_SHARE * len(shifts):
        return False
    return float(np.median([shift.error_px for shift in sure])) < CLEAR_PX * math.sqrt(len(sure))


def _views_at_each(rows: int, columns: int, targets: int, projections: int) -> int:
    """Projections around each angle that are compared together."""
    wanted = math.ceil(COMPARED_PIXELS / (rows * columns))
    return max(1, min(wanted, MOST_VIEWS, projections // targets))


def _without_the_detectors(views: Array, mean: Array) -> Array:
    """Views without what all of them show, and without the brightness of each row, in place.

    The first belongs to the detector, and is the same noise in every view; the second to a beam
    that moves up and down.
    """
    views -= mean
    views -= views.mean(axis=2, keepdims=True)
    return views


def _views(source: Transmission, part: Part, wanted: NDArray[np.float64], device: Device) -> Array:
    """Line integrals (views, rows, columns) of the projections nearest to some angles."""
    angles = part.job.info.angles_rad
    with device.lane("prepare"):
        views = []
        for angle in wanted:
            off = np.abs((angles - angle + np.pi) % (2 * np.pi) - np.pi)
            nearest = int(off.argmin())
            block = slice(nearest, nearest + 1)
            frames = source.frames(source.read(block), block, PixelCounts())
            line_integral(frames, out=frames)
            if part.motion is not None and part.motion.moves:
                rows = range(frames.shape[1])
                frames = move_frames(frames, *part.motion.shifts_px(block), rows, ends=(True, True))
            views.append(frames)
        return device.xp.concatenate(views)
