"""``hipct atlas``."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from benchmarks.register_data import OVERVIEW_UM, hierarchy
from hipct.cli.atlas import command
from hipct.cli.main import cli
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

pytest.importorskip("hoa_tools")

FOUR = "S-20-29_brain_VOI-04_6.5um_bm05"


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["atlas", *words], prog_name="hipct")


def answer(*words: str) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.exception
    return result.output


def test_the_list_has_a_line_for_each_set_and_their_size_in_all() -> None:
    lines = answer("list", "--donor", "S-20-29", "--organ", "brain", "--resolution", "6:7")
    *_, total = table = lines.splitlines()
    assert len(table) == 1 + 13 + 1
    assert any(line.split()[:3] == [FOUR, "zoom", "6.5"] for line in table)
    assert "4176 x 3844 x 3844" in lines
    assert total == "13 data sets, 1.75 TB as 16 bit"
    rows = json.loads(answer("list", "--beamline", "BM18", "--kind", "overview", "--json"))
    assert {(row["beamline"], row["kind"]) for row in rows} == {("BM18", "overview")}
    assert len(json.loads(answer("list", "--json"))) == 378


def test_everything_that_is_described_is_told() -> None:
    described = json.loads(answer("info", FOUR, "--json"))
    told = answer("info", FOUR)
    assert told.startswith(f"{FOUR}: 4176 x 3844 x 3844 voxels (z, y, x), 27.1 x 25.0 x 25.0 mm")
    for word in (described["data"]["gcs_url"], described["citation"]["doi"], "Claire Walsh"):
        assert word in told


def test_a_zoom_is_placed_in_another() -> None:
    five = FOUR.replace("04", "05")
    told = answer("place", FOUR, five, "--point", "1000,2000,3000")
    assert "(1000.00, 2000.00, 3000.00) um -> (-12666.72, -62213.80, -1304.76) um" in told
    found = json.loads(answer("place", FOUR, five, "--point", "1000,2000,3000", "--json"))
    assert found["points_um_zyx"][0][1] == pytest.approx((-12666.72, -62213.80, -1304.76), abs=0.01)
    assert len(found["path"]) == 3


@pytest.fixture
def copy(tmp_path: Path) -> tuple[str, ...]:
    """Options for a copy of a bucket: two levels of zeros, for which N5 stores no blocks."""
    described = json.loads(answer("info", FOUR, "--json"))
    described |= {"name": "one", "registration": None}
    url = "n5://gs://b/one/"
    described["data"] = {"shape": [40, 30, 21], "voxel_size_um": 2.5, "gcs_url": url}
    (tmp_path / "told").mkdir()
    (tmp_path / "told" / "one.json").write_text(json.dumps(described))
    for number, shape in enumerate(([40, 30, 21], [20, 15, 11])):
        folder = tmp_path / "mirror" / "b" / "one" / f"s{number}"
        folder.mkdir(parents=True)
        attributes = {"dataType": "uint16", "dimensions": shape, "blockSize": [128] * 3}
        attributes["compression"] = {"type": "gzip"}
        (folder / "attributes.json").write_text(json.dumps(attributes))
    return ("--with", str(tmp_path / "told"), "--mirror", str(tmp_path / "mirror"))


def test_a_set_is_opened_from_a_copy_of_the_bucket(copy: tuple[str, ...], tmp_path: Path) -> None:
    told = answer("open", "one", *copy)
    assert told.startswith(f"one: N5 at {tmp_path / 'mirror' / 'b' / 'one'}")
    assert (
        "    1           11 x 15 x 20         5             1.25  128 x 128 x 128 uint16 gzip"
        in told
    )
    found = json.loads(answer("open", "one", *copy, "--json"))
    assert [level["shape_zyx"] for level in found["levels"]] == [[21, 30, 40], [11, 15, 20]]
    assert found["levels"][1]["origin_um_zyx"] == [1.25, 1.25, 1.25]
    assert "given as z, y, x" in found["notes"][0]


def test_a_region_is_downloaded(copy: tuple[str, ...], tmp_path: Path) -> None:
    """Lengths: voxels of 2.5 um whose centres lie in 10 to 30 um are 4 to 11."""
    out = tmp_path / "crop.ome.zarr"
    words = ("--crop", "0.01:0.03,:,20e-3:", "--unit", "mm", *copy)
    result = run("download", "one", str(out), *words)
    assert result.exit_code == 0, result.exception
    assert result.stdout == f"{out}\n"
    assert "8 x 30 x 32 voxels (z, y, x) of 2.5 um, 15.4 kB, in 1 blocks" in result.stderr
    assert "1 of 1 blocks are not stored; their voxels are 0." in result.stderr
    made = open_volume(out)
    assert made.shape == (8, 30, 32)
    assert made.levels[0].translation == (10.0, 0.0, 20.0)
    again = run("download", "one", str(out), *words)
    assert "exists already" in str(again.exception)


GIVEN = """\
name: D7_heart
dataset_type: zoom
voi: VOI-1
sample: {organ: heart}
donor: {id: D7, age: 70}
scan: {date: 2026-03-01, beamline: BM18, scan_type: helical, scan_range: 360.0}
proposal: {proposal_number: md1290, title: T, proposers: [A. Person]}
citation: {title: Heart, contributors: [], author_list: [A. Person]}
"""


def test_a_volume_of_ones_own_is_described_and_listed(tmp_path: Path) -> None:
    write_pyramid(np.zeros((3, 4, 5), "u2"), tmp_path / "v.ome.zarr", voxel_size_um=2.5)
    (tmp_path / "given.yaml").write_text(GIVEN)
    words = ("describe", str(tmp_path / "v.ome.zarr"), "--with", str(tmp_path / "given.yaml"))
    folder = tmp_path / "told"
    assert answer(*words, "--out", str(folder)).splitlines()[0] == str(folder / "D7_heart.json")
    (row,) = json.loads(answer("list", "--donor", "D7", "--json", "--with", str(folder)))
    assert (row["shape_zyx"], row["voxel_size_um"], row["organ"]) == ([3, 4, 5], 2.5, "heart")
    described = json.loads((folder / "D7_heart.json").read_text())
    assert described["scan"]["date"] == "2026-03-01"
    (tmp_path / "given.yaml").write_text(GIVEN.replace("donor:", "doner:"))
    assert "donor: is missing" in str(run(*words).exception)
    (tmp_path / "given.yaml").write_text("[1")
    assert "given.yaml cannot be read" in str(run(*words).exception)


def test_what_register_found_places_points_from_the_command_line(tmp_path: Path) -> None:
    """Zoom to overview and back, by folders and by names, against the simulated truth."""
    made = hierarchy(3, factor=4.0, shape=(40, 52, 52), extent=(26, 34), noise=0.1)
    zoom, overview = (str(tmp_path / f"{name}.ome.zarr") for name in ("zoom", "overview"))
    for path, volume in ((zoom, made.zoom), (overview, made.overview)):
        level = volume.levels[0]
        write_pyramid(level.array, path, voxel_size_um=level.scale[0], chunk=32)
    words = ["register", zoom, overview, "--rotation", f"{made.angle_deg:.0f}", "--write"]
    ended = CliRunner().invoke(cli, words, prog_name="hipct")
    assert ended.exit_code == 0, ended.output

    point = np.array((150.0, 250.0, 300.0))
    there = made.truth.apply(point)
    (tmp_path / "zoom.place.json").rename(tmp_path / "kept.json")
    found = json.loads(answer("place", zoom, overview, "--point", "150,250,300", "--json"))
    assert found["path"] == ["zoom", "overview"]
    # In the sign of the atlas: y to x. About z alone, as far as the tilt of 2 degrees lets it be.
    assert found["rotation_deg"] == pytest.approx(made.angle_deg, abs=0.2)
    record = json.loads((tmp_path / "kept.json").read_text())
    assert record["rotation_about_z_deg"] == pytest.approx(found["rotation_deg"])
    ((_, moved),) = found["points_um_zyx"]
    np.testing.assert_allclose(moved, there, atol=0.05 * OVERVIEW_UM)
    turned = json.loads(
        answer(
            *("place", "overview", "zoom", "--with", str(tmp_path), "--json", "--level", "1"),
            *("--point", ",".join(f"{v:.9f}" for v in moved), "--found", f"{tmp_path}/kept.json"),
        )
    )
    np.testing.assert_allclose(turned["points_um_zyx"][0][1], point, atol=1e-5)
    rows = json.loads(answer("list", "--with", str(tmp_path), "--kind", "volume", "--json"))
    assert [(row["name"], row["registered_to"]) for row in rows] == [
        ("overview", None),
        ("zoom", "overview"),
    ]
    assert "placed_in                   overview (hipct register: found)" in answer("info", zoom)
    assert answer("open", zoom).startswith(f"zoom: OME-Zarr 0.5 at {zoom}\n")


def test_every_command_of_the_group_explains_itself() -> None:
    for name, one in command.commands.items():
        told = answer(name, "--help")
        assert told.startswith(f"Usage: hipct atlas {name} ")
        assert max(map(len, told.splitlines())) <= 100
        for parameter in one.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("info", "nothing at all"), "no data set 'nothing at all'"),
        (("list", "--resolution", "fine"), "--resolution is 'fine'"),
        (("list", "--donor", "LADAF"), "No data set has the donor 'LADAF'"),
        (("list", "--with", "nowhere"), "nowhere does not exist; give a volume"),
        (("place", FOUR, "--point", "1,2"), "--point is '1,2'"),
        (("place", FOUR, "--level", "-1"), "The level is -1"),
        (("place", FOUR, "--level", "99999"), "The level is 99999"),
        (("place", FOUR, "--found", "nowhere.json"), "nowhere.json is no place of hipct register"),
        (("download", FOUR, "x", "--timeout", "0"), "cannot be waited for 0.0 s"),
        (("download", FOUR, "x", "--crop", "1"), "give three ranges"),
        (("open", FOUR, "--mirror", "/nowhere"), "does not exist"),
        (("browse", "nothing at all"), "no data set 'nothing at all'"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[str, ...], sentence: str) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert sentence in str(result.exception)
    assert result.stdout == ""
