"""From the stations of a subject to the parts of an organ."""

from __future__ import annotations

from hipct.acquisition.scan import Scan
from hipct.core.errors import InputError
from hipct.pipeline.config import Config
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.subject import Station, Subject


def parts_by_motors(subject: Subject, config: Config) -> tuple[list[Scan], list[Part]]:
    """The scan of each station, and its part where the motors have it."""
    scans = [_scan(station) for station in subject.stations]
    parts = [
        Part(
            resolve(scan, config, of_series=subject.of_series),
            offset_px=station.offset_px,
            number=number,
            name=station.name,
        )
        for number, (station, scan) in enumerate(zip(subject.stations, scans))
    ]
    return scans, parts


def _scan(station: Station) -> Scan:
    if len(station.scans) > 1:
        raise InputError(
            f"{station.name} has {len(station.scans)} sub-scans at one height, as a "
            "quarter-acquisition has."
        )
    return station.scans[0]
