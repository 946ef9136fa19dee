"""Crops in the panel Atlas: which region of which level, and where it goes."""

from __future__ import annotations

from pathlib import Path

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
    QWidget,
)

from hipct.core.errors import HipctError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer
from hipct.viewing.atlas_fetch import Watched
from hipct.viewing.atlas_session import AtlasSession, ShownSet
from hipct.viewing.atlas_work import Work
from hipct.viewing.progress import in_window
from hipct.viewing.tools import tool
from hipct.volume.open import Volume

_DEEPEST_MM = 1000.0
_SLICES = 128
"""As deep as a chunk of what is written."""


class CropBox(QGroupBox):
    """A region of a data set that is shown, fetched as a volume of one's own.

    Parameters
    ----------
    session : AtlasSession
    work : Work
        Of the panel.
    """

    def __init__(self, session: AtlasSession, work: Work) -> None:
        super().__init__("Crop")
        self._session, self._work = session, work
        self._shown: ShownSet | None = None
        self._fetch: Watched | None = None
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
        form = QFormLayout(self)
        form.addRow("level", self.level)
        form.addRow("depth", self.deep)
        form.addRow("region", _row(self.region, tool("In view", "What is in view", self.take_view)))
        form.addRow(self.told)
        form.addRow("to", _row(self.out, tool("...", "Choose a place", self._choose_out)))
        form.addRow(_row(self.fetching, self.bar))

    def show_set(self, shown: ShownSet | None) -> None:
        """Offer crops of this data set; of none, offer nothing."""
        self.setVisible(shown is not None or self._fetch is not None)
        if shown is self._shown:
            return
        self._shown = shown
        levels = () if shown is None else shown.opened.atlas.levels
        self.level.blockSignals(True)
        self.level.clear()
        for level in levels:
            shape = " x ".join(str(n) for n in level.array.shape)
            self.level.addItem(f"{level.number}: {level.voxel_size_um:g} um, {shape}")
        self.level.setCurrentIndex(len(levels) - 1)
        self.level.blockSignals(False)
        self.region.clear()
        self._level_changed()

    def take_view(self) -> None:
        """Let what is in view be the region."""
        if self._shown is None:
            return
        try:
            number, depth_um = self.level.currentIndex(), self.deep.value() * 1e3
            self.region.setText(self._session.region_in_view(self._shown, number, depth_um))
        except HipctError as error:
            self._work.say(str(error))

    def fetch(self) -> None:
        """Fetch the region, or stop fetching it; the same again goes on where it stood."""
        if self._fetch is not None:
            self._fetch.stop()
            return
        shown, out = self._shown, self.out.text().strip()
        if shown is None or not out or not self.region.text().strip():
            self._work.say("Open a set, choose a region, and say where the crop goes.")
            return
        try:
            crop = self._session.crop(shown, self.level.currentIndex(), self.region.text())
        except HipctError as error:
            self._work.say(str(error))
            return
        watched = self._fetch = Watched(lambda *far: in_window(self._progress, *far))

        def work(observer: Observer) -> Volume | None:
            watched.inner = observer
            try:
                return self._session.fetch(shown, crop, Path(out), watched)
            except InterruptedError:
                return None

        def fetched(volume: Volume | None) -> None:
            if volume is None:
                words = f"Stopped; what has come is kept in {out}.run, and Fetch goes on from it."
            else:
                self._session.show_crop(volume, shown)
                words = f"{out} is whole."
            self._work.say("\n".join([words, *watched.said]))

        self.fetching.setText("Stop")
        self._work.say(f"Fetching {format_bytes(crop.nbytes)} ...")
        self._work.do(f"Crop of {shown.opened.dataset.name}", work, fetched, self._ended)

    def _ended(self) -> None:
        self.fetching.setText("Fetch")
        self.bar.hide()
        self._fetch = None
        self.setVisible(self._shown is not None)

    def _progress(self, done: int, total: int) -> None:
        if self._fetch is not None:
            self.bar.setRange(0, max(1, total))
            self.bar.setValue(done)
            self.bar.show()

    def _level_changed(self) -> None:
        number = self.level.currentIndex()
        if self._shown is not None and number >= 0:
            size_um = self._shown.opened.atlas.levels[number].voxel_size_um
            self.deep.setValue(_SLICES * size_um / 1e3)
        self._tell_size()

    def _tell_size(self) -> None:
        words = ""
        if self._shown is not None and self.region.text():
            try:
                number, region = self.level.currentIndex(), self.region.text()
                crop = self._session.crop(self._shown, number, region)
                shape = " x ".join(str(n) for n in crop.shape)
                words = f"{shape} voxels, {format_bytes(crop.nbytes)}, {crop.blocks} blocks"
            except HipctError as error:
                words = str(error)
        self.told.setText(words)

    def _choose_out(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Crop", "crop.ome.zarr", "*.ome.zarr")
        if name:
            self.out.setText(name)


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for number, widget in enumerate(widgets):
        row.addWidget(widget, int(number == 0))
    return row
