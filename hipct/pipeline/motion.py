"""Motion of the sample during a scan: measured before the frames are streamed.

The drift is that of :mod:`hipct.preparation.motion`, from a band of rows in the middle of the
detector. What it says of each projection is a shift in rows and columns, by which the frames are
moved where they are prepared (:func:`hipct.preparation.moving.move_frames`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.progress import Observer
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.job import Job
from hipct.pipeline.motion_flags import Flag, find_bubbles, find_sudden_motion
from hipct.pipeline.motion_frames import Views
from hipct.pipeline.report import StageClock
from hipct.preparation.motion import Drift, Path, extrapolated, fit_drift, measure_pairs
from hipct.preparation.motion_fit import TRUSTED_PX
from hipct.preparation.motion_pairs import Pair, find_pairs, scan_times
from hipct.preparation.moving import moving_halo
from hipct.preparation.registration import Shift

STILL_PX = 0.05
"""A drift that is nowhere larger is none: moving frames costs a little of their sharpness."""

SUDDEN_PX = 0.5
"""A sudden motion that is larger is not taken for a drift."""

LEAST_ROWS, MOST_ROWS = 64, 512
MOST_BYTES = 256_000_000
"""Rows that are compared at a time, and what the views that are compared may take."""

_STATIC_VIEWS = 64
_STAGE = "motion"

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Motion:
    """Where the sample stands in each projection, and what it did beside.

    Attributes
    ----------
    angles_rad, times : ndarray, shape (projections,)
        Of the scan; the times go from 0 to 1.
    drift : Drift or None
        Its slow path, where that was measured and is taken out.
    flags : tuple of Flag
        Sudden motion and bubbles, if they were looked for.
    notes : tuple of str
        What was found, as sentences.
    """

    angles_rad: Float
    times: Float
    drift: Drift | None = None
    flags: tuple[Flag, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def of_still(cls, info: ScanInfo, notes: Sequence[str] = ()) -> Motion:
        """Of a sample that does not move."""
        return cls(info.angles_rad, scan_times(info.projection_index), notes=tuple(notes))

    @property
    def moves(self) -> bool:
        """Whether frames have to be moved."""
        return self.largest_px >= STILL_PX

    @cached_property
    def largest_px(self) -> float:
        """Largest shift of any projection."""
        return float(max(np.abs(part).max() for part in self._all))

    @property
    def halo_rows(self) -> tuple[int, int]:
        """Rows before and behind those wanted that moving the frames needs."""
        return moving_halo(self.shifts_px(slice(None))[0])

    def shifts_px(self, angles: slice) -> tuple[Float, Float]:
        """Rows and columns by which some projections stand beside where they would be.

        What belongs to row r and column c lies at ``r + rows_px`` and ``c + columns_px``, as
        :func:`hipct.preparation.moving.move_frames` takes it. Zeros where nothing is taken out.
        """
        rows, columns = self._all
        if not self.moves:
            return np.zeros(rows[angles].size), np.zeros(rows[angles].size)
        return rows[angles], columns[angles]

    def as_dict(self) -> dict[str, Any]:
        """What was found as JSON values; angles and times are the scan's."""
        return {
            "drift": None if self.drift is None else asdict(self.drift),
            "flags": [asdict(flag) for flag in self.flags],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any], info: ScanInfo) -> Motion:
        """What :meth:`as_dict` has given, with the scan's angles and times."""
        found = values["drift"]
        drift = None
        if found is not None:
            paths = {name: _path(found[name]) for name in ("x", "y", "z")}
            drift = Drift(**{**found, **paths, "residual_px": tuple(found["residual_px"])})
        return cls(
            info.angles_rad,
            scan_times(info.projection_index),
            drift,
            tuple(_flag(flag) for flag in values["flags"]),
            tuple(values["notes"]),
        )

    @cached_property
    def _all(self) -> tuple[Float, Float]:
        if self.drift is None:
            return np.zeros(self.times.size), np.zeros(self.times.size)
        return self.drift.shifts_px(self.angles_rad, self.times)


def measure_motion(
    scan: Scan,
    job: Job,
    axis: float,
    clock: StageClock,
    observer: Observer,
    *,
    corrections: Corrections | None = None,
    device: Device = HOST,
) -> Motion:
    """Measure how the sample moves during a scan, as the configuration wants it.

    Parameters
    ----------
    scan : Scan
        The raw scan.
    job : Job
        What to do with it.
    axis : float
        Rotation axis in detector columns, within a few pixels.
    clock, observer : StageClock, Observer
        Times and progress.
    corrections : Corrections, optional
        What was measured of the scan.
    device : Device
        Where it is computed.

    Returns
    -------
    Motion
        Of a sample at rest where nothing is to be measured, or nothing tells. A drift is taken out
        only where all that is measured agrees with a smooth path.
    """
    settings, info = job.config.motion, job.info
    if settings.method == "none" and not settings.flag:
        return Motion.of_still(info)
    measurement = _Measurement(
        scan=scan,
        job=job,
        axis=axis,
        clock=clock,
        observer=observer,
        corrections=corrections,
        device=device,
    )
    with device.lane("prepare"):
        return measurement.motion()


@dataclass(frozen=True, kw_only=True)
class _Measurement:
    """What the measurement of a scan is made with."""

    scan: Scan
    job: Job
    axis: float
    clock: StageClock
    observer: Observer
    corrections: Corrections | None
    device: Device

    @cached_property
    def times(self) -> Float:
        return scan_times(self.job.info.projection_index)

    def motion(self) -> Motion:
        settings, info = self.job.config.motion, self.job.info
        if info.projection_z_um is not None:
            note = f"The drift of {_name(info)} is not measured: its sample moves up on purpose."
            return Motion.of_still(info, [note])
        pairs = self._pairs()
        bands = _bands(self.job.rows, len(pairs), info.columns)
        shifts = self._shifts(pairs, bands[len(bands) // 2]) if pairs else ()
        notes: list[str] = []
        drift, flags = None, []
        if settings.flag:
            flags = self._flags(pairs, shifts, bands)
            notes += [flag.sentence(_name(info)) for flag in flags]
        if settings.method != "none":
            drift = fit_drift(pairs, shifts, degree=settings.degree)
            notes += _notes(info, settings.method, pairs, drift)
            if drift is not None and not _believed(drift, flags):
                notes.append("Such a path is not smooth: no drift is taken out.")
                drift = None
        return Motion(info.angles_rad, self.times, drift, tuple(flags), tuple(notes))

    def _pairs(self) -> tuple[Pair, ...]:
        """Pairs that the method takes; to flag alone, all that there are."""
        info, method = self.job.info, self.job.config.motion.method
        return find_pairs(
            info.angles_rad,
            self.times,
            () if method == "pairs" else info.return_angles_rad,
            within=method != "returns",
        )

    def _views(self, rows: range) -> Views:
        return Views(
            self.scan,
            self.job,
            rows,
            self.clock,
            corrections=self.corrections,
            device=self.device,
        )

    def _shifts(self, pairs: Sequence[Pair], rows: range) -> tuple[Shift, ...]:
        """Shifts of pairs in some rows, all of whose views are held at once."""
        observer, xp, info = self.observer, self.device.xp, self.job.info
        # Images are interpolated between projections; beyond the ends, shifts are extrapolated.
        beyond = [k for k, pair in enumerate(pairs) if not 0 <= pair.share <= 1]
        measured = [
            *(replace(pair, share=0.0) if k in beyond else pair for k, pair in enumerate(pairs)),
            *(replace(pairs[k], first=pairs[k].first + 1, share=0.0) for k in beyond),
        ]
        observer.start(_STAGE, len(measured))
        views = self._views(rows)
        shape = len(measured), len(rows), info.columns
        references, seconds = xp.empty(shape, np.float32), xp.empty(shape, np.float32)
        for k, pair in enumerate(measured):
            references[k] = views.between(pair.first, pair.share)
            seconds[k] = views.between(pair.second, 0.0)
            observer.advance(_STAGE)
        static = _mean_view(views, info.projections)
        with self.clock.stage(_STAGE, references.nbytes + seconds.nbytes):
            shifts = measure_pairs(
                references,
                seconds,
                measured,
                axis_px=self.axis,
                reach_px=self.job.config.motion.reach_px,
                static=static,
            )
        observer.finish(_STAGE)
        found = list(shifts[: len(pairs)])
        for k, far in zip(beyond, shifts[len(pairs) :]):
            found[k] = extrapolated(pairs[k], found[k], far)
        return tuple(found)

    def _flags(
        self, pairs: Sequence[Pair], shifts: Sequence[Shift], bands: Sequence[range]
    ) -> list[Flag]:
        info = self.job.info
        flags = find_sudden_motion(
            self._views,
            info,
            self.times,
            self.job.rows,
            bands[len(bands) // 2],
            row_chunk=self.scan.row_chunk,
            observer=self.observer,
            device=self.device,
        )
        return flags + find_bubbles(
            self._views,
            self.times,
            pairs,
            shifts,
            bands,
            axis=self.axis,
            columns=info.columns,
        )


def _bands(rows: range, pairs: int, columns: int) -> list[range]:
    """The rows wanted in bands of so many as may be compared at a time."""
    affordable = MOST_BYTES // (4 * columns * (2 * pairs + 4))
    count = math.ceil(len(rows) / min(MOST_ROWS, max(affordable, LEAST_ROWS)))
    edges = [rows.start + len(rows) * k // count for k in range(count + 1)]
    return [range(first, last) for first, last in pairwise(edges)]


def _mean_view(views: Views, projections: int) -> Array:
    """Mean of views from all directions."""
    chosen = np.unique(np.linspace(0, projections - 1, _STATIC_VIEWS).astype(int))
    total = views.between(int(chosen[0]), 0.0)
    for k in chosen[1:]:
        total += views.between(int(k), 0.0)
    return total / np.float32(chosen.size)


def _notes(info: ScanInfo, method: str, pairs: Sequence[Pair], drift: Drift | None) -> list[str]:
    if drift is None:
        why = {
            "returns": "it has no views taken again at its end",
            "pairs": "it shows no view twice",
            "auto": "it shows no view twice, and has none taken again at its end",
        }[method]
        if pairs:
            why = f"none of its {len(pairs)} pairs of views is clearly alike"
        return [f"The drift of {_name(info)} is not measured: {why}."]
    paths = {"z": drift.z, "x": drift.x, "y": drift.y}
    told = ", ".join(
        f"{path.at([1.0])[0]:+.2f} px in {name} (+-{path.error_px:.2f})"
        for name, path in paths.items()
        if np.isfinite(path.error_px)
    )
    tell = "1 pair of views tells" if drift.pairs == 1 else f"{drift.pairs} pairs of views tell"
    told = told or "an unknown distance"
    notes = [f"During {_name(info)} the sample drifts by {told}, as {tell}."]
    unseen = [name for name, path in paths.items() if not np.isfinite(path.error_px)]
    if unseen:
        notes.append(
            f"A drift in {' and '.join(unseen)} cannot be told from these views and is left in."
        )
    if drift.left_out:
        notes.append(
            f"{drift.left_out} of {drift.pairs + drift.left_out} pairs of views disagree with the "
            "others and are left out."
        )
    spans = {round(pair.times[0], 1) for pair in pairs}
    if len(spans) == 1 and drift.pairs:
        notes.append(
            "Views were taken at two times only, so the drift in between is taken to be even."
        )
    return notes


def _believed(drift: Drift, flags: Sequence[Flag]) -> bool:
    """Whether a smooth path is what happened: few pairs disagree, and nothing was sudden."""
    sudden = any(flag.kind == "sudden motion" and flag.size_px >= SUDDEN_PX for flag in flags)
    errors = [path.error_px for path in (drift.x, drift.y, drift.z)]
    vague = any(TRUSTED_PX < error < math.inf for error in errors)
    return not (sudden or vague or drift.left_out >= drift.pairs / 4)


def _name(info: ScanInfo) -> str:
    return info.name or info.where


def _path(values: dict[str, Any]) -> Path:
    return Path(**{**values, "coefficients_px": tuple(values["coefficients_px"])})


def _flag(values: dict[str, Any]) -> Flag:
    both = {name: tuple(values[name]) for name in ("projections", "times")}
    return Flag(**{**values, **both})
