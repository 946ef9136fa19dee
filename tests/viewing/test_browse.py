"""A window that browses: panels, keys, bookmarks, detail, holes; looked at by its pixels."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import FormatError
from hipct.viewing.bookmarks import load_bookmarks
from hipct.viewing.layers import add_volume, reads_of
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.storage import Patience

VOXEL_UM = 20.0
N = 256
INSIDE, OUTSIDE = 0.3, 0.1
WINDOW = (-0.1, 0.4)
PATIENCE_S = 60.0


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    values = np.full((N, N, N), OUTSIDE, np.float32)
    values[:, 64:192, 96:160] = INSIDE
    path = tmp_path_factory.mktemp("browse") / "organ.ome.zarr"
    write_pyramid(values, path, voxel_size_um=VOXEL_UM, window=WINDOW, chunk=32)
    return path


@pytest.fixture(scope="module")
def marks_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("marks") / "marks.json"


@pytest.fixture(scope="module")
def window(screen: None, organ: Path, marks_file: Path) -> Iterator[Any]:
    from hipct.viewing.window import new_window

    viewer = new_window("organ", bookmarks=marks_file)
    viewer.window.resize(1200, 900)
    add_volume(viewer, open_volume(organ))
    yield viewer
    viewer.close()


@pytest.fixture
def browser(window: Any) -> Any:
    window.dims.ndisplay = 2
    window.dims.order = (0, 1, 2)
    window.reset_view()
    settle(window)
    return window


def settle(viewer: Any) -> None:
    """Until all of what is looked at is there and was drawn."""
    from tests.viewing.conftest import rest

    rest(viewer)


def panel(viewer: Any, kind: type) -> Any:
    (found,) = viewer.window._qt_window.findChildren(kind)
    return found


def grey(value: float) -> float:
    return 255 * (value - WINDOW[0]) / (WINDOW[1] - WINDOW[0])


def test_position_value_and_minimap(browser: Any, until: Any, photograph: Any) -> None:
    from hipct.viewing.minimap_panel import PositionPanel

    position = panel(browser, PositionPanel)
    position.show_now()
    middle = (N // 2 - 1) * VOXEL_UM / 1e3
    assert position.place.text().startswith(f"z {middle:.3f}   y 2.5")
    # 16 bit of 0.5 1/cm: a step is 8e-6.
    assert position.value.text() == "0.3000 1/cm in organ"
    picture = photograph(browser).mean(axis=-1)
    rows, columns = picture.shape
    assert abs(picture[rows // 2, columns // 2] - grey(INSIDE)) < 3
    small = position.minimap._overview.picture
    assert abs(small[small.shape[0] // 2, small.shape[1] // 2] - grey(INSIDE)) <= 2
    assert abs(small[small.shape[0] // 2, 1] - grey(OUTSIDE)) <= 2
    # A click goes there, on the same slice; so does a line of coordinates.
    position.minimap.picked.emit(1000.0, 3000.0)
    assert browser.scene.camera.center[-2:] == (1000.0, 3000.0)
    position.entry.setText("1.28 2 4.5 mm")
    position.entry.returnPressed.emit()
    assert browser.dims.point == (1280.0, 2000.0, 4500.0)
    until(lambda: position.value.text().startswith("0.1000 1/cm"))
    assert position.place.text() == "z 1.280   y 2.000   x 4.500 mm"


def test_a_window_without_a_volume_and_one_with_an_axis_more(
    organ: Path, tmp_path: Path, make_viewer: Any
) -> None:
    from napari.utils.notifications import notification_manager
    from qtpy.QtWidgets import QPushButton

    from hipct.viewing.window import furnish, new_window
    from hipct.viewing.window_state import look_along, place_in_view, step

    told = len(notification_manager.records)
    viewer = make_viewer()
    panels = furnish(viewer)
    # As a live scan is looked at before its axis is known: nothing is there, and nothing fails.
    for button in panels["Position"].findChildren(QPushButton):
        button.click()
    viewer.dims.ndisplay = 2
    panels["Position"].entry.setText("1 2 3")
    panels["Position"].entry.returnPressed.emit()
    panels["Bookmarks"].add("nowhere")
    panels["Bookmarks"].next()
    step(viewer, 10)
    for axis in range(3):
        look_along(viewer, axis)
    assert place_in_view(viewer) == (0.0, 2.0, 3.0)
    assert [each.message for each in notification_manager.records[told:]] == []

    # Somebody's movement beside the organ: times come before places.
    moves = np.zeros((4, 8, 8, 8), np.uint8)
    viewer.add_image(moves, visible=False, scale=(1, *(VOXEL_UM,) * 3))
    add_volume(viewer, open_volume(organ))
    place = (1280.0, 2000.0, 4500.0)
    for axis in (1, 2, 0):
        look_along(viewer, axis)
        panels["Position"].entry.setText("1.28 2 4.5 mm")
        panels["Position"].entry.returnPressed.emit()
        assert place_in_view(viewer) == place
        assert viewer.dims.order[0] == 0
        assert viewer.dims.order[1] == axis + 1
        panels["Position"].show_now()
        assert panels["Position"].place.text() == "z 1.280   y 2.000   x 4.500 mm"
    step(viewer, 3)
    assert viewer.dims.point[-3:] == (1280.0 + 3 * VOXEL_UM, 2000.0, 4500.0)

    (tmp_path / "torn.json").write_text("{")
    from napari import current_viewer

    with pytest.raises(FormatError, match=r"torn\.json holds no bookmarks"):
        new_window("never", bookmarks=tmp_path / "torn.json")
    assert current_viewer() is viewer


def test_looking_along_axes_and_keys(browser: Any, photograph: Any) -> None:
    from hipct.viewing.window_state import look_along, place_in_view, step

    before = place_in_view(browser)
    look_along(browser, 2)
    assert browser.dims.order[0] == 2
    np.testing.assert_allclose(place_in_view(browser), before, atol=VOXEL_UM)
    settle(browser)
    picture = photograph(browser).mean(axis=-1)
    # Across x the body is a band along z: as bright at the left and right of the middle.
    rows, columns = picture.shape
    assert abs(picture[rows // 2, columns // 2] - grey(INSIDE)) < 3
    look_along(browser, 0)
    at = browser.dims.current_step[0]
    step(browser, 10)
    assert browser.dims.current_step[0] == at + 10
    step(browser, 10_000)
    assert browser.dims.current_step[0] == N - 1
    names = {str(key) for key in browser.keymap}
    assert {"Shift+Z", "PageDown", "Shift+B", "F5"} <= names


def test_bookmarks_come_back_and_are_kept(browser: Any, marks_file: Path, tmp_path: Path) -> None:
    from hipct.viewing.bookmarks_panel import BookmarksPanel
    from hipct.viewing.window_state import look_along, place_in_view

    marks = panel(browser, BookmarksPanel)
    browser.dims.set_point(0, 1280.0)
    browser.scene.camera.center = (0.0, 900.0, 3100.0)
    browser.scene.camera.zoom = 0.77
    marks.add("hilum")
    look_along(browser, 1)
    browser.reset_view()
    marks.add()
    marks.next()
    assert browser.dims.order == (0, 1, 2)
    assert place_in_view(browser) == (1280.0, 900.0, 3100.0)
    assert browser.scene.camera.zoom == pytest.approx(0.77)
    kept = load_bookmarks(marks_file)
    assert [one.name for one in kept] == ["hilum", "view 2"]
    assert kept == marks.bookmarks
    assert kept[0].place == (1280.0, 900.0, 3100.0)
    marks.remove()
    assert [one.name for one in load_bookmarks(marks_file)] == ["view 2"]
    (tmp_path / "x.json").write_text('{"format": "hipct bookmarks", "bookmarks": [{"name": 1}]}')
    with pytest.raises(FormatError, match=r"x\.json holds no bookmarks"):
        load_bookmarks(tmp_path / "x.json")


def test_three_dimensions_are_as_fine_as_the_budget(browser: Any, photograph: Any) -> None:
    from hipct.viewing.detail_panel import VolumePanel

    facts, layer = panel(browser, VolumePanel), browser.layers[0]
    # 256, 128, 64 voxels of 16 bit: 34 MB, 4.2 MB, 0.5 MB.
    facts.budget.setCurrentIndex(0)
    assert facts.budget.currentData() == 2**24
    browser.dims.ndisplay = 3
    assert layer.data_level == 1
    settle(browser)
    assert layer._slice.image.view.shape == (128,) * 3
    facts.tell()
    assert "level 1 of 0 to 3, voxels of 40 x 40 x 40 um" in facts.detail.text()
    picture = photograph(browser).mean(axis=-1)
    rows, columns = picture.shape
    assert abs(picture[rows // 2, columns // 2] - grey(INSIDE)) < 6
    facts.budget.setCurrentIndex(1)
    assert layer.data_level == 0
    settle(browser)
    assert layer._slice.image.view.shape == (N,) * 3
    browser.dims.ndisplay = 2
    assert layer.locked_data_level is None


def test_a_slow_disk_does_not_stop_the_window_and_a_broken_chunk_is_a_hole(
    browser: Any, photograph: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils import notifications
    from qtpy.QtWidgets import QApplication

    from hipct.viewing.detail_panel import VolumePanel

    told: list[str] = []
    monkeypatch.setattr(notifications, "show_warning", told.append)
    reads, facts = reads_of(browser.layers[0]), panel(browser, VolumePanel)
    assert reads is not None
    finest = reads._sources[0].shape
    fetched = type(reads._sources[0]).chunk
    gate, came = threading.Event(), []

    def slow(source: Any, place: tuple[int, ...]) -> Any:
        if source.shape == finest:
            gate.wait(PATIENCE_S)
            came.append(place)
            if place == (7, 4, 4):
                raise FormatError("The chunk (7, 4, 4) is damaged.")
        return fetched(source, place)

    # Reading again opens the files anew.
    monkeypatch.setattr(type(reads._sources[0]), "chunk", slow)
    facts.read_again()
    browser.dims.set_point(0, 240 * VOXEL_UM)
    for _ in range(60):
        QApplication.processEvents()
        time.sleep(0.005)
    # The window drew, again and again, and nothing has come yet: whoever waits would have got it.
    assert not came
    assert reads.pending
    gate.set()
    settle(browser)
    picture = photograph(browser).mean(axis=-1)
    row, column = (n // 2 for n in picture.shape)
    # Chunk (4, 4) lies right below and beside the middle.
    zoom = browser.scene.camera.zoom * VOXEL_UM
    assert picture[int(row + 16 * zoom), int(column + 16 * zoom)] < 3
    assert abs(picture[int(row - 16 * zoom), int(column - 16 * zoom)] - grey(INSIDE)) < 3
    assert told == ["The chunk (7, 4, 4) is damaged."]
    facts.tell()
    assert facts.faults.text() == "The chunk (7, 4, 4) is damaged."
    reads.forget()


def test_a_dead_server_leaves_holes_and_the_window_alive(
    browser: Any, until: Any, web: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.utils import notifications
    from qtpy.QtWidgets import QApplication

    told: list[str] = []
    monkeypatch.setattr(notifications, "show_warning", told.append)
    values = np.full((64, 128, 128), 30_000, np.uint16)
    write_pyramid(values, web.folder / "far.ome.zarr", voxel_size_um=VOXEL_UM, chunk=32)
    volume = open_volume(f"{web.url}/far.ome.zarr", patience=Patience(PATIENCE_S, 1, 0.0))
    gate = threading.Event()

    def fault(path: str, before: int) -> str | None:
        if "/c/" not in path:
            return None
        gate.wait(PATIENCE_S)
        return "drop"

    web.begin(fault)
    browser.dims.set_point(0, 20 * VOXEL_UM)
    layer = add_volume(browser, volume)
    reads = reads_of(layer)
    assert reads is not None
    try:
        for _ in range(30):
            QApplication.processEvents()
            time.sleep(0.005)
        # The server is silent, and the window draws: whoever waits would be told of the end.
        assert reads.pending
        assert not told
        gate.set()
        until(lambda: bool(told) and layer.loaded and not reads.pending)
        assert "could not be read" in told[0]
        assert web.url in reads.faults[0]
        assert not layer._slice.image.view.any()
    finally:
        gate.set()
        browser.layers.remove(layer)
