"""Descriptions of own volumes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.atlas.catalogue import load_catalogue
from hipct.atlas.graph import place, registration_of
from hipct.atlas.metadata import (
    Description,
    describe_volume,
    read_description,
    registration_entry,
    write_description,
)
from hipct.atlas.transform import Transform
from hipct.core.errors import FormatError, InputError, OutputError
from hipct.volume.open import Volume, open_volume
from hipct.volume.pyramid import write_pyramid

pytest.importorskip("hoa_tools")

CONFIG = {"phase": {"delta_beta": 1495.0}, "volume": {"window": [0.0, 2.0]}}
GIVEN: dict[str, Any] = {
    "name": "D7_heart_overview_20um_bm18",
    "dataset_type": "overview",
    "voi": "overview",
    "sample": {"organ": "heart"},
    "donor": {"id": "D7"},
    "scan": {
        "date": "2026-03-01",
        "beamline": "BM18",
        "scan_type": "zseries",
        "scan_range": 360,
        "energy": 110.0,
    },
    "proposal": {"proposal_number": "md1290", "title": "A title", "proposers": ["A. Person"]},
    "citation": {"title": "Heart", "contributors": [], "author_list": ["A. Person"]},
}


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Volume:
    path = tmp_path_factory.mktemp("volume") / "heart.ome.zarr"
    write_pyramid(
        np.zeros((6, 8, 10), np.float32),
        path,
        voxel_size_um=20.0,
        window=(0.0, 2.0),
        attributes={
            "versions": {"hipct": "0.1.0"},
            "config": CONFIG,
            "source": {
                "energy_kev": 112.5,
                "pixel_size_um": 20.0,
                "distance_m": 15.0,
                "projections": 6000,
                "acquisition": "half",
            },
            "series": {"sub_scans": [{}, {}, {}]},
        },
    )
    return open_volume(path)


def test_a_volume_tells_of_itself_and_the_rest_is_given(volume: Volume) -> None:
    made = describe_volume(volume, GIVEN)
    assert made.atlas["data"]["shape"] == [10, 8, 6]
    assert made.atlas["data"]["voxel_size_um"] == 20
    assert made.atlas["data"]["gcs_url"].startswith("zarr://file:///")
    scan = made.atlas["scan"]
    assert (scan["distance_sample_detector"], scan["n_frames"]) == (15000, 6000)
    assert (scan["acquisition"], scan["n_scans"], scan["pixel_size"]) == ("half", 3, 20)
    assert scan["energy"] == 110
    assert made.notes == ("scan.energy is 110.0, as given; the volume tells 112.5.",)
    assert made.atlas["metadata_version"] == "1.1"
    assert made.dataset.shape == (6, 8, 10)


def test_what_the_schema_lacks_stands_beside(volume: Volume) -> None:
    beside = describe_volume(volume, GIVEN).beside
    assert beside["processing"]["config"] == CONFIG
    assert beside["processing"]["versions"] == {"hipct": "0.1.0"}
    window = beside["window"]
    assert (window["low"], window["high"], window["unit"]) == (0, 2, "1/cm")
    assert 65535 * window["scale"] + window["offset"] == pytest.approx(2)


def test_descriptions_are_read_as_they_were_written(volume: Volume, tmp_path: Path) -> None:
    made = describe_volume(volume, GIVEN)
    files = write_description(made, tmp_path)
    assert [file.name for file in files] == [
        "D7_heart_overview_20um_bm18.json",
        "D7_heart_overview_20um_bm18.hipct.json",
    ]
    again = read_description(files[0])
    assert (again.atlas, again.beside) == (made.atlas, made.beside)
    listed = load_catalogue(tmp_path)["D7_heart_overview_20um_bm18"]
    assert listed.description == made.atlas
    assert (listed.address, listed.aliases) == (volume.address, ("heart",))
    assert replace(listed, address=None, aliases=()) == made.dataset
    with pytest.raises(OutputError, match="exists already"):
        write_description(made, tmp_path)
    write_description(made, tmp_path, overwrite=True)
    files[1].write_text('{"name": "another"}', encoding="utf-8")
    with pytest.raises(FormatError, match="does not belong to"):
        read_description(files[0])


def test_the_schema_of_hoa_tools_takes_it(volume: Volume, tmp_path: Path) -> None:
    """By the library's own way of reading a folder of descriptions."""
    from hoa_tools.dataset import _load_datasets_from_files

    write_description(describe_volume(volume, GIVEN), tmp_path)
    (tmp_path / "D7_heart_overview_20um_bm18.hipct.json").unlink()
    (read,) = _load_datasets_from_files(tmp_path).values()
    assert read.data.voxel_size_um == 20
    assert read.is_full_organ


def test_what_is_missing_is_named(volume: Volume) -> None:
    given = {key: value for key, value in GIVEN.items() if key != "donor"}
    given["scan"] = {"beamline": "ID19", **{k: v for k, v in GIVEN["scan"].items() if k == "date"}}
    with pytest.raises(InputError) as caught:
        describe_volume(volume, given)
    for words in (
        "donor: is missing",
        "scan.scan_range: is missing",
        "scan.beamline: Input should",
    ):
        assert words in str(caught.value)


@pytest.mark.parametrize(("key", "value"), [("shape", [6, 8, 10]), ("voxel_size_um", 19.5)])
def test_nothing_is_given_against_the_voxels(volume: Volume, key: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"data.{key} was given as"):
        describe_volume(volume, GIVEN | {"data": {key: value}})


def test_a_volume_without_voxel_size_cannot_be_described(tmp_path: Path) -> None:
    write_pyramid(np.zeros((4, 4, 4), "u2"), tmp_path / "v.ome.zarr", voxel_size_um=None)
    with pytest.raises(InputError, match=r"voxel size .* is not known"):
        describe_volume(open_volume(tmp_path / "v.ome.zarr"), GIVEN)


def test_a_registration_is_that_of_the_atlas() -> None:
    """The recorded numbers come out of the transform again."""
    catalogue = load_catalogue()
    zoom = catalogue["S-20-29_brain_VOI-04_6.5um_bm05"]
    found = place(catalogue, zoom)
    entry = registration_entry(
        zoom.name,
        zoom.voxel_size_um,
        found.target.name,
        found.target.voxel_size_um,
        found.transform,
    )
    recorded = zoom.description["registration"]
    assert entry["translation"] == pytest.approx(recorded["translation"], rel=1e-12)
    assert entry["rotation"] == pytest.approx(recorded["rotation"], rel=1e-12)
    assert entry["scale"] == pytest.approx(recorded["scale"], rel=1e-12)
    assert registration_of(zoom, found.target).scale == found.transform.scale


def test_a_tilt_is_not_lost_in_silence() -> None:
    tilted = Transform(1, [[0, 1, 0], [0, 0, 1], [1, 0, 0]], (0, 0, 0))
    with pytest.raises(InputError, match="tilts the z axis by 90"):
        registration_entry("zoom", 5.0, "overview", 20.0, tilted)


def test_all_descriptions_of_the_atlas_come_back_unchanged(tmp_path: Path) -> None:
    """Written, and read: by hipct as they were, by the models of hoa-tools as the library's own."""
    from hoa_tools.dataset import _META_DIR
    from hoa_tools.metadata import HOAMetadata

    catalogue = load_catalogue()
    assert len(catalogue) == 378
    for one in catalogue.values():
        (file,) = write_description(Description(one.description, {}), tmp_path)
        read = read_description(file)
        assert (read.atlas, read.beside) == (one.description, {})
        original = HOAMetadata.model_validate_json((_META_DIR / file.name).read_text())
        assert HOAMetadata.model_validate_json(file.read_text()) == original
