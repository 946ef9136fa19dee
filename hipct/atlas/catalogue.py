"""The data sets of the Human Organ Atlas, as the package hoa-tools describes them, and one's own.

The descriptions lie inside the package (schema 1.1), so that nothing here needs a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import lru_cache
from math import isclose
from pathlib import Path
from types import MappingProxyType

from hipct.atlas.dataset import PURPOSE, AtlasSet, read_set
from hipct.atlas.own import read_own
from hipct.core.errors import InputError, MissingExtra
from hipct.core.extras import require
from hipct.volume.storage import Patience

Catalogue = Mapping[str, AtlasSet]
_DESCRIPTIONS = ("data", "metadata", "metadata")


def load_catalogue(
    *own: Path | str, notes: list[str] | None = None, patience: Patience | None = None
) -> Catalogue:
    """All known data sets by name: the public ones, and one's own.

    Parameters
    ----------
    *own : path or str
        Volumes of one's own (OME-Zarr, on a server too), descriptions (``*.json``, schema 1.1), or
        folders of both. A set that has the name of a public one stands for it.
    notes : list of str, optional
        Sentences on what lies in a folder and cannot be used are added to it.
    patience : Patience, optional
        How long the server of a volume is waited for.

    Raises
    ------
    MissingExtra
        If hoa-tools is not installed.
    FormatError
        If a description does not follow the schema.
    InputError
        If a folder holds none, or two sets have one name.
    """
    sets = {one.name: one for one in _packaged()}
    added: dict[str, Path | str] = {}
    for source in own:
        for one in read_own(source, notes if notes is not None else [], patience):
            if one.name in added and sets[one.name] != one:
                raise InputError(
                    f"{source} and {added[one.name]} hold different data sets with the name "
                    f"{one.name}; leave one out, or rename its folder."
                )
            added[one.name] = source
            sets[one.name] = one
    return MappingProxyType(dict(sorted(sets.items())))


def known_as(catalogue: Catalogue, name: str) -> AtlasSet | None:
    """The data set of exactly this name, else the only one with this further name, or None.

    Crops of a volume have its name and its coordinates: where it is not there, the first of them
    stands for it.

    Raises
    ------
    InputError
        If several volumes of one's own have the further name.
    """
    if name in catalogue:
        return catalogue[name]
    found = [one for one in catalogue.values() if name in one.aliases]
    wholes = [one for one in found if one.part_of != name]
    if len(wholes) > 1:
        raise InputError(
            f"{len(wholes)} volumes call themselves {name!r} ({_some([o.name for o in wholes])}); "
            "leave all but one out."
        )
    return next(iter([*wholes, *found]), None)


def find_set(catalogue: Catalogue, name: str) -> AtlasSet:
    """A data set by its name, by a part of it that no other name has, or by its volume's folder.

    Raises
    ------
    InputError
        If there is none, or several; the sentence names some.
    """
    known = known_as(catalogue, name)
    if known is not None:
        return known
    here = (name, str(Path(name).resolve()))
    lying = [one for one in catalogue.values() if one.address in here]
    if lying:
        return lying[0]
    found = [one for one in catalogue if name.lower() in one.lower()]
    if len(found) == 1:
        return catalogue[found[0]]
    if found:
        raise InputError(
            f"{name!r} is part of {len(found)} names of data sets ({_some(found)}); "
            "give one of them."
        )
    near = get_close_matches(name, list(catalogue), n=3, cutoff=0.4)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; hipct atlas list names them."
    raise InputError(f"The atlas has no data set {name!r}{hint}")


def select(
    catalogue: Catalogue,
    *,
    organ: str | None = None,
    donor: str | None = None,
    beamline: str | None = None,
    kind: str | None = None,
    resolution_um: tuple[float, float] | None = None,
) -> list[AtlasSet]:
    """Data sets that meet every condition, by name.

    Parameters
    ----------
    organ, donor, beamline, kind : str, optional
        Equal, upper or lower case; an organ may be given with its context (``lung_left``).
    resolution_um : (float, float), optional
        Least and largest voxel size in micrometres; equal ones match within 0.5 %.

    Returns
    -------
    list of AtlasSet

    Raises
    ------
    InputError
        If no data set at all has this organ, donor or beamline.
    """
    _refuse_unknown("organ", organ, {name for one in catalogue.values() for name in _organs(one)})
    _refuse_unknown("donor", donor, {one.donor for one in catalogue.values()})
    _refuse_unknown("beamline", beamline, {one.beamline for one in catalogue.values()})
    low, high = resolution_um if resolution_um else (0.0, float("inf"))

    def fits(one: AtlasSet) -> bool:
        size = one.voxel_size_um
        near = low == high and isclose(size, low, rel_tol=5e-3)
        return (
            _equal(organ, *_organs(one))
            and _equal(donor, one.donor)
            and _equal(beamline, one.beamline)
            and _equal(kind, one.kind)
            and (low <= size <= high or near)
        )

    return [one for one in catalogue.values() if fits(one)]


def _organs(one: AtlasSet) -> tuple[str, ...]:
    return (one.organ, f"{one.organ}_{one.organ_context}") if one.organ_context else (one.organ,)


def _refuse_unknown(what: str, wanted: str | None, known: set[str]) -> None:
    names = {name.lower(): name for name in known if name}
    if wanted is None or wanted.lower() in names:
        return
    near = [names[name] for name in get_close_matches(wanted.lower(), list(names), n=3)]
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"there are {_some(sorted(known), 40)}."
    )
    raise InputError(f"No data set has the {what} {wanted!r}; {hint}")


def _equal(wanted: str | None, *names: str) -> bool:
    return wanted is None or wanted.lower() in (name.lower() for name in names)


@lru_cache(maxsize=1)
def _packaged() -> tuple[AtlasSet, ...]:
    library = require("hoa_tools", "atlas", PURPOSE)
    folder = Path(str(library.__file__)).parent.joinpath(*_DESCRIPTIONS)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise MissingExtra(
            f"hoa-tools {library.__version__} holds no descriptions in {folder}; install the "
            "version that hipct knows with: pip install 'hipct[atlas]'."
        )
    return tuple(read_set(file) for file in files)


def _some(names: list[str], most: int = 4) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
