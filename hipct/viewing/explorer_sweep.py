"""The part of the phase explorer that asks for a sweep: which setting, from where to where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QGridLayout, QGroupBox, QLabel, QSpinBox

from hipct.core.progress import Observer
from hipct.live.knobs import Knob
from hipct.live.sweep import MOST_VALUES, Sweep, sweep
from hipct.viewing.explorer_rows import decimals
from hipct.viewing.explorer_strip import SweepPanel
from hipct.viewing.notices import noticed
from hipct.viewing.progress import in_background
from hipct.viewing.tools import tool

if TYPE_CHECKING:
    from hipct.viewing.explorer_panel import PhaseExplorer

COUNT = 9
_FACTOR = 4.0
"""A logarithmic sweep goes from a quarter of the present value to four times it."""
_WINDOW = 1200, 900
_FIT_MS = 100
_PART = 0.2
"""A linear one takes this part of the range on either side."""


class SweepControls(QGroupBox):
    """Setting, first and last value, number of values, and the button.

    Parameters
    ----------
    explorer : PhaseExplorer
        With its tuning.

    Attributes
    ----------
    window : napari.Viewer or None
        The window of the last sweep.
    panel : SweepPanel or None
        What is beside it.
    """

    def __init__(self, explorer: PhaseExplorer) -> None:
        super().__init__("Sweep")
        self._explorer = explorer
        self.window: Any = None
        self.panel: SweepPanel | None = None
        self.which = QComboBox()
        assert explorer.tuning is not None
        for knob in explorer.tuning.knobs:
            self.which.addItem(knob.title, knob)
        self.which.setCurrentText("delta/beta")
        self.first, self.last = QDoubleSpinBox(), QDoubleSpinBox()
        self.count = QSpinBox()
        self.count.setRange(2, MOST_VALUES)
        self.count.setValue(COUNT)
        self.count.setToolTip("How many values")
        self._to = QLabel("to")
        grid = QGridLayout(self)
        grid.addWidget(self.which, 0, 0, 1, 3)
        grid.addWidget(
            tool("Sweep", "All of these values at once, in a new window", self.run), 0, 3
        )
        for column, widget in enumerate((self.first, self._to, self.last, self.count)):
            grid.addWidget(widget, 1, column)
        self.which.currentIndexChanged.connect(self._chosen)
        self._chosen()

    @property
    def knob(self) -> Knob:
        """The setting that is chosen."""
        chosen: Knob = self.which.currentData()
        return chosen

    def run(self) -> None:
        """Make the sweep in the background, and show it in a window of its own."""
        explorer, knob = self._explorer, self.knob
        assert explorer.tuning is not None
        tuning, z, region = explorer.tuning, explorer.z, explorer.region
        changes = dict(explorer.changes)
        with noticed():
            values = (
                list(knob.options)
                if knob.scale == "choice"
                else knob.spread(self.count.value(), self.first.value(), self.last.value())
            )

            def work(observer: Observer) -> Sweep:
                present = tuning.changed(changes)
                return sweep(present, knob.key, values, z=z, region=region, observer=observer)

            in_background(f"Sweep of {knob.title}", work, self._show)

    def _show(self, found: Sweep) -> None:
        import napari

        explorer = self._explorer
        self.window = napari.Viewer(title=f"{found.knob.title}, slice {explorer.z} - hipct")
        self.panel = SweepPanel(
            self.window,
            found,
            explorer.voxel_size_um,
            lambda value: explorer.set(found.knob.key, value),
            explorer.picture.limits,
        )
        self.window.window.resize(*_WINDOW)
        self.window.window.add_dock_widget(self.panel, name="Sweep", area="right")
        # Once the panels have taken their room.
        QTimer.singleShot(_FIT_MS, self.window.reset_view)

    def _chosen(self) -> None:
        knob, number = self.knob, self.knob.scale != "choice"
        for widget in (self.first, self._to, self.last, self.count):
            widget.setVisible(number)
        if not number:
            return
        value = self._explorer.settings.values[knob.key]
        if value is None:
            low, high = knob.low, knob.high
        elif knob.scale == "logarithmic":
            low, high = float(value) / _FACTOR, float(value) * _FACTOR
        else:
            reach = _PART * (knob.high - knob.low)
            low, high = float(value) - reach, float(value) + reach
        for field, at in ((self.first, low), (self.last, high)):
            field.setDecimals(decimals(knob))
            field.setRange(knob.low, knob.high)
            field.setSuffix(f" {knob.unit}" if knob.unit else "")
            field.setValue(knob.rounded(at))
