"""From raw frames to the line integrals of one tile, streamed in blocks of angles."""

from __future__ import annotations

from types import ModuleType

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.phase.extent import fast_rows
from hipct.phase.paganin import PaganinFilter
from hipct.phase.unsharp import UnsharpMask, unsharp
from hipct.pipeline.job import Job
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
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
        rows = phase_rows(part, own if prepared is None else prepared)
        self._keep = range(own.start - rows.start, own.stop - rows.start)
        # Beyond the edge of the detector its outermost row goes on.
        self._ends = rows.start == 0, rows.stop == part.job.info.rows
        self._source = Transmission(
            scan,
            part.job,
            rows,
            clock,
            counted=own,
            device=device,
            corrections=part.corrections,
        )
        self._mask = unsharp_mask(part.job)
        self._phase = phase_filter(part.job, len(rows), self._mask, device.xp)

    def read(self, angles: slice) -> Array:
        """Raw frames of the rows and their halo, (angles, rows, columns), on the device."""
        return self._source.read(angles)

    def line_integrals(self, raw: Array, angles: slice, out: Array, first: int = 0) -> None:
        """Put the line integrals of the wanted rows into ``out`` (rows, angles, columns).

        Parameters
        ----------
        raw : array, shape (angles, rows, columns)
            What :meth:`read` gave for some angles, or a part of it.
        angles : slice
            Which projections of the scan these are.
        out : array, shape (wanted rows, some angles, columns), float32
        first : int
            Index in ``out`` of the first of these angles.
        """
        counts = PixelCounts()
        self._fill(raw, angles, out, first, counts)
        # Only now: where memory runs out on the way, the same angles are done again.
        self._counts.merge(counts)

    def _fill(self, raw: Array, angles: slice, out: Array, first: int, counts: PixelCounts) -> None:
        clock, part = self._clock, self._part
        filtered = self._phase is not None or self._mask is not None
        if not filtered and not part.moves and self._source.is_flat_field:
            self._source.sinograms(raw, angles, counts, out, first)
            self._level(out, first, len(raw))
            return
        transmission = self._source.frames(raw, angles, counts)
        if self._phase is not None and self._phase.takes_logarithm and not part.moves:
            rows = slice(self._keep.start, self._keep.stop)
            with clock.stage("phase and log", transmission.nbytes):
                clamped = self._phase.sinograms(
                    transmission, out, first, minimum=MINIMUM, rows=rows
                )
            counts.add(clamped=clamped)
            self._level(out, first, len(raw))
            return
        if filtered:
            with clock.stage("phase", transmission.nbytes):
                transmission = self._retrieved(transmission)
        keep = slice(self._keep.start, self._keep.stop)
        if part.moves:
            with clock.stage("move", transmission.nbytes):
                transmission = move_frames(
                    transmission, *part.shifts_px(angles), self._keep, ends=self._ends
                )
            keep = slice(None)
        with clock.stage("log", transmission.nbytes):
            sinograms(transmission, out, first, rows=keep, counts=counts)
        self._level(out, first, len(transmission))

    def _level(self, out: Array, first: int, angles: int) -> None:
        """Bring the line integrals to the level of the other scans of the organ."""
        part = self._part
        if part.levels is not None:
            with self._clock.stage("log"):
                row = self._own.start + part.fraction
                part.levels.correct(out[:, first : first + angles], part.number, row, axis=0)

    def _retrieved(self, transmission: Array) -> Array:
        """Phase retrieval, with the unsharp mask in the same pass, or that mask alone."""
        if self._phase is not None:
            return self._phase.apply(transmission, out=transmission)
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


def phase_filter(
    job: Job, rows: int, mask: UnsharpMask | None, xp: ModuleType
) -> PaganinFilter | None:
    """The phase filter of a job for tiles of some rows, if it has one."""
    settings = job.config.phase
    if settings.method == "none":
        return None
    physics = job.physics()
    return PaganinFilter(
        rows,
        job.info.columns,
        method=settings.method,
        padding=settings.padding,
        unsharp=mask,
        pixel_size_um=physics.pixel_size_um,
        distance_m=physics.distance_m,
        energy_kev=physics.energy_kev,
        delta_beta=physics.delta_beta,
        xp=xp,
    )


def angle_blocks(projections: int, block: int) -> list[slice]:
    """Slices of ``block`` angles that cover all projections."""
    return [slice(a, min(a + block, projections)) for a in range(0, projections, block)]
