"""What is measured of one scan: how its beam drifts, its level, its mean projection."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.device import Device
from hipct.core.errors import ConfigError
from hipct.core.progress import Observer
from hipct.pipeline.corrections import BeamDrift, Corrections
from hipct.pipeline.corrections_blocks import bands, blocks, spread_blocks
from hipct.pipeline.job import Job
from hipct.pipeline.report import StageClock
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.darkening import frame_levels
from hipct.preparation.double_flat import MeanProjection
from hipct.preparation.dynamic_flats import EigenFlats

EIGEN_ROWS = 256
"""Rows in the middle of the detector that the components are found on and followed in."""

EIGEN_BYTES = 2**29
"""What the flats of these rows take while components are found; fewer rows where it is more."""

LEAST_FLATS = 3
LEVEL_BANDS = 4
LEVEL_BAND_ROWS = 16


class ScanMeasurements:
    """Measurements of one scan, with what was measured of it before divided out.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    job : Job
        What to do with it.
    clock, observer, device
        Times, progress, and where it is computed.
    """

    def __init__(
        self, scan: Scan, job: Job, clock: StageClock, observer: Observer, device: Device
    ) -> None:
        self._scan, self._job = scan, job
        self._clock, self._observer, self._device = clock, observer, device

    def components(self) -> NDArray[np.float64]:
        """Components of the flats: rows (level, mixing...), (1 + components, flats).

        Raises
        ------
        ConfigError
            If there are too few flats for them.
        """
        info, settings = self._job.info, self._job.config.dynamic_flat
        needed = max(LEAST_FLATS, 1 + (settings.components or 0))
        if info.flats < needed:
            raise ConfigError(
                f"dynamic_flat.enabled is true and {info.where} has {info.flats} flats; "
                f"{settings.components or 'its'} components need {needed} or more, taken over the "
                "time of the scan."
            )
        rows = self._eigen_rows()
        part = slice(rows.start, rows.stop)
        with self._device.lane("prepare"):
            flats = self._device.upload(self._scan.read_flats(part))
            darks = self._device.upload(self._scan.read_darks(part))
            with self._clock.stage("flat", flats.nbytes):
                found = EigenFlats.from_frames(flats, darks, components=settings.components)
        return np.concatenate([found.levels[None], found.mixing])

    def coefficients(self, components: NDArray[np.float64]) -> NDArray[np.float32]:
        """Level and weights of the components in every projection, (projections, 1 + n)."""
        info, settings = self._job.info, self._job.config.dynamic_flat
        rows = self._eigen_rows()
        part = slice(rows.start, rows.stop)
        left, right = settings.left_columns, settings.right_columns
        background = None
        if left or right:
            background = np.zeros((len(rows), info.columns), bool)
            background[:, :left] = background[:, info.columns - right :] = True
        levels, mixing = components[0], components[1:]
        nothing = BeamDrift(mixing, levels, np.empty((0, 0), np.float32))
        found = np.empty((info.projections, len(components)), np.float32)
        with self._device.lane("prepare"):
            flats = self._device.upload(self._scan.read_flats(part))
            darks = self._device.upload(self._scan.read_darks(part))
            eigen = nothing.eigen_flats(flats, darks)
            del flats, darks
            # The mean flat as it is divided out, and no component of it.
            unfollowed = BeamDrift(mixing[:0], levels, np.ones((info.projections, 1), np.float32))
            source = self._source(rows, Corrections(drift=unfollowed))
            self._observer.start("drift of the beam", info.projections)
            for block in blocks(self._scan):
                frames = source.corrected(source.read(block), block, PixelCounts())
                with self._clock.stage("flat", frames.nbytes):
                    found[block] = self._device.download(
                        eigen.follow(frames, background=background)
                    )
                self._observer.advance("drift of the beam", len(frames))
        self._observer.finish("drift of the beam")
        return found

    def levels(self, corrections: Corrections) -> NDArray[np.float64]:
        """Mean transmission of the outer columns in every projection, (projections,).

        Bands of rows spread over the detector are read, not all of it.
        """
        info, settings = self._job.info, self._job.config.darkening
        total = np.zeros(info.projections)
        every = _spread_bands(info.rows)
        self._observer.start("levels", len(every) * info.projections)
        for band in every:
            with self._device.lane("prepare"):
                source = self._source(band, corrections)
                for block in blocks(self._scan):
                    frames = source.corrected(source.read(block), block, PixelCounts())
                    with self._clock.stage("flat", frames.nbytes):
                        levels = frame_levels(
                            frames, left=settings.left_columns, right=settings.right_columns
                        )
                        total[block] += self._device.download(levels)
                    self._observer.advance("levels", len(frames))
        self._observer.finish("levels")
        return total / len(every)

    def mean(self, corrections: Corrections, out: NDArray[Any], *, logarithm: bool) -> None:
        """Fill ``out`` (rows, columns) with the mean of the transmission, or of its ``-log``."""
        every = bands(self._scan)
        parts = spread_blocks(self._scan, self._job.config.double_flat.projections)
        angles = sum(part.stop - part.start for part in parts)
        self._observer.start("mean projection", len(every) * angles)
        for band in every:
            with self._device.lane("prepare"):
                source, mean = self._source(band, corrections), MeanProjection()
                for part in parts:
                    frames = source.corrected(source.read(part), part, PixelCounts())
                    with self._clock.stage("flat", frames.nbytes):
                        mean.add(frames)
                    self._observer.advance("mean projection", len(frames))
                found = mean.line_integral() if logarithm else mean.transmission()
                out[band.start : band.stop] = self._device.download(found)
        self._observer.finish("mean projection")

    def _source(self, rows: range, corrections: Corrections) -> Transmission:
        return Transmission(
            self._scan,
            self._job,
            rows,
            self._clock,
            device=self._device,
            corrections=corrections,
        )

    def _eigen_rows(self) -> range:
        info = self._job.info
        # Counts, relative flats, and a copy on the way from one to the other.
        affordable = EIGEN_BYTES // (info.flats * info.columns * 16)
        count = min(info.rows, EIGEN_ROWS, max(LEVEL_BAND_ROWS, affordable))
        first = (info.rows - count) // 2
        return range(first, first + count)


def _spread_bands(rows: int) -> list[range]:
    """A few bands of rows, spread evenly over the detector; all of a low one."""
    if rows <= LEVEL_BANDS * LEVEL_BAND_ROWS:
        return [range(rows)]
    middles = [int((k + 0.5) * rows / LEVEL_BANDS) for k in range(LEVEL_BANDS)]
    starts = [middle // LEVEL_BAND_ROWS * LEVEL_BAND_ROWS for middle in middles]
    return [range(start, min(start + LEVEL_BAND_ROWS, rows)) for start in starts]
