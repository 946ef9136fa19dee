"""Every rule of the check, with a fault planted for it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hipct.core.errors import FormatError, InputError
from hipct.volume.check import Finding, check_volume
from hipct.volume.layout import PyramidSpec
from hipct.volume.pyramid import read_layer, write_layer, write_pyramid

SHAPE, CHUNK = (40, 50, 45), 16


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("check") / "organ.ome.zarr"
    volume = np.random.default_rng(0).normal(0.2, 0.05, SHAPE).astype(np.float32)
    write_pyramid(volume, path, voxel_size_um=20.0, window=(0.0, 0.4), chunk=CHUNK)
    return path


@pytest.fixture
def organ(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "organ.ome.zarr")
    return tmp_path / "organ.ome.zarr"


def edit(file: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def edit_datasets(organ: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    edit(
        organ / "zarr.json",
        lambda c: change(c["attributes"]["ome"]["multiscales"][0]["datasets"]),
    )


def transformation(datasets: list[dict[str, Any]], level: int, number: int) -> dict[str, Any]:
    return datasets[level]["coordinateTransformations"][number]


def rules(findings: list[Finding]) -> dict[str, str]:
    return {f.rule: f.severity for f in findings}


def test_a_good_volume_has_no_findings(organ: Path) -> None:
    assert check_volume(organ) == []
    assert check_volume(organ, deep=True) == []


@pytest.mark.parametrize(("voxel", "is_error"), [(45 / 22, False), (2.0, True), (2.1, True)])
def test_a_level_that_lost_its_odd_end_has_longer_voxels(
    tmp_path: Path, voxel: float, is_error: bool
) -> None:
    """As ome-zarr-py writes them; the level is as long as the finest one then."""
    group = zarr.open_group(tmp_path / "v.zarr", mode="w", zarr_format=3)
    datasets = []
    for name, shape, size in (("0", (40, 45, 45), 1.0), ("1", (20, 22, 22), voxel)):
        group.create_array(name, shape=shape, dtype="u2", dimension_names=list("zyx"))
        scale = [2.0 if name == "1" else 1.0, size, size]
        steps = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": [(s - 1) / 2 for s in scale]},
        ]
        datasets.append({"path": name, "coordinateTransformations": steps})
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    multiscale = {"axes": axes, "datasets": datasets}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    found = rules(check_volume(tmp_path / "v.zarr"))
    assert ("shape" in found) is is_error
    assert found["levels"] == "warning"


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (lambda d: transformation(d, 1, 0).update(scale=[0, 40, 40]), "scale", "give sizes > 0"),
        (lambda d: d[1]["coordinateTransformations"].reverse(), "transformations", "one scale"),
        (lambda d: d[1]["coordinateTransformations"].pop(), "translation", "0.50 voxels"),
        (
            lambda d: transformation(d, 2, 1).update(translation=[30, 30, 1_000_000]),
            "translation",
            "Level 2 lies at",
        ),
        (
            lambda d: transformation(d, 1, 0).update(scale=[60, 40, 40]),
            "shape",
            "rounded up",
        ),
        (lambda d: d.reverse(), "levels", "halves"),
        (lambda d: d[2].update(path="nine"), "levels", "cannot be opened"),
        (lambda d: d.pop(1), "levels", "halves"),
        (lambda d: d.clear(), "levels", "lists no level"),
        (lambda d: transformation(d, 1, 0).update(scale="big"), "structure", "malformed"),
        (lambda d: transformation(d, 1, 0).pop("type"), "structure", "malformed"),
    ],
)
def test_faults_of_levels(organ: Path, change: Any, rule: str, words: str) -> None:
    edit_datasets(organ, change)
    findings = check_volume(organ)
    assert any(f.rule == rule and words in f.sentence for f in findings), findings


def ome(content: dict[str, Any]) -> dict[str, Any]:
    return content["attributes"]["ome"]


@pytest.mark.parametrize(
    ("change", "rule", "severity"),
    [
        (lambda c: ome(c)["multiscales"][0]["axes"][0].update(unit="um"), "units", "error"),
        (lambda c: ome(c)["multiscales"][0]["axes"][1].pop("unit"), "units", "error"),
        (lambda c: ome(c)["multiscales"][0]["axes"].reverse(), "axes", "warning"),
        (lambda c: ome(c)["multiscales"][0]["axes"].pop(), "axes", "error"),
        (lambda c: ome(c).pop("omero"), "display-window", "warning"),
        (
            lambda c: ome(c)["omero"]["channels"][0]["window"].update(start=9, end=3),
            "display-window",
            "warning",
        ),
        (
            lambda c: ome(c)["omero"]["channels"][0]["window"].update(max=10**6),
            "display-window",
            "warning",
        ),
        (lambda c: ome(c).pop("version"), "specification", "error"),
        (lambda c: c["attributes"]["hipct"]["window"].pop("unit"), "values", "error"),
        (lambda c: c["attributes"]["hipct"]["window"].update(scale=0), "values", "error"),
    ],
)
def test_faults_of_the_group(organ: Path, change: Any, rule: str, severity: str) -> None:
    edit(organ / "zarr.json", change)
    assert rules(check_volume(organ))[rule] == severity


def test_missing_dimension_names(organ: Path) -> None:
    edit(organ / "1" / "zarr.json", lambda c: c.pop("dimension_names"))
    assert rules(check_volume(organ))["dimension-names"] == "error"


def test_levels_of_different_types(organ: Path) -> None:
    edit(organ / "1" / "zarr.json", lambda c: c.update(data_type="int16"))
    assert rules(check_volume(organ))["dtype"] == "error"


def test_odd_ends_that_were_dropped(organ: Path) -> None:
    edit(organ / "1" / "zarr.json", lambda c: c.update(shape=[20, 25, 22]))
    findings = check_volume(organ)
    assert any(f.rule == "shape" and "22 voxels" in f.sentence for f in findings)


def shard_of(organ: Path, level: int) -> Path:
    return sorted(f for f in (organ / str(level) / "c").rglob("*") if f.is_file())[0]


def test_a_missing_shard(organ: Path) -> None:
    shard_of(organ, 0).unlink()
    findings = check_volume(organ)
    assert rules(findings) == {"shards": "error"}
    assert "lacks 1 of its files (0/c/0/0/0)" in findings[0].sentence


@pytest.mark.parametrize("keep", [0, 10, -1, -30])
def test_a_truncated_shard(organ: Path, keep: int) -> None:
    shard = shard_of(organ, 1)
    shard.write_bytes(shard.read_bytes()[:keep])
    assert rules(check_volume(organ)) == {"shards": "error"}
    assert rules(check_volume(organ, deep=True)) == {"shards": "error"}


def test_every_flipped_bit_is_found_by_the_deep_check(organ: Path) -> None:
    shard = shard_of(organ, 0)
    whole = shard.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(whole), 20):
        torn = bytearray(whole)
        torn[place] ^= 4
        shard.write_bytes(torn)
        assert {f.severity for f in check_volume(organ, deep=True)} == {"error"}


def test_a_level_of_another_run(organ: Path) -> None:
    spec = PyramidSpec(shape=SHAPE, voxel_size_um=20.0, chunk=CHUNK, layer=CHUNK)
    # Truncated instead of rounded means: half of the voxels one too dark.
    level = read_layer(organ, spec, 1, 0)
    write_layer(organ, spec, 1, 0, level - (level % 2))
    findings = [f for f in check_volume(organ) if "of level 0" in f.sentence]
    assert rules(findings) == {"means": "error"}
    shift = float(findings[0].sentence.split("by ")[1].split()[0])
    assert -0.7 < shift < -0.1


def test_leftovers_of_broken_runs(organ: Path) -> None:
    (organ / "0" / "c" / "0" / "0" / ".0.abc.tmp").write_bytes(b"torn")
    (organ / "ledger.json").write_text("{}")
    findings = check_volume(organ)
    assert rules(findings) == {"leftovers": "warning"}
    assert "2 files" in findings[0].sentence
    assert "ledger.json" in findings[0].sentence


def test_writing_a_layer_again_removes_what_a_killed_process_left(organ: Path) -> None:
    spec = PyramidSpec(shape=SHAPE, voxel_size_um=20.0, chunk=CHUNK, layer=CHUNK)
    torn = organ / "0" / "c" / "0" / "0" / ".0.abc.tmp"
    torn.write_bytes(b"torn")
    write_layer(organ, spec, 0, 0, read_layer(organ, spec, 0, 0))
    assert not torn.exists()
    assert check_volume(organ, deep=True) == []


def test_unfinished_runs(organ: Path) -> None:
    (organ.parent / "organ.ome.zarr.run").mkdir()
    assert rules(check_volume(organ)) == {"unfinished": "warning"}
    inside = organ.parent / "organ.ome.zarr.run" / "volume.ome.zarr"
    organ.rename(inside)
    assert rules(check_volume(inside)) == {"unfinished": "error"}
    inside.rename(organ.parent / "a.ome.zarr.partial")
    assert rules(check_volume(organ.parent / "a.ome.zarr.partial")) == {"unfinished": "error"}


def test_volumes_of_other_writers(tmp_path: Path) -> None:
    """Their empty chunks may be missing, and their levels need not be means of ours."""
    volume = np.random.default_rng(0).integers(0, 999, (32, 32, 32), "u2")
    group = zarr.open_group(tmp_path / "v", mode="w", zarr_format=3)
    datasets = []
    for number in range(2):
        step = 2**number
        array = group.create_array(
            str(number),
            shape=(32 // step,) * 3,
            chunks=(16,) * 3,
            dtype="u2",
            dimension_names=["z", "y", "x"],
        )
        array[: 16 // step] = volume[:16:step, ::step, ::step]
        scale = {"type": "scale", "scale": [2.0 * step] * 3}
        shift = {"type": "translation", "translation": [step - 1.0] * 3}
        datasets.append({"path": str(number), "coordinateTransformations": [scale, shift]})
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    multiscale = {"axes": axes, "datasets": datasets, "name": "v"}
    group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    findings = check_volume(tmp_path / "v", deep=True)
    assert rules(findings) == {"display-window": "warning", "means": "warning"}


def test_errors_come_first_and_read_as_sentences(organ: Path) -> None:
    (organ / "note.txt").write_text("")
    edit_datasets(organ, lambda d: d[1]["coordinateTransformations"].pop())
    findings = check_volume(organ)
    assert [f.severity for f in findings] == ["error", "warning"]
    assert str(findings[0]).startswith("error: Level 1 lies at (0, 0, 0), 0.50 voxels")
    assert str(findings[0]).endswith("[translation]")


def test_what_is_no_volume_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        check_volume(tmp_path / "nothing")
    with pytest.raises(FormatError, match=r"neither zarr.json nor .zattrs"):
        check_volume(tmp_path)
    zarr.create_array(tmp_path / "array", shape=(3,), dtype="u1")
    with pytest.raises(FormatError, match="no OME-Zarr image"):
        check_volume(tmp_path / "array")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "zarr.json").write_bytes(b"{\xff")
    with pytest.raises(FormatError, match="cannot be read as JSON"):
        check_volume(tmp_path / "broken")
    (tmp_path / "broken" / "zarr.json").write_bytes(b"[1, 2]")
    with pytest.raises(FormatError, match="no OME-Zarr image"):
        check_volume(tmp_path / "broken")


def test_a_lost_level_names_the_one_that_follows(organ: Path) -> None:
    shutil.rmtree(organ / "1")
    messages = [str(finding) for finding in check_volume(organ)]
    assert any("Level 2 has the shape" in message for message in messages)
