"""A sweep in a window of its own: all values beside one another, or one above the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from qtpy.QtWidgets import QCheckBox, QLabel, QPushButton, QVBoxLayout, QWidget

from hipct.live.knobs import Value
from hipct.live.sweep import Sweep
from hipct.viewing.explorer_table import ROWS, FiguresTable

_GAP = 0.06
"""Between pictures beside one another, in parts of their width."""


class SweepPanel(QWidget):
    """Shows a sweep, and takes one of its values.

    The window shows either ``stack``, three-dimensional with the values along its first axis, or
    ``strip``, all of them beside one another, with ``names`` over it.

    Parameters
    ----------
    viewer : napari.Viewer
        A window for the sweep alone.
    found : Sweep
    voxel_size_um : float or None
        Edge of a voxel.
    take : callable
        Called with the value that a person takes.
    limits : (float, float)
        Grey values.
    """

    def __init__(
        self,
        viewer: Any,
        found: Sweep,
        voxel_size_um: float | None,
        take: Callable[[Value], object],
        limits: tuple[float, float],
    ) -> None:
        from napari.layers import Image, Points

        super().__init__()
        self._number = len(found.values) // 2
        self._viewer, self._found = viewer, found
        self._voxel = voxel_size_um or 1.0
        unit = "micrometer" if voxel_size_um else "pixel"
        self._words = FiguresTable(found.unit, voxel_size_um)
        look = {"colormap": "gray", "contrast_limits": limits}
        self.stack = Image(
            found.stack,
            name=found.knob.title,
            scale=(1.0, self._voxel, self._voxel),
            units=("pixel", unit, unit),
            axis_labels=(found.knob.title, "y", "x"),
            metadata={"values": found.values, "labels": found.labels},
            **look,
        )
        strip, self._corners = _strip(found.stack)
        self.strip = Image(
            strip,
            name="beside one another",
            scale=(self._voxel, self._voxel),
            units=(unit, unit),
            axis_labels=("y", "x"),
            **look,
        )
        self.names = Points(
            np.array(self._corners, float) * self._voxel,
            name="labels",
            size=1,
            opacity=1,
            face_color="transparent",
            border_color="transparent",
            units=(unit, unit),
            axis_labels=("y", "x"),
            features={"label": np.array(found.labels, dtype=object)},
            text={"string": "{label}", "anchor": "upper_left", "color": "yellow", "size": 10},
        )
        self.beside = QCheckBox("Beside one another")
        self.beside.setToolTip("All values at once; otherwise the slider goes through them")
        self.beside.setChecked(True)
        self.beside.toggled.connect(self._arrange)
        self.take = QPushButton("Take this value")
        self.take.clicked.connect(lambda: take(found.values[self.number]))
        self.words = QLabel()
        layout = QVBoxLayout(self)
        layout.addWidget(self.beside)
        layout.addWidget(self.words)
        layout.addWidget(self.take)
        layout.addStretch(1)
        viewer.dims.events.current_step.connect(self._stepped)
        viewer.mouse_double_click_callbacks.append(self._choose)
        self._arrange()

    @property
    def number(self) -> int:
        """Which value is chosen: by the slider of the stack, or by a double click."""
        return self._number

    def choose(self, number: int) -> None:
        """Choose one of the values, by its place."""
        self._number = number
        if not self.beside.isChecked():
            self._viewer.dims.set_current_step(0, number)
        self._tell()

    def _arrange(self) -> None:
        beside, number = self.beside.isChecked(), self._number
        # A view is fitted to all layers, seen or not.
        self._viewer.layers.clear()
        for layer in (self.strip, self.names) if beside else (self.stack,):
            self._viewer.add_layer(layer)
        self._viewer.layers.selection.active = self.strip if beside else self.stack
        self._viewer.reset_view()
        self.choose(number)

    def _stepped(self, _event: object = None) -> None:
        if not self.beside.isChecked() and self._viewer.dims.ndim > 2:
            self._number = int(self._viewer.dims.current_step[0])
            self._tell()

    def _tell(self) -> None:
        number = self._number
        told = self._found.figures[number]
        facts = [(name, value(told)) for name, _, value in ROWS]
        words = [f"{name} {self._words.text(name, is_)}" for name, is_ in facts if is_ is not None]
        self.words.setText("\n".join([self._found.labels[number], *words]))
        self.take.setText(f"Take {self._found.labels[number]}")
        text = self._viewer.canvas.overlays.text
        text.text, text.position = self._found.labels[number], "top_left"
        text.visible = not self.beside.isChecked()

    def _choose(self, _viewer: Any, event: Any) -> None:
        """A double click into one of the pictures beside one another chooses its value."""
        if not self.beside.isChecked():
            return
        at = np.array(event.position[-2:]) / self._voxel
        shape = self._found.stack.shape[1:]
        for number, corner in enumerate(self._corners):
            if all(0 <= at[k] - corner[k] < shape[k] for k in range(2)):
                self.choose(number)


def _strip(stack: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], list[tuple[int, int]]]:
    """Pictures beside one another in about a square, and where the corner of each lies."""
    count, rows, columns = stack.shape
    across = math.ceil(math.sqrt(count * rows / columns))
    gap = max(1, round(_GAP * columns))
    down = math.ceil(count / across)
    whole = np.full((down * (rows + gap) - gap, across * (columns + gap) - gap), np.nan, np.float32)
    corners = []
    for number, picture in enumerate(stack):
        top, left = number // across * (rows + gap), number % across * (columns + gap)
        whole[top : top + rows, left : left + columns] = picture
        corners.append((top, left))
    return whole, corners
