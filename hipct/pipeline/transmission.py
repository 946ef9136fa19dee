"""From raw frames to the transmission of some detector rows."""

from __future__ import annotations

import numpy as np

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import InputError
from hipct.pipeline.job import Job, uses_flats
from hipct.pipeline.report import StageClock
from hipct.preparation.air import air_normalise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.flat import FlatField
from hipct.preparation.zingers import remove_zingers


class Transmission:
    """Flat field and repairs of some detector rows, for any block of angles.

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
    counted : range, optional
        Rows whose repaired pixels are counted; all by default.
    device : Device
        Where it is computed.

    Attributes
    ----------
    rows : range
        Detector rows that come out.
    """

    def __init__(
        self,
        scan: Scan,
        job: Job,
        rows: range,
        clock: StageClock,
        *,
        counted: range | None = None,
        device: Device = HOST,
    ) -> None:
        self.rows = rows
        self._scan, self._job, self._clock, self._device = scan, job, clock, device
        counted = rows if counted is None else counted
        self._read_rows = slice(rows.start, rows.stop)
        self._counted = slice(counted.start - rows.start, counted.stop - rows.start)
        self._flat = self._references()

    def read(self, angles: slice) -> Array:
        """Raw frames of what the rows need, (angles, rows, columns), on the device."""
        info, device = self._job.info, self._device
        rows = self._read_rows.stop - self._read_rows.start
        raw = device.host_array((angles.stop - angles.start, rows, info.columns), info.dtype)
        with self._clock.stage("read", raw.nbytes):
            self._scan.read_projections(angles, self._read_rows, raw)
        if not device.on_gpu:
            return raw
        with self._clock.stage("to device", raw.nbytes), device.lane("read"):
            return device.upload(raw)

    def frames(self, raw: Array, angles: slice, counts: PixelCounts) -> Array:
        """Transmission (angles, rows, columns) float32 of what :meth:`read` gave.

        Parameters
        ----------
        raw : array, shape (angles, rows, columns)
            All or some of the frames that were read.
        angles : slice
            Which projections of the scan these are.
        counts : PixelCounts
            Receives the repaired pixels.
        """
        with self._clock.stage("flat", raw.nbytes):
            transmission = self._normalised(raw, angles, counts)
            threshold = self._job.config.repair.zinger_threshold
            if threshold > 0:
                transmission = remove_zingers(
                    transmission, threshold, counts=counts, counted_rows=self._counted
                )
        return transmission

    def _normalised(self, raw: Array, angles: slice, counts: PixelCounts) -> Array:
        info, config, xp = self._job.info, self._job.config, self._device.xp
        frames = raw
        if info.kind == "line_integral":
            frames = raw.astype(np.float32)
            xp.negative(frames, out=frames)
            xp.exp(frames, out=frames)
        transmission = self._flat.apply(
            frames,
            projection_index=info.projection_index[angles],
            current=None if self._job.current is None else self._job.current[angles],
            counts=counts,
            counted_rows=self._counted,
        )
        if config.flat.air_columns:
            columns = config.flat.air_columns
            transmission = air_normalise(transmission, left=columns, right=columns, counts=counts)
        return transmission

    def _references(self) -> FlatField:
        """References of the rows, or ones where the frames are normalised already."""
        scan, job = self._scan, self._job
        info = job.info
        if not uses_flats(info, job.config):
            return FlatField.without_flats(
                self._read_rows.stop - self._read_rows.start, info.columns, xp=self._device.xp
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
                self._device.upload(flats),
                self._device.upload(darks),
                flat_index=info.flat_index,
                flat_current=job.flat_current,
                dead_share=job.config.repair.dead_pixel_threshold,
            )
