"""The panel of the phase explorer: a slice of a raw scan under settings that are tuned by eye."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QSlider,
    QSpacerItem,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from hipct.live.cancel import Asked
from hipct.live.comparison import Comparison, compare
from hipct.live.knobs import Value
from hipct.live.scan import LiveScan, Region
from hipct.live.tuning import Tuning
from hipct.viewing.background import LatestWins
from hipct.viewing.explorer_picture import SplitPicture
from hipct.viewing.explorer_settings import Settings
from hipct.viewing.explorer_sweep import SweepControls
from hipct.viewing.explorer_table import FiguresTable
from hipct.viewing.live import live_of
from hipct.viewing.notices import noticed
from hipct.viewing.tools import tool
from hipct.volume.figures import Figures

_SPLIT_STEPS = 1000
_LEAST_PX = 230
_HASTE_S = 0.25
"""Where a fine picture takes less, no rough one comes before it."""


class PhaseExplorer(QWidget):
    """Sliders beside a slice, its figures, a sweep over one setting, and "Use these".

    What has to be known of the scan first is found in the background; the sliders come then.

    Parameters
    ----------
    viewer : napari.Viewer
    live : LiveScan
        The scan, under the configuration that the tuning starts from.

    Attributes
    ----------
    tuning : Tuning or None
        Where it started; None while the scan is still looked at.
    settings : Settings
        The sliders.
    picture, table, sweep
        What is shown of them.
    """

    def __init__(self, viewer: Any, live: LiveScan) -> None:
        super().__init__()
        self._viewer, self._live = viewer, live
        self._wins = LatestWins("hipct explorer")
        # Its parts are gone when this is told: what still comes from outside asks for it.
        self._gone = threading.Event()
        self.destroyed.connect(self._gone.set)
        self.destroyed.connect(partial(self._wins.close, 0.0))
        self.tuning: Tuning | None = None
        self._before: dict[str, Value] = {}
        self._region: Region | None = None
        self._fine_s = float("inf")
        self._hidden: list[Any] = []
        self._known: tuple[str, Figures] | None = None
        self.status = QLabel("Looking at the scan: references, rotation axis ...")
        self.status.setWordWrap(True)
        self._layout = QVBoxLayout(self)
        self._layout.addWidget(self.status)
        self._room = QSpacerItem(0, 0, QSizePolicy.Policy.Minimum, QSizePolicy.Policy.Expanding)
        self._layout.addItem(self._room)
        self._expects = True
        self._wins.submit(lambda _: iter([Tuning(live)]), self._begin, self._ended)

    @property
    def changes(self) -> dict[str, Value]:
        """Values by their keys that differ from where they started."""
        return self.settings.changes

    @property
    def z(self) -> int:
        """The slice."""
        return int(self.slice_field.value())

    @property
    def region(self) -> Region | None:
        """Rows and columns that are computed; None for the whole slice."""
        return self._region

    @property
    def voxel_size_um(self) -> float | None:
        """Edge of a voxel."""
        return self._live.voxel_size_um

    @property
    def busy(self) -> bool:
        """Whether something is being computed that is not shown yet."""
        return self._expects

    def set(self, key: str, value: Value) -> None:
        """Set one of the settings, as its slider does.

        Parameters
        ----------
        key : str
            E.g. ``"phase.delta_beta"``.
        value : float, int or str
        """
        self.settings.set(key, value)

    def use(self, path: str | Path) -> None:
        """Write the settings for ``hipct reconstruct``, and show the command."""
        assert self.tuning is not None
        with noticed():
            file = self.tuning.changed(self.changes).save(path, overwrite=True)
            source = self._live.settle().subject.scans[0].info.source
            self.command.setText(
                f"hipct reconstruct {source or 'SCAN'} -o organ.ome.zarr --config {file}"
            )
            self.command.setVisible(True)

    def take_what_is_seen(self) -> None:
        """Compute what the window shows of the slice, and nothing else."""
        shape = self._live.shape[1:]
        if self.picture.shown is None:
            return
        corners, parts = self.picture.after.corner_pixels, []
        for side, shown, first, last in zip(shape, self.picture.shown.region, *corners):
            low = min(max(0, int(first) + shown.start), side - 1)
            parts.append(slice(low, max(low + 1, min(side, int(last) + 1 + shown.start))))
        self._region = parts[0], parts[1]
        self.recompute()

    def take_all(self) -> None:
        """Compute the whole slice."""
        self._region = None
        self.recompute()

    def keep_as_before(self) -> None:
        """Compare with the present settings from now on."""
        self._before = dict(self.changes)
        self.recompute()

    def reset_all(self) -> None:
        """Put all settings back to where they started."""
        self.settings.reset()

    def recompute(self) -> None:
        """Make the pictures under the present settings; of many wishes the latest wins."""
        if self.tuning is None:
            return
        tuning, z, region = self.tuning, self.z, self._region
        before, after = dict(self._before), dict(self.changes)
        rough = self._fine_s > _HASTE_S
        place = str((z, region, before))
        known = self._known[1] if self._known and self._known[0] == place else None

        def work(cancelled: Asked) -> Iterator[Comparison]:
            pair = tuning.changed(before), tuning.changed(after)
            return compare(*pair, z, region=region, rough=rough, known=known, cancelled=cancelled)

        self._expects = True
        self.status.setText(f"Slice {z}: reconstructing ...")
        self._wins.submit(work, partial(self._show, place), self._ended)

    def close_down(self) -> None:
        """Stop computing, and take the layers out of the window."""
        self._wins.close()
        if self.tuning is not None:
            self._viewer.dims.events.current_step.disconnect(self._follow)
            self._viewer.layers.events.inserted.disconnect(self._hide_live)
            self.picture.remove()
            for layer in self._hidden:
                layer.visible = True

    def _begin(self, tuning: Tuning) -> None:
        """The scan is known: build everything."""
        self.tuning = tuning
        self.picture = SplitPicture(
            self._viewer, self._live.voxel_size_um, self._live.unit, "explorer"
        )
        self.table = FiguresTable(self._live.unit, self._live.voxel_size_um)
        self.settings = Settings(tuning.knobs, self.recompute)
        self.sweep = SweepControls(self)
        self.settings.append(self.sweep)
        self.command = QLineEdit()
        self.command.setReadOnly(True)
        self.command.setVisible(False)
        self._layout.removeItem(self._room)
        self._layout.insertLayout(0, self._place_line())
        area = QScrollArea()
        area.setWidgetResizable(True)
        area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        area.setMinimumHeight(_LEAST_PX)
        area.setFrameShape(QScrollArea.Shape.NoFrame)
        area.setWidget(self.settings)
        bar = area.verticalScrollBar().sizeHint().width()
        area.setMinimumWidth(self.settings.minimumSizeHint().width() + bar)
        self._layout.insertWidget(1, area, 1)
        self._layout.insertWidget(2, self.table)
        self._layout.insertLayout(3, self._split_line())
        self._layout.insertLayout(4, self._look_line())
        self._layout.addLayout(self._use_line())
        self._layout.addWidget(self.command)
        self._viewer.dims.events.current_step.connect(self._follow)
        # Of a series the layer comes when its places are known, maybe after this.
        self._viewer.layers.events.inserted.connect(self._hide_live)
        self._hide_live()
        self._follow()
        self.recompute()

    def _place_line(self) -> QHBoxLayout:
        depth = self._live.shape[0]
        self.slice_slider = QSlider(Qt.Orientation.Horizontal)
        self.slice_field = QSpinBox()
        for widget in (self.slice_slider, self.slice_field):
            widget.setRange(0, depth - 1)
            widget.setValue(depth // 2)
            widget.setToolTip("Which slice is looked at")
        self.slice_field.setKeyboardTracking(False)
        self.slice_slider.valueChanged.connect(self.slice_field.setValue)
        self.slice_field.valueChanged.connect(self._slice_chosen)
        line = QHBoxLayout()
        line.addWidget(QLabel("slice"))
        line.addWidget(self.slice_slider, 1)
        line.addWidget(self.slice_field)
        return line

    def _split_line(self) -> QHBoxLayout:
        self.compares = QCheckBox("Before | after")
        self.compares.setToolTip(
            "Left of the line before, right of it after; the line can be moved"
        )
        self.split = QSlider(Qt.Orientation.Horizontal)
        self.split.setRange(0, _SPLIT_STEPS)
        self.split.setValue(_SPLIT_STEPS // 2)
        self.compares.toggled.connect(self._split)
        self.split.valueChanged.connect(self._split)
        self.picture.moved = self._line_moved
        line = QHBoxLayout()
        line.addWidget(self.compares)
        line.addWidget(self.split, 1)
        return line

    def _look_line(self) -> QHBoxLayout:
        line = QHBoxLayout()
        for name, words, call in (
            ("What is seen", "Compute only what the window shows", self.take_what_is_seen),
            ("All", "Compute the whole slice", self.take_all),
            ("Contrast", "Choose the grey values anew", self.picture.stretch),
            ("Set before", "Compare with the present settings from now on", self.keep_as_before),
        ):
            line.addWidget(tool(name, words, call))
        return line

    def _use_line(self) -> QHBoxLayout:
        line = QHBoxLayout()
        words = "Write the settings into a file for hipct reconstruct --config"
        line.addWidget(tool("Use these ...", words, self._ask_where))
        line.addWidget(tool("Reset all", "All settings back to where they started", self.reset_all))
        return line

    def _split(self) -> None:
        self.picture.split(self.compares.isChecked(), self.split.value() / _SPLIT_STEPS)

    def _line_moved(self, share: float) -> None:
        if self._gone.is_set():
            return
        self.split.blockSignals(True)
        self.split.setValue(round(share * _SPLIT_STEPS))
        self.split.blockSignals(False)

    def _slice_chosen(self, z: int) -> None:
        self.slice_slider.blockSignals(True)
        self.slice_slider.setValue(z)
        self.slice_slider.blockSignals(False)
        if self._viewer.dims.ndim > 2:
            self._viewer.dims.set_point(0, z * (self._live.voxel_size_um or 1.0))
        self.recompute()

    def _follow(self, _event: object = None) -> None:
        """Where the window shows a volume, its slice is ours."""
        if not self._gone.is_set() and self._viewer.dims.ndim > 2:
            z = round(self._viewer.dims.point[0] / (self._live.voxel_size_um or 1.0))
            self.slice_field.setValue(z)

    def _show(self, place: str, shown: Comparison) -> None:
        self.picture.show(shown)
        self.table.put(shown.figures)
        if shown.figures is not None:
            self._known = place, shown.figures[0]
        if not shown.level:
            self._fine_s = shown.seconds
        kind = "rough" if shown.level else "fine"
        self.status.setText(f"Slice {shown.z}, {kind}, {shown.seconds:.2f} s")

    def _hide_live(self, _event: object = None) -> None:
        """What lies below is not made as well, whenever the slice changes."""
        if self._gone.is_set():
            return
        for layer in self._viewer.layers:
            if live_of(layer) and layer not in self._hidden:
                self._hidden.append(layer)
                layer.visible = False

    def _ended(self, error: Exception | None) -> None:
        self._expects = False
        if error is not None:
            self.status.setText(f"<span style='color: #ff6b6b'>{error}</span>")

    def _ask_where(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Settings for hipct reconstruct", "tuned.yaml", "Configuration (*.yaml)"
        )
        if name:
            self.use(name)
