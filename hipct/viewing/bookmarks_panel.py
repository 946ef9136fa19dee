"""The panel Bookmarks: views by name, kept in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from hipct.viewing.bookmarks import (
    Bookmark,
    bookmark_of,
    load_bookmarks,
    save_bookmarks,
    show_bookmark,
)
from hipct.viewing.notices import noticed
from hipct.viewing.tools import tool

_FILES = "Bookmarks (*.json)"


class BookmarksPanel(QWidget):
    """A list of views; a double click goes there, a name is edited by F2.

    Parameters
    ----------
    viewer : napari.Viewer
    file : Path, optional
        Bookmarks are read from it now if it is there, and kept in it whenever they change.

    Raises
    ------
    FormatError
        If the file is there and holds no bookmarks.
    """

    def __init__(self, viewer: Any, file: Path | None = None) -> None:
        super().__init__()
        self._viewer, self._file = viewer, file
        self.list = QListWidget()
        self.list.setToolTip("Double click: go there. F2: another name. Delete: remove.")
        self.list.setDragDropMode(QListWidget.DragDropMode.InternalMove)
        self.list.itemActivated.connect(self._go)
        self.list.itemChanged.connect(self._keep)
        self.list.model().rowsMoved.connect(self._keep)
        layout = QVBoxLayout(self)
        layout.addWidget(self.list, 1)
        row = QHBoxLayout()
        for name, tip, call in (
            ("Add", "Keep this view (Shift+B)", self.add),
            ("Next", "Go to the next one (N)", self.next),
            ("Remove", "Forget the chosen one", self.remove),
            ("Open...", "Bookmarks from a file", self._open),
            ("Save...", "Bookmarks into a file, which is kept up from now on", self._save),
        ):
            row.addWidget(tool(name, tip, call))
        layout.addLayout(row)
        if file is not None and file.exists():
            self._show(load_bookmarks(file))

    @property
    def bookmarks(self) -> list[Bookmark]:
        """Those of the list, in its order, under the names that it shows."""
        items = [self.list.item(number) for number in range(self.list.count())]
        kept = [item.data(Qt.ItemDataRole.UserRole) for item in items]
        return [Bookmark(**vars(k) | {"name": item.text()}) for k, item in zip(kept, items)]

    def add(self, name: str = "") -> None:
        """Keep the present view."""
        with noticed():
            self._append(bookmark_of(self._viewer, name or f"view {self.list.count() + 1}"))
            self.list.setCurrentRow(self.list.count() - 1)
            self._keep()

    def next(self) -> None:
        """Go to the view after the chosen one; after the last to the first."""
        if self.list.count():
            self.list.setCurrentRow((self.list.currentRow() + 1) % self.list.count())
            self._go(self.list.currentItem())

    def remove(self) -> None:
        """Forget the chosen view."""
        self.list.takeItem(self.list.currentRow())
        self._keep()

    def open(self, file: Path) -> None:
        """Show the bookmarks of a file instead of these, and keep them there."""
        with noticed():
            self._show(load_bookmarks(file))
            self._file = file

    def save(self, file: Path) -> None:
        """Keep the bookmarks in a file from now on."""
        self._file = file
        self._keep()

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Delete removes the chosen view."""
        if event.key() == Qt.Key.Key_Delete:
            self.remove()
        else:
            super().keyPressEvent(event)

    def _append(self, bookmark: Bookmark) -> None:
        self.list.blockSignals(True)
        item = QListWidgetItem(bookmark.name)
        item.setData(Qt.ItemDataRole.UserRole, bookmark)
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
        self.list.addItem(item)
        self.list.blockSignals(False)

    def _show(self, bookmarks: list[Bookmark]) -> None:
        self.list.clear()
        for bookmark in bookmarks:
            self._append(bookmark)

    def _go(self, item: QListWidgetItem) -> None:
        with noticed():
            show_bookmark(self._viewer, item.data(Qt.ItemDataRole.UserRole))

    def _keep(self, *changed: Any) -> None:  # noqa: ARG002 - what Qt says of the change
        if self._file is not None:
            with noticed():
                save_bookmarks(self._file, self.bookmarks)

    def _open(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Bookmarks", filter=_FILES)
        if name:
            self.open(Path(name))

    def _save(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Bookmarks", "bookmarks.json", _FILES)
        if name:
            self.save(Path(name))
