"""The plugin of napari: what its manifest, ``napari.yaml`` beside this file, names.

Nothing of napari or Qt is imported before one of these functions is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hipct.acquisition.open_any import open_any
from hipct.acquisition.scan import Scan
from hipct.acquisition.series import Series
from hipct.atlas.hierarchy import Opened, hierarchy_of
from hipct.core.errors import FormatError, HipctError, InputError
from hipct.core.progress import Observer
from hipct.exchange.clinical import ClinicalVolume, is_clinical, open_clinical
from hipct.exchange.source_zarr import refuse_unfinished
from hipct.volume.open import Volume, open_volume, read_attributes
from hipct.volume.storage import is_address

if TYPE_CHECKING:
    from qtpy.QtWidgets import QWidget

Reader = Callable[[Any], list[Any]]


def get_reader(path: str | list[str]) -> Reader | None:
    """Reader of an OME-Zarr volume or a raw scan; None of anything else.

    Of a file or a folder the content is looked at, not the name; what lies at an address is taken
    to be a volume. Other readers of OME-Zarr stay as they are: napari asks which one shall read.

    Parameters
    ----------
    path : str or list of str
        As napari gives it.
    """
    if not isinstance(path, str):
        return None
    if is_address(path) or _is_volume(Path(path)):
        return read_volume
    return read_scan if _is_scan(Path(path)) else None


def read_volume(path: Any) -> list[Any]:
    """Layer data of an OME-Zarr volume, read where napari looks.

    Of one that is being written, or that lacks levels, what is there is shown, and a notification
    says so.

    Raises
    ------
    InputError, FormatError, RemoteError
        If it cannot be opened.
    """
    volume = open_volume(path, whole=False)
    notes = list(volume.notes)
    try:
        if not is_address(path):
            refuse_unfinished(Path(path))
    except FormatError as unfinished:
        notes.append(str(unfinished))
    if notes:
        from napari.utils.notifications import show_warning

        for note in notes:
            show_warning(note)
    return [layer_tuple(volume)]


def read_scan(path: Any) -> list[Any]:
    """Show a raw scan, reconstructed where one looks; its layer comes when there is a picture.

    Raises
    ------
    HipctError
        If it cannot be opened, or there is no window to show it in.
    """
    from hipct.viewing.live import add_live

    add_live(window_of_napari("A raw scan"), open_any(path))
    # What napari knows as "this plugin has read it, and there is no layer yet".
    return [(None,)]


def layer_tuple(volume: Volume, **options: Any) -> tuple[Any, dict[str, Any], str]:
    """Levels, options and kind of a layer, which draws itself again when more of it has come.

    Parameters
    ----------
    volume : Volume
    options
        Of the layer, before those of the volume.
    """
    from napari import current_viewer

    from hipct.viewing.layers import layer_options, whole_range
    from hipct.viewing.layers_refresh import keep_fresh
    from hipct.viewing.reads import reads_of_volume

    reads = reads_of_volume(volume)
    options = layer_options(volume) | options
    guessed = not volume.labels and "contrast_limits" not in options
    if guessed:
        options["contrast_limits"] = whole_range(reads.levels[0].dtype)
    viewer = current_viewer()
    if viewer is not None:

        def inserted(event: Any) -> None:
            if event.value.metadata.get("hipct reads") is reads:
                viewer.layers.events.inserted.disconnect(inserted)
                del event.value.metadata["hipct reads"]
                keep_fresh(viewer, event.value, reads, guess_contrast=guessed)
                event.value.refresh()

        options["metadata"] = {**options["metadata"], "hipct reads": reads}
        viewer.layers.events.inserted.connect(inserted)
        # The first picture does not wait for voxels either.
        reads.watch(lambda: None)
    return list(reads.levels), options, "labels" if volume.labels else "image"


def window_of_napari(what: str) -> Any:
    """The window that napari works in.

    Raises
    ------
    InputError
        If there is none.
    """
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is None:
        raise InputError(f"{what} is shown in a window of napari, and there is none.")
    return viewer


def open_place() -> None:
    """Ask for the folder, file or address of a volume or a raw scan, and show it."""
    from qtpy.QtWidgets import QInputDialog

    viewer = window_of_napari("A volume")
    words, chosen = QInputDialog.getText(
        viewer.window._qt_window,
        "Open with hipct",
        "Folder, file or address (s3://, gs://, https://) of a volume or a raw scan:",
    )
    if chosen and words.strip():
        show_place(viewer, words.strip())


def show_place(viewer: Any, place: str) -> None:
    """Open a volume or a raw scan behind the window, and show it when it is there.

    Parameters
    ----------
    viewer : napari.Viewer
    place : str
        Folder, file or address.
    """
    from hipct.viewing.layers import add_volume
    from hipct.viewing.live import add_live
    from hipct.viewing.progress import in_background

    def show(opened: Opened | Scan | Series) -> None:
        if isinstance(opened, Volume):
            add_volume(viewer, opened)
        elif isinstance(opened, ClinicalVolume):
            _arrange(viewer, [*_volumes(viewer), opened])
        else:
            add_live(viewer, opened)
        if len(viewer.layers) == 1:
            viewer.reset_view()

    in_background(f"Opening {place}", lambda _: _opened(place), show)


def arrange_volumes() -> None:
    """Show the volumes of the window where they lie in the lowest one, with the panel Hierarchy."""
    from hipct.viewing.notices import noticed

    with noticed():
        viewer = window_of_napari("A volume")
        volumes = _volumes(viewer)
        if len(volumes) < 2:
            raise InputError(
                f"{len(volumes)} volumes of hipct are open; open an overview and its zooms first."
            )
        _arrange(viewer, volumes)


def save_snapshot() -> None:
    """Ask for a file, and draw the selected volume into it, as ``hipct snapshot`` does."""
    from qtpy.QtWidgets import QFileDialog

    from hipct.viewing.layers import volume_of
    from hipct.viewing.notices import noticed

    with noticed():
        viewer = window_of_napari("A volume")
        layer = viewer.layers.selection.active
        volume = None if layer is None else volume_of(layer)
        if volume is None:
            raise InputError("No volume of hipct is selected; select its layer first.")
        name, _ = QFileDialog.getSaveFileName(
            viewer.window._qt_window, "Snapshot", f"{volume.name}.png", "PNG (*.png)"
        )
        if name:
            draw_snapshot(volume, Path(name).with_suffix(".png"))


def draw_snapshot(volume: Volume, png: Path) -> None:
    """Draw a volume behind the window, and say when it is done; an existing file is replaced."""
    from napari.utils.notifications import show_info

    from hipct.exchange.snapshot import Snapshot, snapshot
    from hipct.viewing.progress import in_background

    def draw(observer: Observer) -> Snapshot:
        return snapshot(volume.address, png, overwrite=True, observer=observer)

    in_background("Snapshot", draw, lambda made: show_info(f"{png}: {made.read}"))


def position_panel() -> QWidget:
    """Where the window looks: minimap, place, value."""
    from hipct.viewing.minimap_panel import PositionPanel

    return PositionPanel(window_of_napari("A panel"))


def volume_panel() -> QWidget:
    """What a volume is, and at which level it is shown."""
    from hipct.viewing.detail_panel import VolumePanel

    return VolumePanel(window_of_napari("A panel"))


def oblique_panel() -> QWidget:
    """A slice at any angle."""
    from hipct.viewing.oblique_panel import ObliquePanel

    return ObliquePanel(window_of_napari("A panel"))


def bookmarks_panel() -> QWidget:
    """Views kept by name."""
    from hipct.viewing.bookmarks_panel import BookmarksPanel

    return BookmarksPanel(window_of_napari("A panel"))


def atlas_panel() -> QWidget:
    """Data sets of the Human Organ Atlas."""
    from hipct.viewing.atlas_browser import AtlasPanel

    return AtlasPanel(window_of_napari("A panel"))


def explorer_panel() -> QWidget:
    """Settings of a raw scan, tuned by eye."""
    from hipct.viewing.explorer import explorer_of

    return explorer_of(window_of_napari("A panel"))


def _volumes(viewer: Any) -> list[Opened]:
    """The volumes of a window that come from files, from below, each once."""
    found = {id(opened): opened for layer in viewer.layers if (opened := _opened_of(layer))}
    return list(found.values())


def _opened_of(layer: Any) -> Opened | None:
    """What a layer was opened from; None for layers of others, and for scans that are live."""
    from hipct.viewing.hierarchy_layers import clinical_of
    from hipct.viewing.layers import volume_of
    from hipct.viewing.live import live_of

    return None if live_of(layer) is not None else clinical_of(layer) or volume_of(layer)


def _arrange(viewer: Any, volumes: Sequence[Opened]) -> None:
    from hipct.viewing.hierarchy_panel import add_hierarchy

    notes: list[str] = []
    members = hierarchy_of(volumes, notes=notes)
    for layer in [one for one in viewer.layers if _opened_of(one)]:
        viewer.layers.remove(layer)
    add_hierarchy(viewer, members, notes)


def _opened(place: str) -> Opened | Scan | Series:
    if is_address(place) or _is_volume(Path(place)):
        return open_volume(place, whole=False)
    if is_clinical(place):
        return open_clinical(place)
    if not Path(place).exists():
        raise InputError(f"{place} does not exist; give a folder, a file or an address.")
    return open_any(place)


def _is_volume(path: Path) -> bool:
    try:
        read_attributes(path)
    except HipctError:
        return False
    return True


def _is_scan(path: Path) -> bool:
    try:
        open_any(path).close()
    except FormatError:
        return False
    except HipctError:
        # A scan that lacks something: reading says what.
        return path.exists()
    return True
