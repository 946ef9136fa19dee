"""Drawing a layer again when more of it has come; faults as notifications."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from qtpy.QtCore import QElapsedTimer, QObject, QTimer, Signal  # type: ignore[attr-defined]

from hipct.viewing.reads import PyramidReads

_PAUSE_MS = 150
"""Between two drawings: each costs the window a texture."""
_SHOWN = 3
"""Sentences of one volume that are shown; the others are counted and kept in its reads."""


class Freshness(QObject):
    """Watches the reads of a layer and lets it be drawn again, never more often than it can.

    Parameters
    ----------
    viewer : napari.Viewer
    layer : napari.layers.Image or Labels
    reads : PyramidReads
    guess_contrast : bool
        Whether to set the contrast from the coarsest level when it has come.
    """

    changed = Signal()
    fault = Signal(str)

    def __init__(
        self, viewer: Any, layer: Any, reads: PyramidReads, *, guess_contrast: bool
    ) -> None:
        super().__init__()
        self._viewer, self._layer, self._reads = viewer, layer, reads
        self._guess, self._faults = guess_contrast, 0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._drawn = QElapsedTimer()
        self._timer.timeout.connect(self._refresh)
        self.changed.connect(self._soon)
        self.fault.connect(self._tell)
        reads.watch(self._changed, self._failed)

    def stop(self) -> None:
        """The layer has gone; what is still being fetched for it is nobody's news."""
        self._timer.stop()
        self._reads.close()
        self._reads.watch(lambda: None)

    # Other threads call these two; the window may have been closed meanwhile.
    def _changed(self) -> None:
        with suppress(RuntimeError):
            self.changed.emit()

    def _failed(self, sentence: str) -> None:
        with suppress(RuntimeError):
            self.fault.emit(sentence)

    def _soon(self) -> None:
        if not self._timer.isActive():
            since = self._drawn.elapsed() if self._drawn.isValid() else _PAUSE_MS
            self._timer.start(max(0, _PAUSE_MS - since))

    def _refresh(self) -> None:
        self._drawn.start()
        # A volume in three dimensions is a large texture: it is drawn once it is whole.
        if self._viewer.dims.ndisplay == 3 and self._reads.pending:
            return
        if self._guess:
            self._set_contrast()
        self._layer.refresh(extent=False, thumbnail=True, highlight=False)

    def _set_contrast(self) -> None:
        values = self._reads.sample()
        if values is None:
            return
        self._guess = False
        limits = limits_of(values)
        self._layer.contrast_limits_range = limits
        self._layer.contrast_limits = limits

    def _tell(self, sentence: str) -> None:
        from napari.utils.notifications import show_warning

        self._faults += 1
        if self._faults < _SHOWN:
            show_warning(sentence)
        elif self._faults == _SHOWN:
            show_warning(f"{sentence} More of {self._layer.name} cannot be read; see Volume.")


def keep_fresh(viewer: Any, layer: Any, reads: PyramidReads, *, guess_contrast: bool) -> None:
    """Let a layer be drawn again whenever more of it has come, until it is removed."""
    freshness = Freshness(viewer, layer, reads, guess_contrast=guess_contrast)

    def removed(event: Any) -> None:
        if event.value is layer:
            freshness.stop()
            viewer.layers.events.removed.disconnect(removed)

    # This keeps what watches alive, as long as its layer is in the window.
    viewer.layers.events.removed.connect(removed)


def limits_of(values: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Values to be black and white: all but a thousandth at either end, without what is nothing.

    Outside of the reconstructed circle stored values are 0, or NaN.
    """
    known = values[np.isfinite(values) & (values != 0)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(known, (0.1, 99.9)))
    return (low, high) if low < high else (low, low + 1)
