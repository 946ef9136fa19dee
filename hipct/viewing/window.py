"""Windows of napari that show volumes, with what one needs beside them."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hipct.atlas.hierarchy import Member, hierarchy_of
from hipct.core.extras import require
from hipct.exchange.clinical import ClinicalVolume, is_clinical, open_clinical
from hipct.viewing.bookmarks import load_bookmarks, show_bookmark
from hipct.viewing.layers import add_volume
from hipct.viewing.screen import require_screen
from hipct.volume.open import Volume, open_volume
from hipct.volume.storage import Patience

_PATIENCE = Patience(timeout_s=10.0, attempts=3)
"""A person waits: what does not come within half a minute is a hole, and told."""
_SWITCH_S = 0.0005
_FAR = 10
"""Slices that Page Up and Page Down go at once."""


def new_window(title: str, *, show: bool = True, bookmarks: Path | None = None) -> Any:
    """A window of napari with the panels of hipct beside it, and no volume yet.

    Parameters
    ----------
    title : str
    show : bool
        Whether it shows itself.
    bookmarks : Path, optional
        File in which its bookmarks are kept.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtra
        If napari is not installed.
    FormatError
        If the bookmarks cannot be read.
    """
    # A call of OpenGL lets other threads in; each of them would keep the window waiting for 5 ms.
    sys.setswitchinterval(_SWITCH_S)
    # Slices are cut in the window's thread, whatever its user has set; nothing is saved there. They
    # wait for nothing, and Qt can lock up where napari's own thread reports them meanwhile.
    os.environ["NAPARI_ASYNC"] = "0"
    napari = require("napari", "viewer", "hipct view")
    require_screen("hipct view")
    if bookmarks is not None and bookmarks.exists():
        # What is wrong with them is told before there is a window.
        load_bookmarks(bookmarks)
    # What the first layer would import, which takes a second, is imported before there is a window.
    napari.layers.Image(np.eye(2))
    # What was asked for is coming: napari's welcome would cover the words that say so.
    viewer = napari.Viewer(show=show, title=f"{title} - hipct", show_welcome_screen=False)
    furnish(viewer, bookmarks)
    # To look through all objects of napari for garbage would stop the window for a third of a
    # second, again and again.
    gc.collect()
    gc.freeze()
    return viewer


def furnish(viewer: Any, bookmarks: Path | None = None) -> dict[str, Any]:
    """Put panels, keys and a scale bar into a window of napari.

    Parameters
    ----------
    viewer : napari.Viewer
    bookmarks : Path, optional
        File in which its bookmarks are kept.

    Returns
    -------
    dict of str to QWidget
        The panels by their names: Position, Volume, Bookmarks, Oblique.
    """
    from hipct.viewing.bookmarks_panel import BookmarksPanel
    from hipct.viewing.detail_panel import VolumePanel
    from hipct.viewing.minimap_panel import PositionPanel
    from hipct.viewing.oblique_panel import ObliquePanel
    from hipct.viewing.window_state import look_along, step

    viewer.canvas.overlays.scale_bar.visible = True
    kept, facts = BookmarksPanel(viewer, bookmarks), VolumePanel(viewer)
    panels = {
        "Position": PositionPanel(viewer),
        "Oblique": ObliquePanel(viewer),
        "Bookmarks": kept,
        "Volume": facts,
    }
    for number, (name, panel) in enumerate(panels.items()):
        # The first panel stands alone: it is looked at all the time.
        viewer.window.add_dock_widget(panel, name=name, area="right", tabify=number > 1)
    keys = {
        "Shift-Z": lambda _: look_along(viewer, 0),
        "Shift-Y": lambda _: look_along(viewer, 1),
        "Shift-X": lambda _: look_along(viewer, 2),
        "PageUp": lambda _: step(viewer, -_FAR),
        "PageDown": lambda _: step(viewer, _FAR),
        "Shift-B": lambda _: kept.add(),
        "N": lambda _: kept.next(),
        "F5": lambda _: facts.read_again(),
    }
    for key, call in keys.items():
        viewer.bind_key(key, call, overwrite=True)
    return panels


def view(
    path: Path | str,
    *zooms: Path | str,
    found: Sequence[Path | str] = (),
    bookmarks: Path | None = None,
    show: bool = True,
) -> Any:
    """Open volumes in napari and, with ``show``, stay there until its window is closed.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume: its folder, or its address on a server; or a NIfTI file.
    zooms : path or str
        More of them, each shown where it lies in the first one, with the panel Hierarchy.
    found : sequence of path
        Places of them that ``hipct register`` found.
    bookmarks : Path, optional
        File in which views are kept by name.
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
        If a volume or a place cannot be used.
    """
    volumes = [_opened(one) for one in (path, *zooms)]
    first, notes = volumes[0], list[str]()
    members = hierarchy_of(volumes, found=found, notes=notes)
    viewer = new_window(first.name, show=show, bookmarks=bookmarks)
    if len(volumes) == 1 and isinstance(first, Volume):
        add_volume(viewer, first)
    else:
        from hipct.viewing.hierarchy_panel import add_hierarchy

        add_hierarchy(viewer, members, notes)
    _fit(viewer, members)
    return stay(viewer, show=show)


def stay(viewer: Any, *, show: bool) -> Any:
    """The window; with ``show`` after it has been closed."""
    if show:
        require("napari", "viewer", "hipct view").run()
    return viewer


def _opened(path: Path | str) -> Volume | ClinicalVolume:
    if is_clinical(path):
        return open_clinical(path)
    return open_volume(path, patience=_PATIENCE, whole=False)


def _fit(viewer: Any, members: Sequence[Member]) -> None:
    """Show all of the first volume, now and when the panels have taken their room."""
    from qtpy.QtCore import QTimer

    from hipct.viewing.hierarchy import framed

    def fit() -> None:
        if len(members) == 1:
            viewer.reset_view()
        else:
            # Others whose place is not known may lie anywhere.
            show_bookmark(viewer, framed(viewer, members[0]))

    fit()
    QTimer.singleShot(0, fit)
