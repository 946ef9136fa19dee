"""What a volume is, in a few lines for a person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hipct.volume.open import Volume, open_volume


def describe_volume(path: Path | str) -> dict[str, str]:
    """Facts of an OME-Zarr volume as ordered (label, text) pairs.

    Raises
    ------
    InputError, FormatError, RemoteError
        As :func:`hipct.volume.open.open_volume`.
    """
    volume = open_volume(path)
    facts = {
        "format": f"OME-Zarr {volume.version}, {volume.dtype.name}, axes {', '.join(volume.axes)}",
        "size": f"{_times(volume.shape)} voxels, {_bytes(volume)}",
    }
    if volume.length_unit == "um":
        facts["extent"] = f"{_times(_extent_mm(volume))} mm"
        facts["voxel"] = f"{_times(volume.voxel_size_um)} um"
    else:
        facts["voxel"] = "missing: the voxel size is not known"
    for number, level in enumerate(volume.levels):
        shards = f", shards {_times(level.array.shards)}" if level.array.shards else ""
        facts[f"level {number}"] = (
            f"{_times(level.array.shape)} voxels of {_times(level.scale)} {volume.length_unit} at "
            f"({', '.join(f'{t:g}' for t in level.translation)}) {volume.length_unit}, "
            f"chunks {_times(level.array.chunks)}{shards}"
        )
    if volume.scale is not None and volume.offset is not None:
        facts["values"] = f"stored * {volume.scale:.6g} + {volume.offset:.6g} {volume.unit}"
    else:
        facts["values"] = "missing: nothing says what the grey values mean"
    if volume.display:
        facts["shown"] = f"grey {volume.display[0]:g} black to {volume.display[1]:g} white"
    else:
        facts["shown"] = "missing: no display window"
    for key, value in volume.provenance.items():
        if key != "window" and not isinstance(value, (dict, list)):
            facts[key] = str(value)
    facts |= _made(volume.provenance)
    for number, note in enumerate(volume.notes, 1):
        facts[f"note {number}"] = note
    return facts


def _made(provenance: Mapping[str, Any]) -> dict[str, str]:
    """How a volume was made, in lines: versions, source, estimates, settings, where time went."""
    facts = {}
    for key in ("versions", "computed_by", "source", "estimates"):
        if said := _flat(provenance.get(key)):
            facts[key.replace("_", " ")] = said
    settings = provenance.get("config")
    for section, values in settings.items() if isinstance(settings, Mapping) else ():
        if said := _flat(values):
            facts[f"config {section}"] = said
    timing = provenance.get("timing")
    if isinstance(timing, Mapping):
        facts["took"] = _flat({key: timing[key] for key in timing if key != "stages"})
        stages = timing.get("stages")
        for stage, values in stages.items() if isinstance(stages, Mapping) else ():
            facts[f"took {stage}"] = _flat(values)
    return facts


def _flat(value: Any) -> str:
    """Names and values in one line, without those that nobody has set."""
    if isinstance(value, Mapping):
        said = {key: _flat(each) for key, each in value.items()}
        return ", ".join(f"{key} {text}" for key, text in said.items() if text)
    if isinstance(value, (list, tuple)):
        return " ".join(map(_flat, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return "" if value is None else str(value)


def _times(values: Any) -> str:
    return " x ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in values)


def _extent_mm(volume: Volume) -> list[float]:
    return [round(n * v / 1000, 3) for n, v in zip(volume.shape, volume.voxel_size_um)]


def _bytes(volume: Volume) -> str:
    size = float(sum(level.array.nbytes for level in volume.levels))
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit} with all levels, uncompressed"
        size /= 1000
    return f"{size:.3g} TB with all levels, uncompressed"
