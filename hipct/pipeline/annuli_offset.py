"""How the two annuli of a quarter-acquisition lie to one another, and which is the inner one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import ScanInfo
from hipct.acquisition.series import Member
from hipct.core.errors import InputError
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.virtual import Source, source_config
from hipct.preparation.quarter import AnnulusJoin, Pixels, measure_annuli
from hipct.reconstruction.axis import find_axis

PAIRS = 12, 90
"""Pairs of opposite views that the offset is measured on, and the inner annulus told by: the least,
and the most."""

COMMON_PIXELS = 1_500_000
"""Pixels in common that are enough: small detectors take more views."""

MOST_ROWS = 128
"""Rows in the middle of the detector that they are read of."""

CERTAIN = 0.95
"""Confidence below which what correlation has found is not believed."""

MOST_ERROR_PX = 0.5
"""Standard error of the offset above which the motors are believed instead."""

LEAST_ROWS_PX = 0.1
"""Offsets along the rows below this are left: nothing shows them, and resampling costs time."""

SIGNIFICANT = 4.0
"""So many standard errors of it as well."""

SAME_ANGLE = 0.02
"""Angles closer than this share of the step between projections count as the same."""

SURE_OF_AXIS = 0.5
"""Confidence of an axis from which on it is a hint."""


@dataclass(frozen=True, eq=False)
class AngleMatch:
    """Which projections of the outer annulus belong to those of the inner one.

    Two scans seldom repeat their angles: numbers differ by one or two, the second begins a little
    later or runs backwards. Between two projections the outer annulus is interpolated, linearly.

    Attributes
    ----------
    before, after : ndarray of int, (projections of the inner annulus,)
        Projections of the outer annulus; the same where it is not interpolated.
    share : ndarray of float64
        Share of the one after.
    """

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    share: NDArray[np.float64]

    @property
    def interpolates(self) -> bool:
        """Whether an angle lies between two projections."""
        return bool(self.share.any())

    @classmethod
    def of(cls, inner: ScanInfo, outer: ScanInfo) -> AngleMatch:
        """The match of two scans.

        Raises
        ------
        InputError
            If an angle of the inner annulus is more than a step away from all of the outer one.
        """
        turn = 2 * math.pi
        places = np.mod(outer.angles_rad, turn)
        order = np.argsort(places, kind="stable")
        ring = np.concatenate(
            [[places[order[-1]] - turn], places[order], [places[order[0]] + turn]]
        )
        number = np.concatenate([order[-1:], order, order[:1]])
        wanted = np.mod(inner.angles_rad, turn)
        right = np.clip(np.searchsorted(ring, wanted, side="right"), 1, len(ring) - 1)
        low, high = wanted - ring[right - 1], ring[right] - wanted
        step = inner.angular_step_rad
        nearest = np.minimum(low, high)
        if nearest.max() > step * (1 + SAME_ANGLE):
            worst, missing = int(nearest.argmax()), int((nearest > step * (1 + SAME_ANGLE)).sum())
            raise InputError(
                f"{missing} of the {inner.projections} angles of {inner.where} are missing in "
                f"{outer.where}: its projection nearest to {math.degrees(wanted[worst]):.2f} "
                f"degrees is {math.degrees(nearest[worst]):.2f} degrees away, and the projections "
                f"are {math.degrees(step):.3f} degrees apart. Annuli need the same angles; look at "
                "those of both scans."
            )
        before, after = number[right - 1], number[right]
        share = low / np.maximum(low + high, 1e-12)
        before = np.where(high < SAME_ANGLE * step, after, before)
        share = np.where(nearest < SAME_ANGLE * step, 0.0, share)
        return cls(before, np.where(share > 0, after, before), share)

    def frames(self, outer: Source, angles: slice, rows: range) -> NDArray[np.float32]:
        """Transmission of the outer annulus at some angles of the inner one."""
        before, after = self.before[angles], self.after[angles]
        needed = np.unique(np.concatenate([before, after]))
        runs = np.split(needed, np.flatnonzero(np.diff(needed) > 1) + 1)
        parts = [outer.frames(slice(int(run[0]), int(run[-1]) + 1), rows) for run in runs]
        frames = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if np.array_equal(needed, before):
            first = frames
        else:
            first = frames[np.searchsorted(needed, before)]
        share = self.share[angles].astype(np.float32)
        if share.any():
            second = frames[np.searchsorted(needed, after)]
            second -= first
            second *= share[:, None, None]
            second += first
            return second
        return first


def annulus_config(config: Config) -> Config:
    """What a run's configuration asks of one annulus: its edges see no air but the sample."""
    settings = source_config(config)
    flat = settings.flat.model_copy(update={"air_columns": 0})
    return settings.model_copy(update={"flat": flat})


def find_annuli(
    station: Sequence[Member],
    config: Config,
    corrections: Sequence[Corrections] | None = None,
) -> dict[str, Any]:
    """Which of two annuli is the inner one, and where the outer one lies in it.

    Parameters
    ----------
    station : sequence of Member
        Two sub-scans at one height, by their lateral position.
    config : Config
        Configuration of the run.
    corrections : sequence of Corrections, optional
        What was measured of either.

    Returns
    -------
    dict
        JSON values: names of ``inner`` and ``outer``; ``offset_px`` as
        :class:`hipct.preparation.quarter.AnnulusJoin` takes it, the same by the motors in
        ``motors_px``; ``inner_row_px``, the row of the station's first sub-scan at which the inner
        one begins; ``method`` (correlation, motors or given), ``confidence`` and ``error_px`` of
        the correlation; ``axis_px``, a hint to the rotation axis in columns of the joined
        projections; ``notes``, sentences.

    Raises
    ------
    InputError
        If the annuli have too few columns in common, or differ in their angles.
    """
    pair = _Pair(station, config, corrections)
    try:
        return pair.found()
    except InputError as error:
        names = " and ".join(member.name for member in station)
        raise InputError(f"The annuli {names} cannot be joined. {error}") from error


class _Pair:
    """Two annuli of which it is not known yet which is the inner one.

    Offsets and the axis are given in the first one, as if it were that: the geometry of what both
    make together is the same.
    """

    def __init__(
        self,
        station: Sequence[Member],
        config: Config,
        corrections: Sequence[Corrections] | None,
    ) -> None:
        self.station, self.settings = station, config.quarter
        settings = annulus_config(config)
        self.sources = [
            Source(member.scan, settings, of_member)
            for member, of_member in zip(station, corrections or (None, None))
        ]
        self.infos = [source.job.info for source in self.sources]
        pixel = self.infos[0].require("pixel_size_um", purpose="A quarter-acquisition")[0]
        first, second = station
        # What grows with the columns is the axis, so that the field goes the other way.
        self.motors: Pixels = (
            second.offset_px - first.offset_px,
            (first.lateral_um - second.lateral_um) / pixel,
        )

    def found(self) -> dict[str, Any]:
        given = self.settings.offset_px
        if given is not None:
            # The second sub-scan lies at the larger lateral position, on the left.
            offset = given if given[1] < 0 else _turned(given)
            hint = self._axis_by_metadata(offset)
            return self._as_dict(offset, hint, int(given[1] > 0), {"method": "given"}, [])
        self._join(self.motors)
        offset, words, notes = self._refined() if self.settings.refine else self._unrefined()
        axis = self._axis_by_metadata(offset)
        if axis is None:
            axis = self._axis_of_views(offset)
        if axis is None:
            inner = self._darker(offset)
            note = (
                f"{self.station[inner].name} is taken for the inner annulus because the sample is "
                "thicker there; neither the files nor opposite views tell the rotation axis."
            )
            return self._as_dict(offset, None, inner, words, [*notes, note])
        # How far the axis lies inside of the field of either.
        inside = [
            min(column, info.columns - 1 - column)
            for column, info in zip((axis, axis - offset[1]), self.infos)
        ]
        return self._as_dict(offset, axis, int(inside[1] > inside[0]), words, notes)

    def _unrefined(self) -> tuple[Pixels, dict[str, Any], list[str]]:
        return self.motors, {"method": "motors"}, []

    def _refined(self) -> tuple[Pixels, dict[str, Any], list[str]]:
        shift = measure_annuli(*self._views, self.motors, reach_px=self.settings.reach_px)
        error = max(shift.error_px)
        words = {
            "method": "correlation",
            "confidence": float(shift.confidence),
            "error_px": [float(value) for value in shift.error_px],
        }
        if shift.confidence >= CERTAIN and error <= MOST_ERROR_PX:
            least = max(LEAST_ROWS_PX, SIGNIFICANT * shift.error_px[0])
            row = shift.rows if abs(shift.rows) >= least else 0.0
            return (float(row), float(shift.columns)), words, []
        note = (
            "What they have in common does not tell their offset (confidence "
            f"{shift.confidence:.2f}, standard error {error:.2f} px), and it is taken from the "
            "motors; give it by quarter.offset_px if the seam shows."
        )
        return self.motors, words | {"method": "motors"}, [note]

    def _axis_by_metadata(self, offset: Pixels) -> float | None:
        """Axis in columns of the first sub-scan, as either file has it."""
        hints = [info.rotation_axis_px for info in self.infos]
        if hints[0] is None and hints[1] is not None:
            return hints[1] + offset[1]
        return hints[0]

    def _axis_of_views(self, offset: Pixels) -> float | None:
        """Axis in columns of the first sub-scan that opposite views have, if they are clear."""
        join = self._join(offset)
        angles = self.infos[0].angles_rad[self._numbers]
        found = find_axis(join.join(*self._views), angles, acquisition="half")
        return found.value - join.axis(0.0) if found.confidence >= SURE_OF_AXIS else None

    def _darker(self, offset: Pixels) -> int:
        """Which sub-scan lets less light through in the columns that it has for itself.

        All around, rays near the axis pass through more of a sample than those far from it.
        """
        alone = round(abs(offset[1]))
        ends = slice(-alone, None), slice(0, alone)
        if offset[1] > 0:
            ends = ends[1], ends[0]
        first, second = (
            float(views[:, :, end].mean(dtype=np.float64)) for views, end in zip(self._views, ends)
        )
        return int(second < first)

    def _as_dict(
        self,
        offset: Pixels,
        axis: float | None,
        inner: int,
        words: dict[str, Any],
        notes: list[str],
    ) -> dict[str, Any]:
        motors = self.motors
        if inner == 1:
            axis = None if axis is None else axis - offset[1]
            offset, motors = _turned(offset), _turned(motors)
        columns = self.infos[inner].columns, self.infos[1 - inner].columns
        join = AnnulusJoin(*columns, offset, self.settings.border_px)
        names = self.station[inner].name, self.station[1 - inner].name
        said = {
            "given": "as it was given",
            "motors": "by the motors",
            "correlation": f"by correlation, {math.dist(offset, motors):.2f} px from the motors",
        }
        note = (
            f"The outer annulus {names[1]} lies at column {offset[1]:.2f} and row {offset[0]:.2f} "
            f"of the inner one {names[0]}, {said[words['method']]}; with {join.common_px} columns "
            f"in common they make {join.columns}."
        )
        return {
            "inner": names[0],
            "outer": names[1],
            "offset_px": list(offset),
            "motors_px": list(motors),
            "inner_row_px": self.station[inner].offset_px - self.station[0].offset_px,
            "axis_px": None if axis is None else float(join.axis(axis)),
            "notes": [note, *notes],
            **words,
        }

    def _join(self, offset: Pixels) -> AnnulusJoin:
        columns = [info.columns for info in self.infos]
        return AnnulusJoin(columns[0], columns[1], offset, self.settings.border_px)

    @cached_property
    def _numbers(self) -> NDArray[np.intp]:
        """Projections of the first sub-scan: a few opposite views over the turn."""
        angles = self.infos[0].angles_rad
        common = self._join(self.motors).common_px * len(self._rows)
        pairs = min(max(COMMON_PIXELS // (2 * common), PAIRS[0]), PAIRS[1])
        wanted = angles[0] + np.arange(2 * pairs) * np.pi / pairs
        apart = np.mod(angles - wanted[:, None] + np.pi, 2 * np.pi) - np.pi
        return np.unique(np.abs(apart).argmin(axis=1))

    @cached_property
    def _views(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Transmission of these projections by both, (views, rows, columns)."""
        match = AngleMatch.of(*self.infos)
        first, second = self.sources
        views = [slice(int(k), int(k) + 1) for k in self._numbers]
        return (
            np.concatenate([first.frames(view, self._rows) for view in views]),
            np.concatenate([match.frames(second, view, self._rows) for view in views]),
        )

    @property
    def _rows(self) -> range:
        """Rows in the middle of the detector."""
        rows = min(info.rows for info in self.infos)
        first = max(0, (rows - MOST_ROWS) // 2)
        return range(first, min(rows, first + MOST_ROWS))


def _turned(offset: Pixels) -> Pixels:
    """The offset of the first annulus in the second one."""
    return 0.0 - offset[0], 0.0 - offset[1]
