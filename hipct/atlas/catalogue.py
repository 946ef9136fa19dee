"""The data sets of the Human Organ Atlas, as the package hoa-tools describes them.

The descriptions lie inside the package (schema 1.1), so that nothing here needs a network. Only
its schema is imported: its modules that open data would load a registration toolkit to tell a name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from math import isclose
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hipct.core.errors import FormatError, InputError, MissingExtra
from hipct.core.extras import require

Catalogue = Mapping[str, "AtlasSet"]
PURPOSE = "The Human Organ Atlas"
BESIDE = ".hipct.json"
"""End of the names of files that hold what the schema lacks (:mod:`hipct.atlas.metadata`)."""
_DESCRIPTIONS = ("data", "metadata", "metadata")


@dataclass(frozen=True)
class AtlasSet:
    """One data set of the atlas.

    Attributes
    ----------
    name : unique name
    kind : ``"overview"`` (the whole sample) or ``"zoom"``
    voi : name of the volume of interest
    shape : voxels of the finest level along z, y, x (descriptions count x, y, z)
    voxel_size_um : edge of a voxel of the finest level
    url : address with the format in front, ``n5://gs://...`` or ``zarr://gs://...``
    description : all of the description, as JSON holds it
    """

    name: str
    kind: str
    voi: str
    organ: str
    organ_context: str | None
    donor: str
    beamline: str
    shape: tuple[int, int, int]
    voxel_size_um: float
    url: str
    description: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def size_um(self) -> tuple[float, float, float]:
        """Edges (z, y, x) of the volume in micrometres."""
        z, y, x = (n * self.voxel_size_um for n in self.shape)
        return (z, y, x)

    @property
    def gigabytes(self) -> float:
        """Size of the finest level as 16 bit, in 10^9 bytes."""
        return 2 * self.shape[0] * self.shape[1] * self.shape[2] / 1e9

    @property
    def registered_to(self) -> str | None:
        """Name of the data set that this one has a place in, if it is recorded."""
        registration = self.description.get("registration")
        return None if registration is None else str(registration["target_dataset"])


@lru_cache(maxsize=8)
def load_catalogue(*folders: Path | str) -> Catalogue:
    """All described data sets by name.

    Parameters
    ----------
    *folders : path
        Folders of further descriptions (``*.json``, schema 1.1): of sets that are not public yet,
        or of own volumes (:mod:`hipct.atlas.metadata` writes them).

    Raises
    ------
    MissingExtra
        If hoa-tools is not installed.
    FormatError
        If a description does not follow the schema.
    InputError
        If a folder holds none.
    """
    files = list(_packaged())
    for folder in folders:
        found = [file for file in sorted(Path(folder).glob("*.json")) if _is_description(file)]
        if not found:
            raise InputError(f"{folder} holds no description (*.json) of a data set.")
        files += found
    sets = (read_set(file) for file in files)
    return MappingProxyType({one.name: one for one in sorted(sets, key=lambda s: s.name)})


def read_set(file: Path) -> AtlasSet:
    """Data set of one description.

    Raises
    ------
    FormatError
        If it cannot be read, or does not follow the schema.
    """
    schema = require("hoa_tools.metadata", "atlas", PURPOSE)
    try:
        text = file.read_text(encoding="utf-8")
        schema.HOAMetadata.model_validate_json(text)
        description = json.loads(text)
    except (OSError, ValueError) as error:
        raise FormatError(
            f"{file} is no description of the Human Organ Atlas, schema 1.1 ({_first(error)})."
        ) from error
    return as_set(description)


def as_set(description: Mapping[str, Any]) -> AtlasSet:
    """Data set of a valid description."""
    data, sample = description["data"], description["sample"]
    x, y, z = (int(n) for n in data["shape"])
    return AtlasSet(
        name=str(description["name"]),
        kind=str(description["dataset_type"]),
        voi=str(description["voi"]),
        organ=str(sample["organ"]),
        organ_context=sample.get("organ_context"),
        donor=str(description["donor"]["id"]),
        beamline=str(description["scan"]["beamline"]),
        shape=(z, y, x),
        voxel_size_um=float(data["voxel_size_um"]),
        url=str(data["gcs_url"]),
        description=description,
    )


def find_set(catalogue: Catalogue, name: str) -> AtlasSet:
    """A data set by its name, or by a part of it that no other name has.

    Raises
    ------
    InputError
        If there is none, or several; the sentence names some.
    """
    if name in catalogue:
        return catalogue[name]
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
    """
    low, high = resolution_um if resolution_um else (0.0, float("inf"))

    def fits(one: AtlasSet) -> bool:
        size = one.voxel_size_um
        near = low == high and isclose(size, low, rel_tol=5e-3)
        return (
            _equal(organ, one.organ, f"{one.organ}_{one.organ_context}")
            and _equal(donor, one.donor)
            and _equal(beamline, one.beamline)
            and _equal(kind, one.kind)
            and (low <= size <= high or near)
        )

    return [one for one in catalogue.values() if fits(one)]


def _is_description(file: Path) -> bool:
    return not file.name.endswith(BESIDE)


def _equal(wanted: str | None, *names: str) -> bool:
    return wanted is None or wanted.lower() in (name.lower() for name in names)


def _packaged() -> Iterable[Path]:
    library = require("hoa_tools", "atlas", PURPOSE)
    folder = Path(str(library.__file__)).parent.joinpath(*_DESCRIPTIONS)
    files = sorted(folder.glob("*.json"))
    if not files:
        raise MissingExtra(
            f"hoa-tools {library.__version__} holds no descriptions in {folder}; install the "
            "version that hipct knows with: pip install 'hipct[atlas]'."
        )
    return files


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more


def _first(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if callable(details):
        faults = details()
        place = ".".join(str(part) for part in faults[0]["loc"]) or "the whole"
        return f"{place}: {faults[0]['msg']}"
    return str(error).rstrip(".")
