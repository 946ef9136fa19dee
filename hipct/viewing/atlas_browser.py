"""The panel Atlas: data sets of the Human Organ Atlas, opened where they lie, and crops of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from hipct.atlas.catalogue import Catalogue, known_as
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.listing import facts
from hipct.core.errors import HipctError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer
from hipct.viewing.atlas_fetch import Watched
from hipct.viewing.atlas_session import AtlasSession, OpenSet, ShownSet
from hipct.viewing.atlas_table import AtlasTable
from hipct.viewing.notices import notify
from hipct.viewing.progress import in_background, in_window
from hipct.viewing.tools import tool
from hipct.volume.open import Volume

MIRROR = "HIPCT_ATLAS_MIRROR"
"""Variable that names a copy of the buckets, as for ``hipct atlas``."""
_DEEPEST_MM = 1000.0
_LINK = "#6c9ef8"


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
    """

    def __init__(
        self,
        napari_viewer: Any,
        own: Sequence[Path | str] = (),
        mirror: str | None = None,
    ) -> None:
        super().__init__()
        self.session = AtlasSession(
            napari_viewer, own, mirror=mirror or os.environ.get(MIRROR) or None
        )
        self.catalogue: Catalogue = {}
        self._fetch: Watched | None = None
        self._busy = 0
        self.sets = AtlasTable()
        self.sets.chosen.connect(lambda _: self._tell_set())
        self.sets.activated.connect(lambda _: self.open())
        self.facts, self.status = QLabel(), QLabel()
        for label in (self.facts, self.status):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
            label.setOpenExternalLinks(True)
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
        layout.addWidget(self._crop_box())
        layout.addWidget(self.status)
        self._tell_set()
        self.reload()

    def _crop_box(self) -> QWidget:
        self.crop = QGroupBox("Crop")
        self.level, self.deep = QComboBox(), QDoubleSpinBox()
        self.deep.setRange(0.001, _DEEPEST_MM)
        self.deep.setDecimals(3)
        self.deep.setSuffix(" mm")
        self.deep.setToolTip("Of what is taken across the plane in view, half to either side")
        self.region, self.out, self.told = QLineEdit(), QLineEdit(), QLabel()
        self.region.setPlaceholderText("z0:z1,y0:y1,x0:x1 in mm")
        self.out.setPlaceholderText("NAME.ome.zarr")
        self.told.setWordWrap(True)
        self.bar = QProgressBar()
        self.bar.hide()
        self.fetching = tool("Fetch", "Fetch the region as a volume of one's own", self.fetch)
        self.level.currentIndexChanged.connect(lambda _: self._level_changed())
        self.region.textChanged.connect(lambda _: self._tell_size())
        form = QFormLayout(self.crop)
        form.addRow("level", self.level)
        form.addRow("depth", self.deep)
        form.addRow("region", _row(self.region, tool("In view", "What is in view", self.take_view)))
        form.addRow(self.told)
        form.addRow("to", _row(self.out, tool("...", "Choose a place", self._choose_out)))
        form.addRow(_row(self.fetching, self.bar))
        return self.crop

    @property
    def busy(self) -> bool:
        """Whether something is being read or fetched."""
        return self._busy > 0

    def reload(self, *more: Path | str) -> None:
        """Read the descriptions anew, with those of further folders."""

        def loaded(found: tuple[Catalogue, list[str]]) -> None:
            self.catalogue, notes = found
            self.sets.fill(self.catalogue)
            self.status.setText("\n".join(notes))

        self._do("Descriptions", lambda _: self.session.load(*more), loaded)

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
            words = self.session.show(found, self.catalogue)
            self.status.setText("\n".join([words, *found.atlas.notes]))
            self._tell_set()

        self.status.setText(f"Opening {name} ...")
        self._do(name, lambda _: self.session.open(dataset), opened)

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

    def take_view(self) -> None:
        """Let what is in view be the region."""
        shown = self._chosen()
        if shown is not None:
            try:
                depth_um = self.deep.value() * 1e3
                level = self.level.currentIndex()
                self.region.setText(self.session.region_in_view(shown, level, depth_um))
            except HipctError as error:
                self.status.setText(str(error))

    def fetch(self) -> None:
        """Fetch the region, or stop fetching it; the same again goes on where it stood."""
        if self._fetch is not None:
            self._fetch.stop()
            return
        shown, out = self._chosen(), self.out.text().strip()
        if shown is None or not out:
            self.status.setText("Open a set, choose a region, and say where the crop goes.")
            return
        try:
            crop = self.session.crop(shown, self.level.currentIndex(), self.region.text())
        except HipctError as error:
            self.status.setText(str(error))
            return

        watched = self._fetch = Watched(lambda *far: in_window(self._progress, *far))

        def work(observer: Observer) -> Volume | None:
            watched.inner = observer
            try:
                return self.session.fetch(shown, crop, Path(out), watched)
            except InterruptedError:
                return None

        def fetched(volume: Volume | None) -> None:
            if volume is None:
                words = f"Stopped; what has come is kept in {out}.run, and Fetch goes on from it."
            else:
                self.session.show_crop(volume, shown)
                words = f"{out} is whole."
            self.status.setText("\n".join([words, *watched.said]))

        self.fetching.setText("Stop")
        self.status.setText(f"Fetching {format_bytes(crop.nbytes)} ...")
        self._do(f"Crop of {shown.opened.dataset.name}", work, fetched, self._fetch_ended)

    def _do(
        self,
        title: str,
        work: Callable[[Observer], Any],
        then: Callable[[Any], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """Work in another thread; its errors are told here too."""
        self._busy += 1

        def guarded(observer: Observer) -> Any:
            try:
                return work(observer)
            except Exception as error:  # It is told in the window, which lives on.
                return _Failed(error)

        def finished(result: Any) -> None:
            self._busy -= 1
            ended()
            try:
                if isinstance(result, _Failed):
                    raise result.error
                then(result)
            except HipctError as error:
                self.status.setText(str(error))
                notify(error)
            except Exception as error:  # A fault of ours: napari offers the traceback.
                self.status.setText(f"{title} failed ({type(error).__name__}: {error}).")
                notify(error)

        in_background(title, guarded, finished)

    def _fetch_ended(self) -> None:
        self.fetching.setText("Fetch")
        self.bar.hide()
        self._fetch = None

    def _progress(self, done: int, total: int) -> None:
        if self._fetch is not None:
            self.bar.setRange(0, max(1, total))
            self.bar.setValue(done)
            self.bar.show()

    def _dataset(self) -> AtlasSet | None:
        return None if self.sets.name is None else self.catalogue.get(self.sets.name)

    def _chosen(self) -> ShownSet | None:
        return None if self.sets.name is None else self.session.find(self.sets.name)

    def _tell_set(self) -> None:
        dataset = self._dataset()
        lines = [] if dataset is None else facts(dataset)
        self.facts.setText("<br>".join(_linked(line) for line in lines))
        shown = self._chosen()
        self.crop.setVisible(shown is not None)
        if shown is None:
            return
        levels = shown.opened.atlas.levels
        self.level.blockSignals(True)
        self.level.clear()
        for level in levels:
            shape = " x ".join(str(n) for n in level.array.shape)
            self.level.addItem(f"{level.number}: {level.voxel_size_um:g} um, {shape}")
        self.level.setCurrentIndex(len(levels) - 1)
        self.level.blockSignals(False)
        self.region.clear()
        self._level_changed()

    def _level_changed(self) -> None:
        shown = self._chosen()
        if shown is not None and self.level.currentIndex() >= 0:
            # A chunk of what is written is 128 voxels deep.
            size_um = shown.opened.atlas.levels[self.level.currentIndex()].voxel_size_um
            self.deep.setValue(128 * size_um / 1e3)
        self._tell_size()

    def _tell_size(self) -> None:
        shown, words = self._chosen(), ""
        if shown is not None and self.region.text():
            try:
                crop = self.session.crop(shown, self.level.currentIndex(), self.region.text())
                shape = " x ".join(str(n) for n in crop.shape)
                words = f"{shape} voxels, {format_bytes(crop.nbytes)}, {crop.blocks} blocks"
            except HipctError as error:
                words = str(error)
        self.told.setText(words)

    def _add(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Volumes of one's own")
        if folder:
            self.reload(folder)

    def _choose_out(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Crop", "crop.ome.zarr", "*.ome.zarr")
        if name:
            self.out.setText(name)


class _Failed:
    """An error on its way to the thread of the window."""

    def __init__(self, error: Exception) -> None:
        self.error = error


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for number, widget in enumerate(widgets):
        row.addWidget(widget, int(number == 0))
    return row


def _linked(line: str) -> str:
    # Dark blue, which Qt takes by itself, cannot be read in napari's dark theme.
    link = f'<a href="{line}" style="color: {_LINK}">{line}</a>'
    return link if line.startswith("https://") else line
