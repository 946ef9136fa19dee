"""Flats of a reference scan, or of the series itself, at all the angles that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.core.arrays import Array
from hipct.core.device import Device
from hipct.core.errors import ConfigError, InputError
from hipct.core.progress import Observer
from hipct.pipeline.corrections_blocks import bands, blocks
from hipct.pipeline.report import StageClock
from hipct.pipeline.sections_flats import ReferenceConfig
from hipct.preparation.current import repair_current
from hipct.preparation.darkening import frame_levels
from hipct.preparation.double_flat import frames_of_the_series
from hipct.preparation.reference_scan import ReferenceFlats, SmoothReference
from hipct.preparation.reference_windows import ReferenceWindows
from hipct.preparation.references import dark_frame

FRAMES_OF_PRESETS = 6000
"""Frames of a turn that the windows by pixel size belong to."""

LEAST_SUB_SCANS = 5
"""A median over fewer shows the sample."""

SPARSE_FRAMES = 24
"""Frames of a sub-scan, spread over its angles, that tell its level."""

BAND_ROWS = 64
"""Rows in the middle of the detector that tell it."""

_KNOTS_AT_A_TIME = 8
_CURRENT_MA = {"A": 1000.0, "mA": 1.0}


def windows_of(settings: ReferenceConfig, info: ScanInfo, frames: int) -> ReferenceWindows:
    """The windows of a reference scan of so many frames a turn.

    Raises
    ------
    MissingMetadata
        If they go by the pixel size and it is not known.
    """
    given = settings.wide, settings.narrow, settings.sigma_px
    wide, narrow, sigma_px = given
    if None in given:
        pixel, *_ = info.require(
            "pixel_size_um",
            purpose="The choice of reference.wide, reference.narrow and reference.sigma_px",
        )
        preset = ReferenceWindows.preset(pixel, off_axis=settings.off_axis)
        # The windows are angles: of fewer frames a turn they hold fewer.
        scale = frames / FRAMES_OF_PRESETS
        wide = max(2, round(preset.wide * scale)) if wide is None else wide
        narrow = max(2, round(preset.narrow * scale)) if narrow is None else narrow
        sigma_px = preset.sigma_px if sigma_px is None else sigma_px
    assert wide is not None
    assert narrow is not None
    assert sigma_px is not None
    return ReferenceWindows(
        wide=wide, narrow=narrow, sigma_px=sigma_px, reduction=settings.reduction
    )


def usable_current(info: ScanInfo) -> NDArray[np.float64] | None:
    """Machine current of the projections, repaired, in mA where the unit is told."""
    current, _ = repair_current(info.current, projection_index=info.projection_index)
    return None if current is None else current * _CURRENT_MA.get(info.current_unit or "", 1.0)


class ReferenceMaker:
    """Goes through a reference scan twice: for what is smooth, and for its flats.

    Parameters
    ----------
    reference : Scan
        Raw counts, or a :class:`SeriesReference`.
    windows : ReferenceWindows
    frames : int
        Frames that count (:func:`hipct.preparation.reference_windows.match_angles`).
    closed : bool
        Whether these are a full turn.
    current : ndarray, shape (projections of the reference,), or None
        Its machine current.
    dead_share : float
        As of :meth:`hipct.preparation.flat.FlatField.from_frames`.
    clock, observer, device
        Times, progress, and where it is computed.
    """

    def __init__(
        self,
        reference: Scan,
        windows: ReferenceWindows,
        *,
        frames: int,
        closed: bool,
        current: NDArray[np.float64] | None,
        dead_share: float,
        clock: StageClock,
        observer: Observer,
        device: Device,
    ) -> None:
        self._reference, self._current, self._dead_share = reference, current, dead_share
        self._clock, self._observer, self._device = clock, observer, device
        info = reference.info
        with device.lane("prepare"):
            self._smooth = SmoothReference(
                frames, info.rows, info.columns, windows, closed=closed, xp=device.xp
            )
        self.knots = np.union1d(self._smooth.wide.knots, self._smooth.narrow.knots)
        self.shape = (len(self.knots), info.rows, info.columns)

    def fill(self, flats: NDArray[Any]) -> None:
        """Fill the flats (knots, rows, columns), float32, at all knots."""
        self._find_smooth()
        every = bands(self._reference)
        self._observer.start("flats of the reference", len(every) * len(self.knots))
        for band in every:
            self._fill_band(flats, slice(band.start, band.stop))
        self._observer.finish("flats of the reference")

    def dark(self) -> NDArray[np.float32]:
        """Dark level (rows, columns) of the reference."""
        info = self._reference.info
        dark = np.empty((info.rows, info.columns), np.float32)
        for band in bands(self._reference):
            rows = slice(band.start, band.stop)
            with self._device.lane("prepare"):
                dark[rows] = self._device.download(self._dark(rows))
        return dark

    def _find_smooth(self) -> None:
        every = bands(self._reference)
        self._observer.start("smooth reference", len(every) * self._smooth.frames)
        for band in every:
            rows = slice(band.start, band.stop)
            with self._device.lane("prepare"):
                dark = self._dark(rows)
                for part in blocks(self._reference, range(self._smooth.frames)):
                    frames = self._read(part, rows)
                    with self._clock.stage("flat", frames.nbytes):
                        self._smooth.feed(
                            frames, part.start, dark=dark, current=self._of(part), rows=rows
                        )
                    self._observer.advance("smooth reference", len(frames))
        self._observer.finish("smooth reference")

    def _fill_band(self, flats: NDArray[Any], rows: slice) -> None:
        device = self._device
        with device.lane("prepare"):
            made = ReferenceFlats(
                self._smooth, rows, dark=self._dark(rows), dead_share=self._dead_share
            )
            for first in range(0, len(self.knots), _KNOTS_AT_A_TIME):
                places = self.knots[first : first + _KNOTS_AT_A_TIME]
                for missing in made.missing(places):
                    for part in blocks(self._reference, missing):
                        frames = self._read(part, rows)
                        with self._clock.stage("flat", frames.nbytes):
                            made.feed(frames, part.start, current=self._of(part))
                with self._clock.stage("flat"):
                    field = made.flat_field(places)
                # The knots around these places: one more than were asked for, or none more.
                start = int(np.searchsorted(self.knots, field.times[0]))
                found = device.download(field.references)
                flats[start : start + len(found), rows] = found
                self._observer.advance("flats of the reference", len(places))

    def _read(self, frames: slice, rows: slice) -> Array:
        with self._clock.stage("read"):
            raw = self._reference.read_projections(frames, rows)
            return self._device.upload(raw)

    def _dark(self, rows: slice) -> Array:
        darks = self._device.upload(self._reference.read_darks(rows))
        like = self._device.xp.empty((1, *darks.shape[1:]), np.float32)
        return dark_frame(darks, like)

    def _of(self, frames: slice) -> NDArray[np.float64] | None:
        return None if self._current is None else self._current[frames]


class SeriesReference(Scan):
    """Frames of a reference scan that nobody took, made of the sub-scans of a series.

    For every angle the median over sub-scans of what lies at it, less the dark, over the machine
    current, each sub-scan brought to the level of the others.

    Parameters
    ----------
    scans : sequence of Scan
        Sub-scans, five or more.
    infos : sequence of ScanInfo
        Their geometry, with the overrides of the configuration.
    with_current : bool
        Whether frames are divided by the machine current.
    columns : (int, int)
        Outer columns, left and right, that the levels are taken from; (0, 0): from all.

    Raises
    ------
    ConfigError
        If there are fewer than five.
    InputError
        If they do not have the same angles, to half a step.
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        infos: Sequence[ScanInfo],
        *,
        with_current: bool,
        columns: tuple[int, int] = (0, 0),
    ) -> None:
        if len(scans) < LEAST_SUB_SCANS:
            raise ConfigError(
                f"reference.from_series is true and there are {len(scans)} sub-scans; a median "
                f"that does not show the sample needs {LEAST_SUB_SCANS}. Give a reference scan "
                "with reference.path."
            )
        first = infos[0]
        self.info = ScanInfo(
            projections=first.projections,
            rows=first.rows,
            columns=first.columns,
            dtype=np.dtype(np.float32),
            angles_rad=first.angles_rad,
            acquisition=first.acquisition,
            source=f"the median of {len(scans)} sub-scans",
        )
        self.row_chunk, self.angle_chunk = scans[0].row_chunk, scans[0].angle_chunk
        self._scans = scans
        self._matching = [_nearest(first, info) for info in infos]
        self._currents = [usable_current(info) if with_current else None for info in infos]
        self._levels = np.array([self._level(k, columns) for k in range(len(scans))])

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        if kind != "projections":
            return
        darks = [self._dark(k, rows) for k in range(len(self._scans))]
        # A chunk at a time: so many sub-scans are held beside one another.
        for first in range(frames.start, frames.stop, self.angle_chunk):
            part = slice(first, min(first + self.angle_chunk, frames.stop))
            here = out[first - frames.start : part.stop - frames.start]
            stack = np.empty((len(self._scans), *here.shape), np.float32)
            for k, dark in enumerate(darks):
                stack[k] = self._counts(k, part, rows, dark)
            here[...] = frames_of_the_series(stack, self._levels)

    def _counts(
        self, k: int, frames: slice, rows: slice, dark: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Frames of a sub-scan at angles of the first one, less dark, over the current."""
        index = self._matching[k][frames]
        if (np.diff(index) == 1).all():
            raw = self._scans[k].read_projections(slice(int(index[0]), int(index[-1]) + 1), rows)
        else:
            raw = np.concatenate(
                [self._scans[k].read_projections(slice(i, i + 1), rows) for i in index.tolist()]
            )
        counts: NDArray[np.float32] = raw.astype(np.float32) - dark
        current = self._currents[k]
        if current is not None:
            counts *= (1 / current[index]).astype(np.float32)[:, None, None]
        return counts

    def _dark(self, k: int, rows: slice) -> NDArray[np.float32]:
        darks = self._scans[k].read_darks(rows)
        dark: NDArray[np.float32] = dark_frame(darks, np.empty((1, *darks.shape[1:]), np.float32))
        return dark

    def _level(self, k: int, columns: tuple[int, int]) -> float:
        """Mean of sparse frames of a sub-scan, over the outer columns in a band of rows."""
        middle, half = self.info.rows // 2, min(BAND_ROWS, self.info.rows) // 2
        rows = slice(max(0, middle - half), max(1, middle + half))
        places = np.linspace(0, self.info.projections - 1, SPARSE_FRAMES).astype(int)
        dark = self._dark(k, rows)
        frames = np.concatenate([self._counts(k, slice(i, i + 1), rows, dark) for i in places])
        left, right = columns
        return float(np.mean(frame_levels(frames, left=left, right=right)))


def _nearest(first: ScanInfo, other: ScanInfo) -> NDArray[np.intp]:
    """For every angle of a sub-scan the projection of another one that lies nearest."""
    turn = 2 * np.pi
    angles = np.mod(other.angles_rad, turn)
    order = np.argsort(angles, kind="stable")
    wanted = np.mod(first.angles_rad, turn)
    after = np.searchsorted(angles[order], wanted)
    sides = np.stack([order[(after - 1) % len(order)], order[after % len(order)]])
    away = np.abs(np.mod(angles[sides] - wanted + np.pi, turn) - np.pi)
    nearest: NDArray[np.intp] = np.where(away[0] < away[1], sides[0], sides[1])
    farthest = float(away.min(axis=0).max())
    if farthest > 0.51 * first.angular_step_rad:
        raise InputError(
            f"An angle of {first.where} lies {np.degrees(farthest):.3f} degrees from the nearest "
            f"of {other.where}; reference.from_series needs sub-scans of the same angles."
        )
    return nearest
