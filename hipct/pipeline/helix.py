"""Helical scans: all turns as one tall scan of a single turn.

The turns that saw an organ row are combined while it is read, as transmission, before phase
retrieval. In a parallel beam free space does the same to every turn, fringes and all, so that
turns agree in their transmission as they do in their line integrals. The mean of the former is
the better one: the logarithm of noisy counts is biased, the less the more of them it is taken of.
And phase retrieval looks at rows above and below, which the frames of one turn lack at their upper
and lower edge, and the tall scan has.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.errors import InputError
from hipct.core.resampling import REACH
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.virtual import (
    Source,
    VirtualScan,
    source_config,
    transmission_info,
    virtual_config,
)
from hipct.reconstruction.helical import HelicalSlab, Helix

BAND_ROWS = 64
"""Detector rows whose references are reduced, and frames read, at a time: each projection of a
helix needs other rows, and all are whole bands."""

PROJECTIONS = 64
"""Projections that are read at a time."""


class HelicalScan(VirtualScan):
    """A helical scan as a tall scan of one turn, of transmission.

    Flats, dead pixels, the machine current, air columns and zingers are settled frame by frame as
    the configuration wants it; the job of the tall scan is to be resolved with
    :func:`helical_config`, so that zingers are not searched for again.

    Every row is seen from all around, full acquisitions too: where a full one saw a direction from
    the opposite side alone there is no transmission of its own to take.

    Parameters
    ----------
    scan : Scan
        A scan with ``info.projection_z_um``.
    config : Config
        Configuration of the run.
    corrections : Corrections, optional
        What was measured of it, with a job resolved by
        :func:`hipct.pipeline.virtual.source_config`; none by default.

    Attributes
    ----------
    helix : Helix
        The path, and the organ rows that it covers.
    first_row : int
        Row of the detector at its lowest z that is row 0.

    Raises
    ------
    InputError
        If z does not move, the angles turn back, or no row is seen from all directions.
    MissingMetadata
        If the pixel size is not known.
    """

    def __init__(self, scan: Scan, config: Config, corrections: Corrections | None = None) -> None:
        bands = -(-scan.info.rows // BAND_ROWS)
        self._source = Source(scan, source_config(config), corrections, keep=bands)
        super().__init__(self._source)
        info = self._source.job.info
        if info.projection_z_um is None:
            raise InputError(
                f"{info.where} is no helical scan: it holds no z position of each projection "
                "(projection_z_um)."
            )
        pixel = info.require("pixel_size_um", purpose="A helical scan")[0]
        offset = (info.projection_z_um - info.projection_z_um.min()) / pixel
        border = config.helical.border_rows
        try:
            self.helix = Helix(info.angles_rad, offset, info.rows, "half", border)
        except InputError as error:
            raise InputError(f"{info.where} cannot be taken as a helical scan. {error}") from error
        self.first_row = self.helix.organ_rows.start
        self.row_chunk, self.angle_chunk = scan.row_chunk, scan.angle_chunk
        self.info = _tall_info(info, self.helix, pixel)
        self._pitch_px = float(np.ptp(offset)) / max(1, info.projections - 1)
        again = {"scan": scan, "config": config, "corrections": corrections}
        self.opened_again_by(HelicalScan, again)

    def work_bytes(self, angles: int, rows: int) -> int:
        """Bytes that reading blocks of so many angles and rows takes beside what it gives."""
        info = self._source.job.info
        size = min(angles + 1, PROJECTIONS)
        moved = math.ceil(size * self._pitch_px)
        height = min(info.rows, rows + moved + 2 * REACH + 2 * BAND_ROWS)
        turns = -(-info.projections // self.helix.turn.size)
        return (
            self._source.frames_bytes(size, min(info.rows, BAND_ROWS))
            + size * height * info.columns * 4
            + self._source.references_bytes(min(info.rows, BAND_ROWS))
            # Weights and places of rows in projections.
            + 4 * 8 * rows * angles * turns
        )

    def _make(self, angles: slice, rows: range, out: NDArray[np.float32]) -> None:
        wanted = range(rows.start + self.first_row, rows.stop + self.first_row)
        slab = self.helix.slab(wanted, range(angles.start, angles.stop))
        out[...] = 0.0
        sinograms = out.transpose(1, 0, 2)
        for block in slab.blocks(PROJECTIONS):
            frames, first = self._frames(slab, block)
            slab.add(frames, block, sinograms, first_detector_row=first)
            # Not while the next ones are read.
            del frames

    def _frames(self, slab: HelicalSlab, block: range) -> tuple[NDArray[np.float32], int]:
        """Transmission of what some projections have to show, and its first detector row."""
        info, needed = self._source.job.info, slab.detector_rows(block)
        first = needed.start // BAND_ROWS * BAND_ROWS
        stop = min(info.rows, -(-needed.stop // BAND_ROWS) * BAND_ROWS)
        frames = np.empty((len(block), stop - first, info.columns), np.float32)
        for row in range(first, stop, BAND_ROWS):
            band = range(row, min(row + BAND_ROWS, stop))
            frames[:, row - first : band.stop - first] = self._source.frames(
                slice(block.start, block.stop), band
            )
        return frames, first


def helical_config(config: Config) -> Config:
    """What a run's configuration leaves to be done for the tall scan of a helix.

    All but what belongs to the camera and its beam.
    """
    return virtual_config(config)


def _tall_info(info: ScanInfo, helix: Helix, pixel_um: float) -> ScanInfo:
    """Geometry of the tall scan; z and rows run as those of the detector do."""
    angles, rows = helix.turn.size, helix.organ_rows
    z_um = info.projection_z_um
    assert z_um is not None
    middle = rows.start + (len(rows) - 1) / 2 - (info.rows - 1) / 2
    return transmission_info(
        info,
        projections=angles,
        rows=len(rows),
        angles_rad=helix.turn,
        projection_index=np.empty(0),
        z_um=float(z_um.min()) + middle * pixel_um,
        projection_z_um=None,
        source=info.where,
        format="helical scan",
        notes=(
            *info.notes,
            f"{info.projections} projections of a helix, {info.projections / angles:.2f} turns, "
            f"cover {len(rows)} rows from all directions; they are combined into one turn of "
            f"{angles} projections.",
        ),
    )
