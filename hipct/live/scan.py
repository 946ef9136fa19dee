"""A raw scan whose slices are made when they are asked for, as a run would make them."""

from __future__ import annotations

import shutil
import threading
import weakref
from pathlib import Path
from tempfile import mkdtemp
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.errors import InputError
from hipct.core.progress import Observer, Silent
from hipct.live.cache import ArrayCache
from hipct.live.cancel import Asked, stop_if
from hipct.live.coarse import CoarseLevel, level_shapes
from hipct.live.lines import line_integrals
from hipct.live.settled import Settled, lines_key, slices_key
from hipct.pipeline.assembly import Assembly
from hipct.pipeline.config import Config
from hipct.pipeline.engine import crop_window, slice_size
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.subject import Subject
from hipct.pipeline.virtual import Untimed
from hipct.volume.disc import circle

BAND_ROWS = 16
"""Detector rows whose line integrals are made together: one row costs nearly as much as a chunk of
a scan store, with the halo around it."""

COARSE_ROWS = 16
"""Fine slices that the slices of a coarse level that are made together stand for."""

COARSEST = 128
"""Voxels along the longest side of the coarsest level."""

SHARE_OF_MEMORY = 4
"""One part in so many of the memory of a run is what is kept of what was looked at."""

Region = tuple[slice, slice]
"""Rows and columns of a slice, step 1."""


class _Shared:
    """What configurations of one scan have in common: files, findings, what was computed."""

    def __init__(self, what: Scan | Series, budget_bytes: int) -> None:
        self.what, self.subject = what, Subject.of(what)
        self.cache = ArrayCache(budget_bytes)
        self.lock = threading.RLock()
        self.found: list[Settled] = []
        self.folder = Path(mkdtemp(prefix="hipct-live-"))
        self.forget = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)

    def settled(self, config: Config, observer: Observer) -> Settled:
        """What is known under a configuration, found now if it is not."""
        with self.lock:
            for known in reversed(self.found):
                if (same := known.under(config)) is not None:
                    return same
            folder = self.folder / str(len(self.found))
            folder.mkdir()
            self.found.append(Settled.find(self.subject, config, folder, observer))
            return self.found[-1]


class LiveScan:
    """Slices of a raw scan, made when they are asked for.

    A slice has the numbers that ``hipct reconstruct`` writes with the same configuration, before
    they become 16 bit. What a run finds out first (axis, corrections, motion, places in a series)
    is found at the first slice, once. Calls may come from several threads.

    Parameters
    ----------
    scan : path, Scan or Series
        The raw scan; one that is given open stays open in the end.
    config : Config, optional
        As of a run; the defaults otherwise.
    observer : Observer, optional
        Told of what is found.
    budget_bytes : int, optional
        Memory for what was computed; by default a quarter of what a run would take.

    Raises
    ------
    HipctError
        If the scan cannot be opened, or lacks what the configuration needs.

    Notes
    -----
    Without phase retrieval the numbers are the same, bit for bit. Phase retrieval is done on the
    rows asked for and their halo, where a run takes tiles of 128 rows or more: both have the error
    of ``phase.halo_accuracy`` from edges beyond the halo, so they differ by twice that at most.
    """

    def __init__(
        self,
        scan: Scan | Series | str | Path,
        config: Config | None = None,
        *,
        observer: Observer | None = None,
        budget_bytes: int | None = None,
    ) -> None:
        config = config or Config()
        opened = scan if isinstance(scan, (Scan, Series)) else open_any(scan)
        self._owned = opened is not scan
        if budget_bytes is None:
            budget_bytes = config.memory_bytes() // SHARE_OF_MEMORY
        try:
            self._begin(_Shared(opened, budget_bytes), config, observer or Silent())
        except BaseException:
            if self._owned:
                opened.close()
            raise

    def _begin(self, shared: _Shared, config: Config, observer: Observer) -> None:
        self._shared, self._config, self._observer = shared, config, observer
        subject = shared.subject
        # A missing value is told before anything is searched for.
        for each in subject.scans:
            resolve(each, config, of_series=subject.of_series)
        self._lock, self._computing = threading.Lock(), threading.Lock()
        self._settled: Settled | None = None
        self._assembly: Assembly | None = None
        self._coarse: dict[int, CoarseLevel] = {}

    def with_config(self, config: Config, *, observer: Observer | None = None) -> LiveScan:
        """The same scan under another configuration; shares all that does not depend on it.

        The axis that was found stays, unless the section ``axis`` of the configuration differs.

        Parameters
        ----------
        config : Config
        observer : Observer, optional
            Told of what has to be found anew; that of this scan by default.

        Raises
        ------
        HipctError
            If the scan lacks what the configuration needs.
        """
        other = object.__new__(LiveScan)
        other._owned = False
        other._begin(self._shared, config, observer or self._observer)
        return other

    @property
    def scans(self) -> tuple[Scan, ...]:
        """The scans as they lie on disk."""
        return tuple(self._shared.subject.scans)

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    @property
    def settled_config(self) -> Config:
        """The configuration with the axis that was found: what a run needs for the same numbers."""
        if self._shared.subject.of_series:
            return self._config
        axis = self._config.axis.model_copy(update={"value": self.axis_px})
        return self._config.model_copy(update={"axis": axis})

    @property
    def axis_px(self) -> float:
        """Rotation axis in detector columns; of a series that of the first part."""
        return self.settle().organ.parts[0].known_axis

    @property
    def shape(self) -> tuple[int, int, int]:
        """(z, y, x) of level 0."""
        settled = self.settle()
        rows, columns = crop_window(settled.organ, slice_size(settled.organ))
        return len(settled.organ.rows), rows.stop - rows.start, columns.stop - columns.start

    @property
    def shapes(self) -> list[tuple[int, int, int]]:
        """(z, y, x) of all levels, down to one of at most 128 voxels along each axis."""
        return level_shapes(self.shape, COARSEST)

    @property
    def budget_bytes(self) -> int:
        """Memory for what was computed."""
        return self._shared.cache.budget_bytes

    @property
    def voxel_size_um(self) -> float | None:
        """Edge of a voxel of level 0, or ``None`` where it is not known."""
        return self.settle().organ.job.info.pixel_size_um

    @property
    def unit(self) -> str:
        """Unit of the values: 1/cm, or 1/pixel."""
        return self.settle().organ.job.unit

    @property
    def notes(self) -> tuple[str, ...]:
        """What was assumed, as sentences."""
        parts = self.settle().organ.parts
        return tuple(dict.fromkeys(note for part in parts for note in part.job.notes))

    def settle(self) -> Settled:
        """Find what has to be known first, unless it is known; takes seconds the first time.

        Raises
        ------
        HipctError
            As a run would: no axis, rows that are not in the scan, missing metadata.
        """
        with self._lock:
            if self._settled is None:
                self._settled = self._shared.settled(self._config, self._observer)
                organ = self._settled.organ
                self._assembly = Assembly(organ, slice_size(organ), Untimed())
            return self._settled

    def slice(
        self,
        z: int,
        *,
        level: int = 0,
        region: Region | None = None,
        cancelled: Asked | None = None,
    ) -> NDArray[np.float32]:
        """One slice, or a region of it.

        Parameters
        ----------
        z : int
            Slice of the level.
        level : int
            0, or a coarser one. A voxel stands for ``2**level`` along each axis, and is made of
            means over as many pixels, of every ``2**level``-th projection.
        region : (slice, slice), optional
            Rows and columns; all by default. The slice is made whole and kept all the same: its
            sinogram has to be, and back-projection is a tenth of the time.
        cancelled : callable, optional
            Asked while it is computed; where it returns True, :class:`Cancelled` is raised.

        Returns
        -------
        ndarray, (rows, columns), float32
            Attenuation in :attr:`unit`; 0 outside of the measured circle where
            ``reconstruction.circle`` is set. Not to be written to.

        Raises
        ------
        InputError
            If there is no such slice.
        FormatError
            If projections cannot be read.
        """
        depth = -(-self.shape[0] // 2 ** max(level, 0))
        if level < 0 or not 0 <= z < depth:
            raise InputError(f"Slice {z} of level {level} was asked for; it has 0 to {depth - 1}.")
        together = self.together(level)
        first = z // together * together
        slices = self.slices(level, range(first, min(first + together, depth)), cancelled)
        plane: NDArray[np.float32] = slices[z - first]
        return plane if region is None else plane[region]

    def together(self, level: int) -> int:
        """Slices of a level that are made together, from a multiple of them on."""
        return max(1, COARSE_ROWS >> level) if level else 1

    def slices(
        self, level: int, rows: range, cancelled: Asked | None = None
    ) -> NDArray[np.float32]:
        """Slices (z, y, x) that are made :meth:`together`; see :meth:`slice`."""
        key = ("slices", self.settle().number, slices_key(self._config), level, rows)
        slices = self._shared.cache.get(key)
        if slices is None:
            if level == 0:
                slices = np.stack([self._finest(z, cancelled) for z in rows])
            else:
                slices = self._level(level).slices(rows, cancelled)
            self._shared.cache.put(key, slices)
        return slices

    def _level(self, level: int) -> CoarseLevel:
        settled = self.settle()
        with self._lock:
            if level not in self._coarse:
                self._coarse[level] = CoarseLevel(settled, level, self._shared.cache)
            return self._coarse[level]

    def _finest(self, z: int, cancelled: Asked | None) -> NDArray[np.float32]:
        settled, assembly = self.settle(), self._assembly
        assert assembly is not None
        organ = settled.organ
        row = organ.rows.start + z
        rows = range(row, row + 1)
        lines = [
            (number, self._lines(number, organ.parts[number].own(rows)[0], cancelled))
            for number, share in enumerate(organ.shares)
            if row in share
        ]
        stop_if(cancelled)
        if not lines:
            return np.zeros(self.shape[1:], np.float32)
        with self._computing:
            plane: NDArray[np.float32] = assembly.slices(rows, lines)[0]
        if assembly.radius_px is not None:
            plane *= circle(len(plane), len(plane), assembly.radius_px)
        window = crop_window(organ, len(plane))
        return np.ascontiguousarray(plane[window])

    def _lines(self, number: int, row: int, cancelled: Asked | None) -> NDArray[np.float32]:
        """Line integrals (1, angles, columns) of an own row of a part."""
        settled = self.settle()
        part = settled.organ.parts[number]
        band = self._band(part, row)
        key = ("lines", settled.number, lines_key(self._config), number, band)
        lines = self._shared.cache.get(key)
        if lines is None:
            lines = line_integrals(settled.scans[number], part, band, cancelled)
            self._shared.cache.put(key, lines)
        return lines[row - band.start : row - band.start + 1]

    def _band(self, part: Part, row: int) -> range:
        """Own rows that are prepared with one, as many as a quarter of the budget holds."""
        info = part.job.info
        affordable = self.budget_bytes // (4 * 4 * info.projections * info.columns)
        height = BAND_ROWS
        while height > max(1, affordable):
            height //= 2
        first = row // height * height
        return range(max(0, first), min(first + height, info.rows))

    def close(self) -> None:
        """Close the scan, if it was opened here, and let go of what was computed."""
        self._shared.cache.clear()
        if self._owned:
            self._shared.what.close()
            self._shared.forget()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
