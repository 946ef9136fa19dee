"""Neuroglancer: a state that shows the OME-Zarr itself, nothing copied."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import quote

from hipct.core.errors import InputError
from hipct.volume.open import Volume

_PANEL_PIXELS = 400
"""Height of one of four panels in a window of usual size."""
VIEWER = "https://neuroglancer-demo.appspot.com"
_SHADER = "#uicontrol invlerp normalized\nvoid main() {\n  emitGrayscale(normalized());\n}\n"


def neuroglancer_state(
    volume: Volume, url: str, window: tuple[float, float] | None = None
) -> dict[str, Any]:
    """State of a Neuroglancer that shows a volume as it is; labels as a segmentation.

    Parameters
    ----------
    volume : Volume
    url : str
        Where the folder of the volume is served: http, https, s3 or gs. A source such as
        ``zarr3://https://...`` is taken as it is, otherwise the version of the volume says which.
    window : (float, float), optional
        Stored grey values shown black and white, instead of the display window.

    Raises
    ------
    InputError
        If the URL is no such, the voxel size is not known, or labels are to have a window.
    """
    if volume.length_unit != "um":
        raise InputError(
            f"{volume.address} does not say how large its voxels are, without which Neuroglancer "
            "shows it at no scale; give it a voxel size first."
        )
    source = url.rstrip("/")
    if not source.startswith(("zarr://", "zarr2://", "zarr3://")):
        # zarr:// finds out by itself; by name there is no search for files that do not exist.
        source = f"{'zarr3' if volume.version == '0.5' else 'zarr'}://{source}"
    scheme = source.partition("://")[2].partition("://")[0]
    if scheme not in ("http", "https", "s3", "gs") or "://" not in source.partition("://")[2]:
        raise InputError(
            f"The URL is {url!r}; give where the volume's folder is served, such as "
            "https://host/organ.ome.zarr (http, https, s3 or gs)."
        )
    finest = volume.levels[0]
    axes = dict(zip(volume.axes, zip(finest.scale, finest.translation, finest.array.shape)))
    smallest = min(scale for scale, _, _ in axes.values())
    # In voxels of the shortest edge, as Neuroglancer counts.
    sides = [count * scale / smallest for scale, _, count in axes.values()]
    return {
        "dimensions": {axis: [axes[axis][0] / 1e6, "m"] for axis in "xyz"},
        # The middle of a voxel: whole numbers of a volume that begins at 0.
        "position": [axes[axis][1] / axes[axis][0] + axes[axis][2] // 2 for axis in "xyz"],
        "crossSectionScale": max(sides) / _PANEL_PIXELS,
        "projectionScale": 1.3 * math.hypot(*sides),
        "layers": [_layer(volume, source, window)],
        "selectedLayer": {"layer": volume.name, "visible": True},
        "layout": "4panel",
    }


def _layer(volume: Volume, source: str, window: tuple[float, float] | None) -> dict[str, Any]:
    layer: dict[str, Any] = {"name": volume.name, "source": source, "tab": "rendering"}
    if volume.labels:
        if window is not None:
            raise InputError(f"{volume.address} holds labels, which have no window; leave it out.")
        # Without a choice of segments all are shown, each in a colour of its own.
        return layer | {"type": "segmentation"}
    layer |= {"type": "image", "shader": _SHADER}
    shown = volume.display if window is None else window
    if shown is not None:
        if not shown[0] < shown[1]:
            raise InputError(f"The window is {shown[0]:g}:{shown[1]:g}; give the lower one first.")
        layer["shaderControls"] = {"normalized": {"range": list(shown)}}
    return layer


def neuroglancer_link(state: dict[str, Any], viewer: str = VIEWER) -> str:
    """Address that opens a state in a Neuroglancer."""
    return f"{viewer}/#!{quote(json.dumps(state, separators=(',', ':')), safe='')}"
