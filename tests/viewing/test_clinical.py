"""A clinical volume in a real window: drawn where its turned affine puts it in the patient."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.atlas.similarity import rotation
from hipct.atlas.transform import Transform
from hipct.volume.pyramid import write_pyramid

nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")

BALL_RAS_MM = np.array([22.0, -13.0, 41.0])
RADIUS_MM = 6.0


def affine() -> np.ndarray:
    """Voxels of 1 x 1.5 x 2 mm whose axes are turned about all three of the patient's."""
    matrix = np.eye(4)
    # Rotations of (z, y, x) are those of (x, y, z) about other axes: any will do.
    matrix[:3, :3] = rotation((0.5, -0.35, 0.25)) * (1.0, 1.5, 2.0)
    matrix[:3, 3] = BALL_RAS_MM - matrix[:3, :3] @ (30, 18, 12)
    return matrix


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chest with a ball, and an organ that a place beside the chest leads to."""
    folder = tmp_path_factory.mktemp("clinic")
    matrix = affine()
    index = np.moveaxis(np.indices((64, 44, 30)), 0, -1)
    places = index @ matrix[:3, :3].T + matrix[:3, 3]
    values = np.full(index.shape[:3], -200, np.int16)
    values[np.linalg.norm(places - BALL_RAS_MM, axis=-1) < RADIUS_MM] = 900
    image = nibabel.Nifti1Image(values, matrix)
    image.header.set_xyzt_units("mm")
    image.header["cal_min"], image.header["cal_max"] = -1000, 1000
    nibabel.save(image, folder / "chest.nii.gz")
    organ = np.full((40, 40, 40), 30000, np.uint16)
    write_pyramid(organ, folder / "organ.ome.zarr", voxel_size_um=2000.0, chunk=16)
    place = Transform(1.1, rotation((0.2, 0.3, -0.4)).tolist(), (10e3, 20e3, 60e3))
    record = {
        "zoom": "chest",
        "overview": "organ",
        "result": "found",
        "scale": place.scale,
        "rotation": place.rotation,
        "translation": place.translation_um,
    }
    (folder / "chest.place.json").write_text(json.dumps(record))
    return folder


def settle(viewer: Any) -> None:
    from tests.viewing.conftest import rest

    rest(viewer)


def drawn(viewer: Any, photograph: Any, file: Path, world: np.ndarray) -> Any:
    """Middle of the bright pixels, and where a place of the world should be drawn."""
    from hipct.viewing.window_state import go_to

    viewer.scene.camera.zoom = 0.01
    go_to(viewer, world)
    # Off the middle, so that a mirrored picture would be seen as one.
    viewer.scene.camera.center = np.add(viewer.scene.camera.center, (0, 7e3, -11e3))
    settle(viewer)
    picture = photograph(viewer, file).astype(int)
    found = np.argwhere(picture.min(axis=-1) > 172)
    assert len(found) > 300
    shown = list(viewer.dims.order[-2:])
    away = (world[shown] - viewer.scene.camera.center[-2:]) * viewer.scene.camera.zoom
    wanted = (away / viewer.canvas.size + 0.5) * picture.shape[:2] - 0.5
    return found, wanted


@pytest.mark.usefixtures("screen")
def test_the_ball_of_a_patient_lies_in_the_organ(
    folder: Path, photograph: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    import napari

    from hipct.viewing.window import view

    monkeypatch.setattr(napari, "run", lambda: None)
    viewer = view(folder / "organ.ome.zarr", folder / "chest.nii.gz")
    settle(viewer)
    try:
        viewer.canvas.overlays.scale_bar.visible = False
        viewer.layers["organ"].contrast_limits = (0, 65535)
        # LPS, z y x in um: head, back, left; then where the place leads.
        turn = json.loads((folder / "chest.place.json").read_text())
        patient = 1e3 * BALL_RAS_MM[::-1] * (1, -1, -1)
        world = turn["scale"] * np.array(turn["rotation"]) @ patient + turn["translation"]
        for order in ((0, 1, 2), (1, 0, 2), (2, 0, 1)):
            viewer.dims.order = order
            file = tmp_path / f"along-{order[0]}.png"
            found, wanted = drawn(viewer, photograph, file, world)
            np.testing.assert_allclose(found.mean(axis=0), wanted, atol=6)
            # Voxels of 2 mm leave a ball of 6 mm its size, and its roundness.
            radius = np.sqrt(len(found) / np.pi) / viewer.scene.camera.zoom / 1e3 / turn["scale"]
            assert radius == pytest.approx(RADIUS_MM, rel=0.15)
        assert viewer.layers["chest"].contrast_limits == [-1000, 1000]
    finally:
        viewer.close()


@pytest.mark.usefixtures("screen")
def test_alone_it_has_places_in_mm_and_values(
    folder: Path, photograph: Any, tmp_path: Path
) -> None:
    from hipct.viewing.detail_panel import VolumePanel
    from hipct.viewing.minimap_panel import PositionPanel
    from hipct.viewing.plugin import _volumes
    from hipct.viewing.window import view
    from hipct.viewing.window_state import go_to

    viewer = view(folder / "chest.nii.gz", show=False)
    viewer.show()
    settle(viewer)
    try:
        window = viewer.window._qt_window
        (position,), (facts,) = (window.findChildren(k) for k in (PositionPanel, VolumePanel))
        # LPS, z y x: to the head, to the back, to the left.
        z, y, x = BALL_RAS_MM[::-1] * (1, -1, -1)
        go_to(viewer, (1e3 * z, 1e3 * y, 1e3 * x))
        settle(viewer)
        position.show_now()
        told = position.place.text().split()
        assert (told[::2], told[-1]) == (["z", "y", "x", "mm"], "mm")
        # Slices stand at whole voxels.
        np.testing.assert_allclose([float(n) for n in told[1:-1:2]], (z, y, x), atol=0.6)
        assert position.value.text() == "900.0000 (unit unknown) in chest"
        small = position.minimap._overview
        row, column, _, _ = (
            round(at) for at in small.pixels_of((1e3 * y, 1e3 * x, 1e3 * y, 1e3 * x))
        )
        # Between -1000 and 1000, which the file asks for.
        assert small.picture[row, column] == pytest.approx(255 * 1900 / 2000, abs=10)
        facts.tell()
        assert "30 x 44 x 64 voxels in the file" in facts.facts.text()
        photograph(viewer, tmp_path / "alone.png")
        # Beside an organ that is opened later it is placed anew, from its file.
        (opened,) = _volumes(viewer)
        assert opened.address.endswith("chest.nii.gz")
    finally:
        viewer.close()


@pytest.mark.usefixtures("screen")
def test_one_whose_place_is_not_known_moves_nothing(folder: Path) -> None:
    from napari.utils.notifications import notification_manager

    from hipct.viewing.hierarchy_panel import HierarchyPanel
    from hipct.viewing.window import view
    from hipct.viewing.window_state import place_in_view

    told = len(notification_manager.records)
    stray = folder / "stray.nii.gz"
    stray.write_bytes((folder / "chest.nii.gz").read_bytes())
    viewer = view(folder / "organ.ome.zarr", stray, show=False)
    viewer.show()
    settle(viewer)
    try:
        assert [(layer.name, layer.visible) for layer in viewer.layers] == [
            ("organ", True),
            ("stray", False),
        ]
        # The organ in the middle, as large as the window: 40 voxels of 2 mm.
        np.testing.assert_allclose(place_in_view(viewer), (39e3,) * 3, atol=1e3)
        seen = np.asarray(viewer.canvas.size) / viewer.scene.camera.zoom
        assert min(seen) == pytest.approx(80e3 / 0.9, rel=0.02)
        # There is nothing to outline, and nothing to complain about.
        (panel,) = viewer.window._qt_window.findChildren(HierarchyPanel)
        assert panel.framed.isChecked()
        assert notification_manager.records[told:] == []
    finally:
        viewer.close()
