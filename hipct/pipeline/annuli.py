"""Quarter-acquisition: the two annuli of a height as one wide half-acquisition.

BM05 and BM18 alike scan a sample of more than twice the detector's width in two annuli. Joined
(2 x 2048 columns become about 3950 on BM18) they are a half-acquisition, which opposite views widen
once more when it is back-projected (to 7641 there). The first join is made here, projection by
projection, while the joined scan is read; the second is that of any half-acquisition.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.acquisition.series import Member
from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.core.resampling import REACH
from hipct.pipeline.annuli_offset import AngleMatch, annulus_config, find_annuli
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.report import StageClock
from hipct.pipeline.virtual import (
    Source,
    VirtualScan,
    blocks_of,
    transmission_info,
    virtual_config,
)
from hipct.preparation.quarter import AnnulusJoin


class JoinedScan(VirtualScan):
    """The two annuli of a quarter-acquisition as one scan of transmission.

    Made by :func:`join_station`. Flats, dead pixels, the machine current and zingers are settled
    annulus by annulus as the configuration wants it; the job of the joined scan is to be resolved
    with :func:`joined_config`, so that zingers are not searched for again.

    Parameters
    ----------
    inner, outer : Scan
        The annulus at the rotation axis, and the other one.
    config : Config
        Configuration of the run.
    found : mapping
        What :func:`join_station` has found; of JSON values.
    corrections : (Corrections, Corrections), optional
        What was measured of the inner and of the outer annulus.

    Attributes
    ----------
    found : dict
        The same, to be handed to a resumed run.
    join : AnnulusJoin
        The geometry.
    first_row : float
        Row of the station's first sub-scan, by the motors, at which row 0 lies: it is a row of the
        inner annulus, of which rows that the outer one does not have are left out.

    Raises
    ------
    InputError
        If the annuli have too few columns in common, or differ in their rows or angles.
    """

    def __init__(
        self,
        inner: Scan,
        outer: Scan,
        config: Config,
        found: Mapping[str, Any],
        corrections: Sequence[Corrections | None] = (None, None),
    ) -> None:
        settings = annulus_config(config)
        self._inner = Source(inner, settings, corrections[0])
        self._outer = Source(outer, settings, corrections[1])
        super().__init__(self._inner, self._outer)
        self.found = dict(found)
        one, other = self._inner.job.info, self._outer.job.info
        row, column = found["offset_px"]
        offset = float(row), float(column)
        self.join = AnnulusJoin(one.columns, other.columns, offset, config.quarter.border_px)
        self._match = AngleMatch.of(one, other)
        rows = _common_rows(one, other, offset[0])
        self._first = rows.start
        self.first_row = self._first + float(found["inner_row_px"])
        self.row_chunk, self.angle_chunk = inner.row_chunk, inner.angle_chunk
        self.info = _joined_info(one, other, self.join, rows, self.found)
        again = {"inner": inner, "outer": outer, "config": config, "found": self.found}
        self.opened_again_by(JoinedScan, again | {"corrections": corrections})

    def work_bytes(self, angles: int, rows: int) -> int:
        """Bytes that reading blocks of so many angles and rows takes beside what it gives."""
        size = min(angles, self._inner.angles_at_a_time())
        margin = self._margin()
        height = min(rows + 2 * margin, self._inner.job.info.rows)
        frame = size * height * 4
        # Neighbours of angles that lie between two projections, and what becomes of both.
        between = 2 * frame * self.join.outer_columns if self._match.interpolates else 0
        return (
            self._inner.frames_bytes(size, height)
            + self._outer.frames_bytes(size + 1, height)
            + between
            + (frame * self.join.columns if margin else 0)
            + sum(source.references_bytes(height) for source in self._sources)
        )

    def _make(self, angles: slice, rows: range, out: NDArray[np.float32]) -> None:
        wanted = range(rows.start + self._first, rows.stop + self._first)
        margin = self._margin()
        first = max(0, wanted.start - margin)
        read = range(first, min(self._inner.job.info.rows, wanted.stop + margin))
        keep = slice(wanted.start - first, wanted.stop - first)
        for block in blocks_of(angles, self._inner.angles_at_a_time()):
            part = out[block.start - angles.start : block.stop - angles.start]
            inner = self._inner.frames(block, read)
            outer = self._match.frames(self._outer, block, read)
            if margin:
                part[...] = self.join.join(inner, outer)[:, keep]
            else:
                self.join.join(inner, outer, out=part)
            # Not while the next ones are read.
            del inner, outer

    def _margin(self) -> int:
        """Rows that resampling along them needs above and below."""
        row = abs(self.join.offset_px[0])
        return math.ceil(row) + REACH if row else 0


def joined_config(config: Config) -> Config:
    """What a run's configuration leaves to be done for a joined scan.

    All but what belongs to the camera and its beam. Columns of air are those at the two ends of the
    joined projections: the edges of one annulus see the sample.
    """
    rest = virtual_config(config)
    air = rest.flat.model_copy(update={"air_columns": config.flat.air_columns})
    return rest.model_copy(update={"flat": air})


def join_station(
    station: Sequence[Member],
    config: Config,
    clock: StageClock,
    observer: Observer,
    *,
    corrections: Sequence[Corrections] | None = None,
    known: Mapping[str, Any] | None = None,
) -> JoinedScan:
    """The scan that the two annuli of a height make together.

    The inner annulus is the one whose field holds the rotation axis, or comes nearer to it: by the
    metadata of either, by the axis that opposite views of both joined have, or, where these are
    not clear, the one in which the sample is thicker. Its offset to the outer one comes from the
    motors, refined by correlation; where the correlation is not certain (below a confidence of
    0.95, or above a standard error of 0.5 px) it is that of the motors, and a note says so.

    Parameters
    ----------
    station : sequence of Member
        One of ``series.stations``: two sub-scans, by their lateral position.
    config : Config
        Configuration of the run.
    clock, observer : StageClock, Observer
        Receive times and progress. What was found stands in the notes of the scan.
    corrections : sequence of Corrections, optional
        What was measured of either, with jobs resolved by :func:`annulus_config`; none by default.
    known : mapping, optional
        ``found`` of the joined scan of an earlier run, so that nothing is estimated anew.

    Returns
    -------
    JoinedScan
        Its job is to be resolved with :func:`joined_config`.

    Raises
    ------
    InputError
        If it is not two annuli, they have too few columns in common or differ in rows or angles.
    """
    if len(station) != 2:
        names = ", ".join(member.name for member in station)
        raise InputError(
            f"A quarter-acquisition has two annuli at each height, and here are {len(station)} "
            f"({names}); leave out what does not belong to it."
        )
    if any(member.info.projection_z_um is not None for member in station):
        raise InputError(
            f"{station[0].name} and {station[1].name} are helical scans at one height; annuli are "
            "joined of scans that stand still in z."
        )
    if known is None:
        observer.start("annuli", 1)
        with clock.stage("annuli"):
            known = find_annuli(station, config, corrections)
        observer.finish("annuli")
    scans = [member.scan for member in station]
    of_scans = [*corrections] if corrections is not None else [None, None]
    if known["inner"] == station[1].name:
        scans.reverse()
        of_scans.reverse()
    return JoinedScan(scans[0], scans[1], config, known, of_scans)


def _common_rows(inner: ScanInfo, outer: ScanInfo, row: float) -> range:
    """Rows of the inner annulus that the outer one has as well, to within half a row."""
    if inner.rows != outer.rows:
        raise InputError(
            f"{inner.where} has {inner.rows} rows and {outer.where} {outer.rows}; annuli need the "
            "same."
        )
    first = math.ceil(max(0.0, row) - 0.5)
    stop = math.floor(min(0.0, row) + 0.5) + inner.rows
    if first >= stop:
        raise InputError(
            f"{outer.where} lies {row:g} rows from {inner.where}: the annuli, of {inner.rows} "
            "rows, have none in common."
        )
    return range(first, stop)


def _joined_info(
    inner: ScanInfo, outer: ScanInfo, join: AnnulusJoin, rows: range, found: Mapping[str, Any]
) -> ScanInfo:
    pixel = inner.pixel_size_um
    middle = rows.start + (len(rows) - 1) / 2 - (inner.rows - 1) / 2
    z, lateral = inner.z_um, inner.lateral_um
    return transmission_info(
        inner,
        rows=len(rows),
        columns=join.columns,
        acquisition="half",
        rotation_axis_px=found["axis_px"],
        z_um=None if z is None or pixel is None else z + middle * pixel,
        lateral_um=None if lateral is None or pixel is None else lateral + join.axis(0.0) * pixel,
        source=f"{inner.where} and {outer.where}",
        format="joined annuli",
        notes=(*inner.notes, *found["notes"]),
    )
