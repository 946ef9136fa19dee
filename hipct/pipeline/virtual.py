"""Scans that are made of other scans while they are read.

Two annuli, or the turns of a helix, become one scan of transmission before anything looks at
neighbouring rows or columns, phase retrieval first of all. So what belongs to the camera and its
beam (flats, dead pixels, the machine current, zingers) is settled scan by scan, below, and what
reads the virtual scan has none of it left to do.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.core.arrays import Array
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.job import Job, resolve, uses_flats
from hipct.pipeline.report import StageClock
from hipct.pipeline.sections import UnsharpConfig
from hipct.pipeline.sections_phase import PhaseConfig
from hipct.pipeline.transmission import Transmission
from hipct.preparation.counts import PixelCounts
from hipct.preparation.references import groups_in_time
from hipct.preparation.zingers import HALO_ROWS as ZINGER_HALO_ROWS

FEWEST_ANGLES = 16
"""Projections that are prepared at a time where the chunks of a scan hold fewer."""


CAMERA = (
    "flat", "reference", "dynamic_flat", "darkening", "double_flat", "repair", "distortion",
)  # fmt: skip
"""Sections of the configuration that say how counts become transmission; all are off by default,
or need counts."""


class Untimed(StageClock):
    """Keeps no times: what a virtual scan does is reading to whoever reads it."""

    @contextmanager
    def stage(self, name: str, size: int = 0) -> Iterator[None]:  # noqa: ARG002 - not kept
        """Time nothing."""
        yield


def source_config(config: Config) -> Config:
    """What a run's configuration asks of the scans that a virtual one is made of.

    All of their rows, from counts to transmission, and nothing that comes after.
    """
    rows = config.scan.model_copy(update={"first_row": 0, "last_row": None})
    after = {"phase": PhaseConfig(method="none"), "unsharp": UnsharpConfig()}
    return config.model_copy(update={"scan": rows, **after})


def virtual_config(config: Config) -> Config:
    """What a run's configuration leaves to be done for the virtual scan itself.

    Its frames are transmission: corrected, with dead pixels and zingers replaced. With the
    configuration of the run they would be corrected twice.
    """
    plain = Config()
    return config.model_copy(update={name: getattr(plain, name) for name in CAMERA})


class Source:
    """Transmission of any rows and angles of a scan.

    Its references are reduced once for each range of rows, and those of the last few are kept:
    who reads a tile asks for the same rows for one block of angles after another. Safe from any
    thread.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    config : Config
        What to do with it, see :func:`source_config`.
    corrections : Corrections, optional
        What was measured of it; none by default.
    keep : int
        Ranges of rows whose references are kept.
    """

    def __init__(
        self,
        scan: Scan,
        config: Config,
        corrections: Corrections | None = None,
        *,
        keep: int = 2,
    ) -> None:
        self.scan = scan
        self.job: Job = resolve(scan, config)
        self.corrections = Corrections() if corrections is None else corrections
        self._keep, self._lock = keep, threading.Lock()
        self._kept: dict[range, Transmission] = {}

    def frames(self, angles: slice, rows: range) -> NDArray[np.float32]:
        """Transmission (angles, rows, columns) float32, in memory of the caller's own.

        Parameters
        ----------
        angles : slice
            Projections; those that a step leaves out are not prepared, and not read where they do
            not lie in one chunk with others.
        rows : range

        Raises
        ------
        InputError
            If the scan holds counts and no flats.
        """
        read = self._with_halo(rows)
        transmission = self._of(read)
        raw = self._raw(transmission, angles)
        # It may hold on to flats between calls.
        with self._lock:
            found: NDArray[np.float32] = transmission.frames(raw, angles, PixelCounts())
        return found[:, rows.start - read.start : rows.stop - read.start]

    def _raw(self, transmission: Transmission, angles: slice) -> Array:
        step = angles.step or 1
        if step == 1 or step <= self.scan.angle_chunk:
            every = transmission.read(slice(angles.start, angles.stop))
            return every if step == 1 else np.ascontiguousarray(every[::step])
        picked = range(angles.start, angles.stop, step)
        return np.concatenate([transmission.read(slice(k, k + 1)) for k in picked])

    def frames_bytes(self, angles: int, rows: int) -> int:
        """Bytes that :meth:`frames` takes at its peak, its result among them."""
        info, repair = self.job.info, self.job.config.repair
        copies = 1 + (info.kind == "line_integral") + (repair.zinger_threshold > 0)
        pixel = info.dtype.itemsize + 4 * copies
        size = self._rows(rows), info.columns
        correcting = self.corrections.work_bytes(*size, angles)
        correcting -= self.corrections.work_bytes(*size, 0)
        return angles * size[0] * size[1] * pixel + correcting

    def references_bytes(self, rows: int) -> int:
        """Bytes of the references of as many ranges of rows as are kept, and of reducing one."""
        info, size = self.job.info, (self._rows(rows), self.job.info.columns)
        own = uses_flats(info, self.job.config) and self.corrections.flats is None
        groups = len(groups_in_time(info.flat_index)) if own else 1
        kept = 4 * (groups + 1) * size[0] * size[1] + self.corrections.work_bytes(*size, 0)
        reducing = (info.flats + info.darks) * (info.dtype.itemsize + 4) if own else 0
        return self._keep * kept + reducing * size[0] * size[1]

    def angles_at_a_time(self) -> int:
        """Projections to prepare at a time: whole chunks of the scan."""
        chunk = max(1, self.scan.angle_chunk)
        return chunk * -(-FEWEST_ANGLES // chunk)

    def _rows(self, rows: int) -> int:
        halo = ZINGER_HALO_ROWS if self.job.config.repair.zinger_threshold > 0 else 0
        return min(rows + 2 * halo, self.job.info.rows)

    def _with_halo(self, rows: range) -> range:
        """What the search for zingers looks at as well, so that blocks of rows agree."""
        if self.job.config.repair.zinger_threshold <= 0:
            return rows
        first, stop = rows.start - ZINGER_HALO_ROWS, rows.stop + ZINGER_HALO_ROWS
        return range(max(0, first), min(self.job.info.rows, stop))

    def _of(self, rows: range) -> Transmission:
        with self._lock:
            found = self._kept.pop(rows, None)
            if found is None:
                found = Transmission(
                    self.scan, self.job, rows, Untimed(), corrections=self.corrections
                )
            self._kept[rows] = found
            while len(self._kept) > self._keep:
                del self._kept[next(iter(self._kept))]
            return found


def blocks_of(angles: slice, size: int) -> list[slice]:
    """Blocks that cover some angles and end where multiples of ``size`` do.

    Examples
    --------
    >>> blocks_of(slice(3, 12), 4)
    [slice(3, 4, None), slice(4, 8, None), slice(8, 12, None)]
    """
    ends = [*range((angles.start // size + 1) * size, angles.stop, size), angles.stop]
    return [slice(a, b) for a, b in zip([angles.start, *ends], ends)]


def transmission_info(info: ScanInfo, **changes: Any) -> ScanInfo:
    """Metadata of frames that are transmission already: no flats, darks, returns or currents."""
    return replace(
        info,
        dtype=np.dtype(np.float32),
        kind="transmission",
        flat_index=np.empty(0),
        dark_index=np.empty(0),
        return_angles_rad=np.empty(0),
        return_index=np.empty(0),
        current=None,
        flat_current=None,
        current_unit=None,
        subframes=1,
        **changes,
    )


class VirtualScan(Scan):
    """A scan of transmission that is made of other scans while it is read.

    It has no flats, darks or views taken again: those of its sources are used up.

    Parameters
    ----------
    sources : Source
        Scans that it is made of; closed with it.
    """

    def __init__(self, *sources: Source) -> None:
        self._sources = sources

    def close(self) -> None:
        """Close the scans that it is made of."""
        for source in self._sources:
            source.scan.close()

    def opened_again_by(self, opener: Callable[..., Scan], arguments: dict[str, Any]) -> None:
        """Tell how it is opened in another process, if what it is made of can be."""
        if all(source.scan.opened_by is not None for source in self._sources):
            self.opened_by = opener, arguments

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        if kind == "projections":
            self._make(frames, range(rows.start, rows.stop), out)

    @abstractmethod
    def work_bytes(self, angles: int, rows: int) -> int:
        """Bytes that reading blocks of so many angles and rows takes beside what it gives."""

    @abstractmethod
    def _make(self, angles: slice, rows: range, out: NDArray[np.float32]) -> None:
        """Fill ``out`` (angles, rows, columns), C-contiguous."""
