"""The panel Atlas: data sets of the Human Organ Atlas, opened where they lie, and crops of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLabel, QVBoxLayout, QWidget

from hipct.atlas.catalogue import Catalogue, known_as
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.listing import facts
from hipct.viewing.atlas_crop import CropBox
from hipct.viewing.atlas_session import AtlasSession, OpenSet
from hipct.viewing.atlas_table import AtlasTable
from hipct.viewing.atlas_work import Work
from hipct.viewing.tools import add_panel, tool
from hipct.viewing.window import new_window, stay
from hipct.volume.storage import Patience

MIRROR = "HIPCT_ATLAS_MIRROR"
"""Variable that names a copy of the buckets, as for ``hipct atlas``."""
_LINK = "#6c9ef8"


def browse(
    *names: str,
    own: Sequence[Path | str] = (),
    mirror: str | None = None,
    patience: Patience | None = None,
    show: bool = True,
) -> Any:
    """Open a window with the panel Atlas and, with ``show``, stay there until it is closed.

    Parameters
    ----------
    names : str
        Data sets that are opened at once, each in its place in the first one.
    own, mirror, patience
        As of :class:`AtlasPanel`.
    show : bool
        Whether to show the window and run the event loop.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtra
        If napari is not installed.
    """
    viewer = new_window("Human Organ Atlas", show=show)
    panel = AtlasPanel(viewer, own, mirror, patience)
    add_panel(viewer, panel, "Atlas")
    panel.open_later(names)
    return stay(viewer, show=show)


class AtlasPanel(QWidget):
    """Lists the data sets of the atlas and one's own, opens them, and fetches crops.

    Nothing waits for a server in the thread of the window; what fails is a sentence here, and in
    napari's notifications.

    Parameters
    ----------
    napari_viewer : napari.Viewer
    own : sequence of path or str
        Volumes of one's own, descriptions, or folders of both.
    mirror : str, optional
        Copy of the buckets. Default: what the variable ``HIPCT_ATLAS_MIRROR`` says, else Google's
        server.
    patience : Patience, optional
        How long a server is waited for. Default: half a minute.
    """

    def __init__(
        self,
        napari_viewer: Any,
        own: Sequence[Path | str] = (),
        mirror: str | None = None,
        patience: Patience | None = None,
    ) -> None:
        super().__init__()
        mirror = mirror or os.environ.get(MIRROR) or None
        self.session = AtlasSession(napari_viewer, own, mirror=mirror, patience=patience)
        self._later: list[str] = []
        self.catalogue: Catalogue = {}
        self.sets = AtlasTable()
        self.sets.chosen.connect(lambda _: self._tell_set())
        self.sets.activated.connect(lambda _: self.open())
        self.facts, self.status = QLabel(), QLabel()
        for label in (self.facts, self.status):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
            label.setOpenExternalLinks(True)
        self.work = Work(self, self.status.setText)
        self.crop = CropBox(self.session, self.work)
        layout = QVBoxLayout(self)
        layout.addWidget(self.sets, 1)
        layout.addWidget(self.facts)
        row = QHBoxLayout()
        for name, tip, call in (
            ("Open", "Open the chosen set where it lies, in its place (double click)", self.open),
            ("Its overview", "Open what the chosen set lies in", self.open_overview),
            ("Add own...", "List the volumes of a folder too", self._add),
        ):
            row.addWidget(tool(name, tip, call))
        layout.addLayout(row)
        layout.addWidget(self.crop)
        layout.addWidget(self.status)
        self._tell_set()
        self.reload()

    @property
    def busy(self) -> bool:
        """Whether something is being read or fetched."""
        return self.work.busy

    def reload(self, *more: Path | str) -> None:
        """Read the descriptions anew, with those of further folders."""

        def loaded(found: tuple[Catalogue, list[str]]) -> None:
            self.catalogue, notes = found
            self.sets.fill(self.catalogue)
            self.status.setText("\n".join(notes))
            self._open_next()

        self.work.do("Descriptions", lambda _: self.session.load(*more), loaded)

    def open(self, name: str | None = None) -> None:
        """Open a data set, by default the chosen one; one that is open is gone to."""
        name = name or self.sets.name
        if name is None or name not in self.catalogue:
            self.status.setText("Choose a data set first.")
            return
        shown = self.session.find(name)
        if shown is not None:
            self.session.go(shown)
            return
        dataset = self.catalogue[name]

        def opened(found: OpenSet) -> None:
            twice = self.session.find(name)
            if twice is None:
                words = self.session.show(found, self.catalogue)
                self.status.setText("\n".join([words, *found.atlas.notes]))
            else:
                self.session.go(twice)
            self._tell_set()
            self._open_next()

        self.status.setText(f"Opening {name} ...")
        self.work.do(name, lambda _: self.session.open(dataset), opened)

    def open_later(self, names: Sequence[str]) -> None:
        """Open data sets one after the other, once the descriptions have been read."""
        self._later += names
        if not self.busy:
            self._open_next()

    def open_overview(self) -> None:
        """Open what the chosen data set lies in."""
        dataset = self._dataset()
        within = None if dataset is None else dataset.registered_to
        target = None if within is None else known_as(self.catalogue, within)
        if target is None:
            lies = f"lies in {within}, which is not public" if within else "lies in no other one"
            self.status.setText(f"{self.sets.name or 'What is chosen'} {lies}.")
        else:
            self.open(target.name)

    def _open_next(self) -> None:
        if self._later:
            name = self._later.pop(0)
            self.sets.choose(name)
            self.open(name)

    def _dataset(self) -> AtlasSet | None:
        return None if self.sets.name is None else self.catalogue.get(self.sets.name)

    def _tell_set(self) -> None:
        dataset = self._dataset()
        lines = [] if dataset is None else facts(dataset)
        self.facts.setText("<br>".join(_linked(line) for line in lines))
        name = self.sets.name
        self.crop.show_set(None if name is None else self.session.find(name))

    def _add(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Volumes of one's own")
        if folder:
            self.reload(folder)


def _linked(line: str) -> str:
    # Dark blue, which Qt takes by itself, cannot be read in napari's dark theme.
    link = f'<a href="{line}" style="color: {_LINK}">{line}</a>'
    return link if line.startswith("https://") else line
