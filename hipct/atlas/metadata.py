"""Descriptions of own volumes as the Human Organ Atlas has them, and what its schema lacks beside.

``NAME.json`` follows schema 1.1 of the atlas and nothing else (the schema of hoa-tools forbids
more). ``NAME.hipct.json`` beside it holds every parameter of the processing, the versions, and the
window that turns 16-bit grey values back into physical ones.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipct.atlas.dataset import PURPOSE, AtlasSet, as_set, read_set
from hipct.atlas.found import read_place
from hipct.atlas.own import BESIDE, cubic_voxel_um, read_beside, volume_set
from hipct.atlas.transform import Transform
from hipct.core.errors import InputError, OutputError
from hipct.core.extras import require
from hipct.core.files import write_json
from hipct.volume.open import Volume
from hipct.volume.storage import is_address

_VERSION = "1.1"
_LARGEST_TILT_DEG = 0.01
_NAMED = 12


@dataclass(frozen=True)
class Description:
    """What is described of a volume.

    Attributes
    ----------
    atlas : description by schema 1.1, as JSON holds it
    beside : what that schema lacks: processing, versions, window, and where the volume lies; empty
        if nothing is known
    notes : what was taken from where, as sentences
    """

    atlas: Mapping[str, Any]
    beside: Mapping[str, Any]
    notes: tuple[str, ...] = ()

    @property
    def dataset(self) -> AtlasSet:
        """The data set that is described."""
        return as_set(self.atlas)


def describe_volume(
    volume: Volume, given: Mapping[str, Any], *, overview: AtlasSet | None = None
) -> Description:
    """Description of a volume: what it tells of itself, completed by what a person gives.

    Parameters
    ----------
    volume : Volume
        From :func:`hipct.volume.open.open_volume`.
    given : mapping
        Parts of a description by schema 1.1: who and what was scanned (``donor``, ``sample``,
        ``scan``, ``proposal``, ``citation``), and whatever else a volume cannot tell. Of the scan
        it tells energy, pixel size, distance and number of projections where hipct made it; what
        is given comes first.
    overview : AtlasSet, optional
        What ``hipct register --write`` placed the volume in: then the place is its registration,
        unless it tilts the z axis, for which the schema has no place.

    Returns
    -------
    Description

    Raises
    ------
    InputError
        If something that the schema needs is missing or not allowed, or contradicts the volume.
    MissingExtra
        If hoa-tools is not installed.
    """
    schema = require("hoa_tools.metadata", "atlas", PURPOSE)
    notes: list[str] = []
    atlas = _merged(_told(volume), given, notes, volume)
    if "registration" not in atlas and (overview or "placed_in" in volume.provenance):
        atlas["registration"] = _registration(volume, str(atlas.get("name")), overview, notes)
    try:
        model = schema.HOAMetadata.model_validate(atlas)
    except ValueError as error:
        raise InputError(
            f"{volume.address} cannot be described: {_faults(error)}. Give what is missing as the "
            "schema of the Human Organ Atlas names it."
        ) from error
    return Description(model.model_dump(mode="json"), _beside(volume, atlas["name"]), tuple(notes))


def write_description(
    description: Description, folder: Path | str, *, overwrite: bool = False
) -> list[Path]:
    """Write ``NAME.json`` and, if there is something to tell, ``NAME.hipct.json``.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    OutputError
        If a file exists (and ``overwrite`` is false) or cannot be written.
    """
    name = str(description.atlas["name"])
    if os.sep in name or name in ("", ".", ".."):
        raise OutputError(f"The name {name!r} cannot be that of a file.")
    contents = {
        Path(folder) / f"{name}.json": description.atlas,
        Path(folder) / f"{name}{BESIDE}": description.beside,
    }
    files = {file: dict(content) for file, content in contents.items() if content}
    beside = files.get(Path(folder) / f"{name}{BESIDE}", {})
    if "path" in beside.get("volume", {}) and not is_address(beside["volume"]["path"]):
        # Both may be moved together.
        path = os.path.relpath(beside["volume"]["path"], Path(folder).resolve())
        beside["volume"] = beside["volume"] | {"path": path}
    for file in files:
        if file.exists() and not overwrite:
            raise OutputError(
                f"{file} exists already and was left as it is; choose another folder, or give "
                "--overwrite (Python: overwrite=True)."
            )
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} could not be made: {error.strerror or error}.") from error
    for file, content in files.items():
        write_json(file, content)
    return list(files)


def read_description(file: Path | str) -> Description:
    """Read ``NAME.json``, and ``NAME.hipct.json`` where it stands beside.

    Raises
    ------
    FormatError
        If the first does not follow schema 1.1, or the second cannot be read.
    """
    file = Path(file)
    atlas = read_set(file).description
    return Description(atlas, read_beside(file, str(atlas["name"])))


def registration_entry(
    source: str,
    source_voxel_um: float,
    target: str,
    target_voxel_um: float,
    transform: Transform,
) -> dict[str, Any]:
    """The ``registration`` of a description, for a transform of source to target.

    The inverse of :func:`hipct.atlas.graph.registration_of`: translation in voxels of the target
    (x, y, z), rotation about z in degrees, scale in voxels of the target for one of the source.

    Raises
    ------
    InputError
        If the transform tilts the z axis by more than 0.01 degrees: the schema has no place for it.
    """
    if transform.tilt_deg > _LARGEST_TILT_DEG:
        raise InputError(
            f"The transform of {source} tilts the z axis by {transform.tilt_deg:.3f} degrees; the "
            "schema of the Human Organ Atlas knows rotations about z alone."
        )
    return {
        "source_dataset": source,
        "target_dataset": target,
        "translation": [shift / target_voxel_um for shift in reversed(transform.translation_um)],
        "rotation": transform.rotation_about_z_deg,
        "scale": transform.scale * source_voxel_um / target_voxel_um,
    }


def _told(volume: Volume) -> dict[str, Any]:
    """What a volume tells of itself, in the words of the schema."""
    size = cubic_voxel_um(volume)
    by_axis = dict(zip(volume.axes, volume.shape))
    source = volume.provenance.get("source", {})
    distance_m, pixel_um = source.get("distance_m"), source.get("pixel_size_um")
    scan = {
        "energy": source.get("energy_kev"),
        "pixel_size": pixel_um if pixel_um is not None else size,
        "distance_sample_detector": None if distance_m is None else 1e3 * distance_m,
        "n_frames": source.get("projections"),
        "acquisition": "half" if source.get("acquisition") == "half" else None,
        "n_scans": len(volume.provenance.get("series", {}).get("sub_scans", ())) or None,
    }
    return {
        "name": volume.name,
        "data": {
            "shape": [by_axis[axis] for axis in "xyz"],
            "voxel_size_um": size,
            "gcs_url": volume_set(volume).url,
        },
        "scan": {key: value for key, value in scan.items() if value is not None},
        "metadata_version": _VERSION,
    }


def _merged(
    told: dict[str, Any], given: Mapping[str, Any], notes: list[str], volume: Volume
) -> dict[str, Any]:
    """Both together; what is given comes first, but not against the voxels."""
    atlas = deepcopy(told)
    for key, value in given.items():
        if not isinstance(value, Mapping) or key not in atlas:
            atlas[key] = deepcopy(value)
            continue
        for inner, one in value.items():
            own = atlas[key].get(inner)
            if own is not None and own != one and inner != "gcs_url":
                if key == "data":
                    raise InputError(
                        f"data.{inner} was given as {one}; {volume.address} has {own} (shapes are "
                        "listed x, y, z)."
                    )
                notes.append(f"{key}.{inner} is {one}, as given; the volume tells {own}.")
            atlas[key][inner] = deepcopy(one)
    return atlas


def _registration(
    volume: Volume, name: str, overview: AtlasSet | None, notes: list[str]
) -> dict[str, Any] | None:
    """The place that is stored in a volume, as the schema has it, or None and a note."""
    own = volume_set(volume)
    if own.placed_in is None:
        raise InputError(
            f"{volume.address} has no place in another volume; hipct register --write stores it."
        )
    found = read_place(own.placed_in, f"The place that is stored in {volume.address}")
    if overview is None:
        notes.append(
            f"{volume.address} has a place in {found.overview!r}, which stands beside the "
            "description; name that volume with --overview (Python: overview=) to have it as the "
            "registration too."
        )
        return None
    if found.overview not in (overview.name, *overview.aliases):
        raise InputError(
            f"{volume.address} has a place in {found.overview!r}, not in {overview.name}; "
            "register it there, or name the other."
        )
    first = found.transform.recounted(own.origin_um, overview.origin_um)
    if first.tilt_deg > _LARGEST_TILT_DEG:
        notes.append(
            f"The place in {overview.name} tilts the z axis by {first.tilt_deg:.3f} degrees, for "
            "which the schema of the atlas has no place; it stands beside the description alone."
        )
        return None
    return registration_entry(name, own.voxel_size_um, overview.name, overview.voxel_size_um, first)


def _beside(volume: Volume, name: str) -> dict[str, Any]:
    """Where the volume lies, what hipct recorded of the making, and what grey values mean."""
    own = volume_set(volume)
    beside: dict[str, Any] = {
        "name": name,
        "volume": {
            "path": own.address,
            "name": volume.name,
            "folder": own.name,
            "origin_um_zyx": list(own.origin_um),
        },
        "format": f"OME-Zarr {volume.version}",
        "axes": list(volume.axes),
        "dtype": str(volume.dtype),
        "processing": {key: value for key, value in volume.provenance.items() if key != "window"},
    }
    if volume.scale is not None:
        beside["window"] = dict(volume.provenance["window"])
    return beside


def _faults(error: ValueError) -> str:
    details = getattr(error, "errors", None)
    if not callable(details):
        return str(error)
    faults = details()
    told = [f"{'.'.join(str(part) for part in one['loc'])}: {_said(one)}" for one in faults]
    more = f"; and {len(told) - _NAMED} more" if len(told) > _NAMED else ""
    return "; ".join(dict.fromkeys(told[:_NAMED])) + more


def _said(fault: Mapping[str, Any]) -> str:
    return "is missing" if fault["type"] == "missing" else str(fault["msg"])
