"""Views that somebody wants to come back to, by name, in a file that can be passed on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hipct.core.errors import FormatError
from hipct.core.files import write_atomic

_FORMAT = "hipct bookmarks"


@dataclass(frozen=True)
class Bookmark:
    """A view.

    Attributes
    ----------
    name : what a person calls it
    place : z, y, x in the middle of the view, in the unit of the window (micrometres)
    zoom : pixels of the screen a unit
    order : axes, those that are shown last
    ndisplay : 2 or 3
    angles : of the camera in three dimensions, degrees
    """

    name: str
    place: tuple[float, float, float]
    zoom: float
    order: tuple[int, ...]
    ndisplay: int
    angles: tuple[float, float, float]


def bookmark_of(viewer: Any, name: str) -> Bookmark:
    """The present view of a window."""
    from hipct.viewing.window_state import place_in_view

    dims, camera = viewer.dims, viewer.scene.camera
    first, second, third = (float(a) for a in camera.angles)
    return Bookmark(
        name=name,
        place=place_in_view(viewer),
        zoom=float(camera.zoom),
        order=tuple(int(a) for a in dims.order),
        ndisplay=int(dims.ndisplay),
        angles=(first, second, third),
    )


def show_bookmark(viewer: Any, bookmark: Bookmark) -> None:
    """Bring a window to a view."""
    from hipct.viewing.window_state import go_to

    viewer.dims.ndisplay = bookmark.ndisplay
    if sorted(bookmark.order) == list(range(viewer.dims.ndim)):
        viewer.dims.order = bookmark.order
    viewer.scene.camera.zoom = bookmark.zoom
    if bookmark.ndisplay == 3:
        viewer.scene.camera.angles = bookmark.angles
    go_to(viewer, bookmark.place)


def save_bookmarks(path: Path | str, bookmarks: Sequence[Bookmark]) -> None:
    """Write bookmarks as JSON, whole or not at all.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    content = {"format": _FORMAT, "bookmarks": [asdict(one) for one in bookmarks]}
    write_atomic(Path(path), json.dumps(content, indent=2).encode() + b"\n")


def load_bookmarks(path: Path | str) -> list[Bookmark]:
    """Read what :func:`save_bookmarks` wrote.

    Raises
    ------
    FormatError
        If the file cannot be read, or holds no bookmarks.
    """
    try:
        content = json.loads(Path(path).read_bytes())
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}")
        return [_bookmark(one) for one in content["bookmarks"]]
    except (OSError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"{path} holds no bookmarks that can be read ({type(error).__name__}: {error}); give a "
            "file that the panel Bookmarks has saved."
        ) from error


def _bookmark(content: Any) -> Bookmark:
    z, y, x = (float(p) for p in content["place"])
    first, second, third = (float(a) for a in content["angles"])
    ndisplay, zoom = int(content["ndisplay"]), float(content["zoom"])
    if ndisplay not in (2, 3) or not zoom > 0:
        raise ValueError(f"a view of {ndisplay} axes at the zoom {zoom}")
    order = tuple(int(a) for a in content["order"])
    return Bookmark(str(content["name"]), (z, y, x), zoom, order, ndisplay, (first, second, third))
