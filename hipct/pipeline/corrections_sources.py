"""Where the flats of a series come from instead of its own: reference scans, or the series."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.acquisition.series_sources import find_sources
from hipct.core.errors import InputError
from hipct.pipeline.corrections_reference import SeriesReference
from hipct.pipeline.job import Job

APART = 0.1
"""Share of the width of the detector from which on two lateral positions are two places."""


@dataclass(frozen=True)
class Reference:
    """A reference scan and the numbers of the scans that take their flats from it.

    ``with_current``: whether the machine current of all is known, and to be used.
    """

    scan: Scan
    of: tuple[int, ...]
    with_current: bool


@contextmanager
def references(scans: Sequence[Scan], jobs: Sequence[Job]) -> Iterator[tuple[Reference, ...]]:
    """The reference scans of a series, possibly none; closed in the end if they were opened here.

    Several may lie at ``reference.path``: each scan takes the one that is nearest to it across the
    beam (the annuli of a quarter-acquisition see other parts of the jar), and of these the one
    nearest in height. Of a series its own annuli are told apart in the same way.

    Raises
    ------
    InputError
        If a reference scan does not fit the detector, or holds no counts.
    ConfigError
        If the series has too few sub-scans to make flats of them.
    """
    settings = jobs[0].config.reference
    infos = [job.info for job in jobs]
    wanted = jobs[0].config.flat.use_current
    if settings.from_series:
        yield tuple(
            _of_series(scans, jobs, members, with_current=wanted and _all_know(infos))
            for members in _places(infos)
        )
        return
    if settings.path is None:
        yield ()
        return
    with ExitStack() as opened:
        found = [
            opened.enter_context(source.open()) for source in find_sources(settings.path).sources
        ]
        if not found:
            raise InputError(f"reference.path is {settings.path}, which holds no scan to be read.")
        for scan in found:
            _check(scan.info, infos[0], settings.path)
        known = wanted and _all_know([*infos, *(scan.info for scan in found)])
        nearest = [_nearest(info, found) for info in infos]
        yield tuple(
            Reference(scan, tuple(k for k, n in enumerate(nearest) if n == number), known)
            for number, scan in enumerate(found)
            if number in nearest
        )


def _of_series(
    scans: Sequence[Scan], jobs: Sequence[Job], members: Sequence[int], *, with_current: bool
) -> Reference:
    """Flats of some sub-scans, as the median of as many as are wanted, evenly spread."""
    config = jobs[0].config
    count = min(config.reference.sub_scans, len(members))
    chosen = [members[int((k + 0.5) * len(members) / count)] for k in range(count)]
    median = SeriesReference(
        [scans[k] for k in chosen],
        [jobs[k].info for k in chosen],
        with_current=with_current,
        columns=(config.darkening.left_columns, config.darkening.right_columns),
    )
    return Reference(median, tuple(members), with_current)


def _places(infos: Sequence[ScanInfo]) -> list[list[int]]:
    """Scans of one place across the beam, whatever their height."""
    order = sorted(range(len(infos)), key=lambda k: infos[k].lateral_um or 0.0)
    places: list[list[int]] = []
    for k in order:
        before = places[-1][-1] if places else None
        if before is None or _across(infos[before], infos[k]) > APART:
            places.append([])
        places[-1].append(k)
    return [sorted(place) for place in places]


def _nearest(info: ScanInfo, found: Sequence[Scan]) -> int:
    """Number of the reference scan that is nearest across the beam, and of these in height."""
    across = np.array([_across(info, scan.info) for scan in found])
    height = [abs((info.z_um or 0.0) - (scan.info.z_um or 0.0)) for scan in found]
    near = np.flatnonzero(across <= across.min() + APART)
    return int(min(near, key=lambda k: height[k]))


def _across(one: ScanInfo, other: ScanInfo) -> float:
    """Distance across the beam, in widths of the detector; 0 where the files do not say."""
    if one.lateral_um is None or other.lateral_um is None or one.pixel_size_um is None:
        return 0.0
    return abs(one.lateral_um - other.lateral_um) / (one.pixel_size_um * one.columns)


def _all_know(infos: Sequence[ScanInfo]) -> bool:
    return all(info.current is not None for info in infos)


def _check(reference: ScanInfo, first: ScanInfo, path: Path) -> None:
    if (reference.rows, reference.columns) != (first.rows, first.columns):
        raise InputError(
            f"reference.path is {path}, with frames of {reference.rows} x {reference.columns} "
            f"pixels, and {first.where} has {first.rows} x {first.columns}; give a reference scan "
            "of the same detector."
        )
    if reference.kind != "counts":
        raise InputError(
            f"reference.path is {path}, which holds {reference.kind.replace('_', ' ')}; flats are "
            "made of raw counts."
        )
