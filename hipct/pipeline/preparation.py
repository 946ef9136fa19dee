"""From raw frames to the line integrals of one tile, streamed in blocks of angles."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.phase.extent import fast_rows
from hipct.phase.filter import CosineFilter
from hipct.phase.unsharp import UnsharpMask, unsharp
from hipct.pipeline.job import Job
from hipct.pipeline.organ import Part
from hipct.pipeline.phase import ProjectionFilter, projection_filters
from hipct.pipeline.report import StageClock
from hipct.pipeline.stacked import tile_transmission
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.linearise import MINIMUM, sinograms
from hipct.preparation.moving import move_frames


class TilePreparation:
    """Flat field, phase retrieval and logarithm of some rows of a part.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    part : Part
        What to do with it, and where it lies in the organ.
    own : range
        Own rows wanted; the halo of the job is read around them where the detector has it.
    clock : StageClock
        Receives the times.
    counts : PixelCounts
        Receives the repaired pixels, of the wanted rows and their halo.
    prepared : range, optional
        Own rows that are prepared for them; a whole tile makes the numbers independent of which of
        its rows are wanted. The wanted rows alone by default.
    device : Device
        Where it is computed.
    """

    def __init__(
        self,
        scan: Scan,
        part: Part,
        own: range,
        clock: StageClock,
        counts: PixelCounts,
        *,
        prepared: range | None = None,
        device: Device = HOST,
    ) -> None:
        self._part, self._own, self._clock, self._counts = part, own, clock, counts
        self._xp = device.xp
        rows = phase_rows(part, own if prepared is None else prepared)
        self._keep = range(own.start - rows.start, own.stop - rows.start)
        # Beyond the edge of the detector its outermost row goes on.
        self._ends = rows.start == 0, rows.stop == part.job.info.rows
        self._source = tile_transmission(
            scan,
            part.job,
            rows,
            clock,
            counted=own,
            device=device,
            corrections=part.corrections,
        )
        self._mask = unsharp_mask(part.job)
        self._phases = phase_filters(part.job, len(rows), self._mask, device.xp)

    def read(self, angles: slice) -> Array:
        """Raw frames of the rows and their halo, (angles, rows, columns), on the device."""
        return self._source.read(angles)

    def line_integrals(self, raw: Array, angles: slice, out: Array, first: int = 0) -> None:
        """Put the line integrals of the wanted rows into ``out`` (rows, angles, columns).

        Those of several materials stand view by view: ``out`` then has so many times the angles.

        Parameters
        ----------
        raw : array, shape (angles, rows, columns)
            What :meth:`read` gave for some angles, or a part of it.
        angles : slice
            Which projections of the scan these are.
        out : array, shape (wanted rows, materials * some angles, columns), float32
        first : int
            Number of the first of these angles in ``out``.
        """
        counts = PixelCounts()
        self._fill(raw, angles, out, first, counts)
        # Only now: where memory runs out on the way, the same angles are done again.
        self._counts.merge(counts)

    def _fill(self, raw: Array, angles: slice, out: Array, first: int, counts: PixelCounts) -> None:
        part, materials = self._part, max(1, len(self._phases))
        source = self._source
        moved = bool(self._phases) or self._mask is not None or part.moves
        if not moved and isinstance(source, Transmission) and source.is_flat_field:
            source.sinograms(raw, angles, counts, out, first)
            self._level(out, first, len(raw))
            return
        transmission = source.frames(raw, angles, counts)
        for number, phase in enumerate(self._phases or [None]):
            if materials == 1:
                self._retrieve(transmission, phase, angles, out, first, counts=counts)
                break
            lines = self._xp.empty((len(out), len(raw), out.shape[2]), np.float32)
            kept = number + 1 < materials
            self._retrieve(transmission, phase, angles, lines, 0, counts=counts, kept=kept)
            # Those of all materials stand view by view.
            begin = first * materials + number
            out[:, begin : (first + len(raw)) * materials : materials] = lines
        self._level(out, first * materials, len(raw) * materials)

    def _retrieve(
        self,
        transmission: Array,
        phase: ProjectionFilter | None,
        angles: slice,
        out: Array,
        first: int,
        *,
        counts: PixelCounts,
        kept: bool = False,
    ) -> None:
        """Line integrals for one material; the transmission stays as it is where ``kept``."""
        clock, part, keep = self._clock, self._part, self._keep
        if isinstance(phase, CosineFilter) and phase.takes_logarithm and not part.moves:
            rows = slice(keep.start, keep.stop)
            with clock.stage("phase and log", transmission.nbytes):
                clamped = phase.sinograms(transmission, out, first, minimum=MINIMUM, rows=rows)
            counts.add(clamped=clamped)
            return
        if phase is not None or self._mask is not None:
            with clock.stage("phase", transmission.nbytes):
                transmission = self._retrieved(transmission, phase, kept=kept)
        wanted = slice(keep.start, keep.stop)
        if part.moves:
            with clock.stage("move", transmission.nbytes):
                transmission = move_frames(
                    transmission, *part.shifts_px(angles), keep, ends=self._ends
                )
            wanted = slice(None)
        with clock.stage("log", transmission.nbytes):
            sinograms(transmission, out, first, rows=wanted, counts=counts)

    def _level(self, out: Array, first: int, angles: int) -> None:
        """Bring the line integrals to the level of the other scans of the organ."""
        part = self._part
        if part.levels is not None:
            with self._clock.stage("log"):
                row = self._own.start + part.fraction
                part.levels.correct(out[:, first : first + angles], part.number, row, axis=0)

    def _retrieved(
        self, transmission: Array, phase: ProjectionFilter | None, *, kept: bool
    ) -> Array:
        """Phase retrieval, with the unsharp mask in the same pass, or that mask alone."""
        if phase is not None:
            in_place = not kept and self._part.job.images == 1
            return phase.apply(transmission, out=transmission if in_place else None)
        assert self._mask is not None
        mask = self._mask
        return unsharp(
            transmission, sigma_px=mask.sigma_px, strength=mask.strength, method=mask.method
        )


def phase_rows(part: Part, own: range) -> range:
    """Detector rows that phase retrieval needs for some own rows of a part.

    A few more than the halo, where the detector has them: a height that is fast to transform
    spares the filter rows that are made up to continue them.
    """
    (before, after), halo, rows = part.halo, part.job.halo, part.job.info.rows
    first, stop = max(0, own.start - before - halo), min(rows, own.stop + after + halo)
    fast = fast_rows(stop - first)
    if not halo or fast > rows:
        return range(first, stop)
    stop = min(rows, first + fast)
    return range(stop - fast, stop)


def unsharp_mask(job: Job) -> UnsharpMask | None:
    """The unsharp mask of a job, if it has one."""
    settings = job.config.unsharp
    if settings.method == "none":
        return None
    return UnsharpMask(
        sigma_px=settings.sigma_px, strength=settings.strength, method=settings.method
    )


def phase_filters(
    job: Job, rows: int, mask: UnsharpMask | None, xp: ModuleType
) -> list[ProjectionFilter]:
    """The phase filters of a job for tiles of some rows, one for each material, if it has any."""
    if job.config.phase.method == "none":
        return []
    shape = rows, job.info.columns
    return projection_filters(job.config.phase, job.physics(), shape, mask, xp)


def angle_blocks(projections: int, block: int) -> list[slice]:
    """Slices of ``block`` angles that cover all projections."""
    return [slice(a, min(a + block, projections)) for a in range(0, projections, block)]
