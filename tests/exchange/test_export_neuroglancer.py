"""The state of a Neuroglancer: the volume itself, its metres, its window."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
import zarr

from hipct.core.errors import InputError
from hipct.exchange.export import export_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource

URL = "https://host/a b/heart.ome.zarr"


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("neuroglancer") / "heart.ome.zarr"
    values = np.random.default_rng(0).uniform(0, 1, (20, 40, 60)).astype(np.float32)
    write_pyramid(values, path, voxel_size_um=(30.0, 20.0, 10.0), window=(0, 1), chunk=16)
    return path


def test_the_state_shows_the_volume_in_metres(organ: Path, tmp_path: Path) -> None:
    written = export_volume(
        organ, tmp_path / "h.json", format="neuroglancer", url=URL + "/", window=(300, 500.5)
    )
    state = json.loads((tmp_path / "h.json").read_text())
    assert state["dimensions"] == {"x": [1e-5, "m"], "y": [2e-5, "m"], "z": [3e-5, "m"]}
    assert state["position"] == [30, 20, 10]
    (layer,) = state["layers"]
    assert layer["source"] == f"zarr3://{URL}"
    assert layer["type"] == "image"
    assert layer["name"] == "heart"
    assert layer["shaderControls"] == {"normalized": {"range": [300, 500.5]}}
    assert "#uicontrol invlerp normalized" in layer["shader"]
    assert written.link is not None
    viewer, _, fragment = written.link.partition("#!")
    assert viewer == "https://neuroglancer-demo.appspot.com/"
    assert set(fragment).isdisjoint(' {}"')
    assert json.loads(unquote(fragment)) == state


def test_the_display_window_of_the_volume_counts(organ: Path, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "h.json", format="neuroglancer", url=f"zarr://{URL}")
    (layer,) = json.loads((tmp_path / "h.json").read_text())["layers"]
    omero = zarr.open_group(organ, mode="r").attrs["ome"]["omero"]
    window = omero["channels"][0]["window"]
    assert layer["shaderControls"]["normalized"]["range"] == [window["start"], window["end"]]
    assert layer["source"] == f"zarr://{URL}"


@pytest.mark.parametrize("url", ["heart.ome.zarr", "file:///heart", "zarr3://heart", "", "ftp://h"])
def test_a_url_that_no_browser_reads_is_refused(organ: Path, tmp_path: Path, url: str) -> None:
    with pytest.raises(InputError, match="give where the volume's folder is served"):
        export_volume(organ, tmp_path / "h.json", format="neuroglancer", url=url)


def test_a_volume_without_a_voxel_size_is_refused(tmp_path: Path) -> None:
    write_pyramid(np.ones((4, 4, 4), "u1"), tmp_path / "v", voxel_size_um=None)
    with pytest.raises(InputError, match="does not say how large its voxels are"):
        export_volume(tmp_path / "v", tmp_path / "h.json", format="neuroglancer", url=URL)


def test_labels_are_a_segmentation(tmp_path: Path) -> None:
    labels = np.random.default_rng(0).integers(0, 9, (8, 9, 10), np.uint8)
    build_pyramid(ArraySource(labels, (30.0, 20.0, 10.0)), tmp_path / "l.ome.zarr", kind="labels")
    export_volume(tmp_path / "l.ome.zarr", tmp_path / "l.json", format="neuroglancer", url=URL)
    state = json.loads((tmp_path / "l.json").read_text())
    (layer,) = state["layers"]
    assert layer["type"] == "segmentation"
    assert {"shader", "shaderControls"}.isdisjoint(layer)
    # 240 um of the finest voxels of 10 um.
    assert state["crossSectionScale"] == 24 / 400
    with pytest.raises(InputError, match="holds labels, which have no window"):
        export_volume(
            tmp_path / "l.ome.zarr",
            tmp_path / "w.json",
            format="neuroglancer",
            url=URL,
            window=(0, 9),
        )


def test_old_versions_are_left_to_neuroglancer_to_recognise(tmp_path: Path) -> None:
    group = zarr.open_group(tmp_path / "v", mode="w", zarr_format=2)
    group.create_array("0", shape=(4, 5, 6), chunks=(4, 4, 4), dtype="u2")
    steps = [{"type": "scale", "scale": [4, 5, 6]}, {"type": "translation", "translation": [2] * 3}]
    axes = [{"name": a, "type": "space", "unit": "millimeter"} for a in "xyz"]
    dataset = {"path": "0", "coordinateTransformations": steps}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    export_volume(tmp_path / "v", tmp_path / "h.json", format="neuroglancer", url="s3://b/v")
    state = json.loads((tmp_path / "h.json").read_text())
    assert state["layers"][0]["source"] == "zarr://s3://b/v"
    assert "shaderControls" not in state["layers"][0]
    assert state["dimensions"]["x"] == [0.004, "m"]
    assert state["position"] == [2 / 4 + 2, 2 / 5 + 2, 2 / 6 + 3]
