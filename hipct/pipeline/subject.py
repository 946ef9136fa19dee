"""What a run reconstructs: a scan, or a series of sub-scans with one station at each height."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Member, Series


@dataclass(frozen=True, eq=False)
class Station:
    """The scan at one height, or the annuli of a quarter-acquisition.

    Attributes
    ----------
    name : str
        Of the first sub-scan; empty for a single scan.
    scans : tuple of Scan
        As they lie on disk.
    offset_px : float
        Organ row of the first row, by the motors.
    members : tuple of Member
        The members of the series; empty for a single scan.
    """

    name: str
    scans: tuple[Scan, ...]
    offset_px: float = 0.0
    members: tuple[Member, ...] = ()


@dataclass(frozen=True, eq=False)
class Subject:
    """What a run reads.

    Attributes
    ----------
    stations : tuple of Station
        By their height.
    notes : tuple of str
        What was found when it was opened, as sentences.
    facts : dict
        What the volume has to say of a series: gaps and what was left out; empty for a scan.
    """

    stations: tuple[Station, ...]
    notes: tuple[str, ...] = ()
    facts: dict[str, Any] | None = None

    @classmethod
    def of(cls, what: Scan | Series) -> Subject:
        """A scan or a series that is open already."""
        if isinstance(what, Scan):
            return cls((Station("", (what,)),))
        alone = len(what.stations) == 1
        stations = tuple(
            Station(
                "" if alone else members[0].name,
                tuple(member.scan for member in members),
                members[0].offset_px,
                members,
            )
            for members in what.stations
        )
        facts = {
            "path": what.source,
            "gaps": [str(gap) for gap in what.gaps],
            "skipped": dict(what.skipped),
        }
        return cls(stations, what.notes, facts)

    @property
    def scans(self) -> list[Scan]:
        """All scans as they lie on disk."""
        return [scan for station in self.stations for scan in station.scans]

    @property
    def of_series(self) -> bool:
        """Whether there are several heights to join."""
        return len(self.stations) > 1
