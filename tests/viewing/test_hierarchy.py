"""Zooms in their place in a real window: against where their transforms put a ball."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.atlas.hierarchy import hierarchy_of, open_any
from hipct.atlas.similarity import rotation
from hipct.atlas.transform import Transform
from hipct.viewing.hierarchy_reads import PlacedReads
from hipct.volume.pyramid import write_pyramid

SHAPE = (48, 56, 64)
ZOOM_UM = 5.0
BALL_UM = np.array([150.0, 180.0, 95.0])
"""In the zoom's own coordinates; its radius is 30 um."""
TURN = Transform(1.02, rotation((0.6, 0.15, -0.1)).tolist(), (260.0, 330.0, 150.0))
SECOND = Transform.about_z(1.0, -20, (500, 150, 700))


def ball() -> np.ndarray:
    places = np.moveaxis(np.indices(SHAPE), 0, -1) * ZOOM_UM
    values = np.full(SHAPE, 30000, np.uint16)
    values[np.linalg.norm(places - BALL_UM, axis=-1) < 30] = 60000
    return values


def record(zoom: str, transform: Transform) -> dict[str, Any]:
    return {
        "zoom": zoom,
        "overview": "overview",
        "result": "found",
        "scale": transform.scale,
        "rotation": transform.rotation,
        "translation": transform.translation_um,
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    overview = np.full((45, 50, 60), 10000, np.uint16)
    write_pyramid(overview, folder / "overview.ome.zarr", voxel_size_um=20.0, chunk=16)
    for name, transform, stored in (("zoom", TURN, True), ("second", SECOND, False)):
        place = record(name, transform)
        attributes = {"placed_in": place} if stored else {}
        path = folder / f"{name}.ome.zarr"
        write_pyramid(ball(), path, voxel_size_um=ZOOM_UM, chunk=16, attributes=attributes)
        if not stored:
            (folder / f"{name}.place.json").write_text(json.dumps(place))
    write_pyramid(ball(), folder / "stray.ome.zarr", voxel_size_um=ZOOM_UM, chunk=16)
    return folder


@pytest.fixture(scope="module")
def window(screen: None) -> Iterator[Any]:
    """One window for all tests: opening it takes longer than they do."""
    import napari

    viewer = napari.Viewer(show=True)
    yield viewer
    viewer.close()


@pytest.fixture
def tour(lab: Path, window: Any) -> Iterator[Any]:
    """The window with the panel Hierarchy."""
    from hipct.viewing.hierarchy import open_members
    from hipct.viewing.hierarchy_panel import HierarchyPanel

    names = ("overview", "zoom", "second", "stray")
    notes: list[str] = []
    members = hierarchy_of([open_any(lab / f"{n}.ome.zarr") for n in names], notes=notes)
    made = open_members(window, members, notes)
    made.panel = HierarchyPanel(made)
    dock = window.window.add_dock_widget(made.panel, name="Hierarchy", area="right")
    for layer in made.layers:
        layer.contrast_limits = (0, 65535)
    settle(made)
    yield made
    window.dims.ndisplay = 2
    window.dims.order = (0, 1, 2)
    window.layers.clear()
    window.window.remove_dock_widget(dock)


def settle(tour: Any) -> None:
    """Wait until all that is looked at has come and was drawn."""
    from tests.viewing.conftest import rest

    rest(tour.viewer)


def on_canvas(viewer: Any, world: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Row and column where a place of the world is drawn."""
    shown = list(viewer.dims.order[-2:])
    away = (np.asarray(world)[shown] - viewer.scene.camera.center[-2:]) * viewer.scene.camera.zoom
    # A screen of high density has several pixels for one of the canvas.
    return (away / viewer.canvas.size + 0.5) * picture.shape[:2] - 0.5


def centre_of(picture: np.ndarray, low: int, high: int) -> np.ndarray:
    """Middle of the grey pixels between two values."""
    grey = picture.astype(int)
    inside = (np.ptp(grey, axis=-1) < 6) & (grey[..., 0] >= low) & (grey[..., 0] <= high)
    assert inside.sum() > 50
    return np.argwhere(inside).mean(axis=0)


def is_orange(picture: np.ndarray) -> np.ndarray:
    """The first colour of frames, (255, 165, 0), mixed with little else where a line is thin."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red > 150) & (blue < 60) & (red - green > 40) & (green > 80)


def test_voxels_come_from_where_the_zoom_has_them(lab: Path) -> None:
    """Without a window: pictures of part of the chunks, then of all."""
    from hipct.viewing.reads import reads_of_volume

    zoom = hierarchy_of([open_any(lab / f"{n}.ome.zarr") for n in ("overview", "zoom")])[1]
    reads = PlacedReads.of(reads_of_volume(zoom.opened), zoom.matrices)
    world = TURN(BALL_UM)
    scale, origin = (np.array(v) for v in reads.places[0])
    z, y, x = np.rint((world - origin) / scale).astype(int)
    plane = np.asarray(reads.levels[0][z])
    assert plane[y, x] == 60000
    assert plane.dtype == np.float32
    bright = np.argwhere(plane > 45000) * scale[1:] + origin[1:]
    np.testing.assert_allclose(bright.mean(axis=0), world[1:], atol=1.5)
    assert np.isnan(plane[0, 0])
    assert reads.known(tuple(world)) == (60000, 0)
    assert reads.known((world[0], -500.0, 0.0)) is None
    # Watched, it does not wait: what has not come is asked for.
    again = PlacedReads.of(reads, zoom.matrices)
    came: list[None] = []
    again.watch(lambda: came.append(None))
    again.picture(0, tuple((0, n) for n in again.levels[0].shape))
    end = time.monotonic() + 60
    while again.pending:
        assert time.monotonic() < end
    np.testing.assert_array_equal(np.asarray(again.levels[0][z]), plane)
    assert came
    again.close()


@pytest.mark.usefixtures("screen")
def test_the_ball_is_drawn_where_its_place_says(tour: Any, photograph: Any, tmp_path: Path) -> None:
    viewer = tour.viewer
    world = TURN(BALL_UM)
    tour.panel.framed.setChecked(False)
    for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
        viewer.dims.order = order
        tour.go(1)
        for axis in range(3):
            viewer.dims.set_point(axis, world[axis])
        settle(tour)
        picture = photograph(viewer, tmp_path / f"along-{order[0]}.png")
        found = centre_of(picture, 225, 255)
        # Slices stand at whole voxels of 20 um: the ball is round, its middle stays.
        np.testing.assert_allclose(found, on_canvas(viewer, world, picture), atol=3)
        # 30000 of 65535 fills what the plane cuts out of the box, the ball left out.
        axis, position = order[0], float(viewer.dims.point[order[0]])
        polygon = np.delete(tour.members[1].section_um(axis, position), axis, axis=1)
        y, x = polygon.T
        area = 0.5 * abs(np.dot(y, np.roll(x, 1)) - np.dot(x, np.roll(y, 1)))
        grey = picture[..., 0].astype(int)
        pixels = (abs(grey - 117) <= 3).sum() + (grey > 125).sum()
        density = picture.shape[0] / viewer.canvas.size[0]
        wanted = area * (viewer.scene.camera.zoom * density) ** 2
        assert pixels == pytest.approx(wanted, rel=0.03)


@pytest.mark.usefixtures("screen")
def test_zooms_are_stepped_through_and_left_again(
    tour: Any, photograph: Any, tmp_path: Path
) -> None:
    viewer, panel = tour.viewer, tour.panel
    viewer.reset_view()
    before = (viewer.scene.camera.center, viewer.scene.camera.zoom, viewer.dims.point[0])
    panel._step(1)
    assert tour.current == 1
    np.testing.assert_allclose(viewer.dims.point, tour.members[1].middle_um, atol=20)
    low, high = tour.members[1].box_um
    filled = (high - low)[1:] * viewer.scene.camera.zoom / viewer.canvas.size
    assert max(filled) == pytest.approx(0.9)
    panel._step(1)
    assert tour.current == 2
    settle(tour)
    picture = photograph(viewer, tmp_path / "second.png")
    # Alone in view, with its ball where its place says.
    viewer.dims.set_point(0, SECOND(BALL_UM)[0])
    settle(tour)
    picture = photograph(viewer, tmp_path / "ball.png")
    wanted = on_canvas(viewer, SECOND(BALL_UM), picture)
    np.testing.assert_allclose(centre_of(picture, 225, 255), wanted, atol=3)
    panel.framed.setChecked(False)
    tour.toggle()
    settle(tour)
    assert not tour.layers[2].visible
    assert panel._items[2].checkState(0).value == 0
    assert photograph(viewer)[..., 2].max() < 200
    tour.toggle()
    # The one without a place is passed over, and after the last comes the first.
    panel._step(1)
    assert tour.current == 1
    for _ in range(3):
        panel._back()
    assert tour.current == 0
    after = (viewer.scene.camera.center, viewer.scene.camera.zoom, viewer.dims.point[0])
    for one, other in zip(before, after):
        np.testing.assert_allclose(one, other)
    assert not tour.layers[3].visible
    assert "No transform leads from stray" in panel._items[3].toolTip(0)


@pytest.mark.usefixtures("screen")
def test_frames_outline_zooms_that_are_hidden(tour: Any, photograph: Any, tmp_path: Path) -> None:
    viewer, panel = tour.viewer, tour.panel
    panel.alone.setChecked(True)
    panel._go(0)
    tour.layers[1].visible = tour.layers[2].visible = False
    viewer.dims.set_point(0, tour.members[1].middle_um[0])
    settle(tour)
    picture = photograph(viewer, tmp_path / "frames.png").astype(int)
    orange = is_orange(picture)
    rows, columns = np.argwhere(orange).T
    polygon = tour.members[1].section_um(0, float(viewer.dims.point[0]))
    corners = np.array([on_canvas(viewer, corner, picture) for corner in polygon])
    np.testing.assert_allclose(
        (rows.min(), rows.max(), columns.min(), columns.max()),
        (
            *(corners[:, 0].min(), corners[:, 0].max()),
            *(corners[:, 1].min(), corners[:, 1].max()),
        ),
        atol=4,
    )
    assert panel.frames.shown == ("zoom",)
    viewer.dims.ndisplay = 3
    tour.go(1)
    settle(tour)
    picture = photograph(viewer, tmp_path / "solid.png").astype(int)
    assert set(panel.frames.shown) == {"zoom", "second"}
    orange = is_orange(picture)
    assert orange.sum() > 300
    # The brightest voxel along each line of sight: the ball, at each level where it is.
    away = (TURN(BALL_UM) - tour.members[1].middle_um)[1:] * viewer.scene.camera.zoom
    wanted = away + np.array(picture.shape[:2]) / 2 - 0.5
    for level in (2, 0):
        tour.layers[1].locked_data_level = level
        settle(tour)
        picture = photograph(viewer, tmp_path / f"solid-{level}.png")
        found = centre_of(picture, 190 if level else 225, 255)
        np.testing.assert_allclose(found, wanted, atol=3)
    panel.framed.setChecked(False)
    assert "frames" not in viewer.layers
