"""Volumes of one's own beside the public data sets: from their descriptions and from themselves.

A folder of a laboratory holds volumes (``NAME.ome.zarr``), descriptions of some (``NAME.json``
with ``NAME.hipct.json`` beside), and places that ``hipct register`` found
(``NAME.place.json``). A volume without a description is a data set too: it tells its size, its
place and where it is from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from math import isclose
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from hipct.atlas.dataset import AtlasSet, read_set
from hipct.core.errors import FormatError, InputError
from hipct.exchange.clinical import clinical_name, is_clinical
from hipct.volume.open import Volume, open_volume
from hipct.volume.storage import Patience, is_address

BESIDE = ".hipct.json"
"""End of the names of files that hold what the schema lacks (:mod:`hipct.atlas.metadata`)."""
PLACE = ".place.json"
"""End of the names of files that ``hipct register`` writes."""
_KEYS = {"dataset_type", "voi", "donor", "sample", "metadata_version"}
_SAME = 1e-6


def read_own(
    source: Path | str, notes: list[str], patience: Patience | None = None
) -> list[AtlasSet]:
    """Data sets of a volume, of a description, or of a folder of both.

    Parameters
    ----------
    source : path or str
        Of a volume the address on a server too.
    notes : list of str
        What lies in a folder and cannot be used is told here, as a sentence.
    patience : Patience, optional
        How long a server is waited for.

    Raises
    ------
    InputError
        If it does not exist, or holds neither, or a volume has no cubic voxels of a known size.
    FormatError
        If a description does not follow the schema, or a volume cannot be read.
    """
    if is_address(source):
        return [volume_set(open_volume(source, patience=patience))]
    source = Path(source)
    if is_volume(source):
        return [volume_set(open_volume(source))]
    if source.is_file():
        return [described_set(source, notes)]
    if not source.is_dir():
        raise InputError(f"{source} does not exist; give a volume, a description or a folder.")
    files = [file for file in sorted(source.glob("*.json")) if _is_description(file)]
    sets = [described_set(file, notes) for file in files]
    known = {one.address for one in sets}
    for folder in sorted(source.glob("*.zarr")):
        if not is_volume(folder) or str(folder.resolve()) in known:
            continue
        try:
            sets.append(volume_set(open_volume(folder)))
        except (FormatError, InputError) as error:
            notes.append(f"{error} It was left out.")
    if not sets:
        raise InputError(
            f"{source} holds no description (*.json) and no volume (*.zarr) of a data set."
        )
    return sets


def described_set(file: Path, notes: list[str]) -> AtlasSet:
    """Data set of a description, with what stands beside and what its volume tells."""
    one = read_set(file)
    beside = read_beside(file, one.name)
    told = beside.get("volume", {})
    one = replace(
        one,
        aliases=tuple(dict.fromkeys(told[key] for key in ("name", "folder") if key in told)),
        origin_um=_vector(told.get("origin_um_zyx", (0, 0, 0))),
        part_of=_part_of(beside.get("processing", {})),
        placed_in=beside.get("processing", {}).get("placed_in"),
    )
    path = _path(told, one.url)
    if path is None:
        return one
    try:
        here = volume_set(open_volume(path))
    except (FormatError, InputError) as error:
        notes.append(f"{error} Its description {file.name} was taken without it.")
        return one
    if here.shape != one.shape:
        raise FormatError(
            f"{file} describes {_shape(one.shape)} voxels (z, y, x), and {path} has "
            f"{_shape(here.shape)}; describe it again."
        )
    return replace(
        one,
        address=here.address,
        aliases=tuple(dict.fromkeys((here.name, *here.aliases))),
        origin_um=here.origin_um,
        part_of=here.part_of,
        placed_in=here.placed_in,
    )


def volume_set(volume: Volume) -> AtlasSet:
    """Data set of a volume that nothing describes.

    Raises
    ------
    InputError
        If its voxel size is not known, or its voxels are no cubes.
    """
    size = cubic_voxel_um(volume)
    by_axis = dict(zip(volume.axes, zip(volume.shape, volume.levels[0].translation)))
    (nz, oz), (ny, oy), (nx, ox) = (by_axis[axis] for axis in "zyx")
    remote = is_address(volume.address)
    address = volume.address if remote else str(volume.path.resolve())
    folder, part_of = stem(address), _part_of(volume.provenance)
    return AtlasSet(
        name=f"{folder}_crop" if folder == part_of else folder,
        kind="labels" if volume.labels else "volume",
        voi="",
        organ="",
        organ_context=None,
        donor="",
        beamline="",
        shape=(nz, ny, nx),
        voxel_size_um=size,
        url=f"zarr://{address if remote else Path(address).as_uri()}",
        description={},
        address=address,
        aliases=(volume.name,),
        origin_um=(oz, oy, ox),
        part_of=part_of,
        placed_in=volume.provenance.get("placed_in"),
    )


def cubic_voxel_um(volume: Volume) -> float:
    """Edge of the voxels of a volume.

    Raises
    ------
    InputError
        If it is not known, or they are no cubes.
    """
    sizes = volume.voxel_size_um
    if volume.length_unit != "um" or not all(isclose(s, sizes[0], rel_tol=_SAME) for s in sizes):
        known = "not known" if volume.length_unit != "um" else f"{sizes} um"
        raise InputError(
            f"The voxel size of {volume.address} is {known}; a data set of the atlas has cubic "
            "voxels of a known size."
        )
    return sizes[0]


def read_beside(file: Path, name: str) -> dict[str, Any]:
    """What stands beside a description of this name, empty where nothing does.

    The volume's path, relative to the description's folder, is given whole.

    Raises
    ------
    FormatError
        If it cannot be read, or is that of another description.
    """
    other = file.with_name(file.name.removesuffix(".json") + BESIDE)
    if not other.exists():
        return {}
    try:
        beside = json.loads(other.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FormatError(f"{other} cannot be read ({error}).") from error
    if not isinstance(beside, dict) or beside.get("name") != name:
        raise FormatError(f"{other} does not belong to {file}: it has another name in it.")
    volume = beside.get("volume")
    if isinstance(volume, dict) and "path" in volume and not is_address(volume["path"]):
        volume["path"] = str((file.parent / str(volume["path"])).resolve())
    return beside


def places_in(source: Path | str) -> list[Path]:
    """Files of places that ``hipct register`` left in a folder; of a volume, the one beside it.

    A clinical volume (NIfTI) is a volume too: somebody may have placed it by other means.
    """
    if is_address(source):
        return []
    source = Path(source)
    if is_volume(source) or is_clinical(source):
        name = clinical_name(source) if is_clinical(source) else stem(str(source))
        beside = source.with_name(name + PLACE)
        return [beside] if beside.is_file() else []
    return sorted(source.glob(f"*{PLACE}")) if source.is_dir() else []


def is_volume(path: Path) -> bool:
    """Whether this is the folder of a Zarr node."""
    if (path / ".zattrs").is_file():
        return True
    try:
        # A data set may have the name zarr, and so its description.
        return "zarr_format" in json.loads((path / "zarr.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def is_own(name: str) -> bool:
    """Whether a name is the folder or the address of a volume."""
    return is_address(name) or is_volume(Path(name))


def stem(address: str) -> str:
    """Name of a volume's folder without its ending."""
    return Path(address.rstrip("/")).name.removesuffix(".zarr").removesuffix(".ome")


def _path(told: Mapping[str, Any], url: str) -> str | None:
    """The volume of a description, if it is here: where it was, from it, or where its URL says."""
    if is_address(told.get("path")):
        return str(told["path"])
    places = [Path(str(told["path"]))] if "path" in told else []
    if url.startswith("zarr://file://"):
        places.append(Path(unquote(urlsplit(url.removeprefix("zarr://")).path)))
    return next((str(place.resolve()) for place in places if is_volume(place)), None)


def _is_description(file: Path) -> bool:
    """Whether a file seems to be one: other JSON files may lie in the folder."""
    if file.name.endswith((BESIDE, PLACE)):
        return False
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return True
    return isinstance(content, dict) and bool(_KEYS & content.keys())


def _part_of(provenance: Mapping[str, Any]) -> str | None:
    dataset = provenance.get("atlas", {}).get("dataset")
    return None if dataset is None else str(dataset)


def _vector(values: Any) -> tuple[float, float, float]:
    z, y, x = (float(v) for v in values)
    return (z, y, x)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
