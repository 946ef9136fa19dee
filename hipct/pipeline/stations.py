"""From the stations of a subject to the parts of an organ: each looks like one scan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.core.errors import ConfigError
from hipct.core.progress import Observer
from hipct.pipeline.annuli import join_station, joined_config
from hipct.pipeline.annuli_offset import annulus_config
from hipct.pipeline.config import Config
from hipct.pipeline.corrections import Corrections
from hipct.pipeline.distances import with_distances
from hipct.pipeline.helix import HelicalScan, helical_config
from hipct.pipeline.job import Job, resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.report import StageClock
from hipct.pipeline.subject import Station, Subject
from hipct.pipeline.virtual import source_config


def source_jobs(subject: Subject, config: Config) -> list[Job]:
    """The job of every scan as it lies on disk, of one configuration."""
    series = subject.of_series
    jobs = []
    for station in subject.stations:
        asked = config
        if len(station.scans) > 1:
            asked = annulus_config(config)
        elif _helical(station):
            asked = source_config(config)
        jobs += [resolve(scan, asked, of_series=series) for scan in station.scans]
    return jobs


def parts_by_motors(
    subject: Subject,
    config: Config,
    clock: StageClock,
    observer: Observer,
    *,
    corrections: Sequence[Corrections] | None = None,
    known: Mapping[str, Any] | None = None,
) -> tuple[list[Scan], list[Part], dict[str, Any]]:
    """The scan of each station, and its part where the motors have it.

    Parameters
    ----------
    subject : Subject
    config : Config
    clock, observer : StageClock, Observer
        Times and notes.
    corrections : sequence of Corrections, optional
        What was measured of every scan on disk.
    known : mapping, optional
        What was found of annuli before, by the name of their station.

    Returns
    -------
    scans : list of Scan
    parts : list of Part
    found : dict
        What is known of annuli now; JSON values.
    """
    _refuse_distances(subject, config)
    scans: list[Scan] = []
    parts: list[Part] = []
    found = dict(known or {})
    first = 0
    for number, station in enumerate(subject.stations):
        of_it = None if corrections is None else corrections[first : first + len(station.scans)]
        first += len(station.scans)
        name, scan, row = _name(station), station.scans[0], 0.0
        asked = station_config(station, config)
        left = None if of_it is None else of_it[0]
        if len(station.scans) > 1:
            joined = join_station(
                station.members, config, clock, observer, corrections=of_it, known=found.get(name)
            )
            found[name] = joined.found
            scan, left, row = joined, None, joined.first_row
        elif _helical(station):
            tall = HelicalScan(scan, config, left)
            scan, left, row = tall, None, tall.first_row
        elif not subject.of_series:
            scan = with_distances(scan, config)
        scans.append(scan)
        parts.append(
            Part(
                resolve(scan, asked, of_series=subject.of_series),
                offset_px=station.offset_px + row if subject.of_series else 0.0,
                number=number,
                name=station.name,
                corrections=left,
            )
        )
    return scans, parts, found


def station_config(station: Station, config: Config) -> Config:
    """What a run's configuration leaves to be done for the scan of a station."""
    if len(station.scans) > 1:
        return joined_config(config)
    return helical_config(config) if _helical(station) else config


def _refuse_distances(subject: Subject, config: Config) -> None:
    """Refuse several distances of anything but one scan."""
    station = subject.stations[0]
    if not config.phase.scans:
        return
    if subject.of_series:
        raise ConfigError(
            "phase.scans takes one sample at several distances, and this is a series of "
            f"{len(subject.stations)} heights; reconstruct its sub-scans one by one."
        )
    if len(station.scans) > 1 or _helical(station):
        raise ConfigError(
            "phase.scans takes one sample at several distances, and "
            f"{station.scans[0].info.where} is a helix or one of several annuli, whose phase is "
            "retrieved from one distance; leave phase.scans empty."
        )


def _name(station: Station) -> str:
    return station.members[0].name if station.members else station.name


def _helical(station: Station) -> bool:
    return station.scans[0].info.projection_z_um is not None
