"""Zooms in their overview, and in one another."""

from __future__ import annotations

import json
from math import cos, radians, sin
from pathlib import Path

import numpy as np
import pytest

from hipct.atlas.catalogue import find_set, load_catalogue
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.graph import (
    TransformGraph,
    atlas_graph,
    level_voxels_to_um,
    place,
    registration_of,
    um_to_level_voxels,
)
from hipct.atlas.transform import IDENTITY, Transform
from hipct.core.errors import FormatError, InputError

pytest.importorskip("hoa_tools")

OVERVIEW = "S-20-29_brain_complete-organ_25.33um_bm05"
FOUR = "S-20-29_brain_VOI-04_6.5um_bm05"
FIVE = "S-20-29_brain_VOI-05_6.5um_bm05"


def test_zoom_to_zoom_is_where_the_formulas_put_it() -> None:
    """Written out from the published numbers: out of VOI-04 into the overview, then into VOI-05.

    A transform of zoom s into overview t is p' = f R(a) p + u, with f = scale * t/s, R about z,
    and u = t * translation; the way back is p = R(-a) (p' - u) / f.
    """
    catalogue = load_catalogue()
    recorded = {}
    for name in (FOUR, FIVE):
        told = catalogue[name].description
        assert told["registration"]["target_dataset"] == OVERVIEW
        recorded[name] = told["registration"]
    t, s = 25.33, 6.5

    here = recorded[FOUR]
    f, a = here["scale"] * t / s, radians(here["rotation"])
    ux, uy, uz = (t * shift for shift in here["translation"])
    z, y, x = 1000.0, 2000.0, 3000.0
    overview = (
        f * z + uz,
        f * (y * cos(a) - x * sin(a)) + uy,
        f * (y * sin(a) + x * cos(a)) + ux,
    )

    there = recorded[FIVE]
    g, b = there["scale"] * t / s, radians(there["rotation"])
    vx, vy, vz = (t * shift for shift in there["translation"])
    dz, dy, dx = overview[0] - vz, overview[1] - vy, overview[2] - vx
    wanted = (
        dz / g,
        (dy * cos(b) + dx * sin(b)) / g,
        (-dy * sin(b) + dx * cos(b)) / g,
    )

    found = place(catalogue, catalogue[FOUR], catalogue[FIVE])
    assert found.path == (FOUR, OVERVIEW, FIVE)
    np.testing.assert_allclose(found.transform((1000, 2000, 3000)), wanted, atol=1e-6)
    # The published example, and the answer of transforms in the other order, millimetres away.
    np.testing.assert_allclose(wanted, (-12666.72, -62213.80, -1304.76), atol=0.005)
    wrong = np.array((-12666.66, -59853.78, -5049.88))
    assert np.abs(found.transform((1000, 2000, 3000)) - wrong).max() > 2000


def test_there_and_back_is_where_one_was() -> None:
    catalogue = load_catalogue()
    graph = atlas_graph(catalogue)
    points = np.random.default_rng(0).uniform(-5e4, 5e4, (20, 3))
    there, back = graph.between(FOUR, FIVE), graph.between(FIVE, FOUR)
    np.testing.assert_allclose(back(there(points)), points, atol=1e-6)
    assert graph.between(FOUR, FOUR) == IDENTITY


def test_transforms_are_applied_in_the_order_of_the_path() -> None:
    """Three edges that do not commute, against products of matrices."""
    generator = np.random.default_rng(1)
    steps = []
    for _ in range(3):
        rotation, _ = np.linalg.qr(generator.normal(size=(3, 3)))
        rotation *= np.sign(np.linalg.det(rotation))
        steps.append(
            Transform(generator.uniform(0.5, 2), rotation, generator.uniform(-100, 100, 3))
        )
    graph = TransformGraph()
    graph.add("a", "b", steps[0])
    graph.add("c", "b", steps[1].inverse())
    graph.add("c", "d", steps[2])
    wanted = steps[2].matrix @ steps[1].matrix @ steps[0].matrix
    assert graph.path("a", "d") == ["a", "b", "c", "d"]
    np.testing.assert_allclose(graph.between("a", "d").matrix, wanted, atol=1e-9)
    np.testing.assert_allclose(graph.between("d", "a").matrix, np.linalg.inv(wanted), atol=1e-9)


def test_a_rotation_about_z_is_read_as_it_was_given() -> None:
    turned = Transform.about_z(1.25, -170.5, (1, 2, 3))
    assert turned.rotation_about_z_deg == pytest.approx(-170.5)
    assert turned.tilt_deg == pytest.approx(0)
    quarter = Transform.about_z(1, 90, (0, 0, 0))
    np.testing.assert_allclose(quarter((5, 1, 0)), (5, 0, 1), atol=1e-12)


def test_voxels_of_levels_lie_in_the_middle_of_those_they_are_means_of() -> None:
    finest = level_voxels_to_um([[8, 8, 8], [15, 15, 15]], 6.5, 0)
    np.testing.assert_allclose(level_voxels_to_um((1, 1, 1), 6.5, 3), finest.mean(axis=0))
    np.testing.assert_allclose(um_to_level_voxels(finest.mean(axis=0), 6.5, 3), (1, 1, 1))


def test_indices_go_from_level_to_level_through_micrometres() -> None:
    catalogue = load_catalogue()
    found = place(catalogue, catalogue[FOUR])
    index = np.array((100.0, 200.0, 300.0))
    # 4 voxels of 6.5 um: centre 1.5 voxels behind the first; 2 of 25.33 um: half a voxel.
    um = (4 * index + 1.5) * 6.5
    wanted = (found.transform(um) / 25.33 - 0.5) / 2
    got = found.voxel_matrix(2, 1) @ np.append(index, 1)
    np.testing.assert_allclose(got[:3], wanted, atol=1e-9)


def _zoom(shape: tuple[int, int, int], translation: tuple[float, float, float]) -> AtlasSet:
    registration = {
        "source_dataset": "zoom",
        "target_dataset": "overview",
        "translation": translation,
        "rotation": 90.0,
        "scale": 0.5,
    }
    return AtlasSet(
        "zoom",
        "zoom",
        "v",
        "brain",
        None,
        "d",
        "BM18",
        shape,
        5.0,
        "",
        {"registration": registration},
    )


def test_the_box_of_a_zoom_holds_the_whole_of_its_voxels() -> None:
    """Voxels of 5 um in voxels of 10 um, a quarter turn, the corner on a corner of the overview's.

    Twice finer voxels whose edges fit have their first centre a quarter voxel before. The turn
    takes y to x, and x to -y: 16 voxels along x reach over 8 voxels downwards in y.
    """
    overview = AtlasSet(
        "overview", "overview", "o", "brain", None, "d", "BM18", (50, 50, 50), 10.0, "", {}
    )
    zoom = _zoom((8, 4, 16), (9.75, 30.25, 19.75))  # x, y, z in voxels of the overview
    found = place({"zoom": zoom, "overview": overview}, zoom)
    assert found.transform.scale == pytest.approx(1)
    assert found.box_voxels() == ((20, 24), (23, 31), (10, 12))
    low, high = found.box_um()
    np.testing.assert_allclose(high - low, (40, 80, 20))


def test_what_has_no_place_is_named() -> None:
    catalogue = load_catalogue()
    with pytest.raises(InputError, match="registered to no other"):
        place(catalogue, catalogue[OVERVIEW])
    hidden = find_set(catalogue, "LADAF-2021-17_brain_ROI-12")
    with pytest.raises(InputError, match="whose description is not public"):
        place(catalogue, hidden)
    with pytest.raises(InputError, match="No transform leads"):
        place(catalogue, hidden, catalogue[OVERVIEW])
    with pytest.raises(FormatError, match="has no place in"):
        registration_of(catalogue[OVERVIEW], catalogue[FOUR])
    graph = atlas_graph(catalogue)
    assert len(graph.notes) == 14
    assert all("not described" in note for note in graph.notes)


def test_a_place_that_was_found_joins_the_graph(tmp_path: Path) -> None:
    """The overview of BM18 in that of BM05: then a zoom of one lies in the other as well."""
    catalogue = load_catalogue()
    other = "S-20-29_brain_complete-organ_19.57um_bm18"
    zoom = "S-20-29_brain_VOI-04_6.54um_bm18"
    with pytest.raises(InputError, match="No transform leads"):
        place(catalogue, catalogue[zoom], catalogue[OVERVIEW])
    between = Transform.about_z(1.01, 30, (100, 200, 300))
    record = {
        "zoom": other,
        "overview": OVERVIEW,
        "result": "found",
        "scale": between.scale,
        "rotation": between.rotation,
        "translation": between.translation_um,
    }
    file = tmp_path / "place.json"
    file.write_text(json.dumps(record))
    placed = place(catalogue, catalogue[zoom], catalogue[OVERVIEW], found=[file])
    assert placed.path == (zoom, other, OVERVIEW)
    point = (1e3, 2e3, 3e3)
    wanted = between(registration_of(catalogue[zoom], catalogue[other])(point))
    np.testing.assert_allclose(placed.transform(point), wanted, atol=1e-6)
    assert place(catalogue, catalogue[other], catalogue[FIVE], found=[file]).path[1] == OVERVIEW

    file.write_text(json.dumps(record | {"result": "uncertain"}))
    with pytest.raises(InputError, match="is uncertain and was not used"):
        place(catalogue, catalogue[zoom], catalogue[OVERVIEW], found=[file])
    for broken in ("{", "[]", json.dumps(record | {"rotation": [1, 2]})):
        file.write_text(broken)
        with pytest.raises(FormatError, match="no place of hipct register"):
            place(catalogue, catalogue[zoom], catalogue[OVERVIEW], found=[file])


def test_what_hipct_register_writes_is_read(tmp_path: Path) -> None:
    """Its own record of a place, tilt and all."""
    from hipct.atlas.similarity import Similarity, rotation

    placed = Similarity(1.003, rotation((0.7, 0.02, -0.01)), np.ones(3) * 50, np.ones(3) * 900)
    record = {
        "zoom": FOUR,
        "overview": OVERVIEW,
        "result": "found",
        "scale": placed.scale,
        "rotation": placed.rotation.tolist(),
        "translation": placed.translation_um.tolist(),
    }
    (tmp_path / "place.json").write_text(json.dumps(record))
    catalogue = load_catalogue()
    found = place(catalogue, catalogue[FOUR], found=[tmp_path / "place.json"])
    points = np.random.default_rng(3).uniform(0, 1e4, (5, 3))
    np.testing.assert_allclose(found.transform(points), placed.apply(points), atol=1e-6)
    assert found.transform.tilt_deg == pytest.approx(placed.tilt_deg, rel=1e-3)
    assert found.transform.rotation_about_z_deg == pytest.approx(placed.angle_deg)


@pytest.mark.parametrize(
    ("scale", "rotation", "shift", "words"),
    [
        (0, np.eye(3), (0, 0, 0), "above 0"),
        (1, np.diag((1, 1, -1)), (0, 0, 0), "no rotation"),
        (1, np.ones((3, 3)), (0, 0, 0), "no rotation"),
        (1, np.eye(3), (0, np.nan, 0), "three finite"),
    ],
)
def test_what_is_no_similarity_is_refused(
    scale: float, rotation: np.ndarray, shift: tuple[float, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        Transform(scale, rotation, shift)
