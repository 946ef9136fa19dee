"""A thin hand-over of volumes to napari: levels, places, units, window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipct.core.extras import require
from hipct.volume.open import Volume, open_volume

if TYPE_CHECKING:
    import zarr


def layer_data(path: Path | str) -> tuple[list[zarr.Array[Any]], dict[str, Any]]:
    """Levels of an OME-Zarr volume, and how napari shows them.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume: its folder, or its address on a server.

    Returns
    -------
    levels : list of zarr.Array
        Finest first; read where napari looks, chunk by chunk. Zarr and not Dask arrays: a task of
        Dask reads a shard of a hundred megabytes where a plane needs a tenth of it.
    options : dict
        Keyword arguments of ``napari.Viewer.add_image``, or ``add_labels`` for labels: name, scale
        and translation of the finest level in micrometres (napari places the coarser ones by their
        shapes), units, axis labels, for images contrast limits from the stored window.

    Raises
    ------
    InputError, FormatError, RemoteError
        If the volume cannot be opened.
    """
    return _layer(open_volume(path))


def _layer(volume: Volume) -> tuple[list[zarr.Array[Any]], dict[str, Any]]:
    finest = volume.levels[0]
    options: dict[str, Any] = {
        "name": volume.name,
        "multiscale": True,
        "scale": finest.scale,
        "translate": finest.translation,
        "units": ("micrometer" if volume.length_unit == "um" else "pixel",) * 3,
        "axis_labels": volume.axes,
        "metadata": {"hipct": dict(volume.provenance)},
    }
    if not volume.labels:
        options["colormap"] = "gray"
    if volume.display and not volume.labels:
        options["contrast_limits"] = volume.display
    return [level.chunkwise for level in volume.levels], options


def view(path: Path | str, *, show: bool = True) -> Any:
    """Open a volume in napari and, with ``show``, stay there until its window is closed.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume: its folder, or its address on a server.
    show : bool
        Whether to show the window and run the event loop.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtra
        If napari is not installed.
    InputError, FormatError, RemoteError
        If the volume cannot be opened.
    """
    volume = open_volume(path)
    levels, options = _layer(volume)
    napari = require("napari", "viewer", "hipct view")
    viewer = napari.Viewer(show=show, title=f"{options['name']} - hipct")
    (viewer.add_labels if volume.labels else viewer.add_image)(levels, **options)
    viewer.canvas.overlays.scale_bar.visible = True
    if show:
        napari.run()
    return viewer
