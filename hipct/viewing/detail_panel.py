"""The panel Volume: what is shown, how fine in three dimensions, and what could not be read."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QComboBox, QFormLayout, QLabel, QWidget

from hipct.core.memory import format_bytes
from hipct.viewing.detail import BUDGET_BYTES, finest_within
from hipct.viewing.layers import reads_of, volume_of
from hipct.viewing.tools import tool
from hipct.viewing.window_state import main_layer

_BUDGETS = tuple(BUDGET_BYTES // 16 * 4**power for power in range(6))
_RENDERINGS = (
    ("brightest voxel", "mip"),
    ("dense tissue in front", "attenuated_mip"),
    ("surface", "iso"),
    ("mean", "average"),
)
_TOLD_MS = 1000


class VolumePanel(QWidget):
    """Facts of the main volume, and its detail in three dimensions.

    In three dimensions each layer of ours shows the finest level that fits the budget.

    Parameters
    ----------
    viewer : napari.Viewer
    """

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self.budget, self.rendering = QComboBox(), QComboBox()
        for size in _BUDGETS:
            self.budget.addItem(format_bytes(size), size)
        self.budget.setCurrentIndex(_BUDGETS.index(BUDGET_BYTES))
        self.budget.setToolTip(
            "How large a level may be that is shown in 3-D; more is finer, and slower to turn"
        )
        for name, kind in _RENDERINGS:
            self.rendering.addItem(name, kind)
        self.rendering.setToolTip("How voxels behind one another become a picture")
        self.facts, self.detail, self.faults = QLabel(), QLabel(), QLabel()
        tip = "Forget what has been read: files may have changed (F5)"
        again = tool("Read again", tip, self.read_again)
        form = QFormLayout(self)
        for label in (self.facts, self.detail, self.faults):
            label.setWordWrap(True)
        form.addRow(self.facts)
        form.addRow("3-D memory", self.budget)
        form.addRow("3-D shows", self.rendering)
        form.addRow(self.detail)
        form.addRow(self.faults)
        form.addRow(again)
        self.budget.currentIndexChanged.connect(lambda _: self.apply())
        self.rendering.currentIndexChanged.connect(lambda _: self._render())
        viewer.dims.events.ndisplay.connect(lambda _: self.apply())
        viewer.layers.events.inserted.connect(lambda _: self.apply())
        self._timer = QTimer(self)
        self._timer.timeout.connect(self.tell)
        self._timer.start(_TOLD_MS)
        self.apply()

    def apply(self) -> None:
        """Give every volume its level: the finest that fits in three dimensions, else any."""
        solid = self._viewer.dims.ndisplay == 3
        for layer in self._viewer.layers:
            if reads_of(layer) is None:
                continue
            wanted = None
            if solid:
                shapes = [tuple(shape) for shape in layer.level_shapes]
                itemsize = layer.data[0].dtype.itemsize
                wanted = finest_within(shapes, itemsize, int(self.budget.currentData()))
            if layer.locked_data_level != wanted:
                layer.locked_data_level = wanted
        self.tell()

    def tell(self) -> None:
        """Show the facts as they are now."""
        layer = main_layer(self._viewer)
        volume = None if layer is None else volume_of(layer)
        if layer is None or volume is None:
            self.facts.setText("no volume")
            return
        unit = "um" if volume.length_unit == "um" else "voxel"
        self.facts.setText(
            f"<b>{volume.name}</b><br>{' x '.join(str(n) for n in volume.shape)} {volume.dtype}, "
            f"{format_bytes(layer.data[0].size * volume.dtype.itemsize)}<br>"
            f"voxels of {' x '.join(f'{s:g}' for s in volume.voxel_size_um)} {unit}"
            + "".join(f"<br>{note}" for note in volume.notes)
        )
        number = layer.data_level
        size = volume.levels[number].scale
        self.detail.setText(
            f"shown: level {number} of 0 to {len(volume.levels) - 1}, voxels of "
            f"{' x '.join(f'{s:g}' for s in size)} {unit}"
        )
        sentences = [s for one in self._viewer.layers for s in _faults(one)]
        self.faults.setText("<br>".join(sentences[:10]))
        self.faults.setVisible(bool(sentences))

    def read_again(self) -> None:
        """Read everything anew."""
        for layer in self._viewer.layers:
            reads = reads_of(layer)
            if reads is not None:
                reads.forget()
                layer.refresh()

    def _render(self) -> None:
        for layer in self._viewer.layers:
            if reads_of(layer) is not None and layer._type_string == "image":
                layer.rendering = self.rendering.currentData()


def _faults(layer: Any) -> tuple[str, ...]:
    reads = reads_of(layer)
    return () if reads is None else reads.faults
