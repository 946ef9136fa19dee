"""One row of the phase explorer for each setting: a slider on its own scale, or a choice."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QLabel,
    QSlider,
    QToolButton,
    QWidget,
)

from hipct.live.knobs import SIGNIFICANT, Knob, Value

PLACES = 1000
"""Steps of a slider over the range of its setting."""

_UNKNOWN = "not given"
_BUTTONS_PX = 56
"""Room that the style of napari takes for the buttons of a field."""

Changed = Callable[[str, Value | None], object]


class Row(ABC):
    """The widgets of one setting, in a line of a grid.

    Parameters
    ----------
    knob : Knob
    changed : callable
        Called with key and value when a person changes it.
    """

    def __init__(self, knob: Knob, changed: Changed) -> None:
        self.knob, self._changed = knob, changed
        self.value: Value | None = knob.value
        self.label = QLabel(knob.title)
        self.label.setToolTip(f"{knob.key}: {knob.words}")
        self.reset = QToolButton()
        self.reset.setText("\N{LEFTWARDS ARROW WITH HOOK}")
        self.reset.setAutoRaise(True)
        start = "not known" if knob.value is None else knob.text(knob.value)
        self.reset.setToolTip(f"Back to where it started: {start}")
        self.reset.clicked.connect(self._back)

    @abstractmethod
    def widgets(self) -> list[QWidget]:
        """All of them, from left to right."""

    @abstractmethod
    def put(self, value: Value | None) -> None:
        """Show a value without telling anyone."""

    def add_to(self, grid: QGridLayout, line: int) -> None:
        """Put the widgets into a line of a grid of four columns."""
        middle = self.widgets()[1:-1]
        grid.addWidget(self.label, line, 0)
        for column, widget in enumerate(middle, start=1):
            grid.addWidget(widget, line, column, 1, 3 - len(middle))
        grid.addWidget(self.reset, line, 3)

    def show(self, visible: bool) -> None:
        """Show or hide the row."""
        for widget in self.widgets():
            widget.setVisible(visible)

    def tell(self, value: Value | None) -> None:
        """Show a value, and tell that it is chosen; None where none was given at the start."""
        self.put(value)
        self._changed(self.knob.key, value)

    def _mark(self) -> None:
        moved = self.value != self.knob.value
        self.reset.setEnabled(moved)
        self.label.setStyleSheet("font-weight: bold" if moved else "")

    def _back(self) -> None:
        self.tell(self.knob.value)


class NumberRow(Row):
    """A number: slider, field with its unit, and the way back."""

    def __init__(self, knob: Knob, changed: Changed) -> None:
        super().__init__(knob, changed)
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, PLACES)
        self.slider.setMinimumWidth(60)
        self.field = QDoubleSpinBox()
        self.field.setKeyboardTracking(False)
        self.field.setDecimals(decimals(knob))
        self.field.setRange(knob.low, knob.high)
        self.field.setStepType(
            QDoubleSpinBox.StepType.AdaptiveDecimalStepType
            if knob.scale == "logarithmic"
            else QDoubleSpinBox.StepType.DefaultStepType
        )
        self.field.setSingleStep(knob.step or 1)
        self.field.setSuffix(f" {knob.unit}" if knob.unit else "")
        # The style of napari cuts off what stands behind a number.
        widest = max((self.field.textFromValue(end) for end in (knob.low, knob.high)), key=len)
        words = f"{widest}{self.field.suffix()}"
        self.field.setFixedWidth(self.field.fontMetrics().horizontalAdvance(words) + _BUTTONS_PX)
        for widget in (self.slider, self.field):
            widget.setToolTip(self.label.toolTip())
        self.slider.valueChanged.connect(lambda place: self.tell(knob.at(place / PLACES)))
        self.field.valueChanged.connect(lambda value: self.tell(knob.rounded(value)))
        self.put(knob.value)

    def widgets(self) -> list[QWidget]:
        """Label, slider, field, way back."""
        return [self.label, self.slider, self.field, self.reset]

    def put(self, value: Value | None) -> None:
        """Show a value without telling anyone; one that is not known stands at the left end."""
        self.value = value
        known = self.knob.low if value is None else float(value)
        for widget in (self.slider, self.field):
            widget.blockSignals(True)
        # What the field shows at its lower end, if not that number.
        self.field.setSpecialValueText(_UNKNOWN if value is None else "")
        self.slider.setValue(round(PLACES * self.knob.place(known)))
        self.field.setValue(known)
        for widget in (self.slider, self.field):
            widget.blockSignals(False)
        self._mark()


class ChoiceRow(Row):
    """One of a few words."""

    def __init__(self, knob: Knob, changed: Changed) -> None:
        super().__init__(knob, changed)
        self.box = QComboBox()
        self.box.addItems(list(knob.options))
        self.box.setToolTip(self.label.toolTip())
        self.box.textActivated.connect(self.tell)
        self.put(knob.value)

    def widgets(self) -> list[QWidget]:
        """Label, box, way back."""
        return [self.label, self.box, self.reset]

    def put(self, value: Value | None) -> None:
        """Show a value without telling anyone."""
        self.value = value
        self.box.setCurrentText(str(value))
        self._mark()


def make_row(knob: Knob, changed: Changed) -> NumberRow | ChoiceRow:
    """The row of a setting."""
    return (ChoiceRow if knob.scale == "choice" else NumberRow)(knob, changed)


def decimals(knob: Knob) -> int:
    """Digits after the point, so that every value of the knob can be told."""
    if knob.scale == "linear":
        return max(0, math.ceil(-math.log10(knob.step)))
    return max(0, SIGNIFICANT - 1 - math.floor(math.log10(knob.low)))
