"""What a window of napari looks at, in few words: for panels that show it or change it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hipct.viewing.layers import reads_of, volume_of
from hipct.viewing.minimap import Box

_ORDERS = {0: (0, 1, 2), 1: (1, 0, 2), 2: (2, 0, 1)}


def main_layer(viewer: Any) -> Any | None:
    """The volume that the others lie in: the lowest one that is visible, or the lowest one."""
    ours = [layer for layer in viewer.layers if reads_of(layer) and volume_of(layer)]
    return next((layer for layer in ours if layer.visible), ours[0] if ours else None)


def shown_axes(viewer: Any) -> tuple[int, int]:
    """Axes along the rows' and the columns' number: 0, 1, 2 for z, y, x."""
    rows, columns = viewer.dims.order[-2:]
    before = _before_space(viewer)
    return int(rows) - before, int(columns) - before


def look_along(viewer: Any, axis: int) -> None:
    """Show slices across an axis: 0, 1, 2 for z, y, x; the same place stays in view.

    In a window without a volume there is nothing to look along.
    """
    before = _before_space(viewer)
    if before < 0:
        return
    place = place_in_view(viewer)
    viewer.dims.ndisplay = 2
    viewer.dims.order = (*range(before), *(each + before for each in _ORDERS[axis]))
    go_to(viewer, place)


def place_in_view(viewer: Any) -> tuple[float, float, float]:
    """z, y, x in the world in the middle of the view."""
    point = [float(p) for p in viewer.dims.point[-3:]]
    place = [0.0] * (3 - len(point)) + point
    if viewer.dims.ndisplay == 2:
        for axis, centre in zip(shown_axes(viewer), viewer.scene.camera.center[-2:]):
            place[axis] = float(centre)
    else:
        before = _before_space(viewer)
        for axis, centre in zip(viewer.dims.order[-3:], viewer.scene.camera.center):
            place[axis - before] = float(centre)
    return place[0], place[1], place[2]


def go_to(viewer: Any, place: Sequence[float]) -> None:
    """Bring a place (z, y, x in the world) into the middle of the view, at the same zoom."""
    before = _before_space(viewer)
    for axis, value in enumerate(place, start=before):
        if axis >= 0:
            viewer.dims.set_point(axis, value)
    if viewer.dims.ndisplay == 2:
        rows, columns = shown_axes(viewer)
        viewer.scene.camera.center = (0.0, place[rows], place[columns])
    else:
        viewer.scene.camera.center = tuple(place[axis - before] for axis in viewer.dims.order[-3:])


def step(viewer: Any, slices: int) -> None:
    """Move on by some slices of the main volume."""
    if _before_space(viewer) < 0:
        return
    axis = int(viewer.dims.order[-3])
    last = viewer.dims.nsteps[axis] - 1
    viewer.dims.set_current_step(axis, min(max(viewer.dims.current_step[axis] + slices, 0), last))


def _before_space(viewer: Any) -> int:
    """Axes of a window before z, y and x: those of layers of others; -1 where there is no z."""
    return int(viewer.dims.ndim) - 3


def box_in_view(viewer: Any) -> Box:
    """Top, left, bottom, right of what a window shows in two dimensions, in the world."""
    row, column = (float(c) for c in viewer.scene.camera.center[-2:])
    height, width = (float(n) / float(viewer.scene.camera.zoom) for n in viewer.canvas.size)
    return row - height / 2, column - width / 2, row + height / 2, column + width / 2


def on_change(viewer: Any, call: Callable[[], object]) -> None:
    """Call when the window looks at something else, at other layers, or when more has come."""

    def changed(event: Any = None) -> None:  # noqa: ARG001 - napari hands it over
        call()

    def inserted(event: Any) -> None:
        event.value.events.set_data.connect(changed)
        call()

    for layer in viewer.layers:
        layer.events.set_data.connect(changed)
    viewer.scene.camera.events.center.connect(changed)
    viewer.scene.camera.events.zoom.connect(changed)
    viewer.dims.events.point.connect(changed)
    viewer.dims.events.order.connect(changed)
    viewer.dims.events.ndisplay.connect(changed)
    viewer.layers.events.inserted.connect(inserted)
    viewer.layers.events.removed.connect(changed)
