"""Data sets as a person looks for them: by words and conditions, with the facts of each."""

from __future__ import annotations

from collections.abc import Iterable

from hipct.atlas.dataset import AtlasSet
from hipct.core.memory import format_bytes


def organ_words(one: AtlasSet) -> str:
    """The organ with its context.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> organ_words(SimpleNamespace(organ="lung", organ_context="left_upper_lobe"))
    'lung, left upper lobe'
    """
    context = (one.organ_context or "").replace("_", " ")
    return f"{one.organ}, {context}" if context else one.organ


def search(
    sets: Iterable[AtlasSet],
    words: str = "",
    *,
    organ: str | None = None,
    donor: str | None = None,
    kind: str | None = None,
    finest_um: float = 0.0,
    coarsest_um: float = float("inf"),
) -> list[AtlasSet]:
    """Data sets that hold every word and meet every condition, in their order.

    Parameters
    ----------
    sets : iterable of AtlasSet
    words : str
        Each has to be a part of the name, organ, donor, volume of interest, beamline or kind; upper
        or lower case.
    organ, donor, kind : str, optional
        Equal to these.
    finest_um, coarsest_um : float
        Least and largest voxel size, both of them included within 0.5 %.
    """
    wanted = words.lower().split()

    def fits(one: AtlasSet) -> bool:
        told = " ".join((one.name, organ_words(one), one.donor, one.voi, one.beamline, one.kind))
        return (
            all(word in told.lower() for word in wanted)
            and organ in (None, one.organ)
            and donor in (None, one.donor)
            and kind in (None, one.kind)
            and finest_um * 0.995 <= one.voxel_size_um <= coarsest_um * 1.005
        )

    return [one for one in sets if fits(one)]


def facts(one: AtlasSet) -> list[str]:
    """What a person wants to know of a data set before opening it, in lines."""
    size = " x ".join(f"{length / 1e3:.1f}" for length in one.size_um)
    shape = " x ".join(str(n) for n in one.shape)
    told = one.description
    lines = [
        f"{organ_words(one)}, {one.kind} {one.voi}".strip().rstrip(",") or one.kind,
        f"{shape} voxels of {one.voxel_size_um:g} um (z, y, x), {size} mm, "
        f"{format_bytes(round(one.gigabytes * 1e9))}",
    ]
    person = told.get("donor", {})
    known = {
        "age": person.get("age") and f"{person['age']} years",
        "sex": person.get("sex"),
        "donor": one.donor,
    }
    donor = [str(value) for value in reversed(known.values()) if value]
    if donor:
        lines.append(f"donor {', '.join(donor)}")
    scan = told.get("scan", {})
    beam = [one.beamline, scan.get("energy") and f"{scan['energy']:g} keV", scan.get("date")]
    if any(beam):
        lines.append(", ".join(str(part) for part in beam if part))
    if one.registered_to:
        lines.append(f"lies in {one.registered_to}")
    doi = told.get("citation", {}).get("doi") or told.get("doi")
    if doi:
        lines.append(f"https://doi.org/{doi}")
    if one.address:
        lines.append(one.address)
    return lines
