"""Volumes seen from outside, and the sheets that they are drawn on."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from hipct.volume.snapshot_panels import (
    UNREAD,
    grey_image,
    label_colours,
    pixel_size,
    range_text,
)
from hipct.volume.snapshot_projection import Camera, project
from hipct.volume.snapshot_sheet import HOLE, INK, Panel, arrange, compose

CUBES = (1.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).random((20, 30, 40), np.float32)


def test_along_an_axis_it_is_the_largest_value(noise: np.ndarray) -> None:
    for camera, expected in (
        (Camera(0, 0), noise.max(axis=1)),
        # From x one looks at y from its far end.
        (Camera(90, 0), noise.max(axis=2)[:, ::-1]),
        (Camera(180, 0), noise.max(axis=1)[:, ::-1]),
        (Camera(0, 90), noise.max(axis=0)),
    ):
        np.testing.assert_allclose(project(noise, CUBES, camera).values, expected, atol=1e-6)


@pytest.mark.parametrize(("azimuth", "elevation"), [(30, 20), (-70, 45), (200, -35)])
def test_a_bright_spot_lies_where_its_place_says(azimuth: float, elevation: float) -> None:
    block = np.zeros((41, 31, 51), np.float32)
    z, y, x = 8, -6, 15  # from the middle
    block[19 + z : 22 + z, 14 + y : 17 + y, 24 + x : 27 + x] = 1
    values = np.nan_to_num(project(block, CUBES, Camera(azimuth, elevation)).values)
    assert values.max() == pytest.approx(1)
    rows, columns = np.indices(values.shape)
    a, e = np.deg2rad([azimuth, elevation])
    # One turns x and y about z, then looks down by the elevation.
    right, towards = x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a)
    down = z * np.cos(e) + towards * np.sin(e)
    found = [(axis * values).sum() / values.sum() for axis in (rows, columns)]
    middle = (np.array(values.shape) - 1) / 2
    np.testing.assert_allclose(found - middle, [down, right], atol=0.35)


def test_voxels_that_are_no_cubes_keep_their_lengths() -> None:
    view = project(np.ones((10, 20, 30), np.float32), (4.0, 2.0, 1.0), Camera(0, 0))
    assert view.values.shape == (40, 30)
    assert (view.values == 1).all()
    assert view.pixel == 1.0
    np.testing.assert_allclose(view.corners.min(axis=0), -0.5)
    np.testing.assert_allclose(view.corners.max(axis=0), [29.5, 39.5])


def test_rays_that_miss_the_volume_have_no_value() -> None:
    view = project(np.ones((30, 30, 30), np.float32), CUBES, Camera(45, 0))
    rows, columns = view.values.shape
    assert (rows, columns) == (30, 43)
    assert np.isfinite(view.values).all(axis=0)[1:-1].all()
    tilted = project(np.ones((30, 30, 30), np.float32), CUBES, Camera(45, 30)).values
    assert np.isnan(tilted[[0, 0, -1, -1], [0, -1, 0, -1]]).all()
    assert set(np.unique(tilted[np.isfinite(tilted)])) == {1.0}


def test_of_labels_the_first_one_hides_the_others() -> None:
    block = np.zeros((10, 12, 14), np.float32)
    block[2:8, 9, 3:9] = 5  # nearer to the camera, which stands at large y
    block[:, 2, :] = 7
    view = project(block, CUBES, Camera(0, 0), labels=True)
    expected = np.full((10, 14), 7.0)
    expected[2:8, 3:9] = 5
    np.testing.assert_array_equal(view.values, expected)
    np.testing.assert_array_equal(view.depth, np.where(expected == 5, 2, 9))
    empty = project(np.zeros((4, 4, 4), np.float32), CUBES, Camera(0, 0), labels=True)
    assert (empty.values == 0).all()
    assert np.isnan(empty.depth).all()


def test_colours_of_holes_greys_and_labels() -> None:
    grey = np.asarray(grey_image(np.array([[0.0, 1.0, UNREAD, np.nan]], np.float32), (-1, 1)))
    assert grey.tolist() == [[[128] * 3, [255] * 3, list(HOLE), [0] * 3]]
    labels = np.asarray(label_colours(np.array([[0, 1, 2, 3, UNREAD]], np.float32)))[0]
    assert labels[0].tolist() == [0, 0, 0]
    assert labels[4].tolist() == list(HOLE)
    for one, other in ((1, 2), (2, 3), (1, 3)):
        assert np.abs(labels[one].astype(int) - labels[other]).max() > 80
    assert range_text((0, 100), (0.01, -0.5, "1/cm")) == "-0.5 to 0.5 1/cm"
    assert range_text((0, 100), None) == "grey 0 to 100"


@pytest.mark.parametrize(
    ("unit_per_px", "unit", "pixels"), [(2.5, "um", 80), (10.0, "um", 100), (0.7, "voxel", 143)]
)
def test_the_scale_bar_is_as_long_as_it_says(unit_per_px: float, unit: str, pixels: int) -> None:
    """At most 150 pixels: 200 um of 2.5 um, 1 mm of 10 um, 100 voxels of 0.7."""
    panel = Panel("x", Image.new("L", (300, 200), 90))
    sheet = compose("t", [panel], unit_per_px=unit_per_px, unit=unit, legend="")
    ink = (np.asarray(sheet) == INK).all(axis=-1)
    rows = np.flatnonzero(ink[:, 14 : 14 + pixels].all(axis=1))
    assert rows.size == 7
    assert not ink[rows][:, 14 + pixels :].any()
    assert not ink[rows][:, :14].any()


def test_small_volumes_are_enlarged_by_whole_factors() -> None:
    assert pixel_size({"z": 100.0, "x": 80.0}, 10.0, 600) == 10 / 48
    assert pixel_size({"z": 10_000.0}, 10.0, 500) == 20.0


def test_columns_leave_little_space_and_nothing_overlaps() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        sizes = [tuple(map(int, size)) for size in rng.integers(20, 400, (4, 2))]
        places, (width, height) = arrange(sizes, 10)
        taken = np.zeros((height, width), int)
        for (left, top), (w, h) in zip(places, sizes):
            taken[top : top + h, left : left + w] += 1
        assert taken.sum() == sum(w * h for w, h in sizes)
        assert taken.max() == 1


def test_a_long_note_is_broken_into_lines() -> None:
    panel = Panel("x", Image.new("L", (100, 100)))
    options = {"unit_per_px": 1.0, "unit": "um", "legend": ""}
    plain = compose("t", [panel], **options)
    noted = compose("t", [panel], notes=["chunk 0/1/2 is torn, and so on. " * 8], **options)
    assert noted.width == plain.width
    assert noted.height > plain.height + 40
