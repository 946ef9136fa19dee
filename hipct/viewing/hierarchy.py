"""Going through the volumes of a hierarchy: to a zoom, to the next one, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hipct.atlas.hierarchy import Member
from hipct.viewing.bookmarks import Bookmark, bookmark_of, show_bookmark
from hipct.viewing.hierarchy_layers import add_member

_MARGIN = 0.9
_KEPT = 100


class Tour:
    """The volumes of a window, of which one is looked at, and the views that came before.

    Parameters
    ----------
    viewer : napari.Viewer
    members : sequence of Member
        The first one is what the others lie in.
    layers : sequence of napari.layers.Layer
        Of the members, in their order.

    Attributes
    ----------
    current : int
        The member that is looked at.
    alone : bool
        Whether the other zooms are hidden when one is gone to.
    notes : list of str
        Sentences on what could not be placed.
    on_change : callable
        Called when another member is looked at.
    """

    def __init__(
        self,
        viewer: Any,
        members: Sequence[Member],
        layers: Sequence[Any],
        notes: Sequence[str] = (),
    ) -> None:
        self.viewer, self.members, self.layers = viewer, tuple(members), tuple(layers)
        self.notes = list(notes)
        self.current, self.alone = 0, False
        self.on_change: Callable[[], object] = lambda: None
        self._before: list[tuple[int, Bookmark]] = []

    def go(self, number: int) -> None:
        """Look at a member: in its middle, as large as the window, and visible.

        The present view is what :meth:`back` leads to.
        """
        self._before.append((self.current, bookmark_of(self.viewer, "")))
        del self._before[:-_KEPT]
        self._show(number)
        show_bookmark(self.viewer, framed(self.viewer, self.members[number]))

    def step(self, by: int) -> None:
        """Look at the next zoom (1) or the one before (-1); after the last comes the first.

        Those whose place is not known are passed over, as are those that have been removed.
        """
        placed = [n for n in range(1, len(self.members)) if self.is_there(n)]
        if not placed:
            return
        first = 0 if by > 0 else -1
        at = placed.index(self.current) + by if self.current in placed else first
        self.go(placed[at % len(placed)])

    def back(self) -> None:
        """Return to the view from which the present member was gone to."""
        if self._before:
            number, view = self._before.pop()
            self.current = number
            show_bookmark(self.viewer, view)
            self.on_change()

    def toggle(self) -> None:
        """Hide the member that is looked at, or show it again: what lies beneath is compared."""
        if self.current:
            layer = self.layers[self.current]
            layer.visible = not layer.visible

    def is_there(self, number: int) -> bool:
        """Whether a member has a place and its layer is in the window."""
        return not self.members[number].why and self.layers[number] in self.viewer.layers

    def _show(self, number: int) -> None:
        self.current = number
        for other, layer in enumerate(self.layers):
            if other == number:
                layer.visible = True
            elif other and self.alone:
                layer.visible = False
        self.on_change()


def framed(viewer: Any, member: Member) -> Bookmark:
    """A view along the present axes that holds all of a member."""
    low, high = member.box_um
    z, y, x = (float(p) for p in member.middle_um)
    canvas = np.asarray(viewer.canvas.size, float)
    now = bookmark_of(viewer, member.name)
    extent = (high - low)[list(now.order[-now.ndisplay :])]
    # Turned about its middle it is as large as its diagonal.
    sizes = extent if now.ndisplay == 2 else np.full(2, np.linalg.norm(extent))
    zoom = _MARGIN * float((canvas / sizes).min())
    return Bookmark(member.name, (z, y, x), zoom, now.order, now.ndisplay, now.angles)


def open_members(viewer: Any, members: Sequence[Member], notes: Sequence[str] = ()) -> Tour:
    """Add volumes to a window, each where it lies in the first one.

    Parameters
    ----------
    viewer : napari.Viewer
    members : sequence of Member
        From :func:`hipct.atlas.hierarchy.hierarchy_of`.
    notes : sequence of str
        What that could not use, as sentences.
    """
    labels = getattr(members[0].opened, "axes", ("z", "y", "x"))
    layers = [add_member(viewer, member, labels) for member in members]
    assumed = [note for member in members for note in member.opened.notes]
    return Tour(viewer, members, layers, [*notes, *assumed])
