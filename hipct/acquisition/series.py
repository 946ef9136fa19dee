"""A series: scans of one sample at many heights, ordered, checked, and mapped to common rows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan, ScanInfo
from hipct.acquisition.series_checks import Gap, differences, gaps_between
from hipct.acquisition.series_member import (
    HOW_TO_SKIP,
    MOST_NAMED,
    Member,
    height_px,
    listed,
    stations_of,
)
from hipct.acquisition.series_order import give_positions, one_of_each, place, unlike_names
from hipct.acquisition.series_sources import Source, find_sources, open_sources
from hipct.core.errors import FormatError, InputError

__all__ = ["Gap", "Member", "Series", "open_series"]


class Series:
    """Sub-scans of one sample, by z. A context manager; may be sent to other processes.

    Attributes
    ----------
    members : tuple of Member
        All sub-scans by z, then by their lateral position.
    stations : tuple of tuple of Member
        Sub-scans at one height: one each, or the annuli of a quarter-acquisition by their lateral
        position.
    gaps : tuple of Gap
        Where neighbours do not overlap (only with ``allow_gaps``).
    skipped : dict of str to str
        Why a scan was left out, by its source (only with ``allow_gaps``).
    notes : tuple of str
        What was found or decided, as sentences.
    source : str
        What was opened.
    """

    def __init__(
        self,
        members: Sequence[Member],
        *,
        gaps: Sequence[Gap] = (),
        skipped: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
        source: str = "",
    ) -> None:
        self.members = tuple(members)
        self.stations = stations_of(self.members)
        self.gaps = tuple(gaps)
        self.skipped = dict(skipped or {})
        self.notes = tuple(notes)
        self.source = source

    def __len__(self) -> int:
        return len(self.members)

    def __iter__(self) -> Iterator[Member]:
        return iter(self.members)

    def __getitem__(self, which: int | str) -> Member:
        if isinstance(which, int):
            return self.members[which]
        for member in self.members:
            if member.name == which:
                return member
        names = ", ".join(member.name for member in self.members[:MOST_NAMED])
        raise InputError(f"The series has no sub-scan {which!r}; it has {names}.")

    @property
    def info(self) -> ScanInfo:
        """Geometry of the first sub-scan: in energy, distance and pixel size it is everyone's."""
        return self.members[0].info

    @property
    def pixel_size_um(self) -> float:
        """Effective pixel size of all sub-scans."""
        return self.info.require("pixel_size_um", purpose="A series")[0]

    @property
    def offsets_px(self) -> NDArray[np.float64]:
        """First rows of the stations on the common grid by the motors, (stations,) float64."""
        return np.array([station[0].offset_px for station in self.stations])

    @property
    def rows(self) -> int:
        """Rows of the common grid: from the first row of the lowest z to the last of the highest.

        Grid rows are those of the first station; a last row that is covered in part counts.
        """
        return max(math.ceil(m.offset_px + height_px(m.info) - 1e-6) for m in self.members)

    @property
    def acquisition(self) -> str:
        """``"full"``, ``"half"`` or ``"quarter"``: two annuli at every height."""
        return "quarter" if len(self.stations[0]) > 1 else self.info.acquisition

    @property
    def helical(self) -> bool:
        """Whether z moves during the scans."""
        return any(member.info.projection_z_um is not None for member in self.members)

    def close(self) -> None:
        """Close all files."""
        for member in self.members:
            member.scan.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open_series(
    what: str | Path | Iterable[str | Path],
    *,
    allow_gaps: bool = False,
    z_um: Sequence[float] | None = None,
    flip_z: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Series:
    """Open all sub-scans of a sample as one series.

    Parameters
    ----------
    what : str, Path, or several of them
        A series store, a folder of scans, a pattern, a file with several entries, or a list.
    allow_gaps : bool
        Leave out sub-scans that cannot be opened or do not agree, and accept neighbours that do
        not overlap; all is recorded in ``skipped`` and ``gaps``.
    z_um : sequence of float, optional
        Positions of the sub-scans in the natural order of their names, instead of the files'.
    flip_z : bool
        The motor counts the other way: z is taken with the opposite sign.
    overrides : mapping, optional
        Values that replace those of every sub-scan (see ``ScanInfo.with_overrides``).

    Returns
    -------
    Series
        A context manager; close it when done.

    Raises
    ------
    InputError
        If sub-scans differ or do not overlap, or there is nothing to open.
    FormatError
        If one cannot be read.
    MissingMetadata
        If positions or the pixel size are not known.
    """
    source = str(what) if isinstance(what, (str, Path)) else "the sub-scans given"
    found = find_sources(what)
    opened, skipped = open_sources(found, dict(overrides or {}))
    try:
        return _build(
            source,
            opened,
            skipped,
            found.notes,
            allow_gaps=allow_gaps or found.allow_gaps,
            z_um=z_um,
            flip_z=flip_z,
        )
    except BaseException:
        for _, scan in opened:
            scan.close()
        raise


def _build(
    source: str,
    opened: list[tuple[Source, Scan]],
    skipped: dict[str, str],
    notes: list[str],
    *,
    allow_gaps: bool,
    z_um: Sequence[float] | None,
    flip_z: bool,
) -> Series:
    if skipped and (not allow_gaps or not opened):
        raise FormatError(
            f"{len(skipped)} of the {len(skipped) + len(opened)} sub-scans of {source} cannot be "
            f"opened: {listed(list(skipped.values()))} Repair them, or {HOW_TO_SKIP}."
        )
    notes = [*notes, *(f"{name} was left out: {why}" for name, why in skipped.items())]
    if z_um is not None:
        give_positions(opened, z_um, skipped)
    names = unlike_names([(scan.info.name, from_) for from_, scan in opened])
    odd = differences(names, [scan.info for _, scan in opened])
    if odd and not allow_gaps:
        words = [f"in {names[k]} {', '.join(what)}" for k, what in odd.items()]
        raise InputError(f"The sub-scans of {source} differ: {listed(words, '; ')}; {HOW_TO_SKIP}.")
    for k in odd:
        skipped[str(opened[k][0])] = reason = ", ".join(odd[k])
        notes.append(f"{names[k]} was left out: {reason}.")
        opened[k][1].close()
    kept = [
        (name, str(from_), scan)
        for k, (name, (from_, scan)) in enumerate(zip(names, opened))
        if k not in odd
    ]
    members = place(kept, flip=flip_z)
    members, dropped = one_of_each(members, allow_gaps=allow_gaps)
    for member, reason in dropped:
        skipped[member.source] = reason
        notes.append(f"{member.name} was left out: {reason}.")
        member.scan.close()
    first = min(member.offset_px for member in members)
    members = [replace(member, offset_px=member.offset_px - first) for member in members]
    stations = stations_of(members)
    gaps = gaps_between(
        [station[0].name for station in stations],
        [station[0].z_um for station in stations],
        [station[0].offset_px for station in stations],
        members[0].info.rows,
    )
    if gaps and not allow_gaps:
        words = [str(gap) for gap in gaps]
        raise InputError(
            f"The sub-scans of {source} leave gaps: {listed(words, '; ')}; {HOW_TO_SKIP}."
        )
    notes += [f"Gap: {gap}." for gap in gaps]
    return Series(members, gaps=gaps, skipped=skipped, notes=notes, source=source)
