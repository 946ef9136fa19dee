"""The picture of the phase explorer: one slice, before and after, split by a line to be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from hipct.live.comparison import Comparison
from hipct.viewing.position import UNIT

GRIP_PX = 8
"""Pixels of the screen on either side of the line within which the mouse takes it."""

_LOW, _HIGH = 0.5, 99.5
_LINE_PX = 2.0


class SplitPicture:
    """Two layers and a line in a window of napari.

    The layers are two-dimensional: whatever else the window shows, they lie over it. ``before``
    is cut off at the line, and ``after`` lies under it.

    Parameters
    ----------
    viewer : napari.Viewer
    voxel_size_um : float or None
        Edge of a voxel.
    unit : str
        Of the values.
    name : str
        What the layers are called after.

    Attributes
    ----------
    shown : Comparison or None
        What is shown.
    before, after, line : napari layers or None
        Once there is something to show.
    moved : callable
        Called with the share when the mouse has moved the line.
    """

    def __init__(self, viewer: Any, voxel_size_um: float | None, unit: str, name: str) -> None:
        self._viewer, self._values_in, self._name = viewer, unit, name
        self._voxel = voxel_size_um or 1.0
        self._unit = "micrometer" if voxel_size_um else "pixel"
        self.shown: Comparison | None = None
        self.before: Any = None
        self.after: Any = None
        self.line: Any = None
        self.moved: Callable[[float], object] = lambda _: None
        self._share = 0.5
        self._compares = False
        viewer.mouse_drag_callbacks.append(self._drag)

    @property
    def share(self) -> float:
        """Part of the width that is shown as it was before."""
        return self._share if self._compares else 0.0

    @property
    def limits(self) -> tuple[float, float]:
        """Grey values that are black and white."""
        if self.after is None:
            return 0.0, 1.0
        low, high = self.after.contrast_limits
        return float(low), float(high)

    def split(self, compares: bool, share: float | None = None) -> None:
        """Show before and after beside one another, or after alone.

        Parameters
        ----------
        compares : bool
        share : float, optional
            Part of the width, from 0 to 1, that is shown as it was before.
        """
        self._compares = compares
        if share is not None:
            self._share = min(max(share, 0.0), 1.0)
        self._draw_before()

    def show(self, shown: Comparison) -> None:
        """Show pictures; the first ones decide on the grey values."""
        first = self.after is None
        self.shown = shown
        if first:
            self._add(shown)
        self.after.data = shown.after
        _put(self.after, translate=self._place())
        self._draw_before()

    def stretch(self) -> None:
        """Choose the grey values anew, from what is shown."""
        if self.shown is not None:
            self.after.contrast_limits = _limits(self.shown)

    def remove(self) -> None:
        """Take the layers out of the window."""
        if self._drag in self._viewer.mouse_drag_callbacks:
            self._viewer.mouse_drag_callbacks.remove(self._drag)
        if self.line is not None:
            self._viewer.scene.camera.events.zoom.disconnect(self._thin)
        for layer in (self.before, self.after, self.line):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)

    def _add(self, shown: Comparison) -> None:
        from napari.experimental import link_layers

        options = {
            "scale": (self._voxel, self._voxel),
            "translate": self._place(),
            "units": (self._unit, self._unit),
            "axis_labels": ("y", "x"),
            "colormap": "gray",
            "contrast_limits": _limits(shown),
            "metadata": {UNIT: self._values_in},
        }
        add = self._viewer.add_image
        self.after = add(shown.after, name=f"{self._name}: after", **options)
        self.before = add(shown.before, name=f"{self._name}: before", visible=False, **options)
        values = np.stack([shown.before, shown.after])
        spread = float(np.ptp(values)) or 1.0
        for layer in (self.before, self.after):
            layer.contrast_limits_range = (
                float(values.min()) - spread,
                float(values.max()) + spread,
            )
        link_layers([self.before, self.after], ("contrast_limits", "gamma", "colormap"))
        # One of shapes would do as well, and keep the window waiting for a second.
        self.line = self._viewer.add_vectors(
            np.array([[[0.0, 0.0], [1.0, 0.0]]]),
            vector_style="line",
            edge_color="yellow",
            edge_width=_LINE_PX,
            opacity=1.0,
            name=f"{self._name}: split",
            units=(self._unit, self._unit),
            axis_labels=("y", "x"),
            visible=False,
        )
        self._viewer.scene.camera.events.zoom.connect(self._thin)
        self._viewer.layers.selection.active = self.after

    def _draw_before(self) -> None:
        if self.shown is None:
            return
        rows, columns = self.shown.before.shape
        cut = round(self.share * columns)
        if cut:
            self.before.data = self.shown.before[:, :cut]
            _put(self.before, translate=self._place())
            top, half = self._place()[0], 0.5 * self._voxel
            start = top - half, self._line_at()
            self.line.data = np.array([[start, (rows * self._voxel, 0.0)]])
            self._thin()
        _put(self.before, visible=cut > 0)
        _put(self.line, visible=self._compares)

    def _thin(self, _event: object = None) -> None:
        """The line is as wide on the screen at any zoom."""
        self.line.edge_width = _LINE_PX / max(self._viewer.scene.camera.zoom, 1e-9)

    def _place(self) -> tuple[float, float]:
        assert self.shown is not None
        rows, columns = self.shown.region
        return rows.start * self._voxel, columns.start * self._voxel

    def _line_at(self) -> float:
        """Where the line lies, in units of the window."""
        assert self.shown is not None
        cut = round(self.share * self.shown.before.shape[1])
        place: float = self._place()[1] + (cut - 0.5) * self._voxel
        return place

    def _drag(self, viewer: Any, event: Any) -> Iterator[None]:
        """The line follows the mouse that has taken it."""
        if not self._compares or self.shown is None or viewer.dims.ndisplay != 2:
            return
        if abs(event.position[-1] - self._line_at()) * viewer.scene.camera.zoom > GRIP_PX:
            return
        pans, viewer.scene.camera.mouse_pan = viewer.scene.camera.mouse_pan, False
        try:
            yield
            while event.type == "mouse_move":
                left, width = self._place()[1], self.shown.before.shape[1] * self._voxel
                self.split(True, (event.position[-1] - left + self._voxel / 2) / width)
                self.moved(self._share)
                yield
        finally:
            viewer.scene.camera.mouse_pan = pans


def _put(layer: Any, **values: Any) -> None:
    """Set what differs: napari draws a layer anew for what it has already, too."""
    for name, value in values.items():
        if not np.array_equal(getattr(layer, name), value):
            setattr(layer, name, value)


def _limits(shown: Comparison) -> tuple[float, float]:
    """Grey values that hold nearly all that is not empty."""
    values = np.concatenate([shown.before.ravel(), shown.after.ravel()])
    inside = values[values != 0]
    if not inside.size:
        return 0.0, 1.0
    low, high = np.percentile(inside, [_LOW, _HIGH])
    return float(low), float(max(high, low + 1e-6))
