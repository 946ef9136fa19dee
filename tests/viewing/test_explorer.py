"""The phase explorer in real windows: pixels follow the sliders, and a run gives the same."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hipct.live.scan import LiveScan
from hipct.live.tuning import Tuning
from hipct.pipeline.config import Config
from hipct.pipeline.config_io import load_config
from hipct.simulation.scan import simulate_scan
from hipct.viewing.position import read_out

Z = 16
AXIS = 80.8


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return simulate_scan(
        tmp_path_factory.mktemp("explorer") / "scan.zarr",
        acquisition="full",
        columns=160,
        rows=32,
        angles=160,
        axis=AXIS,
        distance_m=12.0,
        delta_beta=1500.0,
        noise=20_000.0,
        seed=3,
    )


@pytest.fixture(scope="module")
def live(scan):
    # So small a scan shows its axis to nobody.
    with LiveScan(scan, Config(axis={"value": AXIS})) as opened:
        yield opened


@pytest.fixture(scope="module")
def opened(screen, live):
    """One window for all tests: to open it takes longer than any of them."""
    import napari
    from qtpy.QtWidgets import QApplication

    from hipct.viewing.explorer import add_explorer

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1350, 950)
    made = add_explorer(viewer, live)
    end = time.monotonic() + 120
    while made.tuning is None or made.busy:
        assert time.monotonic() < end, made.status.text()
        QApplication.processEvents()
        time.sleep(0.005)
    yield made
    made.close_down()
    viewer.close()


@pytest.fixture
def explorer(opened, until):
    """The explorer as it begins: whole slice, nothing changed, figures there."""
    opened.reset_all()
    opened.compares.setChecked(False)
    opened.keep_as_before()
    opened.take_all()
    until(lambda: not opened.busy)
    opened.picture.stretch()
    opened._viewer.reset_view()
    return opened


@pytest.fixture
def settled(explorer, until):
    """Sets something, and waits until its pictures and figures are there."""

    def set_(key, value):
        explorer.set(key, value)
        until(lambda: not explorer.busy)

    return set_


def grey_at(explorer, picture, y, x):
    """Mean of some pixels of a photograph around a place of the slice, in voxels."""
    viewer = explorer._viewer
    voxel = explorer.voxel_size_um
    zoom, centre = viewer.scene.camera.zoom, viewer.scene.camera.center
    row = round(picture.shape[0] / 2 + (y * voxel - centre[-2]) * zoom)
    column = round(picture.shape[1] / 2 + (x * voxel - centre[-1]) * zoom)
    return picture[row - 2 : row + 3, column - 2 : column + 3].mean()


def expected_grey(explorer, values, y, x):
    low, high = explorer.picture.limits
    return 255 * np.clip((values[y - 1 : y + 2, x - 1 : x + 2].mean() - low) / (high - low), 0, 1)


def drawn(until, photograph, explorer):
    """A photograph of the canvas once it is drawn."""
    pause = time.monotonic() + 0.3
    until(lambda: time.monotonic() > pause)
    return photograph(explorer._viewer)


def test_the_window_shows_the_slice_of_a_run(explorer, live, until, photograph):
    shown = explorer.picture.shown
    np.testing.assert_array_equal(shown.after, live.slice(Z))
    assert f"Slice {Z}, fine" in explorer.status.text()
    picture = drawn(until, photograph, explorer)
    middle = live.shape[1] // 2
    for y, x in ((middle, middle), (middle - 40, middle + 10), (4, 4)):
        assert grey_at(explorer, picture, y, x) == pytest.approx(
            expected_grey(explorer, shown.after, y, x), abs=12
        )
    # The panel Position tells values of it, as of a volume, where the mouse is.
    y, x, voxel = middle - 40, middle + 10, explorer.voxel_size_um
    said = read_out(explorer._viewer.layers, (0.0, y * voxel, x * voxel))
    assert said == f"{shown.after[y, x]:.4f} 1/cm in explorer: after"
    assert read_out(explorer._viewer.layers, (0.0, -2 * voxel, 0.0)) == ""
    told = [[cell.text() for cell in line] for line in explorer.table.cells]
    assert told[2][0] == told[2][1]
    assert told[2][0].endswith(" 1/cm")
    assert told[1][0].endswith(" um")


def test_sliders_change_pixels_and_figures(explorer, live, settled, until, photograph):
    before = drawn(until, photograph, explorer)
    settled("phase.delta_beta", 200.0)
    expected = Tuning(live).changed({"phase.delta_beta": 200.0})
    np.testing.assert_array_equal(explorer.picture.shown.after, expected.slice(Z))
    after = drawn(until, photograph, explorer)
    noisy = np.std(np.diff(after.astype(float), axis=1)) / np.std(
        np.diff(before.astype(float), axis=1)
    )
    assert noisy > 2
    halo = [float(cell.text()) for cell in explorer.table.cells[0]]
    assert halo[0] < 0.2
    assert halo[1] > 1
    # The slider itself: a step of it is a value on a logarithmic scale.
    row = explorer.settings.rows["phase.delta_beta"]
    row.slider.setValue(500)
    assert row.value == row.knob.at(0.5) == pytest.approx(316.2)
    assert row.field.value() == pytest.approx(316.2)
    assert explorer.changes == {"phase.delta_beta": 316.2}
    row.reset.click()
    assert explorer.changes == {}


def test_before_and_after_lie_beside_the_line(explorer, settled, until, photograph):
    settled("phase.delta_beta", 9000.0)
    explorer.compares.setChecked(True)
    explorer.split.setValue(500)
    picture = drawn(until, photograph, explorer)
    shown = explorer.picture.shown
    size = shown.after.shape[1]
    for x in (size // 4, size // 2 - 6, size // 2 + 6, 3 * size // 4):
        sides = (shown.before, shown.after) if x < size // 2 else (shown.after, shown.before)
        # Where both differ most in this column.
        y = 8 + np.abs(shown.before - shown.after)[8:-8, x - 1 : x + 2].sum(axis=1).argmax()
        seen, right, wrong = (
            grey_at(explorer, picture, y, x),
            *(expected_grey(explorer, side, y, x) for side in sides),
        )
        assert abs(seen - right) < 0.4 * abs(right - wrong)
    # The line is yellow.
    row = picture[picture.shape[0] // 2].astype(int)
    assert 1 <= (row[:, :2].min(axis=1) - row[:, 2] > 100).sum() <= 4
    assert explorer.picture.before.data.shape[1] == round(size / 2)
    explorer.compares.setChecked(False)
    assert not explorer.picture.before.visible
    assert not explorer.picture.line.visible


def test_the_mouse_moves_the_line(explorer, until):
    class Event:
        type = "mouse_press"

    explorer.compares.setChecked(True)
    explorer.split.setValue(500)
    viewer, event = explorer._viewer, Event()
    columns = explorer.picture.shown.before.shape[1]
    voxel = explorer.voxel_size_um
    event.position = (100.0, 20 * voxel)
    assert list(explorer.picture._drag(viewer, event)) == []
    event.position = (100.0, (columns / 2 - 0.5) * voxel)
    drag = explorer.picture._drag(viewer, event)
    next(drag)
    assert viewer.scene.camera.mouse_pan is False
    event.type, event.position = "mouse_move", (100.0, (0.25 * columns - 0.5) * voxel)
    next(drag)
    event.type = "mouse_release"
    assert list(drag) == []
    assert viewer.scene.camera.mouse_pan is True
    assert explorer.split.value() == 250
    assert explorer.picture.before.data.shape[1] == round(0.25 * columns)


def test_of_a_slider_that_is_pulled_the_last_value_stays(explorer, until, monkeypatch):
    from qtpy.QtWidgets import QApplication

    from hipct.viewing import explorer_panel

    gate, compare = threading.Event(), explorer_panel.compare

    def held(*pair, **options):
        gate.wait(60)
        yield from compare(*pair, **options)

    monkeypatch.setattr(explorer_panel, "compare", held)
    row, shown = explorer.settings.rows["phase.delta_beta"], explorer.picture.shown
    for place in range(200, 800, 10):
        row.slider.setValue(place)
        QApplication.processEvents()
    # Pictures are made elsewhere: the window went on without a single one.
    assert explorer.picture.shown is shown
    gate.set()
    until(lambda: not explorer.busy)
    assert explorer.picture.shown.tuned.changes == explorer.changes
    assert explorer.changes == {"phase.delta_beta": row.knob.at(0.79)}


def test_settings_appear_where_they_have_an_effect(explorer, settled):
    assert not explorer.settings.rows["rings.sigma"].slider.isVisibleTo(explorer)
    settled("rings.method", "wavelet")
    assert explorer.settings.rows["rings.sigma"].slider.isVisibleTo(explorer)
    assert not explorer.settings.rows["rings.size_px"].slider.isVisibleTo(explorer)
    assert explorer.settings.tissue.text() == "soft tissue: 1472"
    explorer.set("scan.energy_kev", 75.0)
    assert explorer.settings.tissue.text() == "soft tissue: 1660"
    explorer.settings.tissue.click()
    assert explorer.changes["phase.delta_beta"] == pytest.approx(1660)
    settled("phase.method", "none")
    assert not explorer.settings.tissue.isVisibleTo(explorer)


def test_a_setting_that_is_not_given_says_so_and_can_be_taken_back(explorer, settled):
    row = explorer.settings.rows["phase.regularisation"]
    settled("phase.method", "ctf_homogeneous")
    assert row.field.isVisibleTo(explorer)
    assert row.field.text() == "not given"
    row.slider.setValue(600)
    assert explorer.changes["phase.regularisation"] == row.knob.at(0.6)
    assert row.field.value() == pytest.approx(row.knob.at(0.6), abs=1e-5)
    row.reset.click()
    assert "phase.regularisation" not in explorer.changes
    assert row.field.text() == "not given"


def test_a_region_is_computed_alone(explorer, live, until):
    viewer = explorer._viewer
    viewer.scene.camera.zoom *= 3
    pause = time.monotonic() + 0.3
    until(lambda: time.monotonic() > pause)
    explorer.take_what_is_seen()
    until(lambda: not explorer.busy)
    rows, columns = explorer.region
    assert 10 < rows.stop - rows.start < 0.8 * live.shape[1]
    np.testing.assert_array_equal(explorer.picture.shown.after, live.slice(Z)[rows, columns])
    voxel = explorer.voxel_size_um
    assert tuple(explorer.picture.after.translate) == (rows.start * voxel, columns.start * voxel)
    explorer.take_all()
    until(lambda: explorer.picture.shown.after.shape == live.shape[1:])
    assert tuple(explorer.picture.after.translate) == (0, 0)


def test_what_cannot_be_is_told_and_nothing_breaks(explorer, settled, until):
    explorer.changes["phase.delta_beta"] = -5.0
    explorer.recompute()
    until(lambda: "delta_beta" in explorer.status.text())
    settled("phase.delta_beta", 900.0)
    assert "fine" in explorer.status.text()


def test_use_these_writes_what_a_run_takes(explorer, settled, tmp_path):
    settled("phase.delta_beta", 820.0)
    explorer.use(tmp_path / "tuned.yaml")
    config = load_config(tmp_path / "tuned.yaml")
    assert config.phase.delta_beta == 820
    assert config.axis.value == explorer.tuning.live.axis_px
    with LiveScan(explorer.tuning.live.scans[0], config) as again:
        np.testing.assert_array_equal(again.slice(Z), explorer.picture.shown.after)
    assert explorer.command.text().startswith("hipct reconstruct ")
    assert explorer.command.text().endswith(f"--config {tmp_path / 'tuned.yaml'}")
