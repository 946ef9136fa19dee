"""The plugin in napari: manifest, readers beside those of others, samples, commands, panels."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import hipct.viewing
from hipct.core.errors import FormatError, InputError
from hipct.simulation import simulate_scan
from hipct.viewing import plugin
from hipct.volume.pyramid import write_pyramid

MANIFEST = Path(hipct.viewing.__file__).with_name("napari.yaml")
CONTRIBUTIONS = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))["contributions"]
VOXEL = (30.0, 20.0, 10.0)


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("organ") / "organ.ome.zarr"
    volume = np.full((40, 60, 80), 0.1, np.float32)
    volume[10:30, 15:45, 20:60] = 0.3
    write_pyramid(volume, path, voxel_size_um=VOXEL, window=(0.0, 0.4), chunk=16)
    return path


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("scan") / "scan.zarr"
    return simulate_scan(out, columns=64, rows=8, angles=40, acquisition="full", noise=None)


def test_npe2_finds_no_fault_in_the_manifest_and_its_functions() -> None:
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed")
    manifest = npe2.PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "hipct"
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(MANIFEST)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "valid" in done.stdout


def test_every_command_has_a_function_and_a_place() -> None:
    commands = {each["id"]: each["python_name"] for each in CONTRIBUTIONS["commands"]}
    assert len(commands) == len(CONTRIBUTIONS["commands"])
    for name in commands.values():
        module, _, function = name.partition(":")
        assert callable(getattr(importlib.import_module(module), function))
    placed = {
        each["command"]
        for key in ("readers", "sample_data", "widgets")
        for each in CONTRIBUTIONS[key]
    } | {each["command"] for items in CONTRIBUTIONS["menus"].values() for each in items}
    assert placed == set(commands)


def test_the_plugin_is_imported_without_napari() -> None:
    program = (
        "import sys\n"
        "import hipct.viewing.plugin, hipct.viewing.sample\n"
        "print(sorted({'napari', 'qtpy', 'vispy', 'PySide6'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_volumes_and_scans_are_told_by_their_content(
    organ: Path, scan: Path, tmp_path: Path
) -> None:
    assert plugin.get_reader(str(organ)) is plugin.read_volume
    assert plugin.get_reader(str(scan)) is plugin.read_scan
    assert plugin.get_reader("s3://bucket/organ.ome.zarr") is plugin.read_volume
    (tmp_path / "other.zarr").mkdir()
    (tmp_path / "other.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    for other in (tmp_path / "other.zarr", tmp_path / "other.h5", tmp_path / "absent.h5"):
        assert plugin.get_reader(str(other)) is None
    assert plugin.get_reader([str(organ), str(organ)]) is None


def test_without_a_window_a_scan_is_not_shown(scan: Path) -> None:
    pytest.importorskip("napari.viewer", reason="napari is not installed")
    with pytest.raises(InputError, match="there is none"):
        plugin.read_scan(str(scan))


@pytest.fixture(scope="module")
def shared_window(screen: None) -> Iterator[Any]:
    """One window for all tests that follow: to open it takes longer than they do."""
    import napari

    viewer = napari.Viewer(show=True)
    yield viewer
    viewer.close()


@pytest.fixture
def window(shared_window: Any) -> Iterator[Any]:
    yield shared_window
    shared_window.layers.clear()


def greys(picture: np.ndarray) -> set[int]:
    """Grey values that a large part of a picture has."""
    values, counts = np.unique(picture[..., 0], return_counts=True)
    return {int(value) for value, count in zip(values, counts) if count > picture[..., 0].size / 50}


@pytest.mark.parametrize("reader", ["hipct", "napari-ome-zarr"])
def test_both_readers_open_the_same_volume(
    reader: str,
    organ: Path,
    window: Any,
    until: Callable[..., None],
    photograph: Callable[..., Any],
) -> None:
    if reader != "hipct":
        pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    (layer,) = window.open(str(organ), plugin=reader)
    np.testing.assert_allclose(layer.scale[-3:], VOXEL)
    assert layer.source.reader_plugin == reader
    # 0.1 and 0.3 of a window from 0 to 0.4.
    window.dims.set_point(0, 20 * VOXEL[0])
    until(lambda: any(abs(grey - 191) <= 3 for grey in greys(photograph(window))))
    assert any(abs(grey - 64) <= 3 for grey in greys(photograph(window)))


def test_napari_offers_both_readers(organ: Path, window: Any) -> None:
    pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    from napari.plugins._npe2 import get_readers

    assert {"hipct", "napari-ome-zarr"} <= set(get_readers(str(organ)))


def test_a_broken_volume_is_told_in_the_words_of_the_library(tmp_path: Path, window: Any) -> None:
    (tmp_path / "torn.ome.zarr").mkdir()
    (tmp_path / "torn.ome.zarr" / "zarr.json").write_text(
        '{"node_type": "group", "zarr_format": 3, "attributes": {"ome": {"multiscales": []}}}'
    )
    with pytest.raises(FormatError, match="hipct check names the fault"):
        window.open(str(tmp_path / "torn.ome.zarr"), plugin="hipct")
    assert len(window.layers) == 0


def test_a_scan_becomes_a_live_layer(scan: Path, window: Any, until: Callable[..., None]) -> None:
    assert window.open(str(scan), plugin="hipct") == []
    until(lambda: len(window.layers) == 1)
    assert window.layers[0].data[0].shape == (8, 64, 64)


def test_the_sample_organ_is_there_at_once(
    window: Any, until: Callable[..., None], photograph: Callable[..., Any]
) -> None:
    (layer,) = window.open_sample("hipct", "organ")
    assert layer.name == "Simulated organ"
    assert tuple(layer.scale) == (20.0,) * 3
    assert window.layers[0].data[0].shape == (96, 192, 192)
    # Nothing around the organ, which is 0 of the window -0.05 to 0.13, and tissue in it.
    until(lambda: max(greys(photograph(window)), default=0) > 90)
    assert any(abs(grey - 71) <= 3 for grey in greys(photograph(window)))


def test_the_sample_scan_is_simulated_behind_the_window(
    window: Any, until: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from hipct.viewing import sample

    for name, value in (("_COLUMNS", 64), ("_ROWS", 8), ("_ANGLES", 60), ("_RADIUS_UM", 400.0)):
        monkeypatch.setattr(sample, name, value)
    (truth,) = window.open_sample("hipct", "scan")
    assert truth.name == "Truth of the simulated scan"
    until(lambda: len(window.layers) == 2)
    assert window.layers[1].name.startswith("Simulated scan, live")
    assert window.layers[1].data[0].shape == truth.data[0].shape


def test_a_place_is_opened_behind_the_window(
    organ: Path,
    window: Any,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari.utils.notifications import notification_manager
    from qtpy.QtWidgets import QInputDialog

    places = iter([(str(organ), True), (str(organ / "absent"), True), ("", True), ("x", False)])
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: next(places))
    plugin.open_place()
    until(lambda: len(window.layers) == 1)
    assert window.layers[0].name == "organ"
    before = len(notification_manager.records)
    plugin.open_place()
    until(lambda: len(notification_manager.records) > before)
    assert "does not exist; give a folder" in notification_manager.records[-1].message
    plugin.open_place()
    plugin.open_place()
    assert len(window.layers) == 1


def test_volumes_are_shown_in_their_places(tmp_path: Path, window: Any) -> None:
    from napari.utils.notifications import notification_manager

    place = {
        "zoom": "zoom",
        "overview": "organ",
        "result": "found",
        "scale": 1.0,
        "rotation": np.eye(3).tolist(),
        "translation": [90.0, 400.0, 200.0],
    }
    values = np.full((16, 16, 16), 30000, np.uint16)
    write_pyramid(
        values, tmp_path / "zoom.ome.zarr", voxel_size_um=5.0, attributes={"placed_in": place}
    )
    write_pyramid(np.repeat(values, 3, axis=1), tmp_path / "organ.ome.zarr", voxel_size_um=20.0)
    window.open(str(tmp_path / "organ.ome.zarr"), plugin="hipct")
    plugin.arrange_volumes()
    assert "open an overview and its zooms first" in notification_manager.records[-1].message
    window.open(str(tmp_path / "zoom.ome.zarr"), plugin="hipct")
    plugin.arrange_volumes()
    layers = {layer.name: layer for layer in window.layers}
    assert tuple(layers["zoom"].translate) == (90.0, 400.0, 200.0)
    assert tuple(layers["organ"].translate) == (0.0, 0.0, 0.0)
    # Whoever is without its panel cannot be stepped through.
    assert window.window._qt_window.findChild(object, "Hierarchy") is not None


def test_what_is_missing_or_being_written_is_told_and_the_rest_shown(
    organ: Path, tmp_path: Path, window: Any
) -> None:
    from napari.utils.notifications import notification_manager

    shutil.copytree(organ, tmp_path / "torn.ome.zarr")
    shutil.rmtree(tmp_path / "torn.ome.zarr" / "1")
    (layer,) = window.open(str(tmp_path / "torn.ome.zarr"), plugin="hipct")
    assert "Level '1' of" in notification_manager.records[-1].message
    (tmp_path / "torn.ome.zarr.run").mkdir()
    window.open(str(tmp_path / "torn.ome.zarr"), plugin="hipct")
    assert "is being written" in notification_manager.records[-1].message
    assert [level.shape for level in layer.data] == [(40, 60, 80), (10, 15, 20), (5, 8, 10)]


def test_the_selected_volume_is_drawn_into_a_file(
    organ: Path,
    tmp_path: Path,
    window: Any,
    until: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from napari.utils.notifications import notification_manager
    from qtpy.QtWidgets import QFileDialog

    def told(words: str) -> bool:
        return any(words in each.message for each in notification_manager.records)

    plugin.save_snapshot()
    assert told("select its layer first")
    window.open(str(organ), plugin="hipct")
    out = tmp_path / "organ.png"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "organ"), ""))
    plugin.save_snapshot()
    until(out.is_file)
    until(lambda: told("slices of level 0"))
    assert out.read_bytes().startswith(b"\x89PNG")


def test_panels_are_opened_from_the_menu(
    organ: Path, scan: Path, window: Any, until: Callable[..., None]
) -> None:
    window.open(str(organ), plugin="hipct")
    with pytest.raises(InputError, match="No raw scan is shown"):
        window.window.add_plugin_dock_widget("hipct", "Phase explorer")
    window.open(str(scan), plugin="hipct")
    until(lambda: len(window.layers) == 2)
    for each in CONTRIBUTIONS["widgets"]:
        dock, panel = window.window.add_plugin_dock_widget("hipct", each["display_name"])
        until(dock.isVisible)
        assert panel.size().height() > 20
        window.window.remove_dock_widget(dock)
