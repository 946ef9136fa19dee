"""The panel Hierarchy: the volumes of a window as a tree, with the way to each and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hipct.atlas.hierarchy import Member
from hipct.viewing.hierarchy import Tour, open_members
from hipct.viewing.hierarchy_layers import Frames
from hipct.viewing.notices import noticed
from hipct.viewing.tools import add_panel, tool

_CHECKED = {True: Qt.CheckState.Checked, False: Qt.CheckState.Unchecked}


def add_hierarchy(
    viewer: Any, members: Sequence[Member], notes: Sequence[str] = ()
) -> HierarchyPanel:
    """Add volumes to a window where they lie, and the panel Hierarchy beside it.

    Parameters
    ----------
    viewer : napari.Viewer
    members, notes
        Of :func:`hipct.atlas.hierarchy.hierarchy_of`.
    """
    panel = HierarchyPanel(open_members(viewer, members, notes))
    add_panel(viewer, panel, "Hierarchy")
    return panel


class HierarchyPanel(QWidget):
    """A tree of volumes: the check shows and hides, a double click goes there.

    Parameters
    ----------
    tour : Tour
    """

    def __init__(self, tour: Tour) -> None:
        super().__init__()
        self.tour, viewer = tour, tour.viewer
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["volume", "voxel um", "middle mm (z, y, x)"])
        self.tree.setToolTip("Check: show. Double click: go there.")
        self._items: list[QTreeWidgetItem] = []
        self._fill()
        self.tree.itemChanged.connect(self._checked)
        self.tree.itemActivated.connect(lambda item, _: self._go(self._items.index(item)))
        self.tree.currentItemChanged.connect(lambda *_: self._tell())
        self.frames = Frames(viewer, tour.members[1:])
        self.alone, self.framed = QCheckBox("One at a time"), QCheckBox("Frames")
        self.alone.setToolTip("Hide the other zooms when one is gone to")
        self.framed.setToolTip("Outline the zooms, hidden ones too")
        self.alone.toggled.connect(self._alone)
        self.framed.toggled.connect(self._frame)
        self.words = QLabel()
        self.words.setWordWrap(True)
        layout = QVBoxLayout(self)
        layout.addWidget(self.tree, 1)
        rows: tuple[tuple[Any, ...], ...] = (
            (
                tool("Previous", "Go to the zoom before (,)", lambda: self._step(-1)),
                tool("Next", "Go to the next zoom (.)", lambda: self._step(1)),
                tool("Toggle", "Hide or show what is looked at (Shift+T)", self._toggle),
            ),
            (
                tool("Go to", "Go to the chosen volume", self._go_to_chosen),
                tool("Overview", "Show all of the first volume", lambda: self._go(0)),
                tool("Back", "Return to the view before (Backspace)", self._back),
            ),
            (self.alone, self.framed),
        )
        for row in rows:
            line = QHBoxLayout()
            for widget in row:
                line.addWidget(widget)
            layout.addLayout(line)
        layout.addWidget(self.words)
        for key, call in (
            (".", lambda: self._step(1)),
            (",", lambda: self._step(-1)),
            ("Backspace", self._back),
            ("Shift-T", self._toggle),
        ):
            viewer.bind_key(key, lambda _, call=call: call(), overwrite=True)
        for layer in tour.layers:
            layer.events.visible.connect(self._layers_changed)
        viewer.layers.events.removed.connect(self._layers_changed)
        tour.on_change = self._follow
        self.framed.setChecked(len(tour.members) > 1)
        self._follow()

    def _fill(self) -> None:
        members = self.tour.members
        by_name: dict[str, QTreeWidgetItem] = {}
        for number, member in enumerate(members):
            middle = ", ".join(f"{p / 1e3:.2f}" for p in member.middle_um)
            place = "not known" if member.why else middle
            item = QTreeWidgetItem([member.name, f"{member.voxel_um:.4g}", place])
            item.setCheckState(0, _CHECKED[bool(self.tour.layers[number].visible)])
            item.setToolTip(0, member.why or " in ".join(member.path))
            self._items.append(item)
        # What a volume is placed through stands above it, in whatever order they were given.
        for member, item in zip(members, self._items):
            by_name[member.path[0]] = item
        for number, (member, item) in enumerate(zip(members, self._items)):
            above = next((by_name[name] for name in member.path[1:] if name in by_name), None)
            if number == 0:
                self.tree.insertTopLevelItem(0, item)
            else:
                (above or self._items[0]).addChild(item)
        self.tree.expandAll()
        for column in range(3):
            self.tree.resizeColumnToContents(column)

    def _step(self, by: int) -> None:
        with noticed():
            self.tour.step(by)

    def _go(self, number: int) -> None:
        with noticed():
            self.tour.go(number)

    def _go_to_chosen(self) -> None:
        item = self.tree.currentItem()
        if item is not None:
            self._go(self._items.index(item))

    def _back(self) -> None:
        with noticed():
            self.tour.back()

    def _toggle(self) -> None:
        with noticed():
            self.tour.toggle()

    def _alone(self, alone: bool) -> None:
        self.tour.alone = alone

    def _frame(self, visible: bool) -> None:
        with noticed():
            self.frames.show(visible)

    def _checked(self, item: QTreeWidgetItem, column: int) -> None:
        if column == 0:
            layer = self.tour.layers[self._items.index(item)]
            layer.visible = item.checkState(0) == Qt.CheckState.Checked

    def _layers_changed(self, event: Any = None) -> None:  # noqa: ARG002 - napari hands it over
        self.tree.blockSignals(True)
        for item, layer in zip(self._items, self.tour.layers):
            item.setCheckState(0, _CHECKED[bool(layer.visible)])
            item.setDisabled(layer not in self.tour.viewer.layers)
        self.tree.blockSignals(False)

    def _follow(self) -> None:
        self._layers_changed()
        self.tree.setCurrentItem(self._items[self.tour.current])
        self._tell()

    def _tell(self) -> None:
        item = self.tree.currentItem()
        member = self.tour.members[self._items.index(item)] if item is not None else None
        words = [] if member is None else [member.why or " in ".join(member.path)]
        self.words.setText("\n".join([*words, *self.tour.notes]))
