"""Metadata of OME-Zarr that hipct writes.

Version 0.5 holds everything below ``ome`` in the ``zarr.json`` of the group, version 0.4 beside one
another in ``.zattrs``. Specifications: https://ngff.openmicroscopy.org/0.5/ and .../0.4/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hipct.core.errors import InputError, OutputError
from hipct.core.files import write_json
from hipct.volume.array_metadata import AXES, array_files
from hipct.volume.consolidate import (
    FILE_V2,
    consolidate,
    file_v2,
    inline,
    is_consolidated,
    read_json,
)
from hipct.volume.layout import PyramidSpec
from hipct.volume.reduce import Reduction

_REDUCTIONS: dict[Reduction, str] = {
    "mean": "means of 2 x 2 x 2 voxels, rounded half to even",
    "mode": "commonest of 2 x 2 x 2 labels, the smallest of equally common ones",
    "min": "smallest of 2 x 2 x 2 voxels",
    "max": "largest of 2 x 2 x 2 voxels",
}


def group_attributes(spec: PyramidSpec, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of the pyramid's group: those of OME-Zarr, and ``hipct`` for provenance.

    Parameters
    ----------
    spec : PyramidSpec
    attributes : mapping
        Provenance, as JSON holds it; stands under ``hipct`` beside the window.
    """
    datasets = [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": list(level.scale)},
                {"type": "translation", "translation": list(level.translation)},
            ],
        }
        for number, level in enumerate(spec.levels)
    ]
    unit = {} if spec.voxel_size_um is None else {"unit": "micrometer"}
    multiscale = {
        "name": spec.name,
        "axes": [{"name": axis, "type": "space"} | unit for axis in AXES],
        "datasets": datasets,
        "type": spec.reduction,
        "metadata": {"description": _REDUCTIONS[spec.reduction]},
    }
    top = int(np.iinfo(spec.dtype).max)
    # Labels are numbers of things: a window of grey values would make viewers show an image.
    shown: dict[str, Any] = {"omero": omero(spec.name, top, 0, top)}
    if spec.reduction == "mode":
        shown = {"image-label": {} if spec.version == "0.5" else {"version": "0.4"}}
    reduction = {} if spec.reduction == "mean" else {"reduction": spec.reduction}
    own = {"hipct": {**_window_attributes(spec), **reduction, **attributes}}
    if spec.version == "0.5":
        return {"ome": {"version": "0.5", "multiscales": [multiscale], **shown}, **own}
    return {"multiscales": [{"version": "0.4", **multiscale}], **shown, **own}


def omero(name: str, maximum: int, start: int, end: int) -> dict[str, Any]:
    """The ``omero`` block: how a viewer shows grey values (``start`` black, ``end`` white)."""
    window = {"min": 0, "max": maximum, "start": start, "end": end}
    channel = {"label": name, "color": "FFFFFF", "active": True, "window": window}
    return {"channels": [channel], "rdefs": {"model": "greyscale"}}


def metadata_files(spec: PyramidSpec, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Every metadata file of a pyramid by its key; the one that makes it a volume is the last.

    Parameters
    ----------
    spec : PyramidSpec
    attributes : mapping
        As in :func:`group_attributes`.
    """
    levels = {
        f"{number}/{name}": content
        for number in range(len(spec.levels))
        for name, content in array_files(spec, number).items()
    }
    own = group_attributes(spec, attributes)
    if spec.version == "0.5":
        group = {"zarr_format": 3, "node_type": "group", "attributes": own}
        return levels | {"zarr.json": group | (inline(levels) if spec.consolidated else {})}
    files: dict[str, Any] = levels | {".zgroup": {"zarr_format": 2}}
    together = {FILE_V2: file_v2({**files, ".zattrs": own})} if spec.consolidated else {}
    return files | together | {".zattrs": own}


def write_metadata(path: Path, spec: PyramidSpec, attributes: Mapping[str, Any]) -> None:
    """Write every metadata file of a pyramid; the group's comes last.

    Raises
    ------
    InputError
        If ``attributes`` holds what JSON cannot (NaN included).
    OutputError
        If the folder cannot be written.
    """
    files = metadata_files(spec, attributes)
    try:
        json.dumps(files, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The attributes cannot be stored as JSON ({error}); give plain numbers, texts, "
            "lists and dictionaries without NaN."
        ) from error
    for key, content in files.items():
        file = path / key
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"{file.parent} could not be made: {error.strerror or error}."
            ) from error
        write_json(file, content)


def update_attributes(path: Path, changes: Mapping[str, Any]) -> None:
    """Replace top-level keys of the group's attributes (whole or not at all).

    Keys of ``hipct`` and of ``ome`` are merged with those that stand there, others are replaced.
    What version 0.5 holds below ``ome`` is given in this way for 0.4 too. Consolidated metadata
    follow, where there are any.

    Raises
    ------
    FormatError
        If the attributes that stand there cannot be read.
    OutputError
        If they cannot be written.
    """
    path = Path(path)
    if (path / "zarr.json").is_file():
        file = path / "zarr.json"
        group = read_json(file)
        old = group["attributes"]
    else:
        file = path / ".zattrs"
        group = old = read_json(file)
        changes = {**changes.get("ome", {}), **{k: v for k, v in changes.items() if k != "ome"}}
    for key, value in changes.items():
        old[key] = {**old.get(key, {}), **value} if key in ("hipct", "ome") else value
    write_json(file, group)
    if is_consolidated(path):
        consolidate(path)


def _window_attributes(spec: PyramidSpec) -> dict[str, Any]:
    if spec.window is None:
        return {}
    return {
        "window": {
            "low": spec.window.low,
            "high": spec.window.high,
            "scale": spec.value_scale,
            "offset": spec.window.low,
            "unit": spec.unit,
            "meaning": "value = stored * scale + offset",
        }
    }
