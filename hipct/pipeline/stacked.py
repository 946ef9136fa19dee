"""Transmission of a tile at all distances: images of one view below one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.distances import DistancesScan
from hipct.pipeline.job import Job, resolve
from hipct.pipeline.report import StageClock
from hipct.pipeline.transmission import Transmission
from hipct.pipeline.virtual import source_config
from hipct.preparation.counts import PixelCounts


class StackedTransmission:
    """Flat field and repairs of some detector rows of several scans, for any block of angles.

    Parameters
    ----------
    sources : sequence of Transmission
        Of the same rows of each scan.
    device : Device
        Where it is computed.
    """

    def __init__(self, sources: Sequence[Transmission], device: Device) -> None:
        self._sources, self._xp = sources, device.xp

    def read(self, angles: slice) -> Array:
        """Raw frames, (angles, scans * rows, columns), on the device."""
        return self._xp.concatenate([source.read(angles) for source in self._sources], axis=1)

    def frames(self, raw: Array, angles: slice, counts: PixelCounts) -> Array:
        """Transmission (angles, scans * rows, columns) float32 of what :meth:`read` gave."""
        rows = raw.shape[1] // len(self._sources)
        found = [
            source.frames(raw[:, k * rows : (k + 1) * rows], angles, counts)
            for k, source in enumerate(self._sources)
        ]
        return self._xp.concatenate(found, axis=1)


def tile_transmission(
    scan: Scan,
    job: Job,
    rows: range,
    clock: StageClock,
    *,
    counted: range,
    device: Device = HOST,
    corrections: Corrections | None = None,
) -> Transmission | StackedTransmission:
    """Transmission of some rows of a scan, at all of its distances.

    Parameters
    ----------
    scan, job, rows, clock, counted, device, corrections
        As in :class:`hipct.pipeline.transmission.Transmission`.
    """
    options: dict[str, Any] = {"counted": counted, "device": device}
    first = Transmission(scan, job, rows, clock, corrections=corrections, **options)
    if not isinstance(scan, DistancesScan) or job.images == 1:
        return first
    # Their distance is their own, and all that follows the transmission is the first scan's.
    asked = source_config(job.config)
    asked = asked.model_copy(update={"scan": asked.scan.model_copy(update={"distance_m": None})})
    others = [
        Transmission(other, resolve(other, asked), rows, clock, **options) for other in scan.others
    ]
    return StackedTransmission([first, *others], device)
