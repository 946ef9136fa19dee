"""What napari is given of a volume: levels, places, units, window."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from hipct.viewing.reads import PyramidReads, reads_of_volume
from hipct.viewing.reads_lazy import LazyLevel
from hipct.volume.open import Volume, open_volume

_KEY = "hipct volume"


def layer_data(path: Path | str) -> tuple[list[LazyLevel], dict[str, Any]]:
    """Levels of an OME-Zarr volume, and how napari shows them.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume: its folder, or its address on a server.

    Returns
    -------
    levels : list of LazyLevel
        Finest first; read where napari looks, chunk by chunk.
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


def layer_of(volume: Volume) -> tuple[list[LazyLevel], dict[str, Any]]:
    """Levels of an open volume, and how napari shows them; see :func:`layer_data`."""
    return list(reads_of_volume(volume).levels), layer_options(volume)


def layer_options(volume: Volume) -> dict[str, Any]:
    """How napari shows a volume; see :func:`layer_data`."""
    finest = volume.levels[0]
    options: dict[str, Any] = {
        "name": volume.name,
        "multiscale": True,
        "scale": finest.scale,
        "translate": finest.translation,
        "units": ("micrometer" if volume.length_unit == "um" else "pixel",) * 3,
        "axis_labels": volume.axes,
        "metadata": {"hipct": dict(volume.provenance), _KEY: volume},
    }
    if not volume.labels:
        # A mean over one slice would turn every picture into float64.
        options |= {"colormap": "gray", "projection_mode": "none"}
    if volume.display and not volume.labels:
        options["contrast_limits"] = volume.display
    return options


def add_volume(
    viewer: Any, volume: Volume, *, reads: PyramidReads | None = None, **options: Any
) -> Any:
    """Add a volume to a window of napari, as labels where its voxels are labels.

    The window does not wait for voxels: coarse ones are shown first, and finer ones when they have
    come. A chunk that cannot be read is a hole, and napari shows the sentence.

    Parameters
    ----------
    viewer : napari.Viewer
    volume : Volume
        From :func:`hipct.volume.open.open_volume`.
    reads : PyramidReads, optional
        Where the chunks come from. Default: the volume's own files.
    options
        Of ``napari.layers.Image`` or ``Labels``, before those of :func:`layer_data`.

    Returns
    -------
    napari.layers.Image or napari.layers.Labels
    """
    from napari.layers import Image, Labels

    from hipct.viewing.layers_refresh import keep_fresh

    reads = reads or reads_of_volume(volume)
    options = layer_options(volume) | options
    guessed = not volume.labels and "contrast_limits" not in options
    if guessed:
        options["contrast_limits"] = whole_range(reads.levels[0].dtype)
    # A layer looks at its first slice when it is made: not even that is waited for.
    reads.watch(lambda: None)
    layer = (Labels if volume.labels else Image)(list(reads.levels), **options)
    keep_fresh(viewer, layer, reads, guess_contrast=guessed)
    return viewer.add_layer(layer)


def reads_of(layer: Any) -> PyramidReads | None:
    """Where the voxels of a layer come from; None for layers of others."""
    data = layer.data
    first = data[0] if getattr(layer, "multiscale", False) else data
    owner = getattr(first, "owner", None)
    return owner if isinstance(owner, PyramidReads) else None


def volume_of(layer: Any) -> Volume | None:
    """The volume that a layer shows; None for layers of others."""
    volume: Volume | None = layer.metadata.get(_KEY)
    return volume


def whole_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    """Contrast limits before any voxel is known: all that the type holds; of floats 0 to 1."""
    if dtype.kind in "iu":
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return 0.0, 1.0
