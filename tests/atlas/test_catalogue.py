"""The descriptions that hoa-tools brings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hipct.atlas.catalogue import find_set, load_catalogue, select
from hipct.atlas.dataset import as_set
from hipct.core.errors import FormatError, InputError

pytest.importorskip("hoa_tools")

NAME = "S-20-29_brain_VOI-04_6.5um_bm05"


def test_all_data_sets_are_described() -> None:
    catalogue = load_catalogue()
    assert len(catalogue) == 378
    assert sum(one.url.startswith("n5://gs://") for one in catalogue.values()) == 304
    assert sum(one.url.startswith("zarr://gs://") for one in catalogue.values()) == 74
    one = catalogue[NAME]
    assert (one.organ, one.donor, one.beamline, one.kind) == ("brain", "S-20-29", "BM05", "zoom")
    assert one.shape == (4176, 3844, 3844)
    assert one.size_um == (4176 * 6.5, 3844 * 6.5, 3844 * 6.5)


def test_conditions_are_met_together() -> None:
    catalogue = load_catalogue()
    found = select(catalogue, organ="Brain", donor="S-20-29", beamline="bm05", kind="zoom")
    wanted = [
        one
        for one in catalogue.values()
        if one.name.startswith("S-20-29_brain_VOI") and one.name.endswith("bm05")
    ]
    assert found == wanted
    assert {one.voxel_size_um for one in select(catalogue, resolution_um=(2.0, 2.3))} == {
        one.voxel_size_um for one in catalogue.values() if 2.0 <= one.voxel_size_um <= 2.3
    }
    near = {one.voxel_size_um for one in select(catalogue, resolution_um=(6.5, 6.5))}
    assert {6.5, 6.51} <= near
    assert 6.54 not in near
    lung = select(catalogue, organ="lung_left")
    assert lung
    assert all((one.organ, one.organ_context) == ("lung", "left") for one in lung)


def test_what_no_set_has_is_named() -> None:
    catalogue = load_catalogue()
    with pytest.raises(InputError, match="No data set has the organ 'brian'; did you mean brain"):
        select(catalogue, organ="brian")
    with pytest.raises(InputError, match="No data set has the beamline 'id19'; there are BM05, BM"):
        select(catalogue, beamline="id19")
    assert select(catalogue, organ="brain", resolution_um=(900, 1000)) == []


def test_a_part_of_a_name_is_enough_where_it_is_the_only_one() -> None:
    catalogue = load_catalogue()
    assert find_set(catalogue, "s-20-29_brain_voi-04_6.5um").name == NAME
    with pytest.raises(InputError, match="part of 20 names"):
        find_set(catalogue, "S-20-29_brain")
    with pytest.raises(InputError, match=f"did you mean .*{NAME}"):
        find_set(catalogue, "S-20-29_brain_VOI04_6.5um_bm05")


def test_further_descriptions_are_read_beside(tmp_path: Path) -> None:
    description = json.loads(json.dumps(dict(load_catalogue()[NAME].description)))
    description["name"] = "own"
    (tmp_path / "own.json").write_text(json.dumps(description), encoding="utf-8")
    catalogue = load_catalogue(tmp_path)
    assert len(catalogue) == 379
    assert catalogue["own"] == as_set(description)


def test_what_is_no_description_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no description"):
        load_catalogue(tmp_path)
    (tmp_path / "bad.json").write_text('{"name": "bad", "voi": "bad"}', encoding="utf-8")
    with pytest.raises(FormatError, match=r"bad\.json is no description .*dataset_type"):
        load_catalogue(tmp_path)
    (tmp_path / "bad.json").write_text("{", encoding="utf-8")
    with pytest.raises(FormatError, match=r"bad\.json is no description"):
        load_catalogue(tmp_path)
