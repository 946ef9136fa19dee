"""What napari is given of a volume: levels, places, units, window."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    return layer_of(open_volume(path))


def layer_of(volume: Volume) -> tuple[list[zarr.Array[Any]], dict[str, Any]]:
    """Levels of an open volume, and how napari shows them; see :func:`layer_data`."""
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


def add_volume(viewer: Any, volume: Volume, **options: Any) -> Any:
    """Add a volume to a window of napari, as labels where its voxels are labels.

    Parameters
    ----------
    viewer : napari.Viewer
    volume : Volume
        From :func:`hipct.volume.open.open_volume`.
    options
        Of ``napari.Viewer.add_image`` or ``add_labels``, before those of :func:`layer_data`.

    Returns
    -------
    napari.layers.Image or napari.layers.Labels
    """
    levels, own = layer_of(volume)
    return (viewer.add_labels if volume.labels else viewer.add_image)(levels, **(own | options))
