"""A member of a series and its place among the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hipct.acquisition.scan import Scan, ScanInfo

SAME_PLACE_PX = 1.0
HOW_TO_SKIP = "give --allow-gaps (Python: allow_gaps=True) to leave out what does not fit"
MOST_NAMED = 12


@dataclass(frozen=True)
class Member:
    """One sub-scan and its place.

    Attributes
    ----------
    name : str
        Unlike the others' in the series.
    scan : Scan
        Open; its frames are read where they lie.
    source : str
        Where it came from.
    offset_px : float
        Row r of its detector lies at row ``offset_px + r`` of the common grid, by the motors; of
        a helical scan that of its lowest z.
    z_um : float
        Position of its middle row.
    lateral_um : float
        Position of its rotation axis across the beam; 0 where the files do not say.
    """

    name: str
    scan: Scan
    source: str
    offset_px: float
    z_um: float
    lateral_um: float

    @property
    def info(self) -> ScanInfo:
        """Geometry of the sub-scan."""
        return self.scan.info


def stations_of(members: Sequence[Member]) -> tuple[tuple[Member, ...], ...]:
    """Members, which come by z, that stand at one height: within a pixel."""
    stations: list[list[Member]] = []
    for member in members:
        if stations and abs(member.offset_px - stations[-1][0].offset_px) < SAME_PLACE_PX:
            stations[-1].append(member)
        else:
            stations.append([member])
    return tuple(tuple(sorted(s, key=lambda member: member.lateral_um)) for s in stations)


def places_of(station: Sequence[Member]) -> list[list[Member]]:
    """Members of a station by lateral position: several in one are repetitions."""
    pixel = station[0].info.pixel_size_um or 1.0
    places: list[list[Member]] = []
    for member in station:
        if places and member.lateral_um - places[-1][0].lateral_um < SAME_PLACE_PX * pixel:
            places[-1].append(member)
        else:
            places.append([member])
    return places


def height_px(info: ScanInfo) -> float:
    """Rows of the common grid that a scan covers: more than its own where z moves."""
    if info.projection_z_um is None or info.pixel_size_um is None:
        return float(info.rows)
    return info.rows + float(np.ptp(info.projection_z_um)) / info.pixel_size_um


def listed(words: Sequence[str], between: str = " ") -> str:
    """The first dozen of some words, and how many more there are."""
    shown = between.join(words[:MOST_NAMED])
    more = len(words) - MOST_NAMED
    return shown + (f"{between}and {more} more" if more > 0 else "")
