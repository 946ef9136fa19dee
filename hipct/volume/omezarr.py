"""Metadata of OME-Zarr: what hipct writes (0.5), and what it reads (0.5 and 0.4).

Specification: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hipct.core.errors import InputError, OutputError
from hipct.core.files import write_json
from hipct.volume.layout import PyramidSpec
from hipct.volume.reduce import Reduction
from hipct.volume.shards import BLOCK_BYTES, COMPRESSION_LEVEL

AXES = ("z", "y", "x")
_REDUCTIONS: dict[Reduction, str] = {
    "mean": "means of 2 x 2 x 2 voxels, rounded half to even",
    "mode": "commonest of 2 x 2 x 2 labels, the smallest of equally common ones",
    "min": "smallest of 2 x 2 x 2 voxels",
    "max": "largest of 2 x 2 x 2 voxels",
}


def group_attributes(spec: PyramidSpec, attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of the pyramid's group: ``ome`` for everyone, ``hipct`` for provenance.

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
    shown = {"omero": omero(spec.name, top, 0, top)}
    if spec.reduction == "mode":
        shown = {"image-label": {}}
    ome = {"version": "0.5", "multiscales": [multiscale], **shown}
    reduction = {} if spec.reduction == "mean" else {"reduction": spec.reduction}
    return {"ome": ome, "hipct": {**_window_attributes(spec), **reduction, **attributes}}


def omero(name: str, maximum: int, start: int, end: int) -> dict[str, Any]:
    """The ``omero`` block: how a viewer shows grey values (``start`` black, ``end`` white)."""
    window = {"min": 0, "max": maximum, "start": start, "end": end}
    channel = {"label": name, "color": "FFFFFF", "active": True, "window": window}
    return {"channels": [channel], "rdefs": {"model": "greyscale"}}


def array_metadata(spec: PyramidSpec, number: int) -> dict[str, Any]:
    """The ``zarr.json`` of a level: sharded, blosc-zstd with bit shuffle, checksums."""
    level = spec.levels[number]
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    if spec.dtype.itemsize == 1:
        little = {"name": "bytes"}
    blosc = {
        "name": "blosc",
        "configuration": {
            "cname": "zstd",
            "clevel": COMPRESSION_LEVEL,
            "shuffle": "bitshuffle",
            "typesize": spec.dtype.itemsize,
            "blocksize": BLOCK_BYTES,
        },
    }
    sharding = {
        "chunk_shape": list(level.chunk),
        "codecs": [little, blosc, {"name": "crc32c"}],
        "index_codecs": [
            {"name": "bytes", "configuration": {"endian": "little"}},
            {"name": "crc32c"},
        ],
        "index_location": "end",
    }
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(level.shape),
        "data_type": spec.dtype.name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(level.shard)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "dimension_names": list(AXES),
        "attributes": {},
        "storage_transformers": [],
    }


def write_metadata(path: Path, spec: PyramidSpec, attributes: Mapping[str, Any]) -> None:
    """Write every ``zarr.json`` of a pyramid; the group's comes last.

    Raises
    ------
    InputError
        If ``attributes`` holds what JSON cannot (NaN included).
    OutputError
        If the folder cannot be written.
    """
    group = {
        "zarr_format": 3,
        "node_type": "group",
        "attributes": group_attributes(spec, attributes),
    }
    try:
        json.dumps(group, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The attributes cannot be stored as JSON ({error}); give plain numbers, texts, "
            "lists and dictionaries without NaN."
        ) from error
    for number in range(len(spec.levels)):
        folder = path / str(number)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{folder} could not be made: {error.strerror or error}.") from error
        write_json(folder / "zarr.json", array_metadata(spec, number))
    write_json(path / "zarr.json", group)


def update_attributes(path: Path, changes: Mapping[str, Any]) -> None:
    """Replace top-level keys of the group's attributes (whole or not at all).

    Keys of ``hipct`` are merged with those that stand there, others are replaced.
    """
    file = path / "zarr.json"
    group = json.loads(file.read_text())
    old = group["attributes"]
    for key, value in changes.items():
        old[key] = {**old.get(key, {}), **value} if key in ("hipct", "ome") else value
    write_json(file, group)


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
