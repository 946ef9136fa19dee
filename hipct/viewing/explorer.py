"""The phase explorer in a window: beside a live scan, from the command line, from the plugin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from hipct.acquisition.open_any import open_any
from hipct.core.errors import InputError
from hipct.core.extras import require
from hipct.live.scan import LiveScan
from hipct.live.tuning import open_tunable
from hipct.pipeline.config import Config
from hipct.viewing.explorer_panel import PhaseExplorer
from hipct.viewing.live import live_of, show_live
from hipct.viewing.progress import Activity
from hipct.viewing.tools import add_panel
from hipct.viewing.window import new_window


def add_explorer(viewer: Any, live: LiveScan) -> PhaseExplorer:
    """Put the phase explorer of a scan beside a window of napari.

    Parameters
    ----------
    viewer : napari.Viewer
        A window that shows the scan (``hipct view --live``), or an empty one.
    live : LiveScan

    Returns
    -------
    PhaseExplorer
    """
    explorer = PhaseExplorer(viewer, live)
    add_panel(viewer, explorer, "Phase explorer")
    return explorer


def explore(
    scan: str | Path,
    config: Config | None = None,
    *,
    angles: ArrayLike | str | None = None,
    entry: str | int | None = None,
    bookmarks: Path | None = None,
    show: bool = True,
) -> Any:
    """Browse a raw scan with the phase explorer beside it.

    A scan that lacks what phase retrieval needs is shown without it, until energy and distance are
    given by their sliders.

    Parameters
    ----------
    scan, config, angles, entry, bookmarks, show
        As of :func:`hipct.viewing.live.view_live`.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtra
        If napari is not installed.
    HipctError
        If the scan cannot be opened.
    """
    name = Path(scan).name.removesuffix(".zarr")
    opened = open_any(scan, angles=angles, entry=entry)
    live = open_tunable(opened, config, observer=Activity(f"Live {name}"))
    viewer = new_window(name, show=show, bookmarks=bookmarks)
    show_live(viewer, live, name)
    add_explorer(viewer, live)
    if show:
        require("napari", "viewer", "hipct view").run()
    return viewer


def explorer_of(viewer: Any) -> PhaseExplorer:
    """The phase explorer of the raw scan that a window shows, not yet beside it.

    Raises
    ------
    InputError
        If the window shows no raw scan.
    """
    shown = [live for layer in viewer.layers if (live := live_of(layer)) is not None]
    if not shown:
        raise InputError(
            "No raw scan is shown; open one first, e.g. by hipct view --live SCAN, or from the "
            "samples of hipct."
        )
    return PhaseExplorer(viewer, shown[-1])
