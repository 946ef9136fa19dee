"""Motion of the sample during a scan: measured before the frames are streamed.

The drift is that of :mod:`hipct.preparation.motion`, from a band of rows in the middle of the
detector. What it says of each projection is a shift in rows and columns, by which the frames are
moved where they are prepared (:func:`hipct.preparation.moving.move_frames`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.progress import Observer
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.job import Job
from hipct.pipeline.motion_frames import Views
from hipct.pipeline.report import StageClock
from hipct.preparation.motion import Drift, Path, fit_drift, measure_pairs
from hipct.preparation.motion_pairs import Pair, find_pairs, scan_times
from hipct.preparation.moving import moving_halo

STILL_PX = 0.05
"""A drift that is nowhere larger is none: moving frames costs a little of their sharpness."""

MOST_ROWS = 512
MOST_BYTES = 256_000_000
"""Rows that are compared, and what the views that are compared may take."""

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
    notes : tuple of str
        What was found, as sentences.
    """

    angles_rad: Float
    times: Float
    drift: Drift | None = None
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
        Of a sample at rest where nothing is to be measured, or nothing tells.
    """
    settings, info = job.config.motion, job.info
    if settings.method == "none":
        return Motion.of_still(info)
    times = scan_times(info.projection_index)
    pairs = find_pairs(
        info.angles_rad,
        times,
        info.return_angles_rad if settings.method in ("auto", "returns") else (),
        within=settings.method in ("auto", "pairs"),
    )
    if info.projection_z_um is not None or not pairs:
        return Motion.of_still(info, [_nothing_repeats(info, settings.method)])
    observer.start(_STAGE, len(pairs))
    rows = _band(job.rows, len(pairs), info.columns)
    views = Views(scan, job, rows, clock, corrections=corrections, device=device)
    with device.lane("prepare"):
        xp = device.xp
        shape = len(pairs), len(rows), info.columns
        references, seconds = xp.empty(shape, np.float32), xp.empty(shape, np.float32)
        for k, pair in enumerate(pairs):
            references[k] = views.between(pair.first, pair.share)
            seconds[k] = views.between(pair.second, 0.0)
            observer.advance(_STAGE)
        static = _mean_view(views, info.projections)
        with clock.stage(_STAGE, references.nbytes + seconds.nbytes):
            shifts = measure_pairs(
                references,
                seconds,
                pairs,
                axis_px=axis,
                reach_px=settings.reach_px,
                static=static,
            )
            drift = fit_drift(pairs, shifts, degree=settings.degree)
    observer.finish(_STAGE)
    return Motion(info.angles_rad, times, drift, tuple(_notes(info, pairs, drift)))


def _band(rows: range, pairs: int, columns: int) -> range:
    """Rows in the middle of those wanted, as many as may be compared."""
    affordable = MOST_BYTES // (4 * columns * (2 * pairs + 4))
    height = min(len(rows), MOST_ROWS, max(affordable, 16))
    first = rows.start + (len(rows) - height) // 2
    return range(first, first + height)


def _mean_view(views: Views, projections: int) -> Array:
    """Mean of views from all directions."""
    chosen = np.unique(np.linspace(0, projections - 1, _STATIC_VIEWS).astype(int))
    total = views.between(int(chosen[0]), 0.0)
    for k in chosen[1:]:
        total += views.between(int(k), 0.0)
    return total / np.float32(chosen.size)


def _nothing_repeats(info: ScanInfo, method: str) -> str:
    if info.projection_z_um is not None:
        return f"The drift of {info.where} is not measured: its sample moves up on purpose."
    what = {
        "returns": "it has no views taken again at its end",
        "pairs": "it shows no view twice",
        "auto": "it shows no view twice, and has none taken again at its end",
    }[method]
    return f"The drift of {info.where} is not measured: {what}."


def _notes(info: ScanInfo, pairs: Sequence[Pair], drift: Drift | None) -> list[str]:
    if drift is None:
        return [
            f"The drift of {info.where} is not measured: none of its {len(pairs)} pairs of views "
            "is clearly alike."
        ]
    paths = {"z": drift.z, "x": drift.x, "y": drift.y}
    told = ", ".join(
        f"{path.at([1.0])[0]:+.2f} px in {name} (+-{path.error_px:.2f})"
        for name, path in paths.items()
        if np.isfinite(path.error_px)
    )
    notes = [
        f"During {info.where} the sample drifts by {told or 'an unknown distance'}, as "
        f"{drift.pairs} pairs of views tell."
    ]
    unseen = [name for name, path in paths.items() if not np.isfinite(path.error_px)]
    if unseen:
        notes.append(
            f"A drift in {' and '.join(unseen)} cannot be told from these views and is left in."
        )
    if drift.left_out:
        notes.append(
            f"{drift.left_out} pairs of views disagree with the others and are left out: the "
            "motion may be sudden."
        )
    spans = {round(pair.times[0], 1) for pair in pairs}
    if len(spans) == 1 and drift.pairs:
        notes.append(
            "Views were taken at two times only, so the drift in between is taken to be even."
        )
    return notes


def _path(values: dict[str, Any]) -> Path:
    return Path(**{**values, "coefficients_px": tuple(values["coefficients_px"])})
