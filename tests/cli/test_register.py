"""``hipct register``: files, metadata, exit codes."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from benchmarks.register_data import OVERVIEW_UM, hierarchy
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A zoom and its overview on disk, what they are, and an overview of nothing but noise."""
    made = hierarchy(3, factor=4.0, shape=(40, 52, 52), extent=(26, 34), noise=0.1)
    folder = tmp_path_factory.mktemp("hierarchy")
    noise = np.random.default_rng(1).integers(20000, 30000, (40, 52, 52)).astype(np.uint16)
    for name, array, voxel in (
        ("zoom", made.zoom.levels[0].array, made.zoom.levels[0].scale[0]),
        ("overview", made.overview.levels[0].array, OVERVIEW_UM),
        ("noise", noise, OVERVIEW_UM),
    ):
        write_pyramid(array, folder / f"{name}.ome.zarr", voxel_size_um=voxel, chunk=32)
    return made, folder


def test_a_place_is_told_drawn_and_written(hipct, stored):
    made, folder = stored
    zoom, overview = folder / "zoom.ome.zarr", folder / "overview.ome.zarr"
    ended = hipct("register", zoom, overview, "--rotation", f"{made.angle_deg:.0f}", "--write")
    assert ended.code == 0, ended.err
    assert "found, confidence" in ended.out
    record = json.loads((folder / "zoom.place.json").read_text())
    affine = np.array(record["transformation"]["affine"])
    point = np.append(made.truth.centre + 100, 1.0)
    expected = made.truth.apply(point[:3])
    np.testing.assert_allclose(affine @ point, expected, atol=0.1 * OVERVIEW_UM)
    assert open_volume(zoom).provenance["placed_in"] == record
    assert open_volume(zoom).levels[0].array.shape == made.zoom.levels[0].array.shape
    with Image.open(folder / "zoom.place.png") as picture:
        grey = np.asarray(picture, float)
    # Side by side, the middle of the zoom looks like the overview around it.
    height, width = 300, picture.width // 3
    overview_part = grey[130:200, 120:190]
    zoom_part = grey[130:200, 120 + width : 190 + width]
    assert height < picture.height
    assert np.corrcoef(overview_part.ravel(), zoom_part.ravel())[0, 1] > 0.8
    again = hipct("register", zoom, overview)
    assert again.code == 2
    assert "--overwrite" in again.err


def test_a_place_that_is_uncertain_is_not_written(hipct, stored):
    _, folder = stored
    zoom, out = folder / "zoom.ome.zarr", folder / "other.json"
    before = (zoom / "zarr.json").read_bytes()
    ended = hipct(
        "register", zoom, folder / "noise.ome.zarr", "--rotation", 0, "--write", "-o", out
    )
    assert ended.code == 1
    assert "uncertain" in ended.out
    assert json.loads(out.read_text())["result"] == "uncertain"
    assert (zoom / "zarr.json").read_bytes() == before


def test_a_start_that_is_no_place_is_named(hipct, stored):
    _, folder = stored
    volumes = folder / "zoom.ome.zarr", folder / "overview.ome.zarr"
    ended = hipct("register", *volumes, "-o", folder / "c.json", "--start", "1,2")
    assert ended.code == 2
    assert "three numbers in mm" in ended.err
    assert not (folder / "c.json").exists()
