"""The table of data sets in the panel Atlas, and what narrows it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hipct.atlas.catalogue import Catalogue
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.listing import organ_words, search

_COLUMNS = ("name", "organ", "donor", "voxel um", "GB", "kind")
_WIDTHS = (230, 90, 90, 60, 60, 60)
_LOWEST = 160
_LARGEST_UM = 1000.0


class AtlasTable(QWidget):
    """Data sets in rows, with a line to search in and boxes to choose by.

    ``chosen`` tells the name of a row that has become the present one, ``activated`` of one that
    was clicked twice.
    """

    chosen = Signal(str)
    activated = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.words = QLineEdit()
        self.words.setPlaceholderText("Search: parts of names, organs, donors")
        self.words.setClearButtonEnabled(True)
        self.organ, self.donor, self.kind = QComboBox(), QComboBox(), QComboBox()
        self.finest, self.coarsest = QDoubleSpinBox(), QDoubleSpinBox()
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setHorizontalHeaderLabels(list(_COLUMNS))
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.table.setSortingEnabled(True)
        self.table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        for column, width in enumerate(_WIDTHS):
            header.resizeSection(column, width)
        self.table.setMinimumHeight(_LOWEST)
        self.count = QLabel("reading descriptions ...")
        boxes = QGridLayout()
        boxes.addWidget(self.words, 0, 0, 1, 3)
        for column, (box, name) in enumerate(
            ((self.organ, "any organ"), (self.donor, "any donor"), (self.kind, "any kind"))
        ):
            box.addItem(name, None)
            box.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
            box.setMinimumContentsLength(8)
            boxes.addWidget(box, 1, column)
        for column, (spin, prefix, value) in enumerate(
            ((self.finest, "from ", 0.0), (self.coarsest, "to ", _LARGEST_UM))
        ):
            spin.setRange(0, _LARGEST_UM)
            spin.setPrefix(prefix)
            spin.setSuffix(" um")
            spin.setValue(value)
            spin.setToolTip("Edge of a voxel")
            boxes.addWidget(spin, 2, column)
        boxes.addWidget(self.count, 2, 2)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(boxes)
        layout.addWidget(self.table, 1)
        self._catalogue: Catalogue = {}
        signals: tuple[Any, ...] = (
            self.words.textChanged,
            self.organ.currentIndexChanged,
            self.donor.currentIndexChanged,
            self.kind.currentIndexChanged,
            self.finest.valueChanged,
            self.coarsest.valueChanged,
        )
        for signal in signals:
            signal.connect(lambda *_: self.narrow())
        self.table.currentCellChanged.connect(lambda *_: self._choose(self.chosen.emit))
        self.table.cellDoubleClicked.connect(lambda *_: self._choose(self.activated.emit))

    @property
    def name(self) -> str | None:
        """Of the data set in the present row."""
        row = self.table.currentRow()
        return None if row < 0 else self._name_of(row)

    @property
    def names(self) -> list[str]:
        """Of the rows, from above."""
        return [self._name_of(row) for row in range(self.table.rowCount())]

    def fill(self, catalogue: Catalogue) -> None:
        """Show these data sets."""
        self._catalogue = catalogue
        for box, values in (
            (self.organ, {one.organ for one in catalogue.values()}),
            (self.donor, {one.donor for one in catalogue.values()}),
            (self.kind, {one.kind for one in catalogue.values()}),
        ):
            kept = box.currentData()
            box.blockSignals(True)
            while box.count() > 1:
                box.removeItem(1)
            for value in sorted(value for value in values if value):
                box.addItem(value, value)
            box.setCurrentIndex(max(0, box.findData(kept)))
            box.blockSignals(False)
        self.narrow()

    def choose(self, name: str) -> None:
        """Make the row of a data set the present one, if it is shown."""
        for row in range(self.table.rowCount()):
            if self._name_of(row) == name:
                self.table.setCurrentCell(row, 0)

    def narrow(self) -> None:
        """Show the rows that are asked for; the present one stays, if it is among them."""
        found = search(
            self._catalogue.values(),
            self.words.text(),
            organ=self.organ.currentData(),
            donor=self.donor.currentData(),
            kind=self.kind.currentData(),
            finest_um=self.finest.value(),
            coarsest_um=self.coarsest.value(),
        )
        kept = self.name
        self.table.blockSignals(True)
        self.table.setSortingEnabled(False)
        self.table.setRowCount(len(found))
        for row, one in enumerate(found):
            for column, item in enumerate(_items(one)):
                self.table.setItem(row, column, item)
        self.table.setSortingEnabled(True)
        self.table.setCurrentCell(-1, -1)
        self.table.blockSignals(False)
        self.count.setText(f"{len(found)} of {len(self._catalogue)} sets")
        if kept is not None:
            self.choose(kept)

    def _name_of(self, row: int) -> str:
        item = self.table.item(row, 0)
        return "" if item is None else item.text()

    def _choose(self, tell: Callable[[str], object]) -> None:
        if self.name is not None:
            tell(self.name)


def _items(one: AtlasSet) -> list[QTableWidgetItem]:
    made = []
    values = (
        one.name,
        organ_words(one),
        one.donor,
        round(one.voxel_size_um, 3),
        round(one.gigabytes, 1),
        one.kind,
    )
    for value in values:
        item = QTableWidgetItem()
        # Numbers as numbers: they are sorted as such.
        item.setData(Qt.ItemDataRole.DisplayRole, value)
        made.append(item)
    made[0].setToolTip(one.name)
    return made
