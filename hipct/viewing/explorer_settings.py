"""All sliders and choices of the phase explorer, in groups, and what they say together."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QGridLayout, QGroupBox, QVBoxLayout, QWidget

from hipct.live.knobs import Knob, Value, tissue_delta_beta
from hipct.viewing.explorer_rows import ChoiceRow, NumberRow, make_row
from hipct.viewing.tools import tool

_GROUPS = {
    "phase": "Phase retrieval",
    "scan": "Phase retrieval",
    "unsharp": "Unsharp mask",
    "reconstruction": "Reconstruction",
    "axis": "Reconstruction",
    "rings": "Rings",
}


class Settings(QWidget):
    """A row for each setting; those without an effect are hidden.

    Parameters
    ----------
    knobs : tuple of Knob
    changed : callable
        Called when a person has changed something.

    Attributes
    ----------
    rows : dict of str to NumberRow or ChoiceRow
        By the keys of the settings.
    changes : dict
        Values by their keys that differ from where they started.
    tissue : QToolButton
        Sets delta/beta of soft tissue at the energy as it is set.
    """

    def __init__(self, knobs: tuple[Knob, ...], changed: Callable[[], object]) -> None:
        super().__init__()
        self._knobs, self._tell = knobs, changed
        self.rows: dict[str, NumberRow | ChoiceRow] = {}
        self.changes: dict[str, Value] = {}
        self.tissue = tool("", "Set delta/beta of soft tissue", self._take_tissue)
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        grids: dict[str, QGridLayout] = {}
        for knob in knobs:
            title = _GROUPS[knob.key.partition(".")[0]]
            if title not in grids:
                grids[title] = self._group(title)
            grid = grids[title]
            row = self.rows[knob.key] = make_row(knob, self._changed)
            row.add_to(grid, grid.rowCount())
            if knob.key == "phase.delta_beta":
                grid.addWidget(self.tissue, grid.rowCount(), 1, 1, 2)
        self._column.addStretch(1)
        self._show_used()

    @property
    def values(self) -> dict[str, Value | None]:
        """The values of all settings."""
        return {knob.key: self.changes.get(knob.key, knob.value) for knob in self._knobs}

    def append(self, widget: QWidget) -> None:
        """Put something below the groups."""
        self._column.insertWidget(self._column.count() - 1, widget)

    def set(self, key: str, value: Value) -> None:
        """Set one of them, as its slider does."""
        self.rows[key].tell(value)

    def reset(self) -> None:
        """Put all of them back to where they started."""
        self.changes.clear()
        for row in self.rows.values():
            row.put(row.knob.value)
        self._show_used()
        self._tell()

    def _group(self, title: str) -> QGridLayout:
        box = QGroupBox(title)
        grid = QGridLayout(box)
        grid.setColumnStretch(1, 1)
        self._column.addWidget(box)
        return grid

    def _changed(self, key: str, value: Value | None) -> None:
        if value is None or value == self.rows[key].knob.value:
            self.changes.pop(key, None)
        else:
            self.changes[key] = value
        self._show_used()
        self._tell()

    def _show_used(self) -> None:
        values = self.values
        for row in self.rows.values():
            row.show(row.knob.used(values))
        tissue = tissue_delta_beta(values["scan.energy_kev"])
        used = self.rows["phase.delta_beta"].knob.used(values)
        self.tissue.setVisible(tissue is not None and used)
        if tissue is not None:
            self.tissue.setText(f"soft tissue: {tissue:.4g}")

    def _take_tissue(self) -> None:
        tissue = tissue_delta_beta(self.values["scan.energy_kev"])
        if tissue is not None:
            self.set("phase.delta_beta", tissue)
