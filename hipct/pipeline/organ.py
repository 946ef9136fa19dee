"""What a run reconstructs: parts above one another, on one grid of rows.

A single scan is an organ of one part. A series has one for each height. Row z of the organ is the
row ``z - offset_px`` of a part, which as a rule lies between two rows of its detector. So a part
has *own rows*: own row q lies behind detector row q by a fraction of a row, the same for all, and
is a whole row of the organ.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import ConfigError, InputError
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.job import Job
from hipct.pipeline.motion import Motion
from hipct.preparation.moving import moving_halo
from hipct.reconstruction.stitching_levels import SeriesLevels
from hipct.reconstruction.stitching_weights import (
    HALO_ROWS,
    organ_rows,
    overlap_weights,
    series_gaps,
)

_NO_FRACTION = 1e-4
"""Fractions of a row that are none: positions are not known better."""


@dataclass(frozen=True, eq=False)
class Part:
    """A scan and where it lies in the organ.

    Attributes
    ----------
    job : Job
        The resolved job of this scan.
    axis : float or None
        Rotation axis in detector columns; ``None`` while it is not known.
    offset_px : float
        Organ row of its detector row 0.
    centre_px : (float, float)
        By how much (y, x) the sample stands beside where it stands in the middle of the series, in
        the frame of the slices.
    number : int
        Its place in the organ, from the lowest rows.
    name : str
        What a person calls it; empty for a single scan.
    levels : SeriesLevels or None
        What the line integrals of all parts are off by.
    corrections : Corrections or None
        What was measured of the flats of its scan.
    motion : Motion or None
        What was measured of the sample's motion during the scan.
    """

    job: Job
    axis: float | None = None
    offset_px: float = 0.0
    centre_px: tuple[float, float] = (0.0, 0.0)
    number: int = 0
    name: str = ""
    levels: SeriesLevels | None = None
    corrections: Corrections | None = None
    motion: Motion | None = None

    @cached_property
    def base(self) -> int:
        """Own row of organ row 0."""
        return math.floor(_NO_FRACTION - self.offset_px)

    @cached_property
    def fraction(self) -> float:
        """How far own rows lie behind the detector row of their number, 0 to 1."""
        fraction = -self.offset_px - self.base
        return 0.0 if fraction < _NO_FRACTION else fraction

    def shifts_px(self, angles: slice) -> tuple[ArrayLike, ArrayLike]:
        """How far own rows, and columns, lie behind those of the detector in some projections."""
        if self.motion is None or not self.motion.moves:
            return self.fraction, 0.0
        rows, columns = self.motion.shifts_px(angles)
        return rows + self.fraction, columns

    @cached_property
    def halo(self) -> tuple[int, int]:
        """Detector rows that an own row needs before and behind that of its number."""
        return moving_halo(self.shifts_px(slice(None))[0])

    @property
    def moves(self) -> bool:
        """Whether its frames have to be moved."""
        return self.fraction > 0 or (self.motion is not None and self.motion.moves)

    @property
    def of_series(self) -> bool:
        """Whether it is one of several sub-scans."""
        return bool(self.name)

    def own(self, rows: range) -> range:
        """Own rows of some organ rows."""
        return range(rows.start + self.base, rows.stop + self.base)

    def on_whole_rows(self) -> Part:
        """The same part moved to the nearest whole row, for estimates."""
        return replace(self, offset_px=float(round(self.offset_px)))

    @property
    def measured_radius_px(self) -> float:
        """Radius in pixels of the disc that every pair of opposite views has seen."""
        axis = self.known_axis
        sides = axis, self.job.info.columns - 1 - axis
        radius = (max(sides) if self.job.half else min(sides)) + 0.5
        # The sample stands there; the disc is around the axis.
        return radius - math.hypot(*self.centre_px)

    @property
    def known_axis(self) -> float:
        """The axis, or the one that makes the slices as wide as they can get."""
        if self.axis is not None:
            return self.axis
        return 0.0 if self.job.half else (self.job.info.columns - 1) / 2


@dataclass(frozen=True, eq=False)
class Organ:
    """Parts, and the rows that they make together.

    Attributes
    ----------
    parts : tuple of Part
        By their offsets.
    rows : range
        Organ rows to make.
    margin_px : int
        Rows at either end of every part that do not count.
    """

    parts: tuple[Part, ...]
    rows: range
    margin_px: int = 0

    @classmethod
    def of_scan(cls, job: Job, axis: float | None = None) -> Organ:
        """One scan; organ rows are its detector rows."""
        return cls((Part(job, axis),), job.rows)

    @classmethod
    def of_series(cls, parts: tuple[Part, ...], margin_px: int) -> Organ:
        """All rows of a series that the configuration wants.

        Raises
        ------
        ConfigError
            If it wants rows that the series does not have, or margins leave nothing of a sub-scan.
        """
        # What moving the frames needs at the ends is the least that is left out.
        margin_px = max(margin_px, *HALO_ROWS, *(rows for part in parts for rows in part.halo))
        lowest = min(part.job.info.rows for part in parts)
        if lowest <= 2 * margin_px:
            raise ConfigError(
                f"Without {margin_px} rows at either end (stitching.margin_px, {max(HALO_ROWS)} at "
                f"least) nothing is left of sub-scans of {lowest} rows."
            )
        whole = organ_rows(*_places(parts), margin_px=margin_px)
        wanted = parts[0].job.config.scan
        last = whole.stop if wanted.last_row is None else wanted.last_row
        rows = range(max(whole.start, wanted.first_row), min(whole.stop, last))
        if not rows:
            raise ConfigError(
                f"scan.first_row {wanted.first_row} and scan.last_row {last} enclose none of the "
                f"rows {whole.start} to {whole.stop - 1} of the series; the last row is exclusive."
            )
        return cls(parts, rows, margin_px)

    @property
    def job(self) -> Job:
        """The job of the first part: in all that the configuration says it is everyone's."""
        return self.parts[0].job

    @property
    def largest(self) -> Job:
        """The job with the largest sinograms."""
        return max(
            (part.job for part in self.parts),
            key=lambda job: job.info.projections * job.info.columns,
        )

    @property
    def of_one_scan(self) -> bool:
        """Whether nothing has to be joined."""
        return len(self.parts) == 1 and not self.parts[0].of_series

    def weights(self, rows: range) -> NDArray[np.float64]:
        """Share of each part in some organ rows, (parts, rows)."""
        if self.of_one_scan:
            return np.ones((1, len(rows)))
        return overlap_weights(*_places(self.parts), rows, margin_px=self.margin_px)

    @cached_property
    def shares(self) -> tuple[range, ...]:
        """Organ rows to which each part adds."""
        if self.of_one_scan:
            return (self.rows,)
        return tuple(self._share(k) for k in range(len(self.parts)))

    def _share(self, k: int) -> range:
        """Organ rows to which part k adds: of its own rows alone, as a series has many."""
        part = self.parts[k]
        first = max(self.rows.start, math.floor(part.offset_px))
        stop = min(self.rows.stop, math.ceil(part.offset_px + part.job.info.rows))
        if first >= stop:
            return range(self.rows.start, self.rows.start)
        # Its weight depends on the part below it and on those that begin within its rows.
        near = [each for each in self.parts[max(0, k - 1) :] if each.offset_px < stop]
        weights = overlap_weights(
            *_places(tuple(near)), range(first, stop), margin_px=self.margin_px
        )
        rows = np.flatnonzero(weights[min(k, 1)])
        if not rows.size:
            return range(self.rows.start, self.rows.start)
        return range(first + int(rows[0]), first + int(rows[-1]) + 1)

    @property
    def gaps(self) -> list[range]:
        """Organ rows that no part covers; they are stored as 0."""
        if self.of_one_scan:
            return []
        gaps = series_gaps(*_places(self.parts), margin_px=self.margin_px)
        inside = (
            range(max(gap.start, self.rows.start), min(gap.stop, self.rows.stop)) for gap in gaps
        )
        return [gap for gap in inside if gap]

    def refuse_gaps(self) -> None:
        """Refuse rows that no part covers.

        Raises
        ------
        InputError
            If there are such rows; it names them and the parts beside them.
        """
        words = []
        for gap in self.gaps:
            above = sum(part.offset_px + self.margin_px < gap.start for part in self.parts)
            names = " and ".join(part.name for part in self.parts[above - 1 : above + 1])
            words.append(f"{len(gap)} rows between {names}")
        if words:
            raise InputError(
                f"No sub-scan covers {', '.join(words)}: the {self.margin_px} rows at either end "
                "of each (stitching.margin_px) do not count. Lower that, or give --allow-gaps "
                "(Python: allow_gaps=True) to store the missing rows as 0."
            )

    @property
    def radius_px(self) -> float | None:
        """Radius of the disc outside of which voxels are stored as 0; ``None``: nowhere.

        Raises
        ------
        InputError
            If a part was put so far aside that no disc is left.
        """
        if not self.job.config.reconstruction.circle:
            return None
        part = min(self.parts, key=lambda part: part.measured_radius_px)
        if part.measured_radius_px <= 0:
            raise InputError(
                f"{part.name} has its axis at column {part.known_axis:.1f} and its sample "
                f"{math.hypot(*part.centre_px):.1f} pixels aside: its opposite views would have "
                "nothing in common. One of both was found wrongly; give axis.value, or set "
                "stitching.refine=false to believe the motors."
            )
        return part.measured_radius_px


def _places(parts: tuple[Part, ...]) -> tuple[list[float], list[int]]:
    return [part.offset_px for part in parts], [part.job.info.rows for part in parts]
