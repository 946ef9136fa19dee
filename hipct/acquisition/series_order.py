"""Puts sub-scans in the order of their z, one of each place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hipct.acquisition.scan import Scan
from hipct.acquisition.series_member import HOW_TO_SKIP, Member, listed, places_of, stations_of
from hipct.acquisition.series_sources import Source
from hipct.core.errors import InputError, MissingMetadata


def give_positions(
    opened: list[tuple[Source, Scan]], z_um: Sequence[float], skipped: Mapping[str, str]
) -> None:
    """Take the positions that the user gives, one for each source in its order.

    Raises
    ------
    InputError
        If there are not as many, or sources are missing.
    """
    count = len(opened) + len(skipped)
    if len(z_um) != count:
        raise InputError(
            f"{len(z_um)} positions were given for {count} sub-scans; give one each, in the "
            "natural order of their names."
        )
    if skipped:
        raise InputError(
            "Positions were given, and some sub-scans cannot be opened; list those that can."
        )
    for (_, scan), z in zip(opened, z_um):
        scan.override(z_um=z)


def place(kept: list[tuple[str, str, Scan]], *, flip: bool) -> list[Member]:
    """Members by z, their offsets relative to z = 0.

    Raises
    ------
    MissingMetadata
        If a position, or the pixel size, is not known.
    """
    lost = [name for name, _, scan in kept if scan.info.z_um is None]
    if len(kept) == 1 and lost:
        kept[0][2].info = replace(kept[0][2].info, z_um=0.0)
    elif lost:
        raise MissingMetadata(
            f"The files do not say at which height {listed(lost, ', ')} stood (z in um); give the "
            "positions of all sub-scans with --z (Python: z_um=[...])."
        )
    sign = -1.0 if flip else 1.0
    members = []
    for name, source, scan in kept:
        info = scan.info
        if flip and info.z_um is not None:
            moving = None if info.projection_z_um is None else -info.projection_z_um
            scan.info = replace(info, z_um=-info.z_um, projection_z_um=moving)
        if len(kept) > 1 or info.projection_z_um is not None:
            (pixel,) = info.require("pixel_size_um", purpose="The order of a series")
        else:
            pixel = info.pixel_size_um or 1.0
        z = sign * float(info.z_um or 0.0)
        lowest = z
        if scan.info.projection_z_um is not None:
            lowest = float(scan.info.projection_z_um.min())
        offset = lowest / pixel - (info.rows - 1) / 2
        members.append(Member(name, scan, source, offset, z, info.lateral_um or 0.0))
    return sorted(members, key=lambda member: (member.z_um, member.lateral_um))


def one_of_each(
    members: list[Member], *, allow_gaps: bool
) -> tuple[list[Member], list[tuple[Member, str]]]:
    """Take repeated scans of one place out, and stations that lack an annulus.

    Raises
    ------
    InputError
        If there are some, unless gaps are allowed.
    """
    kept: list[Member] = []
    dropped: list[tuple[Member, str]] = []
    stations = stations_of(members)
    usual = max(len(places_of(station)) for station in stations)
    for station in stations:
        places = places_of(station)
        for place in places:
            *earlier, last = sorted(place, key=_when)
            if earlier and not allow_gaps:
                raise InputError(
                    f"{listed([m.name for m in place], ' and ')} were taken at the same place "
                    f"(z = {last.z_um:.6g} um); list only one of them, or {HOW_TO_SKIP} (the later "
                    "one is kept)."
                )
            dropped += [(m, f"{last.name} was taken later at the same place") for m in earlier]
        if len(places) == usual:
            kept += [max(place, key=_when) for place in places]
            continue
        reason = f"one of the {usual} annuli at z = {station[0].z_um:.6g} um is missing"
        if not allow_gaps:
            raise InputError(
                f"Beside {listed([m.name for m in station], ', ')}, {reason}; {HOW_TO_SKIP}."
            )
        dropped += [(max(place, key=_when), reason) for place in places]
    return kept, dropped


def _when(member: Member) -> tuple[str, str]:
    return member.info.start_time or "", member.name


def unlike_names(given: list[tuple[str, Source]]) -> list[str]:
    """Names of the scans, or of their files, with a number where two are alike."""
    names = [name or source.path.stem for name, source in given]
    seen: dict[str, int] = {}
    unlike = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unlike.append(f"{name}-{seen[name]}" if names.count(name) > 1 else name)
    return unlike
