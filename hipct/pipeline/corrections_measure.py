"""Measures what the frames of a series are corrected by, before they are streamed.

In the order in which it is applied (:mod:`hipct.pipeline.transmission`), each with what was
measured before divided out. Scans are gone through in bands of rows and blocks of angles; what is
large goes into files as it is made, and a run that goes on finds them there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.core.device import HOST, Device
from hipct.core.errors import ConfigError, InputError
from hipct.core.progress import Observer
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import BeamDrift, Corrections, MatchedFlats
from hipct.pipeline.corrections_distortion import planned_halo_rows
from hipct.pipeline.corrections_files import CorrectionFiles
from hipct.pipeline.corrections_reference import SeriesReference
from hipct.pipeline.corrections_series import SeriesMeasurements
from hipct.pipeline.corrections_sources import Reference, references
from hipct.pipeline.job import Job, fingerprint
from hipct.pipeline.report import StageClock
from hipct.preparation.dynamic_flats import MOST_COMPONENTS

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
    with references(scans, jobs) as found:
        files = CorrectionFiles(folder, _parameters(scans, jobs, found))
        series = SeriesMeasurements(
            scans, jobs, files, clock=clock, observer=observer, device=device
        )
        for number, reference in enumerate(found):
            series.match_flats(number, reference)
    if config.dynamic_flat.enabled:
        series.follow_beams()
    if config.darkening.enabled:
        series.match_levels()
    if config.double_flat.enabled:
        series.average()
    if config.distortion.enabled:
        series.map_distortion()
    return series.corrections


def planned_corrections(config: Config, info: ScanInfo) -> Corrections | None:
    """Corrections of the sizes that those of a scan will have, for plans made before measuring.

    They tell :attr:`~Corrections.halo_rows` and :meth:`~Corrections.work_bytes` and no more; the
    halo of a radial distortion is rounded up. ``None`` where nothing is to be corrected.
    """
    if not wants_corrections(config):
        return None
    nowhere, nothing = Path(), np.empty(0)
    sizes = Corrections()
    if config.reference.path is not None or config.reference.from_series:
        sizes = replace(sizes, flats=MatchedFlats(nowhere, nowhere, nothing, nothing, None))
    if config.dynamic_flat.enabled:
        components = config.dynamic_flat.components or MOST_COMPONENTS
        mixing = np.empty((components, info.flats))
        drift = BeamDrift(mixing, np.empty(info.flats), np.empty((0, 0), np.float32))
        sizes = replace(sizes, drift=drift)
    if config.double_flat.enabled:
        sizes = replace(sizes, double_flat=nowhere)
    if config.distortion.enabled:
        halo = planned_halo_rows(config.distortion, (info.rows, info.columns))
        sizes = replace(sizes, displacement=nowhere, halo_rows=halo)
    return sizes


def _check(jobs: Sequence[Job]) -> None:
    config, first = jobs[0].config, jobs[0].info
    reference = config.reference.path is not None or config.reference.from_series
    if reference and config.dynamic_flat.enabled:
        raise ConfigError(
            "dynamic_flat.enabled is true beside a reference scan; a drifting beam is followed by "
            "the scan's own flats: switch off one of the two."
        )
    for name, columns in (
        ("dynamic_flat", config.dynamic_flat),
        ("darkening", config.darkening),
    ):
        if columns.enabled and columns.left_columns + columns.right_columns > first.columns:
            raise ConfigError(
                f"{name}.left_columns is {columns.left_columns} and {name}.right_columns "
                f"{columns.right_columns}; together they may be the {first.columns} columns of "
                f"{first.where} at most."
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


def _parameters(
    scans: Sequence[Scan], jobs: Sequence[Job], found: Sequence[Reference]
) -> dict[str, Any]:
    """All that decides what is measured."""
    settings = jobs[0].config.as_dict()
    chosen = {name: settings[name] for name in (*SECTIONS, "distortion")}
    # Which rows are reconstructed changes nothing: the whole detector is measured.
    for key in ("first_row", "last_row"):
        chosen["scan"].pop(key)
    of_references = [
        [*reference.of]
        if isinstance(reference.scan, SeriesReference)
        else [fingerprint(reference.scan), *reference.of]
        for reference in found
    ]
    map_file = jobs[0].config.distortion.map_file
    return {
        "config": chosen,
        "scans": [fingerprint(scan) for scan in scans],
        "pixel_size_um": jobs[0].info.pixel_size_um,
        "references": of_references,
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
