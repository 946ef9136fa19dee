"""A raw scan in a window of napari, reconstructed where one looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from numpy.typing import ArrayLike
from qtpy.QtCore import QObject, QTimer

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.core.progress import Observer
from hipct.live.first_axis import first_look
from hipct.live.scan import LiveScan
from hipct.live.tuning import open_tunable
from hipct.pipeline.config import Config
from hipct.viewing.layers import layer_options
from hipct.viewing.layers_refresh import keep_fresh
from hipct.viewing.live_reads import LiveReads
from hipct.viewing.progress import Activity, in_background
from hipct.viewing.window import new_window, stay
from hipct.volume.open import Volume, VolumeLevel

Result = TypeVar("Result")

_KEY = "hipct live scan"
_LOOK_MS = 200
"""How often the words in the picture are brought up to date."""


class LiveLayer(QObject):
    """The layer of a scan: a first picture with a quickly found axis, then the scan as it is.

    Parameters
    ----------
    viewer : napari.Viewer
    live : LiveScan
    name : str
        Of the layer.

    Attributes
    ----------
    layer : napari.layers.Image or None
        The layer, once there is something to show.
    live : LiveScan
    settled : bool
        Whether the axis and all else that a run finds first is final.
    """

    def __init__(self, viewer: Any, live: LiveScan, name: str) -> None:
        super().__init__()
        self.live = live
        self.layer: Any = None
        self._viewer, self._name = viewer, name
        self._reads: LiveReads | None = None
        self.settled = False
        self._failed = False
        self._words = viewer.canvas.overlays.text
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._say)

    def begin(self) -> None:
        """Look for the axis in the background, and show what there is as soon as it is there."""
        self._words.visible = True
        self._timer.start()
        self._say()
        self._work(lambda: first_look(self.live), self._look)

    def stop(self) -> None:
        """The layer has gone."""
        self._timer.stop()
        self._words.visible = False

    @property
    def pending(self) -> int:
        """Chunks of the present view that are being made."""
        return 0 if self._reads is None else self._reads.pending

    @property
    def words(self) -> str:
        """What the window says about it."""
        return str(self._words.text)

    def _work(self, work: Callable[[], Result], then: Callable[[Result], object]) -> None:
        """Do something behind the window; the words in the picture do not outlive a failure."""

        def tried(_: Observer) -> Result:
            try:
                return work()
            except Exception:
                self._failed = True
                raise

        in_background(f"Live {self._name}", tried, then)

    def _look(self, first: LiveScan | None) -> None:
        if first is not None:
            self._show(first)
        self._work(self.live.settle, lambda _: self._settle())

    def _settle(self) -> None:
        self.settled = True
        if self.layer is None or self.layer in self._viewer.layers:
            self._show(self.live)

    def _show(self, live: LiveScan) -> None:
        if self._reads is None:
            self._add(live)
        else:
            self._exchange(live)
        self._say()

    def _add(self, live: LiveScan) -> None:
        from napari.layers import Image

        self._reads = reads = LiveReads(live)
        guess = live.config.volume.window is None
        options = {"contrast_limits": (0.0, 1.0)} | self._options()
        # A layer looks at its first slice when it is made: not even that is waited for.
        reads.watch(lambda: None)
        self.layer = Image(list(reads.levels), **options)
        keep_fresh(self._viewer, self.layer, reads, guess_contrast=guess)
        alone = not self._viewer.layers
        self._viewer.add_layer(self.layer)
        if alone:
            self._viewer.dims.set_current_step(0, live.shape[0] // 2)
            self._viewer.reset_view()
            # Again when panels have taken their room.
            QTimer.singleShot(0, self._viewer.reset_view)

    def _options(self) -> dict[str, Any]:
        """How napari shows the scan as it is known now."""
        assert self._reads is not None
        options = layer_options(as_volume(self._reads, self._name))
        # Whoever asks a layer for its scan wants the one with its own axis.
        options["metadata"][_KEY] = self.live
        return options

    def _exchange(self, live: LiveScan) -> None:
        """Let the layer show the scan under another axis."""
        assert self._reads is not None
        former, voxel = self.layer.data[0].shape, self.layer.scale[0]
        self._reads.become(live)
        self.layer.metadata.update(self._options()["metadata"])
        finest = self._reads.levels[0].shape
        self.layer.data = list(self._reads.levels)
        if finest != former:
            self._stay([(a - b) / 2 * voxel for a, b in zip(finest[1:], former[1:])])

    def _stay(self, moved: Sequence[float]) -> None:
        """Keep the axis where it is in the window: slices of another size begin elsewhere."""
        camera = self._viewer.scene.camera
        if self._viewer.dims.ndisplay == 2 and any(moved):
            z, y, x = camera.center
            camera.center = z, y + moved[0], x + moved[1]

    def _say(self) -> None:
        if self.layer is not None and self.layer not in self._viewer.layers:
            self.stop()
            return
        words = []
        if self._failed:
            words.append(
                "nothing could be reconstructed"
                if self._reads is None
                else "rotation axis not found"
            )
        elif not self.settled:
            words.append(
                "the rotation axis is being found"
                if self._reads is None
                else "rotation axis not final"
            )
        if self.pending:
            words.append("reconstructing")
        text = ", ".join(words)
        if self._words.text != text:
            self._words.text = text


def as_volume(reads: LiveReads, name: str) -> Volume:
    """What the panels of a window know of a volume, of one that is reconstructed on sight."""
    live = reads.live
    levels = tuple(
        VolumeLevel("", cast(Any, level), _vector(scale), _vector(first))
        for level, (scale, first) in zip(reads.levels, reads.places)
    )
    return Volume(
        address=live.scans[0].info.source,
        name=name,
        version="",
        axes=("z", "y", "x"),
        length_unit="voxel" if live.voxel_size_um is None else "um",
        levels=levels,
        labels=False,
        display=live.config.volume.window,
        scale=1.0,
        offset=0.0,
        unit=live.unit,
        provenance={},
        notes=live.notes,
    )


def live_of(layer: Any) -> LiveScan | None:
    """The scan that a layer is reconstructed from; None for other layers."""
    live: LiveScan | None = layer.metadata.get(_KEY)
    return live


def add_live(
    viewer: Any, scan: Scan | Series | str | Path, config: Config | None = None, *, name: str = ""
) -> LiveLayer:
    """Add a raw scan to a window of napari; it is reconstructed where one looks.

    Returns at once. A first picture comes with an axis that is found quickly, the scan with the
    axis of a run when that has been found.

    Parameters
    ----------
    viewer : napari.Viewer
    scan : Scan, Series, or path
    config : Config, optional
        As of a run; the defaults otherwise.
    name : str
        Of the layer; by default what the scan is called.

    Raises
    ------
    HipctError
        If the scan cannot be opened, or lacks what the configuration needs.
    """
    name = name or _name(scan)
    return show_live(viewer, LiveScan(scan, config, observer=Activity(f"Live {name}")), name)


def show_live(viewer: Any, live: LiveScan, name: str) -> LiveLayer:
    """Add a live scan to a window of napari, as :func:`add_live` does."""
    shown = LiveLayer(viewer, live, name)

    def removed(event: Any) -> None:
        if event.value is shown.layer and shown.layer not in viewer.layers:
            shown.stop()

    viewer.layers.events.removed.connect(removed)
    shown.begin()
    return shown


def view_live(
    scan: str | Path,
    config: Config | None = None,
    *,
    angles: ArrayLike | str | None = None,
    entry: str | int | None = None,
    bookmarks: Path | None = None,
    tune: bool = False,
    show: bool = True,
) -> Any:
    """Browse a raw scan in napari and, with ``show``, stay there until its window is closed.

    Parameters
    ----------
    scan : path
        A scan store, or a source file or folder; a series.
    config : Config, optional
        As of a run; the defaults otherwise.
    angles, entry
        As in :func:`hipct.acquisition.open_any.open_any`.
    bookmarks : Path, optional
        File in which views are kept by name.
    tune : bool
        Whether to put the phase explorer beside it. A scan that lacks what phase retrieval needs is
        then shown without it, until energy and distance are given by their sliders.
    show : bool
        Whether to show the window and run the event loop.

    Returns
    -------
    napari.Viewer

    Raises
    ------
    MissingExtra
        If napari is not installed.
    HipctError
        If the scan cannot be opened, or lacks what the configuration needs.
    """
    name = _name(scan)
    opened = open_any(scan, angles=angles, entry=entry)
    live = (open_tunable if tune else LiveScan)(opened, config, observer=Activity(f"Live {name}"))
    viewer = new_window(name, show=show, bookmarks=bookmarks)
    show_live(viewer, live, name)
    if tune:
        from hipct.viewing.explorer import add_explorer

        add_explorer(viewer, live)
    return stay(viewer, show=show)


def _name(scan: Scan | Series | str | Path) -> str:
    if isinstance(scan, Series):
        scan = scan.source
    elif isinstance(scan, Scan):
        scan = scan.info.source or "scan"
    return Path(scan).name.removesuffix(".zarr")


def _vector(values: Sequence[float]) -> tuple[float, float, float]:
    z, y, x = values
    return z, y, x
