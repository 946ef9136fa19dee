"""The hand-over to napari: what a layer is given, that napari-ome-zarr agrees, and real pixels."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import FormatError, MissingExtra
from hipct.viewing.layers import layer_data
from hipct.viewing.window import view
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource

VOXEL = (30.0, 20.0, 10.0)


@pytest.fixture
def organ(tmp_path: Path) -> Path:
    volume = np.zeros((50, 60, 70), np.float32)
    volume[10:40, 15:45, 20:50] = 0.3
    write_pyramid(
        volume, tmp_path / "organ.ome.zarr", voxel_size_um=VOXEL, window=(-0.1, 0.4), chunk=16
    )
    return tmp_path / "organ.ome.zarr"


def test_a_layer_gets_levels_places_units_and_window(organ: Path) -> None:
    levels, options = layer_data(organ)
    assert [level.shape for level in levels] == [
        (50, 60, 70),
        (25, 30, 35),
        (13, 15, 18),
        (7, 8, 9),
    ]
    assert options["multiscale"] is True
    assert options["scale"] == VOXEL
    assert options["translate"] == (0.0, 0.0, 0.0)
    assert options["units"] == ("micrometer",) * 3
    assert options["axis_labels"] == ("z", "y", "x")
    assert options["contrast_limits"] == (0.0, 65535.0)
    assert options["metadata"]["hipct"]["window"]["offset"] == -0.1


def test_without_a_window_napari_chooses(organ: Path) -> None:
    file = organ / "zarr.json"
    file.write_text(file.read_text().replace('"omero"', '"other"'))
    assert "contrast_limits" not in layer_data(organ)[1]


@pytest.mark.skipif(importlib.util.find_spec("napari") is not None, reason="napari is installed")
def test_missing_napari_is_one_sentence(organ: Path) -> None:
    with pytest.raises(MissingExtra, match=r"hipct view needs the package napari.*hipct\[viewer\]"):
        view(organ)


def test_a_wrong_path_is_said_before_napari_starts(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no OME-Zarr volume"):
        view(tmp_path)


def test_the_layer_in_napari_without_a_window(organ: Path) -> None:
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    levels, options = layer_data(organ)
    viewer = components.ViewerModel()
    layer = viewer.add_image(levels, **options)
    assert layer.multiscale
    assert len(layer.data) == 4
    assert tuple(layer.scale) == VOXEL
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert layer.contrast_limits == [0.0, 65535.0]
    assert tuple(layer.axis_labels) == ("z", "y", "x")
    # Three dimensions begin with the coarsest level: nothing freezes.
    viewer.dims.ndisplay = 3
    assert layer.data_level == 3


def test_a_volume_on_a_server_is_read_where_napari_looks(web: Any) -> None:
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    values = np.random.default_rng(0).integers(1, 60000, (32, 128, 128), np.uint16)
    write_pyramid(values, web.folder / "far.ome.zarr", voxel_size_um=20, chunk=16)
    web.begin()
    levels, options = layer_data(f"{web.url}/far.ome.zarr")
    assert [one.path for one in web.requests if "/c/" in one.path] == []
    viewer = components.ViewerModel()
    layer = viewer.add_image(levels, **options)
    # Windows of other tests may have told napari to slice in a thread.
    viewer._layer_slicer.wait_until_idle(10)
    # The first picture is of the coarsest level; of the others nothing has come.
    assert {one.path.split("/")[2] for one in web.requests if "/c/" in one.path} == {
        str(len(levels) - 1)
    }
    web.begin()
    np.testing.assert_array_equal(
        np.asarray(layer.data[0][5, 20:40, 60:90]), values[5, 20:40, 60:90]
    )
    assert len([one for one in web.requests if "/c/" in one.path]) == 1 + 2 * 3


def test_napari_ome_zarr_reads_the_same_levels_and_places(organ: Path) -> None:
    plugin = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    reader = plugin.napari_get_reader(str(organ))
    assert reader is not None
    (data, options, kind), *others = reader(str(organ))
    assert kind == "image"
    assert not others
    levels, ours = layer_data(organ)
    assert [tuple(level.shape) for level in data] == [level.shape for level in levels]
    np.testing.assert_allclose(options["scale"], ours["scale"])
    np.testing.assert_allclose(options.get("translate", (0, 0, 0)), ours["translate"])
    for theirs, level in zip(data, levels):
        np.testing.assert_array_equal(np.asarray(theirs), level[:])


def test_labels_are_labels_by_hand_and_by_plugin(tmp_path: Path) -> None:
    components = pytest.importorskip("napari.components", reason="napari is not installed")
    volume = np.random.default_rng(0).integers(0, 9, (20, 30, 40), np.uint8)
    # The plugin looks two folders up for an image, and makes a group there if there is none.
    path = tmp_path / "image" / "labels" / "vessels.ome.zarr"
    build_pyramid(ArraySource(volume, VOXEL), path, kind="labels", chunk=16)
    levels, options = layer_data(path)
    layer = components.ViewerModel().add_labels(levels, **options)
    assert len(layer.data) == 3
    assert tuple(layer.scale) == VOXEL
    plugin = pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    ((data, theirs, kind),) = plugin.napari_get_reader(str(path))(str(path))
    assert kind == "labels"
    assert "contrast_limits" not in theirs
    np.testing.assert_array_equal(np.asarray(data[0]), volume)


@pytest.mark.usefixtures("screen")
def test_a_real_window_shows_the_volume(organ: Path, until: Any) -> None:
    import napari

    from hipct.viewing import window as hand_over

    started = []
    run = napari.run
    napari.run = lambda: started.append(True)
    try:
        viewer = hand_over.view(organ, show=True)
        viewer.dims.set_point(0, 25 * VOXEL[0])
        # The voxels follow the window.
        seen = viewer.layers[0]._slicing_state
        until(lambda: np.unique(seen._slice.image.view).size == 2)
        picture = viewer.screenshot(canvas_only=True, flash=False)
    finally:
        napari.run = run
    assert started == [True]
    middle = picture[picture.shape[0] // 2, picture.shape[1] // 2, :3]
    # 0.3 of the window -0.1 .. 0.4 is 80 % of white; outside of the body it is 20 %.
    assert abs(int(middle.mean()) - 204) <= 3
    greys = picture[..., :3].mean(axis=-1)
    assert (abs(greys - 51) <= 3).any()
    viewer.close()
