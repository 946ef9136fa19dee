"""Volumes of one's own beside the public data sets."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hipct.atlas.download as downloading
from hipct.atlas.catalogue import find_set, load_catalogue
from hipct.atlas.crop import make_crop
from hipct.atlas.download import download_crop
from hipct.atlas.found import find_places
from hipct.atlas.graph import place
from hipct.atlas.metadata import describe_volume, write_description
from hipct.atlas.opening import open_set
from hipct.atlas.transform import Transform
from hipct.core.errors import FormatError, InputError, RemoteError
from hipct.core.progress import Silent
from hipct.volume.check import check_volume
from hipct.volume.layout import PyramidSpec
from hipct.volume.open import open_volume
from hipct.volume.pyramid import create_pyramid, write_node, write_pyramid
from hipct.volume.storage import Patience

pytest.importorskip("hoa_tools")

ZOOM_UM, OVERVIEW_UM = 5.0, 20.0
TURN = Transform.about_z(1.01, 30, (300, 200, 100))
SECOND = Transform.about_z(0.99, -75, (40, 500, -60))


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


@dataclass(frozen=True)
class Lab:
    """A folder with an overview, two zooms, labels, and what lies about."""

    folder: Path
    zoom: np.ndarray


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("lab")
    generator = np.random.default_rng(4)
    zoom = generator.integers(0, 65536, (20, 30, 41), dtype=np.uint16)
    stored = {"placed_in": record("zoom", "overview", TURN)}
    for name, array, size, attributes in (
        ("zoom", zoom, ZOOM_UM, stored),
        ("second", zoom[4:], ZOOM_UM, {}),
        ("overview", zoom[:12, :16, :16], OVERVIEW_UM, {}),
    ):
        path = folder / f"{name}.ome.zarr"
        write_pyramid(
            array, path, voxel_size_um=size, window=(-1.0, 3.0), chunk=16, attributes=attributes
        )
    (folder / "second.place.json").write_text(json.dumps(record("second", "overview", SECOND)))
    (folder / "stray.place.json").write_text(json.dumps(record("stray", "overview", SECOND)))
    uncertain = record("zoom", "second", SECOND, "uncertain")
    (folder / "zoom.place.json").write_text(json.dumps(uncertain))
    (folder / "zoom.report.json").write_text('{"name": "zoom"}')
    (folder / "half.zarr").mkdir()
    (folder / "half.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    return Lab(folder, zoom)


def test_a_folder_is_listed_with_what_its_volumes_tell(lab: Lab) -> None:
    notes: list[str] = []
    catalogue = load_catalogue(lab.folder, notes=notes)
    assert len(catalogue) == 378 + 3
    one = find_set(catalogue, "zoom")
    assert (one.shape, one.voxel_size_um, one.kind) == ((20, 30, 41), 5.0, "volume")
    assert one.registered_to == "overview"
    assert find_set(catalogue, str(lab.folder / "zoom.ome.zarr")) is one
    assert len(notes) == 1
    assert "half.zarr" in notes[0]
    assert "It was left out." in notes[0]


def test_levels_hold_what_was_stored(lab: Lab) -> None:
    one = load_catalogue(lab.folder)["zoom"]
    opened = open_set(one)
    assert opened.format == "OME-Zarr 0.5"
    stored = open_volume(one.address or "").levels
    assert len(opened.levels) == len(stored) > 1
    for level, theirs in zip(opened.levels, stored):
        np.testing.assert_array_equal(level.array[:], np.asarray(theirs.array[:]))
        assert level.origin_um == theirs.translation
    np.testing.assert_array_equal(opened.levels[0].array[3:9, ..., 40], lab.zoom[3:9, :, 40])


def test_ome_zarr_0_4_of_ones_own_is_read(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "old.ome.zarr"
    write_pyramid(lab.zoom, path, voxel_size_um=5.0, chunk=16, version="0.4")
    opened = open_set(load_catalogue(tmp_path)["old"])
    assert opened.format == "OME-Zarr 0.4"
    np.testing.assert_array_equal(opened.levels[0].array[:], lab.zoom)
    assert opened.levels[1].origin_um == (2.5, 2.5, 2.5)
    (path / "0" / "1" / "0" / "2").unlink()
    whole = ((0, 20), (0, 30), (0, 41))
    observer = Hearing()
    download_crop(opened, make_crop(opened, 0, whole), tmp_path / "c.zarr", observer=observer)
    assert observer.said == ["1 of 12 blocks are not stored; their voxels are 0."]


class Hearing(Silent):
    """An observer that keeps the sentences."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def test_a_volume_on_a_server_is_a_set_too(lab: Lab, web: Any, tmp_path: Path) -> None:
    """A download that the server breaks off goes on, and leaves nothing before."""
    pytest.importorskip("obstore")
    shutil.copytree(lab.folder / "zoom.ome.zarr", web.folder / "zoom.ome.zarr")
    quick = Patience(timeout_s=0.5, attempts=2, pause_s=0.01)
    address = f"{web.url}/zoom.ome.zarr"
    catalogue = load_catalogue(address, patience=quick)
    one = find_set(catalogue, address)
    assert (one.name, one.address, one.registered_to) == ("zoom", address, "overview")
    opened = open_set(one, patience=quick)
    crop = make_crop(opened, 0, ((0, 20), (0, 30), (0, 41)))
    out = tmp_path / "crop.ome.zarr"
    web.begin(lambda path, before: 500 if path.endswith("/0/c/1/0/0") else None)
    with pytest.raises(RemoteError, match=r"c/1/0/0 could not be read.*goes on from it"):
        download_crop(opened, crop, out)
    assert not out.exists()
    web.begin()
    download_crop(opened, crop, out)
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], lab.zoom)
    web.begin(lambda path, before: "hang")
    with pytest.raises(RemoteError, match=r"nothing came for 0.5 s, 2 times"):
        load_catalogue(address, patience=quick)


def test_axes_in_another_order_are_turned(tmp_path: Path) -> None:
    values = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)
    path = tmp_path / "v.ome.zarr"
    write_pyramid(values, path, voxel_size_um=2.0)
    metadata = json.loads((path / "zarr.json").read_text())
    axes = metadata["attributes"]["ome"]["multiscales"][0]["axes"]
    axes.reverse()
    (path / "zarr.json").write_text(json.dumps(metadata))
    opened = open_set(load_catalogue(path)["v"])
    np.testing.assert_array_equal(opened.levels[0].array[:], values.T)


def test_a_crop_keeps_place_meaning_and_origin(lab: Lab, tmp_path: Path) -> None:
    opened = open_set(load_catalogue(lab.folder)["zoom"])
    out = tmp_path / "crop.ome.zarr"
    download_crop(opened, make_crop(opened, 0, ((3, 20), (5, 30), (None, 40))), out)
    assert check_volume(out, deep=True) == []
    made = open_volume(out)
    np.testing.assert_array_equal(made.levels[0].array[:], lab.zoom[3:20, 5:30, :40])
    assert made.levels[0].translation == (15.0, 25.0, 0.0)
    assert (made.scale, made.offset) == (4 / 65535, -1)

    catalogue = load_catalogue(lab.folder, out)
    crop = catalogue["crop"]
    assert (crop.part_of, crop.origin_um) == ("zoom", (15.0, 25.0, 0.0))
    # A crop counts as the whole does.
    there = place(catalogue, crop, catalogue["overview"])
    assert there.path == ("crop", "zoom", "overview")
    np.testing.assert_allclose(there.transform.matrix, TURN.matrix)
    back = place(catalogue, catalogue["overview"], crop)
    np.testing.assert_allclose(back.target_voxels((15, 25, 0)), 0)
    first = back.voxel_matrix(0, 1) @ (0, 0, 0, 1)
    # Level 1 of the crop: half a voxel of 5 um behind its first one.
    wanted = (TURN.inverse()((0, 0, 0)) - (17.5, 27.5, 2.5)) / 10
    np.testing.assert_allclose(first[:3], wanted)


def test_crops_count_alike_without_the_whole(lab: Lab, tmp_path: Path) -> None:
    opened = open_set(load_catalogue(lab.folder)["zoom"])
    for name, level, box in (("a", 0, (4, 20)), ("b", 1, (1, 9))):
        crop = make_crop(opened, level, (box, (0, 15), (2, 20)))
        download_crop(opened, crop, tmp_path / f"{name}.ome.zarr")
    shutil.copytree(lab.folder / "overview.ome.zarr", tmp_path / "overview.ome.zarr")
    (tmp_path / "a.place.json").write_text(json.dumps(record("zoom", "overview", TURN)))
    catalogue = load_catalogue(tmp_path)
    found = find_places(catalogue, [tmp_path], [])
    there = place(catalogue, catalogue["b"], catalogue["overview"], found=found)
    assert there.path == ("b", "a", "overview")
    assert place(catalogue, catalogue["b"], found=found).target.name == "a"
    with pytest.raises(InputError, match=r"no other data set, but related to b, overview; name"):
        place(catalogue, catalogue["a"], found=found)
    np.testing.assert_allclose(there.transform.matrix, TURN.matrix)
    # Level 1 of the zoom, voxel 1 of 10 um along z: 2.5 + 10 um.
    assert catalogue["b"].origin_um == (12.5, 2.5, 22.5)


def test_a_zoom_lies_in_another_one_through_their_overview(lab: Lab) -> None:
    """One place stored in the volume, the other in a file beside it; both ways, by matrices."""
    catalogue = load_catalogue(lab.folder)
    notes: list[str] = []
    found = find_places(catalogue, [lab.folder], notes)
    assert [file.name for file in found] == ["second.place.json"]
    assert sorted(note.split("; it was")[1] for note in notes) == [" left out.", " left out."]
    assert any("stray" in note for note in notes)
    assert any("uncertain" in note for note in notes)
    there = place(catalogue, catalogue["zoom"], catalogue["second"], found=found)
    assert there.path == ("zoom", "overview", "second")
    point = np.array((10.0, 70.0, 130.0, 1.0))
    wanted = np.linalg.solve(SECOND.matrix, TURN.matrix @ point)
    np.testing.assert_allclose(there.transform(point[:3]), wanted[:3])
    back = place(catalogue, catalogue["second"], catalogue["zoom"], found=found)
    np.testing.assert_allclose(back.transform(wanted[:3]), point[:3])
    assert place(catalogue, catalogue["zoom"]).target.name == "overview"


def test_a_place_in_an_unknown_volume_is_told(lab: Lab, tmp_path: Path) -> None:
    catalogue = load_catalogue(lab.folder / "zoom.ome.zarr")
    with pytest.raises(InputError, match="registered to overview, which is not among the data"):
        place(catalogue, catalogue["zoom"])
    with pytest.raises(InputError, match="'stray', which is no data set that is known"):
        place(catalogue, catalogue["zoom"], found=[lab.folder / "stray.place.json"])


def test_labels_stay_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(downloading, "_CHUNK", 8)
    monkeypatch.setattr(downloading, "_PLANES", (16,))
    labels = np.random.default_rng(0).integers(0, 3, (16, 20, 18)).astype(np.uint32) * 70_000
    spec = PyramidSpec(
        shape=labels.shape,
        voxel_size_um=4,
        dtype=labels.dtype,
        chunk=32,
        layer=32,
        shard_plane=32,
        reduction="mode",
    )
    path = tmp_path / "labels.ome.zarr"
    create_pyramid(path, spec)
    write_node(path, spec, 0, 0, [labels])
    one = load_catalogue(path)["labels"]
    assert one.kind == "labels"
    opened = open_set(one)
    out = tmp_path / "crop.ome.zarr"
    download_crop(opened, make_crop(opened, 0, ((1, 16), (0, 20), (0, 18))), out)
    made = open_volume(out)
    assert made.labels
    np.testing.assert_array_equal(made.levels[0].array[:], labels[1:])
    assert len(made.levels) == 3
    # Means would make labels that are not there.
    assert set(np.unique(made.levels[1].array[:])) == {0, 70_000, 140_000}
    assert check_volume(out, deep=True) == []


GIVEN: dict[str, Any] = {
    "dataset_type": "zoom",
    "voi": "VOI-1",
    "sample": {"organ": "heart"},
    "donor": {"id": "D7"},
    "scan": {"date": "2026-03-01", "beamline": "BM18", "scan_type": "zseries", "scan_range": 360},
    "proposal": {"proposal_number": "md1290", "title": "T", "proposers": ["A. Person"]},
    "citation": {"title": "Heart", "contributors": [], "author_list": ["A. Person"]},
}


def test_a_place_becomes_the_registration_of_a_description(lab: Lab, tmp_path: Path) -> None:
    """Read back by the rules of the atlas, without the volumes' own metadata."""
    zoom = open_volume(lab.folder / "zoom.ome.zarr")
    overview = load_catalogue(lab.folder)["overview"]
    made = describe_volume(zoom, GIVEN | {"name": "D7_zoom"}, overview=overview)
    told = made.atlas["registration"]
    assert (told["source_dataset"], told["target_dataset"]) == ("D7_zoom", "overview")
    np.testing.assert_allclose(told["translation"], np.array((100, 200, 300)) / OVERVIEW_UM)
    assert told["rotation"] == pytest.approx(30)
    assert told["scale"] == pytest.approx(1.01 * ZOOM_UM / OVERVIEW_UM)
    bare = describe_volume(zoom, GIVEN | {"name": "D7_zoom"})
    assert bare.atlas["registration"] is None
    assert "name that volume with --overview" in bare.notes[-1]
    assert bare.beside["processing"]["placed_in"]["overview"] == "overview"

    write_description(made, tmp_path)
    (tmp_path / "D7_zoom.hipct.json").unlink()
    moved = json.loads((tmp_path / "D7_zoom.json").read_text())
    moved["data"]["gcs_url"] = "zarr://gs://elsewhere/zoom"
    (tmp_path / "D7_zoom.json").write_text(json.dumps(moved))
    catalogue = load_catalogue(tmp_path, lab.folder / "overview.ome.zarr")
    assert catalogue["D7_zoom"].address is None
    found = place(catalogue, catalogue["D7_zoom"])
    np.testing.assert_allclose(found.transform.matrix, TURN.matrix, atol=1e-9)


def test_a_tilted_place_stands_beside_the_description_alone(lab: Lab, tmp_path: Path) -> None:
    from hipct.atlas.similarity import rotation
    from hipct.volume.omezarr import update_attributes

    path = tmp_path / "zoom.ome.zarr"
    shutil.copytree(lab.folder / "zoom.ome.zarr", path)
    tilted = Transform(1.0, rotation((0.3, 0.02, 0)), (1, 2, 3))
    update_attributes(path, {"hipct": {"placed_in": record("zoom", "overview", tilted)}})
    shutil.copytree(lab.folder / "overview.ome.zarr", tmp_path / "overview.ome.zarr")
    overview = load_catalogue(tmp_path)["overview"]
    made = describe_volume(open_volume(path), GIVEN | {"name": "D7_zoom"}, overview=overview)
    assert made.atlas["registration"] is None
    assert "tilts the z axis by 1.14" in made.notes[-1]
    write_description(made, tmp_path)
    # The folder is moved, and the volume left behind: the place is known all the same.
    (tmp_path / "told").mkdir()
    for file in tmp_path.glob("D7_zoom*"):
        shutil.move(file, tmp_path / "told" / file.name)
    shutil.rmtree(path)
    catalogue = load_catalogue(tmp_path / "told", tmp_path)
    found = place(catalogue, catalogue["D7_zoom"])
    np.testing.assert_allclose(found.transform.matrix, tilted.matrix, atol=1e-9)


def test_a_described_volume_is_found_after_its_folder_moved(lab: Lab, tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    shutil.copytree(lab.folder / "zoom.ome.zarr", old / "zoom.ome.zarr")
    made = describe_volume(open_volume(old / "zoom.ome.zarr"), GIVEN | {"name": "D7_zoom"})
    write_description(made, old)
    old.rename(new)
    catalogue = load_catalogue(new)
    assert len(catalogue) == 378 + 1
    one = find_set(catalogue, str(new / "zoom.ome.zarr"))
    assert (one.name, one.organ) == ("D7_zoom", "heart")
    np.testing.assert_array_equal(open_set(one).levels[0].array[:], lab.zoom)
    # The zoom is known by the name that its volume tells, which hipct register writes.
    assert find_set(catalogue, "zoom") is one


def test_a_described_volume_its_crops_and_others_of_its_name(lab: Lab, tmp_path: Path) -> None:
    shutil.copytree(lab.folder / "zoom.ome.zarr", tmp_path / "zoom.ome.zarr")
    made = describe_volume(open_volume(tmp_path / "zoom.ome.zarr"), GIVEN | {"name": "D7_zoom"})
    write_description(made, tmp_path)
    opened = open_set(load_catalogue(lab.folder)["zoom"])
    for name in ("a", "b"):
        crop = make_crop(opened, 0, ((0, 9), (0, 9), (0, 9)))
        download_crop(opened, crop, tmp_path / f"{name}.ome.zarr")
    shutil.copytree(lab.folder / "overview.ome.zarr", tmp_path / "overview.ome.zarr")
    catalogue = load_catalogue(tmp_path)
    # Both crops and the volume say zoom: the volume is meant, and the crops lie in it.
    assert find_set(catalogue, "zoom").name == "D7_zoom"
    path = place(catalogue, catalogue["a"], catalogue["overview"]).path
    assert path == ("a", "D7_zoom", "overview")
    shutil.copytree(lab.folder / "zoom.ome.zarr", tmp_path / "copy.ome.zarr")
    with pytest.raises(InputError, match=r"2 volumes call themselves 'zoom' \(D7_zoom, copy\)"):
        find_set(load_catalogue(tmp_path), "zoom")


def test_what_is_missing_or_torn_is_told(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "v.ome.zarr"
    write_pyramid(lab.zoom, path, voxel_size_um=5.0, chunk=16)
    opened = open_set(load_catalogue(path)["v"])
    shard = path / "0" / "c" / "1" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-9])
    with pytest.raises(FormatError, match="c/1/0/0 is no whole shard"):
        opened.levels[0].array[18]
    shard.write_bytes(whole[:5] + bytes(9) + whole[14:])
    with pytest.raises(FormatError, match=r"block \(1, 0, 0\) \(z, y, x\) of .*zarr/0 cannot"):
        open_set(load_catalogue(path)["v"]).levels[0].array[18]
    shard.unlink()
    np.testing.assert_array_equal(opened.levels[0].array[16:], 0)
    with pytest.raises(InputError, match="does not exist; give a volume"):
        load_catalogue(tmp_path / "nowhere")
    write_pyramid(lab.zoom, tmp_path / "w.zarr", voxel_size_um=(5.0, 4.0, 4.0))
    with pytest.raises(InputError, match="has cubic voxels of a known size"):
        load_catalogue(tmp_path / "w.zarr")


def test_two_volumes_of_one_name_are_refused(lab: Lab, tmp_path: Path) -> None:
    write_pyramid(lab.zoom, tmp_path / "zoom.ome.zarr", voxel_size_um=7.0)
    with pytest.raises(InputError, match="hold different data sets with the name zoom"):
        load_catalogue(lab.folder, tmp_path)
    assert load_catalogue(lab.folder, lab.folder / "zoom.ome.zarr") == load_catalogue(lab.folder)
