"""Corrections of all scans of a series, measured one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.device import Device
from hipct.core.errors import InputError
from hipct.core.progress import Observer
from hipct.pipeline.corrections import BeamDrift, Corrections, MatchedFlats
from hipct.pipeline.corrections_blocks import BAND_BYTES, BAND_STEP
from hipct.pipeline.corrections_distortion import fill_displacement, halo_rows
from hipct.pipeline.corrections_files import CorrectionFiles
from hipct.pipeline.corrections_reference import (
    ReferenceMaker,
    usable_current,
    windows_of,
)
from hipct.pipeline.corrections_scan import ScanMeasurements
from hipct.pipeline.corrections_sources import Reference
from hipct.pipeline.job import Job
from hipct.pipeline.report import StageClock
from hipct.preparation.darkening import LevelDrift, darkened, fit_drift
from hipct.preparation.double_flat import double_flat
from hipct.preparation.lowpass import low_pass
from hipct.preparation.reduction import reduce_frames
from hipct.preparation.reference_windows import match_angles

MOST_OF_A_TURN_RAD = np.radians(300)
"""From here on a jar off the axis can be told from a drift of the level."""


class SeriesMeasurements:
    """The corrections of a series; each measurement divides out those before it.

    Parameters
    ----------
    scans, jobs : sequences of Scan and Job
        One a sub-scan.
    files : CorrectionFiles
        Where arrays are kept.
    clock, observer, device
        Times, progress, and where it is computed.

    Attributes
    ----------
    corrections : list of Corrections
        What is known of each scan by now.
    """

    def __init__(
        self,
        scans: Sequence[Scan],
        jobs: Sequence[Job],
        files: CorrectionFiles,
        *,
        clock: StageClock,
        observer: Observer,
        device: Device,
    ) -> None:
        self.corrections = [Corrections() for _ in scans]
        self._scans, self._jobs, self._files = scans, jobs, files
        self._clock, self._observer, self._device = clock, observer, device
        self._config = jobs[0].config
        self._shape = jobs[0].info.rows, jobs[0].info.columns
        self._each = [
            ScanMeasurements(scan, job, clock, observer, device) for scan, job in zip(scans, jobs)
        ]

    def match_flats(self, number: int, reference: Reference) -> None:
        """Flats of a reference scan in place of the own ones of the scans that take it."""
        infos, source = [self._jobs[k].info for k in reference.of], reference.scan.info
        matches = [match_angles(info.angles_rad, source.angles_rad) for info in infos]
        step = source.angular_step_rad
        turn = round(2 * np.pi / step) if step else matches[0].frames
        windows = windows_of(self._config.reference, infos[0], turn)
        # The frames that are made of the series are divided by it already.
        divide = reference.with_current and source.current is not None
        maker = ReferenceMaker(
            reference.scan,
            windows,
            frames=matches[0].frames,
            closed=matches[0].closed,
            current=usable_current(source) if divide else None,
            dead_share=self._config.repair.dead_pixel_threshold,
            clock=self._clock,
            observer=self._observer,
            device=self._device,
        )
        name = f"reference-{number:04d}"
        path = self._files.file(name, maker.shape, np.float32, maker.fill)
        self._files.array(f"{name}-dark", maker.dark)
        note = (
            f"Flats are those of {source.where} at {len(maker.knots)} angles: fine part over "
            f"{windows.wide} frames, smooth part ({windows.sigma_px:g} pixels) over "
            f"{windows.narrow}."
        )
        for k, info, match in zip(reference.of, infos, matches):
            matched = MatchedFlats(
                path=path,
                dark=self._files.folder / f"{name}-dark.npy",
                knots=maker.knots,
                positions=match.positions,
                current=usable_current(info) if reference.with_current else None,
            )
            self._add(k, note, flats=matched)

    def follow_beams(self) -> None:
        """Components of each scan's flats, and their weights in its projections."""
        for k, measured in enumerate(self._each):
            components = self._files.array(f"components-{k:04d}", measured.components)
            drift = BeamDrift(
                mixing=components[1:],
                levels=components[0],
                coefficients=self._files.array(
                    f"coefficients-{k:04d}", partial(measured.coefficients, components)
                ),
            )
            self._add(k, drift=drift)
        counts = [len(mine.drift.mixing) for mine in self.corrections if mine.drift is not None]
        self._say(
            f"Components of the flats{self._of_all} that are followed from projection to "
            f"projection: {_span(counts, '{:d}')}."
        )

    def match_levels(self) -> None:
        """Straight lines through the levels of each scan's outer columns."""
        settings = self._config.darkening
        drifts: list[LevelDrift] = []
        for k, measured in enumerate(self._each):
            levels = self._files.array(
                f"levels-{k:04d}", partial(measured.levels, self.corrections[k])
            )
            info = self._jobs[k].info
            turned = info.angular_range_rad + info.angular_step_rad > MOST_OF_A_TURN_RAD
            try:
                drifts.append(fit_drift(levels, info.angles_rad if turned else None))
            except InputError as error:
                raise InputError(
                    f"The level of {self._name(k)} cannot be measured: {error}"
                ) from error
        median = float(np.median([drift.level for drift in drifts]))
        wanted = 1.0 if settings.target == "one" else median
        off = settings.target == "one" and any(
            abs(drift.level - 1) > settings.tolerance for drift in drifts
        )
        correct = settings.tolerance == 0 or off or darkened(drifts, settings.tolerance)
        for k, drift in enumerate(drifts):
            if correct:
                projections = self._jobs[k].info.projections
                self._add(k, levels=drift.levels(projections) / wanted)
        found = _span([drift.level / wanted for drift in drifts], "{:.4f}")
        changes = _span([100 * drift.slope for drift in drifts], "{:+.2f}")
        self._say(
            f"The level of the outer columns{self._of_all} is {found} of the one wanted and "
            f"changes by {changes} % over a scan; "
            + ("it is divided out." if correct else "within the tolerance it stays as it is.")
        )

    def average(self) -> None:
        """Double flat fields: of each scan, or one of the series."""
        of_scan = self._config.double_flat.scope == "scan"
        paths = [
            self._files.file(f"fine-{k:04d}", self._shape, np.float32, partial(self._fill_fine, k))
            for k in range(len(self.corrections))
        ]
        if not of_scan:
            fill = partial(_fill_median, paths)
            paths = [self._files.file("fine-series", self._shape, np.float32, fill)] * len(paths)
        for k, path in enumerate(paths):
            self._add(k, double_flat=path)

    def map_distortion(self) -> None:
        """The displacement of every pixel."""
        settings = self._config.distortion
        fill = partial(fill_displacement, settings)
        path = self._files.file("distortion", (*self._shape, 2), np.float64, fill)
        halo = halo_rows(np.load(path, mmap_mode="r")[..., 0])
        for k in range(len(self.corrections)):
            self._add(k, displacement=path, interpolation=settings.interpolation, halo_rows=halo)

    def _fill_fine(self, k: int, out: NDArray[Any]) -> None:
        """The fine part of the mean projection of a scan, as a factor about 1."""
        settings = self._config.double_flat
        of_scan = settings.scope == "scan"
        self._each[k].mean(self.corrections[k], out, logarithm=of_scan)
        with self._device.lane("prepare"):
            mean = self._device.upload(np.array(out))
            # Of a series as in general_reference, which holds the means of all its sub-scans.
            fine = (
                double_flat(mean, settings.sigma_px)
                if of_scan
                else mean / low_pass(mean, settings.sigma_px)
            )
            out[...] = self._device.download(fine)

    def _add(self, k: int, note: str | None = None, **changes: Any) -> None:
        notes = self.corrections[k].notes + (() if note is None else (note,))
        self.corrections[k] = replace(self.corrections[k], notes=notes, **changes)

    def _say(self, note: str) -> None:
        """One sentence for all scans."""
        for k in range(len(self.corrections)):
            self._add(k, note)

    @property
    def _of_all(self) -> str:
        count = len(self.corrections)
        return f" of {count} sub-scans" if count > 1 else ""

    def _name(self, k: int) -> str:
        info = self._jobs[k].info
        return info.name or info.where


def _span(values: Sequence[float], form: str) -> str:
    """The smallest and the largest of some numbers, in words."""
    low, high = (form.format(value) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _fill_median(paths: Sequence[Path], out: NDArray[Any]) -> None:
    """Median of frames in files, as many rows at a time as fit: a series has up to 200."""
    rows, columns = out.shape
    height = max(1, BAND_BYTES // (8 * len(paths) * columns) // BAND_STEP) * BAND_STEP
    for first in range(0, rows, height):
        part = slice(first, min(first + height, rows))
        frames = np.stack([np.load(path, mmap_mode="r")[part] for path in paths])
        out[part] = reduce_frames(frames, "median")
