"""The panel Oblique: a slice at any angle, beside the window and, in three dimensions, in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QImage, QPainter
from qtpy.QtWidgets import (
    QCheckBox,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from hipct.live.cancel import Asked, Cancelled
from hipct.viewing.background import LatestWins
from hipct.viewing.layers import reads_of, volume_of
from hipct.viewing.minimap import grey
from hipct.viewing.oblique import Oblique, cut
from hipct.viewing.position import place_words
from hipct.viewing.reads import PyramidReads
from hipct.viewing.tools import tool
from hipct.viewing.window_state import go_to, main_layer, place_in_view

_ROUGH, _FINE = 128, 512
"""Pixels along an edge: what comes first, and what stays."""
_STEPS_ACROSS = 200
"""Notches of the wheel that the width of the picture has."""


class ObliquePicture(QWidget):
    """A square picture with a cross; the wheel moves through it, Ctrl and the wheel zoom.

    Signals
    -------
    wheeled : (float, bool)
        Notches, and whether Ctrl was held.
    picked : (float, float)
        Where a double click was: fractions of the edge right and down of the middle.
    """

    wheeled = Signal(float, bool)
    picked = Signal(float, float)

    def __init__(self) -> None:
        super().__init__()
        self.setMinimumSize(180, 180)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setToolTip("Wheel: move across. Ctrl+wheel: zoom. Double click: go there.")
        self.picture: NDArray[np.uint8] | None = None

    def show_picture(self, picture: NDArray[np.uint8]) -> None:
        """Show another picture."""
        self.picture = picture
        self.update()

    def paintEvent(self, event: Any) -> None:  # noqa: N802, ARG002 - Qt's name
        """Draw picture and cross."""
        painter = QPainter(self)
        try:
            painter.fillRect(self.rect(), QColor(0, 0, 0))
            if self.picture is not None:
                rows, columns = self.picture.shape
                kind = QImage.Format.Format_Grayscale8
                image = QImage(self.picture.data, columns, rows, columns, kind)
                painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
                painter.drawImage(self._frame(), image)
            painter.setPen(QColor(255, 200, 0))
            middle = self._frame().center().toPoint()
            painter.drawLine(middle.x() - 6, middle.y(), middle.x() + 6, middle.y())
            painter.drawLine(middle.x(), middle.y() - 6, middle.x(), middle.y() + 6)
        finally:
            painter.end()

    def wheelEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Tell notches."""
        control = bool(event.modifiers() & Qt.KeyboardModifier.ControlModifier)
        self.wheeled.emit(event.angleDelta().y() / 120, control)
        event.accept()

    def mouseDoubleClickEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Tell the place."""
        frame = self._frame()
        offset = event.position() - frame.center()
        self.picked.emit(offset.x() / frame.width(), offset.y() / frame.height())

    def _frame(self) -> QRectF:
        edge = min(self.width(), self.height())
        return QRectF((self.width() - edge) / 2, (self.height() - edge) / 2, edge, edge)


class ObliquePanel(QWidget):
    """A slice of the main volume through a place, tilted and turned; made while it is looked at.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._worker = LatestWins("hipct-oblique")
        self._centre: tuple[float, float, float] | None = None
        self._width = 0.0
        self.picture, self.words = ObliquePicture(), QLabel()
        self.words.setWordWrap(True)
        self.tilt, self.turn = self._slider(-90, 90), self._slider(-180, 180)
        self.tilt.setToolTip("Tilt about the x axis: 0 is a slice across z, 90 one across y")
        self.turn.setToolTip("Turn about the z axis")
        self.solid = QCheckBox("in 3-D too")
        self.solid.setToolTip("Show this plane alone where the window shows three dimensions")
        self.solid.toggled.connect(lambda _: self._show_in_window())
        layout = QVBoxLayout(self)
        layout.addWidget(self.picture, 1)
        form = QFormLayout()
        form.addRow("tilt", self.tilt)
        form.addRow("turn", self.turn)
        layout.addLayout(form)
        row = QHBoxLayout()
        row.addWidget(tool("From view", "Through the middle of the window", self.from_view))
        row.addWidget(tool("Whole", "As wide as the volume", self.whole))
        row.addWidget(self.solid)
        layout.addLayout(row)
        layout.addWidget(self.words)
        self.picture.wheeled.connect(self._wheeled)
        self.picture.picked.connect(self._picked)

    @property
    def plane(self) -> Oblique | None:
        """The plane that is shown."""
        return None if self._centre is None else self._plane(_FINE)

    def showEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Begin where the window looks."""
        super().showEvent(event)
        if self._centre is None:
            self.from_view()

    def from_view(self) -> None:
        """Put the plane through the middle of what the window shows."""
        if self._main() is not None:
            self._centre = None
            self.refresh()

    def whole(self) -> None:
        """Show all of the volume."""
        if self._main() is not None:
            self._width = self._extent()
            self.refresh()

    def refresh(self) -> None:
        """Make the picture anew, first a rough one."""
        main = self._main()
        if main is None:
            return
        if self._centre is None:
            self._centre = self._of_volume(place_in_view(self._viewer))
            self._width = self._width or self._extent()
        layer, reads = main
        planes, limits = [self._plane(_ROUGH), self._plane(_FINE)], tuple(layer.contrast_limits)

        def work(newer: Asked) -> Iterator[NDArray[np.uint8]]:
            for plane in planes:
                try:
                    yield grey(cut(reads, plane, newer), (limits[0], limits[1]))
                except InterruptedError as stopped:
                    raise Cancelled from stopped

        self._worker.submit(work, self.picture.show_picture, self._ended)
        self._tell("")
        self._show_in_window()

    def _slider(self, low: int, high: int) -> QSlider:
        slider = QSlider(Qt.Orientation.Horizontal)
        slider.setRange(low, high)
        slider.valueChanged.connect(lambda _: self.refresh())
        return slider

    def _main(self) -> tuple[Any, PyramidReads] | None:
        layer = main_layer(self._viewer)
        reads = None if layer is None else reads_of(layer)
        if layer is None or reads is None or layer.ndim != 3 or layer._type_string != "image":
            self.words.setText("There is no volume of grey values to cut.")
            return None
        return layer, reads

    def _plane(self, pixels: int) -> Oblique:
        centre = self._centre or (0.0, 0.0, 0.0)
        angles = float(self.tilt.value()), float(self.turn.value())
        return Oblique(centre, *angles, pixel=self._width / pixels, pixels=pixels)

    def _extent(self) -> float:
        main = self._main()
        if main is None:
            return 1.0
        scale, _ = main[1].places[0]
        return float(max(n * s for n, s in zip(main[1].levels[0].shape, scale)))

    def _of_volume(self, world: tuple[float, float, float]) -> tuple[float, float, float]:
        """A place of the window in the volume's own coordinates."""
        layer, reads = self._main() or (None, None)
        if layer is None or reads is None:
            return world
        scale, first = (np.asarray(v, float) for v in reads.places[0])
        z, y, x = np.asarray(layer.world_to_data(world)) * scale + first
        return float(z), float(y), float(x)

    def _wheeled(self, notches: float, zoom: bool) -> None:
        if self._centre is None:
            return
        if zoom:
            self._width *= 0.9**notches
        else:
            self._centre = self._plane(_FINE).moved(notches * self._width / _STEPS_ACROSS)
        self.refresh()

    def _picked(self, right: float, down: float) -> None:
        main = self._main()
        if main is None or self._centre is None:
            return
        axes, (layer, reads) = self._plane(_FINE).axes, main
        offset = self._width * (right * axes[2] + down * axes[1])
        place = np.asarray(self._centre) + offset
        self._centre = (float(place[0]), float(place[1]), float(place[2]))
        scale, first = (np.asarray(v, float) for v in reads.places[0])
        go_to(self._viewer, [float(p) for p in layer.data_to_world((place - first) / scale)])
        self.refresh()

    def _ended(self, error: Exception | None) -> None:
        self._tell("" if error is None else str(error))

    def _tell(self, fault: str) -> None:
        main = self._main()
        volume = None if main is None else volume_of(main[0])
        if volume is not None and self._centre is not None:
            place = place_words(self._centre, volume.length_unit)
            angles = f"tilt {self.tilt.value()}, turn {self.turn.value()} degrees"
            self.words.setText("<br>".join(part for part in (place, angles, fault) if part))

    def _show_in_window(self) -> None:
        """Show the plane in the volume, where the window shows three dimensions."""
        main = self._main()
        if main is None or self._centre is None:
            return
        layer, reads = main
        solid = self.solid.isChecked()
        layer.depiction = "plane" if solid else "volume"
        if solid:
            scale, first = (np.asarray(v, float) for v in reads.places[layer.data_level])
            # napari counts in voxels of the level that is shown.
            layer.plane.position = tuple((np.asarray(self._centre) - first) / scale)
            layer.plane.normal = tuple(self._plane(_FINE).axes[0] * scale)
