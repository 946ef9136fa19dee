"""Windows of napari that show volumes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hipct.core.extras import require
from hipct.viewing.layers import add_volume
from hipct.volume.open import open_volume


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
    napari = require("napari", "viewer", "hipct view")
    viewer = napari.Viewer(show=show, title=f"{volume.name} - hipct")
    add_volume(viewer, volume)
    viewer.canvas.overlays.scale_bar.visible = True
    if show:
        napari.run()
    return viewer
