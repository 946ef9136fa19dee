"""What an export of hipct says of its slices, for reading them again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError
from hipct.exchange.export_output import FACTS_FILE
from hipct.volume.layout import Vector3, as_voxel_size
from hipct.volume.pyramid_source import VolumeSource


def apply_facts(source: VolumeSource, folder: Path) -> bool:
    """Give a source the voxel size, place and meaning that ``export.json`` in a folder states.

    Parameters
    ----------
    source : VolumeSource
        Whose shape and type are known.
    folder : Path
        Of the slices.

    Returns
    -------
    bool
        Whether there is such a file, and it speaks of these slices.

    Raises
    ------
    FormatError
        If the file is damaged.
    """
    file = folder / FACTS_FILE
    if not file.is_file():
        return False
    with reading(file, "JSON"):
        facts = json.loads(file.read_bytes())
        if not isinstance(facts, dict):
            raise FormatError(f"{file} holds no JSON object; remove it to go without it.")
        if facts.get("size_voxels") != list(source.shape) or facts.get("dtype") != source.dtype:
            source.notes += (
                f"{file} speaks of other slices ({facts.get('size_voxels')} of "
                f"{facts.get('dtype')}), and is left aside.",
            )
            return False
        if "voxel_size_um" in facts:
            source.voxel_size_um = as_voxel_size(facts["voxel_size_um"])
        if "origin_um" in facts:
            source.origin_um = _vector(facts["origin_um"])
        if source.dtype.kind == "u" and "scale" in facts and "offset" in facts:
            source.value = (float(facts["scale"]), float(facts["offset"]))
            source.unit = str(facts.get("unit") or "1")
        source.notes += _labels(facts, source.name)
    return True


def _labels(facts: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if facts.get("kind") != "labels":
        return ()
    return (f"{name} holds labels; --labels reduces them as such.",)


def _vector(values: Any) -> Vector3:
    z, y, x = (float(v) for v in values)
    return (z, y, x)
