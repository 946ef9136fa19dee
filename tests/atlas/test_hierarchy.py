"""Volumes in the axes of one of them: matrices, boxes and sections against transforms by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.atlas.hierarchy import hierarchy_of, open_any
from hipct.atlas.transform import Transform
from hipct.core.errors import InputError
from hipct.volume.pyramid import write_pyramid

TURN = Transform.about_z(1.01, 30, (300, 200, 100))
INNER = Transform.about_z(0.99, -75, (40, 50, 60))


def record(zoom: str, overview: str, transform: Transform, result: str = "found") -> dict[str, Any]:
    """What ``hipct register`` writes, as far as others read it."""
    return {
        "zoom": zoom,
        "overview": overview,
        "result": result,
        "scale": transform.scale,
        "rotation": transform.rotation,
        "translation": transform.translation_um,
    }


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An overview, a zoom with its place in its store, one inside the zoom, and one without."""
    folder = tmp_path_factory.mktemp("lab")
    shapes = {"overview": (40, 44, 48), "zoom": (32, 36, 40), "inner": (16, 18, 20)}
    stored = {"zoom": {"placed_in": record("zoom", "overview", TURN)}}
    for (name, shape), size in zip(shapes.items(), (20.0, 5.0, 2.0)):
        write_pyramid(
            np.zeros(shape, np.uint16),
            folder / f"{name}.ome.zarr",
            voxel_size_um=size,
            chunk=16,
            attributes=stored.get(name, {}),
        )
    write_pyramid(np.zeros((8, 8, 8), np.uint16), folder / "stray.ome.zarr", voxel_size_um=5.0)
    write_pyramid(np.zeros((8, 8, 8), np.uint16), folder / "bare.ome.zarr", voxel_size_um=None)
    (folder / "inner.place.json").write_text(json.dumps(record("inner", "zoom", INNER)))
    uncertain = record("stray", "overview", INNER, "uncertain")
    (folder / "stray.place.json").write_text(json.dumps(uncertain))
    return folder


def members(lab: Path, *names: str, **options: Any) -> list[Any]:
    return hierarchy_of([open_any(lab / f"{name}.ome.zarr") for name in names], **options)


def test_zooms_lie_where_their_places_say(lab: Path) -> None:
    overview, zoom, inner = members(lab, "overview", "zoom", "inner")
    assert (overview.path, overview.why, overview.own) == (("overview",), "", True)
    assert zoom.path == ("zoom", "overview")
    assert inner.path == ("inner", "zoom", "overview")
    assert zoom.voxel_um == pytest.approx(5.05)
    index = np.array([3.0, 5.0, 7.0, 1.0])
    np.testing.assert_allclose((zoom.matrices[0] @ index)[:3], TURN(5 * index[:3]))
    # A voxel of level 1 is the middle of two: 2 i + 1/2.
    np.testing.assert_allclose((zoom.matrices[1] @ index)[:3], TURN(10 * index[:3] + 2.5))
    np.testing.assert_allclose((inner.matrices[0] @ index)[:3], TURN(INNER(2 * index[:3])))
    low, high = zoom.box_um
    assert low[0] == pytest.approx(300 - 1.01 * 2.5)
    assert high[0] == pytest.approx(300 + 1.01 * 5 * 31.5)
    np.testing.assert_allclose(zoom.middle_um, TURN((5 * 15.5, 5 * 17.5, 5 * 19.5)))


def test_the_first_volume_is_the_world_whichever_it_is(lab: Path) -> None:
    zoom, overview = members(lab, "zoom", "overview")
    assert zoom.own
    index = np.array([3.0, 5.0, 7.0, 1.0])
    np.testing.assert_allclose((overview.matrices[0] @ index)[:3], TURN.inverse()(20 * index[:3]))


def test_sections_are_the_polygons_of_a_turned_box(lab: Path) -> None:
    zoom = members(lab, "overview", "zoom")[1]
    # Across z: the rectangle itself, in order around it.
    square = zoom.section_um(0, 400.0)
    assert square.shape == (4, 3)
    np.testing.assert_allclose(square[:, 0], 400)
    sides = np.linalg.norm(square - np.roll(square, 1, axis=0), axis=1)
    np.testing.assert_allclose(sorted(sides), np.array([36, 36, 40, 40]) * 5.05)
    assert zoom.section_um(0, 290.0).shape == (0, 3)
    assert zoom.section_um(0, 3000.0).shape == (0, 3)
    # Across y: as high as the box, and as wide as a line through the turned rectangle.
    low = zoom.box_um[0]
    across = zoom.section_um(1, float(zoom.middle_um[1]))
    assert np.ptp(across[:, 0]) == pytest.approx(32 * 5.05)
    # Through the middle of a rectangle of 36 x 40 that is turned by 30 degrees.
    assert np.ptp(across[:, 2]) == pytest.approx(40 * 5.05 / np.cos(np.radians(30)))
    edges = zoom.edges_um()
    assert edges.shape == (12, 2, 3)
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    np.testing.assert_allclose(sorted(lengths), np.repeat([32, 36, 40], 4) * 5.05)
    assert (low <= edges.min(axis=(0, 1)) + 1e-9).all()


def test_axes_in_another_order_are_those_of_the_world(lab: Path, tmp_path: Path) -> None:
    """An overview stored x, y, z: the window's first axis is x."""
    overview = tmp_path / "overview.ome.zarr"
    write_pyramid(np.zeros((8, 9, 10), np.uint16), overview, voxel_size_um=20.0)
    metadata = json.loads((overview / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["axes"].reverse()
    (overview / "zarr.json").write_text(json.dumps(metadata))
    root, zoom = hierarchy_of([open_any(overview), open_any(lab / "zoom.ome.zarr")])
    np.testing.assert_allclose(root.matrices[0], np.diag([20.0, 20, 20, 1]))
    index = np.array([3.0, 5.0, 7.0, 1.0])
    np.testing.assert_allclose((zoom.matrices[0] @ index)[:3], TURN(5 * index[:3])[::-1])


def test_what_has_no_place_says_why(lab: Path) -> None:
    notes: list[str] = []
    _, stray, bare = members(lab, "overview", "stray", "bare", notes=notes)
    assert "No transform leads from stray to overview" in stray.why
    assert stray.own
    assert "voxel size of" in bare.why
    assert any("stray.place.json is uncertain" in note for note in notes)
    with pytest.raises(InputError, match=r"stray in .* is uncertain"):
        members(lab, "overview", "stray", found=[lab / "stray.place.json"])


def test_a_given_place_comes_first(lab: Path, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps(record("zoom", "overview", INNER)))
    zoom = members(lab, "overview", "zoom", found=[file])[1]
    np.testing.assert_allclose(zoom.matrices[0][:3, 3], INNER.translation_um)


def test_a_volume_alone_needs_no_place(lab: Path, tmp_path: Path) -> None:
    write_pyramid(np.zeros((8, 8, 8), np.uint16), tmp_path / "zoom.ome.zarr", voxel_size_um=5.0)
    (tmp_path / "zoom.place.json").write_text("{")
    (alone,) = hierarchy_of([open_any(tmp_path / "zoom.ome.zarr")])
    assert (alone.own, alone.why) == (True, "")
    with pytest.raises(InputError, match=r"zoom\.place\.json places a volume in another one"):
        members(lab, "zoom", found=[tmp_path / "zoom.place.json"])


def test_two_of_one_name_are_refused(lab: Path, tmp_path: Path) -> None:
    write_pyramid(np.zeros((8, 8, 8), np.uint16), tmp_path / "zoom.ome.zarr", voxel_size_um=5.0)
    paths = lab / "zoom.ome.zarr", tmp_path / "zoom.ome.zarr"
    with pytest.raises(InputError, match="have one name, zoom"):
        hierarchy_of([open_any(path) for path in paths])


def test_crops_of_one_volume_lie_in_it(lab: Path, tmp_path: Path) -> None:
    pytest.importorskip("hoa_tools")
    from hipct.atlas.catalogue import load_catalogue
    from hipct.atlas.crop import make_crop
    from hipct.atlas.download import download_crop
    from hipct.atlas.opening import open_set

    one = open_set(load_catalogue(lab / "overview.ome.zarr")["overview"])
    crop = make_crop(one, 0, ((10, 20), (11, 30), (12, 40)))
    download_crop(one, crop, tmp_path / "part.ome.zarr")
    volumes = [open_any(lab / "overview.ome.zarr"), open_any(tmp_path / "part.ome.zarr")]
    part = hierarchy_of(volumes)[1]
    assert part.own
    assert part.path == ("part", "overview")
    np.testing.assert_allclose(part.matrices[0][:3, 3], (200, 220, 240))


def test_a_clinical_volume_has_a_place_beside_it(lab: Path, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    image = nibabel.Nifti1Image(np.zeros((6, 7, 8), np.float32), np.diag([1.0, 1, 2, 1]))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, tmp_path / "chest.nii.gz")
    volumes = [open_any(lab / "overview.ome.zarr"), open_any(tmp_path / "chest.nii.gz")]
    assert "No transform leads from chest to overview" in hierarchy_of(volumes)[1].why
    (tmp_path / "chest.place.json").write_text(json.dumps(record("chest", "overview", TURN)))
    chest = hierarchy_of(volumes)[1]
    assert chest.why == ""
    # Voxel (k, j, i) lies at 2 k mm to the head, j mm to the front, i mm to the right.
    index = np.array([3.0, 4.0, 5.0, 1.0])
    np.testing.assert_allclose((chest.matrices[0] @ index)[:3], TURN((6e3, -4e3, -5e3)))
