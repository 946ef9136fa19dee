"""The panel Position: a minimap, where the pointer is and what lies there, and ways to go there."""

from __future__ import annotations

from functools import partial
from typing import Any

from qtpy.QtCore import QRectF, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QImage, QPainter, QPen
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from hipct.viewing.bookmarks import Bookmark, bookmark_of, show_bookmark
from hipct.viewing.layers import reads_of, volume_of
from hipct.viewing.minimap import Box, Overview, overview
from hipct.viewing.position import parse_place, place_words, read_out
from hipct.viewing.tools import tool
from hipct.viewing.window_state import (
    box_in_view,
    go_to,
    look_along,
    main_layer,
    on_change,
    place_in_view,
    shown_axes,
)

_PAUSE_MS = 60
_LOADING_MS = 300
_SEEN = QColor(255, 200, 0)
_AXES = (
    ("z", "Slices across z, as axial ones (Shift+Z)"),
    ("y", "Slices across y, as coronal ones (Shift+Y)"),
    ("x", "Slices across x, as sagittal ones (Shift+X)"),
)


class Minimap(QWidget):
    """A small picture with a frame around what the window shows.

    Signals
    -------
    picked : (float, float)
        Place along the rows' and the columns' number that was clicked at.
    """

    picked = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(160, 160)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("Click or drag to move the view")
        self.setCursor(Qt.CursorShape.CrossCursor)
        self._overview: Overview | None = None
        self._box: Box | None = None

    def show_overview(self, shown: Overview | None, box: Box | None) -> None:
        """Show a picture, and a frame around ``box`` in its unit."""
        self._overview, self._box = shown, box
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802, ARG002 - Qt's name
        """Draw picture and frame."""
        painter = QPainter(self)
        try:
            painter.fillRect(self.rect(), QColor(0, 0, 0))
            if self._overview is not None:
                self._paint(painter, self._overview)
        finally:
            # A painter that is left to the garbage collector paints on.
            painter.end()

    def _paint(self, painter: QPainter, shown: Overview) -> None:
        picture = shown.picture
        rows, columns = picture.shape
        image = QImage(picture.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
        frame = self._frame()
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        painter.drawImage(frame, image)
        if self._box is not None:
            top, left, bottom, right = shown.pixels_of(self._box)
            factor = frame.width() / columns, frame.height() / rows
            seen = QRectF(
                frame.left() + left * factor[0],
                frame.top() + top * factor[1],
                max(3.0, (right - left) * factor[0]),
                max(3.0, (bottom - top) * factor[1]),
            )
            painter.setPen(QPen(_SEEN, 1.5))
            painter.drawRect(seen)

    def mousePressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Pick a place."""
        self._pick(event)

    def mouseMoveEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Pick places on the way."""
        self._pick(event)

    def _pick(self, event: Any) -> None:
        if self._overview is None:
            return
        frame, (rows, columns) = self._frame(), self._overview.picture.shape
        column = (event.position().x() - frame.left()) / frame.width() * columns
        row = (event.position().y() - frame.top()) / frame.height() * rows
        if 0 <= row <= rows and 0 <= column <= columns:
            self.picked.emit(*self._overview.place_of(row, column))

    def _frame(self) -> QRectF:
        """Where the picture lies: as large as it can be, in the right proportions."""
        if self._overview is None:
            return QRectF(self.rect())
        top, left, bottom, right = self._overview.box
        factor = min(self.width() / (right - left), self.height() / (bottom - top))
        width, height = factor * (right - left), factor * (bottom - top)
        return QRectF((self.width() - width) / 2, (self.height() - height) / 2, width, height)


class PositionPanel(QWidget):
    """Where the window looks, what lies under the pointer, and ways to go elsewhere.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._left: Bookmark | None = None
        self.minimap = Minimap()
        self.place, self.value, self.loading = QLabel(), QLabel(), QLabel()
        self.entry = QLineEdit()
        self.entry.setPlaceholderText("go to: z y x in mm, then Enter")
        self.entry.setToolTip("Coordinates as they stand above, e.g. 40.96 12.5 33")
        layout = QVBoxLayout(self)
        layout.addWidget(self.minimap, 1)
        for widget in (self.place, self.value, self.loading):
            widget.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            # One line each: what wraps moves everything below it while the pointer moves.
            widget.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            layout.addWidget(widget)
        # A window gives a panel that stands alone no more room than it asks for.
        widest = place_words((-1e5, -1e5, -1e5), "um")
        self.place.setMinimumWidth(self.place.fontMetrics().horizontalAdvance(widest))
        layout.addLayout(self._buttons())
        layout.addWidget(self.entry)
        self.minimap.picked.connect(self._go_on_slice)
        self.entry.returnPressed.connect(self._go_to_entry)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self.show_now)
        on_change(viewer, self._soon)
        viewer.mouse_move_callbacks.append(self._pointed)
        self._pointer: tuple[float, ...] | None = None
        self._soon()

    def show_now(self) -> None:
        """Show what the window looks at."""
        layer = main_layer(self._viewer)
        reads, volume = (None, None) if layer is None else (reads_of(layer), volume_of(layer))
        if layer is None or reads is None or volume is None:
            self.minimap.show_overview(None, None)
            return
        here = self._pointer or place_in_view(self._viewer)
        self.place.setText(place_words(here, volume.length_unit))
        self.value.setText(read_out(self._viewer.layers, here) or "nothing here")
        self.value.setToolTip(self.value.text())
        flat = self._viewer.dims.ndisplay == 2
        shown = shown_axes(self._viewer)
        (along,) = {0, 1, 2} - set(shown)
        limits = (0.0, 20.0) if volume.labels else tuple(layer.contrast_limits)
        place = float(self._viewer.dims.point[-3:][along])
        picture = overview(reads, shown, place, (limits[0], limits[1]))
        self.minimap.show_overview(picture, box_in_view(self._viewer) if flat else None)
        pending = sum(r.pending for r in map(reads_of, self._viewer.layers) if r is not None)
        self.loading.setText(f"{pending} chunks to come" if pending else " ")
        if pending:
            self._timer.start(_LOADING_MS)

    def _buttons(self) -> QHBoxLayout:
        row = QHBoxLayout()
        for axis, (name, tip) in enumerate(_AXES):
            row.addWidget(tool(name, tip, partial(look_along, self._viewer, axis)))
        solid = "The whole volume, at the detail chosen in Volume (Ctrl+Y)"
        row.addWidget(tool("3-D", solid, self._toggle_solid))
        row.addWidget(tool("all", "Show all of it (Ctrl+R)", self._viewer.reset_view))
        return row

    def _toggle_solid(self) -> None:
        """All of it in three dimensions; then the slice again that was left."""
        if self._viewer.dims.ndisplay == 2:
            self._left = bookmark_of(self._viewer, "left")
            self._viewer.dims.ndisplay = 3
            self._viewer.reset_view()
        elif self._left is None:
            self._viewer.dims.ndisplay = 2
        else:
            show_bookmark(self._viewer, self._left)

    def _soon(self) -> None:
        if not self._timer.isActive() or self._timer.remainingTime() > _PAUSE_MS:
            self._timer.start(_PAUSE_MS)

    def _pointed(self, viewer: Any, event: Any) -> None:  # noqa: ARG002 - napari hands it over
        self._pointer = tuple(viewer.cursor.position[-3:]) if viewer.dims.ndisplay == 2 else None
        self._soon()

    def _go_on_slice(self, row: float, column: float) -> None:
        place = list(place_in_view(self._viewer))
        for axis, value in zip(shown_axes(self._viewer), (row, column)):
            place[axis] = value
        go_to(self._viewer, place)

    def _go_to_entry(self) -> None:
        from hipct.viewing.notices import noticed

        layer = main_layer(self._viewer)
        volume = None if layer is None else volume_of(layer)
        with noticed():
            unit = "voxel" if volume is None else volume.length_unit
            go_to(self._viewer, parse_place(self.entry.text(), unit))
