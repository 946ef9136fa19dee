"""``hipct atlas``."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from hipct.cli.main import cli

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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("info", "nothing at all"), "no data set 'nothing at all'"),
        (("list", "--resolution", "fine"), "--resolution is 'fine'"),
        (("place", FOUR, "--point", "1,2"), "--point is '1,2'"),
    ],
)
def test_what_cannot_be_done_is_said(words: tuple[str, ...], sentence: str) -> None:
    result = run(*words)
    assert result.exit_code != 0
    assert sentence in str(result.exception)
