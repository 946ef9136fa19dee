"""A data set: what its description tells, by schema 1.1 of the Human Organ Atlas.

Only the schema of hoa-tools is imported: its modules that open data would load a registration
toolkit to tell a name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hipct.core.errors import FormatError
from hipct.core.extras import require

PURPOSE = "The Human Organ Atlas"


@dataclass(frozen=True)
class AtlasSet:
    """One data set of the atlas.

    Attributes
    ----------
    name : unique name
    kind : ``"overview"`` (the whole sample) or ``"zoom"``; of a volume that has no description
        ``"volume"`` or ``"labels"``
    voi : name of the volume of interest
    shape : voxels of the finest level along z, y, x (descriptions count x, y, z)
    voxel_size_um : edge of a voxel of the finest level
    url : address with the format in front, ``n5://gs://...`` or ``zarr://gs://...``
    description : all of the description, as JSON holds it; empty for a volume that has none
    address : folder or address of a volume of one's own
    aliases : further names: of a volume of one's own the one that it tells, and its folder's
    origin_um : where the centre of the first voxel lies (z, y, x) in the set's own coordinates;
        0 but for volumes of one's own whose translations say otherwise, such as crops
    part_of : name of the data set that a volume of one's own is a crop of
    placed_in : the place in another volume that ``hipct register --write`` stored
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
    address: str | None = None
    aliases: tuple[str, ...] = ()
    origin_um: tuple[float, float, float] = (0.0, 0.0, 0.0)
    part_of: str | None = None
    placed_in: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

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
        """Name of what this one has a place in, if it is recorded."""
        if self.placed_in is not None:
            return str(self.placed_in["overview"])
        registration = self.description.get("registration")
        return None if registration is None else str(registration["target_dataset"])


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


def _first(error: Exception) -> str:
    details = getattr(error, "errors", None)
    if callable(details):
        faults = details()
        place = ".".join(str(part) for part in faults[0]["loc"]) or "the whole"
        return f"{place}: {faults[0]['msg']}"
    return str(error).rstrip(".")
