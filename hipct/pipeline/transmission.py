"""From raw frames to the transmission of some detector rows.

The order follows the light backwards, from what changed it last to what changed it first:

1. flat field and machine current: gain, dust and dead pixels belong to the pixel, and must go
   before anything looks at neighbours. Flats of a reference scan take the place of the scan's own
   here, for the same reason and for the dark level.
2. air columns: a level for each row of each frame.
3. drifting beam: its components are relative to the mean flat that was divided out, and are fitted
   to what is left of it.
4. darkening: one number a frame, fitted to columns from which the beam's drift has gone.
5. double flat field: what is still fixed to its pixel once all that changes from frame to frame
   is settled. These five are factors; the order decides what each one's measurement sees.
6. zingers: a spot that the double flat field takes away is none.
7. distortion: resampling mixes neighbours, so that no faulty pixel may be left to be spread.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import InputError
from hipct.pipeline.corrections import Corrections, PixelCorrections
from hipct.pipeline.job import Job, uses_flats
from hipct.pipeline.report import StageClock
from hipct.preparation.air import air_normalise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.dynamic_flats import EigenFlats
from hipct.preparation.flat import FlatField
from hipct.preparation.zingers import HALO_ROWS as ZINGER_HALO_ROWS
from hipct.preparation.zingers import remove_zingers


class Transmission:
    """Flat field, corrections and repairs of some detector rows, for any block of angles.

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
    corrections : Corrections, optional
        What was measured of the scan; none by default.

    Attributes
    ----------
    rows : range
        Detector rows that come out. More are read where a distortion is corrected.
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
        corrections: Corrections | None = None,
    ) -> None:
        self.rows = rows
        self._scan, self._job, self._clock, self._device = scan, job, clock, device
        corrections = Corrections() if corrections is None else corrections
        self._undistortion = corrections.undistortion(rows)
        self._read_rows = slice(rows.start, rows.stop)
        if self._undistortion is not None:
            source = self._undistortion.source
            more = ZINGER_HALO_ROWS if job.config.repair.zinger_threshold > 0 else 0
            self._read_rows = slice(
                max(0, source.start - more), min(job.info.rows, source.stop + more)
            )
        counted = rows if counted is None else counted
        first = self._read_rows.start
        self._counted = slice(counted.start - first, counted.stop - first)
        self._matched = corrections.flats
        self._between: tuple[int, FlatField] | None = None
        self._flat, eigen = self._references(corrections)
        self._corrections = PixelCorrections(corrections, self._read_rows, eigen, device)

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
            Which projections of the scan these are; may have a step.
        counts : PixelCounts
            Receives the repaired pixels.
        """
        with self._clock.stage("flat", raw.nbytes):
            transmission = self.corrected(raw, angles, counts)
            threshold = self._job.config.repair.zinger_threshold
            if threshold > 0:
                transmission = remove_zingers(
                    transmission, threshold, counts=counts, counted_rows=self._counted
                )
            if self._undistortion is not None:
                source, first = self._undistortion.source, self._read_rows.start
                part = transmission[:, source.start - first : source.stop - first]
                transmission = self._undistortion.apply(part)
        return transmission

    @property
    def is_flat_field(self) -> bool:
        """Whether there is nothing to do but the flat field, so that :meth:`sinograms` may."""
        return (
            self._undistortion is None
            and not self._corrections.given
            and self._job.config.repair.zinger_threshold == 0
            and not self._job.config.flat.air_columns
            and self._job.info.kind != "line_integral"
        )

    def sinograms(
        self, raw: Array, angles: slice, counts: PixelCounts, out: Array, first: int
    ) -> None:
        """Flat field and logarithm in one pass, of the counted rows, into sinograms.

        Parameters
        ----------
        raw, angles, counts
            As in :meth:`frames`.
        out : array, shape (counted rows, some angles, columns), float32
        first : int
            Index in ``out`` of the first of these angles.
        """
        with self._clock.stage("flat and log", raw.nbytes):
            for part, field, given in self._fields(angles):
                field.sinograms(
                    raw[part], out, first + part.start, **given, rows=self._counted, counts=counts
                )

    def corrected(self, raw: Array, angles: slice, counts: PixelCounts) -> Array:
        """All but zingers and distortion: the rows that were read, as corrections are measured."""
        info, config, xp = self._job.info, self._job.config, self._device.xp
        frames = raw
        if info.kind == "line_integral":
            frames = raw.astype(np.float32)
            xp.negative(frames, out=frames)
            xp.exp(frames, out=frames)
        transmission = xp.empty(frames.shape, np.float32)
        for part, field, given in self._fields(angles):
            field.apply(
                frames[part],
                **given,
                counts=counts,
                counted_rows=self._counted,
                out=transmission[part],
            )
        if config.flat.air_columns:
            columns = config.flat.air_columns
            transmission = air_normalise(transmission, left=columns, right=columns, counts=counts)
        self._corrections.apply(transmission, angles)
        return transmission

    def _fields(self, angles: slice) -> Iterator[tuple[slice, FlatField, dict[str, Any]]]:
        """Runs of projections with their flat field, and what it has to be told of them.

        Where flats are matched, those of two angles are held at a time.
        """
        info, job, matched = self._job.info, self._job, self._matched
        if matched is None:
            current = None if job.current is None else job.current[angles]
            index = info.projection_index[angles]
            given = {"projection_index": index, "current": current}
            yield slice(0, len(index)), self._flat, given
            return
        current = None if matched.current is None else matched.current[angles]
        positions = matched.positions[angles]
        for part, knot in matched.runs(angles):
            if self._between is None or self._between[0] != knot:
                with self._clock.stage("read"):
                    flats = self._device.upload(matched.flats(knot, self._read_rows))
                times = matched.knots[knot : knot + 2]
                field = FlatField(self._flat.dark, flats, times, current is not None)
                self._between = knot, field
            given = {
                "projection_index": positions[part],
                "current": None if current is None else current[part],
            }
            yield part, self._between[1], given

    def _references(self, corrections: Corrections) -> tuple[FlatField, EigenFlats | None]:
        """References of the rows, or ones where the frames are normalised already."""
        scan, job, matched = self._scan, self._job, corrections.flats
        info, rows = job.info, self._read_rows
        if matched is None and not uses_flats(info, job.config):
            return self._without_flats(), None
        if matched is None and info.flats == 0:
            raise InputError(
                f"{info.where} holds counts and no flats; import them with the scan, take those "
                "of a reference scan (reference.path) or of the series (reference.from_series), "
                "or set flat.enabled=false where the frames are divided by them already."
            )
        with self._clock.stage("read"):
            darks = scan.read_darks(rows)
            if matched is not None and not len(darks):
                darks = np.array(np.load(matched.dark, mmap_mode="r")[None, rows])
        if matched is not None:
            return self._without_flats(self._device.upload(darks)), None
        with self._clock.stage("read"):
            flats = scan.read_flats(rows)
        with self._clock.stage("flat", flats.nbytes + darks.nbytes):
            flats, darks = self._device.upload(flats), self._device.upload(darks)
            followed = corrections.drift is not None
            field = FlatField.from_frames(
                flats,
                darks,
                # What differs between flats is in the components: they are relative to the mean.
                flat_index=None if followed else info.flat_index,
                flat_current=job.flat_current,
                reduction="mean" if followed else "median",
                dead_share=job.config.repair.dead_pixel_threshold,
            )
            if corrections.drift is None:
                return field, None
            return field, corrections.drift.eigen_flats(flats, darks)

    def _without_flats(self, darks: Array | None = None) -> FlatField:
        rows = self._read_rows.stop - self._read_rows.start
        return FlatField.without_flats(rows, self._job.info.columns, darks, xp=self._device.xp)
