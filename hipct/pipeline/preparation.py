"""From raw frames to the line integrals of one tile, streamed in blocks of angles."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.phase.paganin import PaganinFilter
from hipct.phase.unsharp import UnsharpMask, unsharp
from hipct.pipeline.job import Job, uses_flats
from hipct.pipeline.report import StageClock
from hipct.preparation.air import air_normalise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.flat import FlatField
from hipct.preparation.linearise import line_integral
from hipct.preparation.zingers import remove_zingers


class TilePreparation:
    """Flat field, phase retrieval and logarithm of some detector rows.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    job : Job
        What to do with it.
    rows : range
        Detector rows wanted; the halo of the job is read around them where the detector has it.
    tile : range, optional
        Rows that are prepared for them; a whole tile makes the numbers independent of which of
        its rows are wanted. The wanted rows alone by default.
    clock : StageClock
        Receives the times.
    counts : PixelCounts
        Receives the repaired pixels, of the wanted rows and their halo.
    """

    def __init__(
        self,
        scan: Scan,
        job: Job,
        rows: range,
        clock: StageClock,
        counts: PixelCounts,
        *,
        tile: range | None = None,
    ) -> None:
        self._scan, self._job, self._clock, self._counts = scan, job, clock, counts
        tile = rows if tile is None else tile
        first = max(0, tile.start - job.halo)
        last = min(job.info.rows, tile.stop + job.halo)
        self._read_rows = slice(first, last)
        self._keep = slice(rows.start - first, rows.stop - first)
        self._flat = self._references()
        self._mask = self._unsharp_mask()
        self._phase = self._phase_filter(last - first)

    def read(self, angles: slice) -> NDArray[np.generic]:
        """Raw frames of the rows and their halo, (angles, rows, columns)."""
        info = self._job.info
        count = angles.stop - angles.start
        rows = self._read_rows.stop - self._read_rows.start
        size = count * rows * info.columns * info.dtype.itemsize
        with self._clock.stage("read", size):
            return self._scan.read_projections(angles, self._read_rows)

    def line_integrals(
        self, raw: NDArray[np.generic], angles: slice, out: NDArray[np.float32]
    ) -> None:
        """Fill ``out`` (rows, angles, columns) with the line integrals of the wanted rows."""
        job, clock = self._job, self._clock
        with clock.stage("flat", raw.nbytes):
            transmission = self._transmission(raw, angles)
            if job.config.repair.zinger_threshold > 0:
                transmission = remove_zingers(
                    transmission,
                    job.config.repair.zinger_threshold,
                    counts=self._counts,
                    counted_rows=self._keep,
                )
        if self._phase is not None or self._mask is not None:
            with clock.stage("phase", transmission.nbytes):
                transmission = self._retrieved(transmission)

        def work(start: int, stop: int) -> None:
            # Frame by frame: logarithm and transposition meet a warm cache.
            for angle in range(start, stop):
                frame = transmission[angle, self._keep]
                out[:, angle] = line_integral(frame, counts=self._counts, out=frame)

        with clock.stage("log", out.nbytes):
            parallel_for(work, len(transmission))

    def _retrieved(self, transmission: NDArray[np.float32]) -> NDArray[np.float32]:
        """Phase retrieval, with the unsharp mask in the same pass, or that mask alone."""
        if self._phase is not None:
            return cast(NDArray[np.float32], self._phase.apply(transmission, out=transmission))
        assert self._mask is not None
        mask = self._mask
        sharpened = unsharp(
            transmission, sigma_px=mask.sigma_px, strength=mask.strength, method=mask.method
        )
        return cast(NDArray[np.float32], sharpened)

    def _transmission(self, raw: NDArray[np.generic], angles: slice) -> NDArray[np.float32]:
        info, config = self._job.info, self._job.config
        frames = np.exp(-raw.astype(np.float32)) if info.kind == "line_integral" else raw
        transmission = self._flat.apply(
            frames,
            projection_index=info.projection_index[angles],
            current=None if self._job.current is None else self._job.current[angles],
            counts=self._counts,
            counted_rows=self._keep,
        )
        if config.flat.air_columns:
            columns = config.flat.air_columns
            transmission = air_normalise(
                transmission, left=columns, right=columns, counts=self._counts
            )
        return cast(NDArray[np.float32], transmission)

    def _references(self) -> FlatField:
        """References of the rows, or ones where the frames are normalised already."""
        scan, job = self._scan, self._job
        info = job.info
        if not uses_flats(info, job.config):
            return FlatField.without_flats(
                self._read_rows.stop - self._read_rows.start, info.columns
            )
        if info.flats == 0:
            raise InputError(
                f"{info.where} holds counts and no flats; import them with the scan, or set "
                "flat.enabled=false where the frames are divided by them already."
            )
        with self._clock.stage("read"):
            flats = scan.read_flats(self._read_rows)
            darks = scan.read_darks(self._read_rows)
        with self._clock.stage("flat", flats.nbytes + darks.nbytes):
            return FlatField.from_frames(
                flats,
                darks,
                flat_index=info.flat_index,
                flat_current=job.flat_current,
                dead_share=job.config.repair.dead_pixel_threshold,
            )

    def _unsharp_mask(self) -> UnsharpMask | None:
        settings = self._job.config.unsharp
        if settings.method == "none":
            return None
        return UnsharpMask(
            sigma_px=settings.sigma_px, strength=settings.strength, method=settings.method
        )

    def _phase_filter(self, rows: int) -> PaganinFilter | None:
        job, settings = self._job, self._job.config.phase
        if settings.method == "none":
            return None
        physics = job.physics()
        return PaganinFilter(
            rows,
            job.info.columns,
            method=settings.method,
            padding=settings.padding,
            unsharp=self._mask,
            pixel_size_um=physics.pixel_size_um,
            distance_m=physics.distance_m,
            energy_kev=physics.energy_kev,
            delta_beta=physics.delta_beta,
        )


def angle_blocks(projections: int, block: int) -> list[slice]:
    """Slices of ``block`` angles that cover all projections."""
    return [slice(a, min(a + block, projections)) for a in range(0, projections, block)]
