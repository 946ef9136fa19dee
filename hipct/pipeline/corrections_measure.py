"""Measures what the frames of a series are corrected by, before they are streamed.

In the order in which it is applied (:mod:`hipct.pipeline.transmission`), each with what was
measured before divided out. Scans are gone through in bands of rows and blocks of angles; what is
large goes into files as it is made, and a run that goes on finds them there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.core.device import HOST, Device
from hipct.core.errors import ConfigError, InputError
from hipct.core.progress import Observer
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.corrections_files import CorrectionFiles
from hipct.pipeline.corrections_reference import SeriesReference
from hipct.pipeline.corrections_series import SeriesMeasurements, with_current
from hipct.pipeline.job import Job, fingerprint
from hipct.pipeline.report import StageClock

SECTIONS = ("scan", "flat", "repair", "reference", "dynamic_flat", "darkening", "double_flat")
"""Sections of the configuration that decide what is measured, beside the distortion."""


def wants_corrections(config: Config) -> bool:
    """Whether a configuration switches any of these corrections on."""
    reference = config.reference
    return (
        reference.path is not None
        or reference.from_series
        or config.dynamic_flat.enabled
        or config.darkening.enabled
        or config.double_flat.enabled
        or config.distortion.enabled
    )


def measure_corrections(
    scans: Sequence[Scan],
    jobs: Sequence[Job],
    folder: Path,
    clock: StageClock,
    observer: Observer,
    *,
    device: Device = HOST,
) -> list[Corrections]:
    """Measure the corrections of all scans of a series, or of a single one.

    Parameters
    ----------
    scans : sequence of Scan
        Raw scans of one detector, in the order of the series.
    jobs : sequence of Job
        What to do with each; of one configuration.
    folder : Path
        Where files are kept; found there, they are not measured again. What it holds for another
        configuration or for other scans is removed.
    clock, observer : StageClock, Observer
        Times and progress.
    device : Device
        Where it is computed.

    Returns
    -------
    list of Corrections
        One for each scan.

    Raises
    ------
    ConfigError
        If the scans do not allow what is configured.
    InputError
        If scans, or a reference scan, do not fit one another.
    OutputError
        If files cannot be written.
    """
    config = jobs[0].config
    if not wants_corrections(config):
        return [Corrections() for _ in scans]
    _check(jobs)
    with _reference(scans, jobs) as reference:
        files = CorrectionFiles(folder, _parameters(scans, jobs, reference))
        series = SeriesMeasurements(
            scans, jobs, files, clock=clock, observer=observer, device=device
        )
        if reference is not None:
            series.match_flats(reference)
    if config.dynamic_flat.enabled:
        series.follow_beams()
    if config.darkening.enabled:
        series.match_levels()
    if config.double_flat.enabled:
        series.average()
    if config.distortion.enabled:
        series.map_distortion()
    return series.corrections


def _check(jobs: Sequence[Job]) -> None:
    config, first = jobs[0].config, jobs[0].info
    reference = config.reference.path is not None or config.reference.from_series
    if reference and config.dynamic_flat.enabled:
        raise ConfigError(
            "dynamic_flat.enabled is true beside a reference scan; a drifting beam is followed by "
            "the scan's own flats: switch off one of the two."
        )
    for job in jobs:
        info = job.info
        if (info.rows, info.columns) != (first.rows, first.columns):
            raise InputError(
                f"{info.where} has frames of {info.rows} x {info.columns} pixels and "
                f"{first.where} of {first.rows} x {first.columns}; corrections of a series need "
                "one detector."
            )
        if info.kind != "counts" and (reference or config.dynamic_flat.enabled):
            raise ConfigError(
                f"{info.where} holds {info.kind.replace('_', ' ')}, which is divided by flats "
                "already; switch off reference and dynamic_flat."
            )


@contextmanager
def _reference(scans: Sequence[Scan], jobs: Sequence[Job]) -> Iterator[Scan | None]:
    """The reference scan, where there is one; closed in the end if it was opened here."""
    settings, first = jobs[0].config.reference, jobs[0].info
    if settings.from_series:
        count = min(settings.sub_scans, len(scans))
        chosen = [int((k + 0.5) * len(scans) / count) for k in range(count)]
        darkening = jobs[0].config.darkening
        yield SeriesReference(
            [scans[k] for k in chosen],
            [jobs[k].info for k in chosen],
            with_current=with_current(jobs, None),
            columns=(darkening.left_columns, darkening.right_columns),
        )
        return
    if settings.path is None:
        yield None
        return
    with open_scan(settings.path) as reference:
        info = reference.info
        if (info.rows, info.columns) != (first.rows, first.columns):
            raise InputError(
                f"reference.path is {settings.path}, with frames of {info.rows} x {info.columns} "
                f"pixels, and {first.where} has {first.rows} x {first.columns}; give a reference "
                "scan of the same detector."
            )
        if info.kind != "counts":
            raise InputError(
                f"reference.path is {settings.path}, which holds {info.kind.replace('_', ' ')}; "
                "flats are made of raw counts."
            )
        yield reference


def _parameters(
    scans: Sequence[Scan], jobs: Sequence[Job], reference: Scan | None
) -> dict[str, Any]:
    """All that decides what is measured."""
    settings = jobs[0].config.as_dict()
    chosen = {name: settings[name] for name in (*SECTIONS, "distortion")}
    # Which rows are reconstructed changes nothing: the whole detector is measured.
    for key in ("first_row", "last_row"):
        chosen["scan"].pop(key)
    of_reference = None
    if reference is not None and not isinstance(reference, SeriesReference):
        of_reference = fingerprint(reference)
    map_file = jobs[0].config.distortion.map_file
    return {
        "config": chosen,
        "scans": [fingerprint(scan) for scan in scans],
        "pixel_size_um": jobs[0].info.pixel_size_um,
        "reference": of_reference,
        "map_file": None if map_file is None else _digest(map_file),
    }


def _digest(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:16]
    except OSError as error:
        raise ConfigError(
            f"distortion.map_file is {path}, which cannot be read: {error.strerror or error}."
        ) from error
