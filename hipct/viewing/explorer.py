"""The phase explorer in a window: beside a live scan, and from the plugin."""

from __future__ import annotations

from typing import Any

from hipct.core.errors import InputError
from hipct.live.scan import LiveScan
from hipct.viewing.explorer_panel import PhaseExplorer
from hipct.viewing.live import live_of
from hipct.viewing.tools import add_panel


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
