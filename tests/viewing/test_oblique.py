"""Slices at any angle, against a linear volume, whose values are known everywhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.viewing.minimap import grey, overview
from hipct.viewing.oblique import Oblique, cut, level_for
from hipct.viewing.position import parse_place, value_words
from hipct.viewing.reads import PyramidReads, reads_of_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

N = 64
VOXEL = (3.0, 2.0, 2.0)
SLOPES = np.array([7.0, 5.0, 3.0])
MIDDLE = tuple((N - 1) / 2 * v for v in VOXEL)


@pytest.fixture(scope="module")
def volume_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    z, y, x = np.meshgrid(*(np.arange(N) * v for v in VOXEL), indexing="ij")
    values = np.rint(4 * (SLOPES[0] * z + SLOPES[1] * y + SLOPES[2] * x)).astype(np.uint16)
    path = tmp_path_factory.mktemp("oblique") / "linear.ome.zarr"
    write_pyramid(values, path, voxel_size_um=VOXEL, chunk=16)
    return path


@pytest.fixture
def reads(volume_path: Path) -> PyramidReads:
    return reads_of_volume(open_volume(volume_path))


def expected(plane: Oblique) -> np.ndarray:
    at = (np.arange(plane.pixels) - (plane.pixels - 1) / 2) * plane.pixel
    tilt, turn = np.radians([plane.tilt_deg, plane.turn_deg])
    # z, y, x: a slice across z tilted about x, then turned about z (z up, y down in the picture).
    tilting = np.array(
        [[np.cos(tilt), np.sin(tilt), 0], [-np.sin(tilt), np.cos(tilt), 0], [0, 0, 1]]
    )
    turning = np.array(
        [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    )
    flat = np.stack(np.broadcast_arrays(np.zeros(1), at[:, None], at[None, :]), axis=-1)
    places = flat @ (turning @ tilting).T + plane.centre
    values = 4 * places @ SLOPES
    inside = np.all(
        [(p >= -v / 2) & (p <= (N - 0.5) * v) for p, v in zip(np.moveaxis(places, -1, 0), VOXEL)],
        axis=0,
    )
    return np.where(inside, values, np.nan)


@pytest.mark.parametrize(("tilt", "turn"), [(0, 0), (0, 35), (90, 0), (-40, 120), (33, -70)])
@pytest.mark.parametrize("pixel", [1.5, 5.0])
def test_a_linear_volume_is_linear_on_every_plane(
    reads: PyramidReads, tilt: float, turn: float, pixel: float
) -> None:
    plane = Oblique(MIDDLE, tilt, turn, pixel, 60)
    picture, truth = cut(reads, plane), expected(plane)
    # Within half a coarse voxel of the border the values go on as they are.
    well = ~np.isnan(truth)
    assert well.mean() > 0.15
    np.testing.assert_array_equal(np.isnan(picture), ~well)
    inner = slice(22, 38)
    assert np.abs(picture - truth)[inner, inner].max() < 1.0


def test_levels_follow_pixels_and_planes_move_along_their_normals(reads: PyramidReads) -> None:
    assert [level_for(reads, pixel) for pixel in (0.1, 3.0, 5.9, 6.0, 100.0)] == [0, 0, 0, 1, 2]
    plane = Oblique((1.0, 2.0, 3.0), 90.0, 0.0, 1.0, 5)
    np.testing.assert_allclose(plane.moved(2.0), (1.0, 0.0, 3.0), atol=1e-12)
    np.testing.assert_allclose(plane.axes @ plane.axes.T, np.eye(3), atol=1e-12)
    with pytest.raises(InputError, match="pixels above 0"):
        Oblique((1.0, 2.0, 3.0), 90.0, 0.0, 0.0, 5)
    with pytest.raises(InterruptedError):
        cut(reads, plane, lambda: True)


def test_the_minimap_shows_the_slice_and_knows_its_places(reads: PyramidReads) -> None:
    coarsest = np.asarray(reads.levels[-1])
    shown = overview(reads, (2, 0), 40.0, (0.0, float(coarsest.max())))
    scale, first = reads.places[-1]
    plane = coarsest[:, round((40.0 - first[1]) / scale[1]), :].T
    np.testing.assert_array_equal(shown.picture, grey(plane, (0.0, float(coarsest.max()))))
    # Whole voxels: from half a voxel before the first to half a voxel behind the last.
    np.testing.assert_allclose(shown.box, (-1.0, -1.5, 127.0, 190.5))
    assert shown.place_of(0, 0) == (-1.0, -1.5)
    box = (31.0, 46.5, 63.0, 94.5)
    rows, columns = shown.picture.shape
    np.testing.assert_allclose(shown.pixels_of(box), (rows / 4, columns / 4, rows / 2, columns / 2))
    assert shown.pixels_of((-99.0, 46.5, 999.0, 94.5))[::2] == (0.0, rows)


def test_places_and_values_in_words(volume_path: Path) -> None:
    volume = open_volume(volume_path)
    assert value_words(volume, 17) == "17 (as stored)"
    with pytest.raises(InputError, match="has 2 numbers"):
        parse_place("1 2", "um")


@pytest.mark.usefixtures("screen")
def test_the_panel_shows_the_plane_beside_and_in_the_window(
    volume_path: Path, until: Callable[..., None]
) -> None:
    from hipct.viewing.layers import add_volume
    from hipct.viewing.oblique_panel import ObliquePanel
    from hipct.viewing.window import new_window

    viewer = new_window("oblique")
    try:
        layer: Any = add_volume(viewer, open_volume(volume_path), contrast_limits=(0, 4000))
        (panel,) = viewer.window._qt_window.findChildren(ObliquePanel)
        panel.tilt.setValue(33)
        panel.turn.setValue(-70)
        until(lambda: panel.picture.picture is not None and len(panel.picture.picture) == 512)
        plane = panel.plane
        np.testing.assert_allclose(plane.centre, MIDDLE, atol=max(VOXEL))
        truth = expected(plane)
        well = slice(160, 350)
        shown = panel.picture.picture.astype(float)[well, well]
        assert np.abs(shown - np.clip(truth[well, well] * 255 / 4000, 0, 255)).max() < 2.5
        panel.picture.wheeled.emit(5.0, False)
        np.testing.assert_allclose(
            np.asarray(panel.plane.centre) - plane.centre, 5 / 200 * 192.0 * plane.axes[0]
        )
        panel.picture.wheeled.emit(5.0, True)
        assert panel.plane.pixel == pytest.approx(plane.pixel * 0.9**5)
        panel.picture.picked.emit(0.1, 0.0)
        np.testing.assert_allclose(viewer.dims.point, panel.plane.centre, atol=max(VOXEL))
        viewer.dims.ndisplay = 3
        panel.solid.setChecked(True)
        assert layer.depiction == "plane"
        size = np.asarray(VOXEL) * 2**layer.data_level
        normal = np.asarray(layer.plane.normal) / size
        np.testing.assert_allclose(normal / np.linalg.norm(normal), plane.axes[0], atol=1e-6)
        panel.solid.setChecked(False)
        assert layer.depiction == "volume"
    finally:
        viewer.close()
