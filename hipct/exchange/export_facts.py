"""What an export says of itself: sizes, place and meaning of its voxels."""

from __future__ import annotations

from typing import Any

import hipct
from hipct.exchange.export_bands import Source
from hipct.exchange.export_grey import Grey
from hipct.exchange.export_level import LevelView
from hipct.exchange.export_selection import Plane


def source_facts(source: Source, kind: str) -> dict[str, Any]:
    """Facts of the slices of a region; lengths along z, y, x, in micrometres where known."""
    view, unit = source.view, source.view.volume.length_unit
    crop = [[s.start, s.stop] for s in source.region]
    return {
        **_common(view, kind),
        "crop_voxels": crop,
        "size_voxels": list(source.shape),
        f"voxel_size_{unit}": list(view.voxel),
        # The centre of the first voxel, in the coordinates of the volume.
        f"origin_{unit}": list(source.origin),
        **_grey(source.grey),
    }


def plane_facts(view: LevelView, plane: Plane, grey: Grey, kind: str) -> dict[str, Any]:
    """Facts of an oblique plane: pixel (i, j) lies at ``first + i * down + j * right``."""
    unit = view.volume.length_unit
    return {
        **_common(view, kind),
        "size_pixels": list(plane.shape),
        f"pixel_size_{unit}": plane.pixel,
        f"first_{unit}": plane.first.tolist(),
        f"down_{unit}": plane.down.tolist(),
        f"right_{unit}": plane.right.tolist(),
        **_grey(grey),
    }


def _common(view: LevelView, kind: str) -> dict[str, Any]:
    made = {key: value for key, value in view.volume.provenance.items() if key != "window"}
    return {
        "software": f"hipct {hipct.__version__}",
        "format": kind,
        "volume": view.volume.name,
        "level": view.number,
        "axes": "zyx",
        "kind": "labels" if view.volume.labels else "image",
        "provenance": made,
    }


def _grey(grey: Grey) -> dict[str, Any]:
    """Type and meaning: ``value = exported * scale + offset``."""
    facts: dict[str, Any] = {"dtype": grey.dtype.name}
    if grey.window is not None:
        facts["window"] = list(grey.window)
    if grey.scale is not None and grey.offset is not None:
        facts |= {"scale": grey.scale, "offset": grey.offset, "unit": grey.unit}
    return facts
