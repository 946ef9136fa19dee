"""Single views of a scan as line integrals, projections and views taken again alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import FrameKind, Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.job import Job
from hipct.pipeline.report import StageClock
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.linearise import line_integral
from hipct.preparation.motion_pairs import nearest_views


class ViewsBehind(Scan):
    """A scan with the views taken again at its end behind its projections, as more of them."""

    def __init__(self, scan: Scan, job: Job) -> None:
        info = job.info
        self._scan, self._projections = scan, info.projections
        self.row_chunk, self.angle_chunk = scan.row_chunk, scan.angle_chunk
        self.like = np.concatenate([
            np.arange(info.projections), nearest_views(info.angles_rad, info.return_angles_rad)
        ])  # fmt: skip
        self.info = replace(
            info,
            projections=info.projections + info.returns,
            angles_rad=np.concatenate([info.angles_rad, info.return_angles_rad]),
            projection_index=np.concatenate([info.projection_index, info.return_index]),
            return_angles_rad=np.empty(0),
            return_index=np.empty(0),
            current=None,
            projection_z_um=None,
        )

    def job_of(self, job: Job) -> Job:
        """The job of these frames: views taken again have the current of those that they repeat."""
        current = None if job.current is None else job.current[self.like]
        return replace(job, info=self.info, current=current)

    def corrections_of(self, corrections: Corrections | None) -> Corrections | None:
        """Corrections of these frames: as of the projections that views repeat.

        A level that is a little wrong does not matter to where the view stands.
        """
        if corrections is None:
            return None
        flats, drift, levels = corrections.flats, corrections.drift, corrections.levels
        if flats is not None:
            current = None if flats.current is None else flats.current[self.like]
            flats = replace(flats, positions=flats.positions[self.like], current=current)
        if drift is not None:
            drift = replace(drift, coefficients=drift.coefficients[self.like])
        if levels is not None:
            levels = levels[self.like]
        return replace(corrections, flats=flats, drift=drift, levels=levels)

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        known = self._projections
        if kind == "flats":
            out[...] = self._scan.read_flats(rows)
        elif kind == "darks":
            out[...] = self._scan.read_darks(rows)
        elif frames.stop <= known:
            self._scan.read_projections(frames, rows, out)
        else:
            first = min(frames.start, known)
            own = known - first
            if own > 0:
                self._scan.read_projections(slice(frames.start, known), rows, out[:own])
            again = self._scan.read_returns(rows)
            out[max(own, 0) :] = again[max(frames.start, known) - known : frames.stop - known]


class Views:
    """Line integrals of some rows of single views.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    job : Job
        What to do with it.
    rows : range
        Detector rows wanted.
    clock : StageClock
        Receives the times.
    corrections : Corrections, optional
        What was measured of the scan.
    device : Device
        Where it is computed.
    """

    def __init__(
        self,
        scan: Scan,
        job: Job,
        rows: range,
        clock: StageClock,
        *,
        corrections: Corrections | None = None,
        device: Device = HOST,
    ) -> None:
        behind = ViewsBehind(scan, job)
        self._source = Transmission(
            behind,
            behind.job_of(job),
            rows,
            clock,
            device=device,
            corrections=behind.corrections_of(corrections),
        )

    def block(self, views: slice) -> Array:
        """Line integrals (views, rows, columns), float32, on the device."""
        raw = self._source.read(views)
        transmission = self._source.frames(raw, views, PixelCounts())
        return line_integral(transmission, out=transmission)

    def between(self, first: int, share: float) -> Array:
        """A view between two projections, or a little beyond, (rows, columns)."""
        if share == 0:
            return self.block(slice(first, first + 1))[0]
        pair = self.block(slice(first, first + 2))
        return pair[0] * np.float32(1 - share) + pair[1] * np.float32(share)


ViewsOfRows = Callable[[range], Views]
"""Gives views of some detector rows."""
