"""The check of OME-Zarr 0.4, of consolidated metadata, of volumes of others and on servers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hipct.cli.main import main
from hipct.volume.check import Finding, check_volume
from hipct.volume.consolidate import consolidate
from hipct.volume.pyramid import write_pyramid
from hipct.volume.storage import open_storage

SHAPE = (40, 50, 45)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("check")
    volume = np.random.default_rng(0).normal(0.2, 0.05, SHAPE).astype(np.float32)
    paths = {version: folder / f"organ-{version}.ome.zarr" for version in ("0.4", "0.5")}
    for version, path in paths.items():
        options: dict[str, Any] = {"version": version, "consolidated": True}
        write_pyramid(volume, path, voxel_size_um=20.0, window=(0.0, 0.4), chunk=16, **options)
    return paths


@pytest.fixture
def organ(pristine: dict[str, Path], tmp_path: Path) -> Path:
    shutil.copytree(pristine["0.4"], tmp_path / "organ.ome.zarr")
    return tmp_path / "organ.ome.zarr"


def edit(file: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def only(findings: list[Finding]) -> Finding:
    """The one finding there is."""
    assert len(findings) == 1, findings
    return findings[0]


def seen(finding: Finding) -> tuple[str, str]:
    return finding.rule, finding.severity


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_good_volume_has_no_findings(pristine: dict[str, Path], version: str) -> None:
    assert check_volume(pristine[version]) == []
    assert check_volume(pristine[version], deep=True) == []


def edit_group(organ: Path, change: Callable[[Any], object]) -> None:
    edit(organ / ".zattrs", change)
    consolidate(organ)


def transformation(group: Any, level: int, number: int) -> Any:
    return group["multiscales"][0]["datasets"][level]["coordinateTransformations"][number]


def window(group: Any) -> Any:
    return group["omero"]["channels"][0]["window"]


@pytest.mark.parametrize(
    ("change", "rule", "severity", "words"),
    [
        (
            lambda g: transformation(g, 1, 1).update(translation=[9, 10, 10]),
            "translation",
            0,
            "off",
        ),
        (lambda g: g["multiscales"][0]["datasets"].pop(1), "levels", 1, "each level halves"),
        (lambda g: g["multiscales"][0]["axes"][2].update(unit="um"), "units", 0, "'um'; known are"),
        (lambda g: g.pop("omero"), "display-window", 1, "There is no omero window"),
        (lambda g: window(g).update(start=5, end=5), "display-window", 1, "5 to 5; it has to rise"),
        (lambda g: window(g).update(max=70000), "display-window", 1, "allows 0 to 70000; uint16"),
        (lambda g: window(g).update(start=-1), "display-window", 1, "goes from -1 to"),
        (lambda g: window(g).update(end=65536), "display-window", 1, "to 65536; uint16 holds 0"),
        (lambda g: g["hipct"]["window"].update(scale=-1), "values", 0, "scale has to be above 0"),
    ],
)
def test_faults_of_the_group(
    organ: Path, change: Any, rule: str, severity: int, words: str
) -> None:
    edit_group(organ, change)
    finding = only([f for f in check_volume(organ) if rule != "levels" or f.rule != "leftovers"])
    assert seen(finding) == (rule, ("error", "warning")[severity])
    assert words in finding.sentence


@pytest.mark.parametrize("size", [0, -20])
def test_a_scale_of_nothing(organ: Path, size: int) -> None:
    edit_group(organ, lambda g: transformation(g, 1, 0).update(scale=[40, size, 40]))
    findings = check_volume(organ)
    assert ("scale", "error") in map(seen, findings)
    assert all(f.severity == "error" for f in findings)


def edit_level(organ: Path, level: int, **changes: Any) -> None:
    edit(organ / str(level) / ".zarray", lambda c: c.update(changes))
    consolidate(organ)


def test_levels_of_different_types(organ: Path) -> None:
    edit_level(organ, 1, dtype="|u1")
    rules = {f.rule for f in check_volume(organ)}
    assert "dtype" in rules
    assert "shards" in rules  # its files hold twice what belongs there


def test_a_level_that_dropped_its_odd_end(organ: Path) -> None:
    edit_level(organ, 1, shape=[20, 25, 22])
    findings = check_volume(organ)
    assert any(f.rule == "shape" and "22 voxels" in f.sentence for f in findings)


def test_a_missing_chunk(organ: Path) -> None:
    (organ / "0" / "1" / "2" / "0").unlink()
    finding = only(check_volume(organ))
    assert seen(finding) == ("shards", "error")
    assert "Level 0 lacks 1 of its files (0/1/2/0)" in finding.sentence


@pytest.mark.parametrize("keep", [0, 10, 16, -1])
def test_a_torn_chunk_is_found_by_its_head(organ: Path, keep: int) -> None:
    chunk = organ / "1" / "0" / "1" / "1"
    chunk.write_bytes(chunk.read_bytes()[:keep])
    finding = only(check_volume(organ))
    assert seen(finding) == ("shards", "error")
    assert "1/0/1/1 has" in finding.sentence
    assert "truncated" in finding.sentence
    assert seen(only(check_volume(organ, deep=True))) == ("shards", "error")


def test_a_chunk_of_another_volume(organ: Path) -> None:
    alien = zarr.create_array(
        organ.parent / "alien", shape=(8,) * 3, chunks=(8,) * 3, dtype="u1", zarr_format=2,
        compressors=zarr.open_array(organ / "0").compressors,
    )  # fmt: skip
    alien[:] = 3
    next((organ.parent / "alien").glob("0*")).replace(organ / "0" / "0" / "0" / "1")
    finding = only(check_volume(organ))
    assert seen(finding) == ("shards", "error")
    assert "holds 512 bytes of voxels where 8192 belong" in finding.sentence


def test_a_damaged_chunk_is_found_by_decoding_it(organ: Path) -> None:
    """Nothing but the decoder tells: version 0.4 has no checksums."""
    chunk = organ / "0" / "0" / "0" / "0"
    data = bytearray(chunk.read_bytes())
    data[2] &= ~2  # blosc kept the voxels as they are: now it says that it compressed them
    chunk.write_bytes(data)
    finding = only(check_volume(organ, deep=True))
    assert seen(finding) == ("checksum", "error")
    assert "0/0/0/0 cannot be decoded" in finding.sentence


def test_a_flipped_bit_shows_where_the_levels_do_not_fit(organ: Path) -> None:
    """No decoder sees it; a check that looks at all voxels does, unless the bit is a low one."""
    chunk = organ / "0" / "1" / "1" / "1"
    data = bytearray(chunk.read_bytes())
    data[-7] ^= 128
    chunk.write_bytes(data)
    finding = only(check_volume(organ, deep=True))
    assert seen(finding) == ("means", "error")
    assert "Level 1 is no rounded mean of level 0: 1 of 11500 voxels" in finding.sentence


def test_leftovers_and_unfinished_runs(organ: Path) -> None:
    (organ / "0" / "1" / "0" / ".2.abc.tmp").write_bytes(b"torn")
    finding = only(check_volume(organ))
    assert seen(finding) == ("leftovers", "warning")
    assert "1 files that no level needs (0/1/0/.2.abc.tmp)" in finding.sentence
    (organ / "0" / "1" / "0" / ".2.abc.tmp").unlink()
    (organ.parent / "organ.ome.zarr.run").mkdir()
    assert seen(only(check_volume(organ))) == ("unfinished", "warning")


def test_arrays_of_the_other_version(organ: Path, pristine: dict[str, Path]) -> None:
    (organ / ".zmetadata").unlink()
    shutil.rmtree(organ / "2")
    shutil.copytree(pristine["0.5"] / "2", organ / "2")
    findings = check_volume(organ)
    assert any(f.rule == "zarr-format" and "Level 2 is not Zarr v2" in f.sentence for f in findings)


CONSOLIDATED = {
    "a level that changed": (
        {"0.4": "1/.zarray", "0.5": "1/zarr.json"},
        lambda said, key: said[key].update(shape=[20, 25, 22]),
        "another shape than it says itself",
    ),
    "a level that is not said": (
        {"0.4": "2/.zarray", "0.5": "2/zarr.json"},
        lambda said, key: said.pop(key),
        "lack level 2: for zarr-python it does not exist",
    ),
    "a level that is not there": (
        {"0.4": "2/.zarray", "0.5": "2/zarr.json"},
        lambda said, key: said.update({key.replace("2", "7"): said[key]}),
        "which is not there",
    ),
}


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("case", CONSOLIDATED)
def test_consolidated_metadata_that_contradict(
    pristine: dict[str, Path], tmp_path: Path, version: str, case: str
) -> None:
    organ = tmp_path / "organ.ome.zarr"
    shutil.copytree(pristine[version], organ)
    keys, change, words = CONSOLIDATED[case]

    def contradict(content: Any) -> None:
        nodes = content["metadata"] if version == "0.4" else content["consolidated_metadata"]
        key = keys[version]
        if version == "0.5":
            nodes, key = nodes["metadata"], key.removesuffix("/zarr.json")
        change(nodes, key)

    edit(organ / (".zmetadata" if version == "0.4" else "zarr.json"), contradict)
    finding = only([f for f in check_volume(organ) if f.rule == "consolidated"])
    assert finding.severity == "error"
    assert words in finding.sentence
    consolidate(organ)
    assert check_volume(organ) == []


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_that_consolidated_metadata_hide(
    pristine: dict[str, Path], tmp_path: Path, version: str
) -> None:
    organ = tmp_path / "organ.ome.zarr"
    shutil.copytree(pristine[version], organ)
    group = zarr.open_group(organ, mode="r+", use_consolidated=False)
    listed: dict[str, Any] = {"labels": []}
    if version == "0.5":
        listed = {"ome": {"version": "0.5", **listed}}
    group.create_group("labels", attributes=listed)
    # For ome-zarr-models, which asks zarr, there are none either.
    finding = only([f for f in check_volume(organ) if f.rule != "specification"])
    assert seen(finding) == ("consolidated", "warning")
    assert "lack its labels" in finding.sentence
    consolidate(organ)
    assert check_volume(organ) == []


def foreign(path: Path, stored: np.ndarray, **options: Any) -> None:
    """A volume of version 0.4 as others write it: empty chunks are no files."""
    group = zarr.open_group(path, mode="w", zarr_format=2)
    datasets = []
    for number, level in enumerate((stored, stored[::2, ::2, ::2])):
        array = group.create_array(
            str(number), shape=level.shape, chunks=(8,) * 3, dtype="u2", fill_value=0,
            chunk_key_encoding={"name": "v2", "separator": "/"}, **options,
        )  # fmt: skip
        array[:] = level
        scale = {"type": "scale", "scale": [2.0**number] * 3}
        shift = {"type": "translation", "translation": [0.5 * (2**number - 1)] * 3}
        datasets.append({"path": str(number), "coordinateTransformations": [scale, shift]})
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    shown = {"start": 0, "end": 9, "min": 0, "max": 9}
    group.attrs["omero"] = {"channels": [{"color": "FFFFFF", "window": shown}]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": datasets}]


def test_empty_space_of_others_is_no_fault_unless_it_is_most(tmp_path: Path) -> None:
    stored = np.full((32, 32, 32), 7, np.uint16)
    stored[:8] = 0
    foreign(tmp_path / "v", stored)
    assert not (tmp_path / "v" / "0" / "0").exists()
    assert check_volume(tmp_path / "v", deep=True) == []
    for z in ("1", "2"):
        shutil.rmtree(tmp_path / "v" / "0" / z)
    findings = [f for f in check_volume(tmp_path / "v") if f.rule != "means"]
    assert seen(only(findings)) == ("empty", "warning")
    assert "Level 0 lacks 48 of its 64 files" in findings[0].sentence


def test_other_codecs_of_others_are_decoded(tmp_path: Path) -> None:
    from numcodecs import GZip

    foreign(tmp_path / "v", np.full((16, 16, 16), 7, np.uint16), compressors=GZip())
    assert check_volume(tmp_path / "v", deep=True) == []
    chunk = tmp_path / "v" / "0" / "1" / "0" / "1"
    chunk.write_bytes(chunk.read_bytes()[:-9])
    assert [f.rule for f in check_volume(tmp_path / "v", deep=True)] == ["checksum"]
    chunk.write_bytes(b"")
    finding = only(check_volume(tmp_path / "v"))
    assert seen(finding) == ("shards", "error")
    assert "is empty" in finding.sentence


def test_the_exit_code_tells(organ: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["check", str(organ), *arguments])
        return ended.value.code, capsys.readouterr().out

    assert run("--deep") == (0, f"{organ}: good\n")
    (organ / "note.txt").write_text("")
    code, text = run()
    assert code == 0
    assert text.endswith("0 errors, 1 warning\n")
    (organ / "0" / "0" / "0" / "0").unlink()
    code, text = run("--json")
    assert code == 1
    assert [f["rule"] for f in json.loads(text)] == ["shards", "leftovers"]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_volume_in_a_bucket_is_checked_there(
    pristine: dict[str, Path], bucket: str, version: str
) -> None:
    """Every byte, over S3: what is missing, torn, or left over is named by its address."""
    address = f"{bucket}/check/{version}.ome.zarr"
    storage = open_storage(address)
    for file in pristine[version].rglob("*"):
        if file.is_file():
            storage.put(file.relative_to(pristine[version]).as_posix(), file.read_bytes())
    assert check_volume(address, deep=True) == []
    key = "0/0/0/1" if version == "0.4" else "0/c/0/0/0"
    data = storage.get(key)
    assert data is not None
    storage.put(key, data[:-1])
    storage.put("note.txt", b"")
    torn, extra = check_volume(address)
    assert seen(torn) == ("shards", "error")
    assert f"{address}/{key}" in torn.sentence
    assert seen(extra) == ("leftovers", "warning")
    storage.delete(key)
    storage.delete("note.txt")
    assert f"lacks 1 of its files ({key})" in only(check_volume(address)).sentence


def test_a_web_server_lists_nothing_and_is_asked_for_each_file(
    pristine: dict[str, Path], web: Any
) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    shutil.copytree(pristine["0.5"], web.folder / "organ.ome.zarr")
    address = f"{web.url}/organ.ome.zarr"
    assert check_volume(address, deep=True) == []
    (web.folder / "organ.ome.zarr" / "1" / "c" / "1" / "0" / "0").unlink()
    assert "lacks 1 of its files (1/c/1/0/0)" in only(check_volume(address)).sentence
