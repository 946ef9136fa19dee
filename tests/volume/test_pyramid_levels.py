"""Coarser levels beside a finest one that is there, against whole-array reductions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import GzipCodec

from hipct.cli.main import main
from hipct.core.errors import FormatError, InputError, OutputError, PlanError
from hipct.volume import pyramid_levels
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_levels import build_levels
from hipct.volume.pyramid_source import ArraySource
from hipct.volume.reduce import reduce_block
from hipct.volume.volume_levels import VolumeLevels

SHAPE = (150, 35, 290)


def noise(shape: tuple[int, ...] = SHAPE, dtype: str = "uint16") -> np.ndarray:
    data = np.random.default_rng(7).integers(0, 200, shape).astype(dtype)
    data[:20, :, :140] = 0
    return data


def files_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def finest_alone(path: Path, data: np.ndarray, **kind: Any) -> dict[str, bytes]:
    """A volume of ours, of which only level 0 is left; gives the files that it had."""
    build_pyramid(ArraySource(data, (4.0, 2.0, 3.0)), path, **kind)
    whole = files_of(path)
    for folder in path.glob("[1-9]"):
        shutil.rmtree(folder)
    return whole


def others(path: Path, data: np.ndarray, *, version: str, name: str = "0", **array: Any) -> None:
    """A volume of one level as another program writes it, in millimetres and off the origin."""
    zarr_format = 3 if version == "0.5" else 2
    multiscale = {
        "axes": [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"],
        "datasets": [
            {
                "path": name,
                "coordinateTransformations": [
                    {"type": "scale", "scale": [0.5, 0.25, 0.25]},
                    {"type": "translation", "translation": [10.0, 0.0, -3.0]},
                ],
            }
        ],
    }
    ome = {"version": version, "multiscales": [multiscale]}
    attributes = {"ome": ome, "theirs": 1} if version == "0.5" else {**ome, "theirs": 1}
    group = zarr.open_group(path, mode="w", zarr_format=zarr_format, attributes=attributes)
    stored = group.create_array(name, shape=data.shape, dtype=data.dtype, **array)
    stored[...] = data


def assert_levels(path: Path, data: np.ndarray, how: str = "mean") -> None:
    volume = open_volume(path)
    wanted = data
    for number, level in enumerate(volume.levels):
        np.testing.assert_array_equal(level.array[:], wanted, err_msg=f"level {number}")
        for axis in range(3):
            finest = volume.levels[0]
            scale = finest.scale[axis] * 2**number
            assert level.scale[axis] == pytest.approx(scale)
            shift = (scale - finest.scale[axis]) / 2
            assert level.translation[axis] == pytest.approx(finest.translation[axis] + shift)
        wanted = reduce_block(wanted, how=how)
    assert max(volume.levels[-1].array.shape) <= 128
    assert len(volume.levels) > 1


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_levels_of_ours_are_those_that_the_builder_makes(tmp_path: Path, version: Any) -> None:
    path = tmp_path / "v.ome.zarr"
    data = noise()
    whole = finest_alone(path, data, version=version, consolidated=True)
    build_levels(path)
    assert files_of(path).keys() == whole.keys()
    for name, content in files_of(path).items():
        if name.endswith((".json", ".zarray", ".zattrs", ".zmetadata")):
            assert json.loads(content) == json.loads(whole[name]), name
    assert_levels(path, data)
    assert check_volume(path, deep=True) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.ome.zarr"]


@pytest.mark.parametrize(
    ("kind", "name", "level_1"),
    [
        ({"version": "0.5", "chunks": (32, 64, 64)}, "0", "1"),
        ({"version": "0.5", "chunks": (16, 32, 32), "shards": (64, 64, 320)}, "s0", "s1"),
        ({"version": "0.5", "chunks": (33, 50, 71)}, "fine", "1"),
        ({"version": "0.5", "chunks": (32, 64, 64), "compressors": GzipCodec()}, "0", "1"),
        ({"version": "0.4", "chunks": (64, 64, 64)}, "0", "1"),
        ({"version": "0.4", "chunks": (37, 64, 64), "order": "F"}, "10", "1"),
    ],
)
def test_levels_of_what_others_wrote(
    tmp_path: Path, kind: dict[str, Any], name: str, level_1: str
) -> None:
    path, data = tmp_path / "v.ome.zarr", noise(dtype="uint8")
    others(path, data, name=name, **kind)
    build_levels(path)
    assert_levels(path, data)
    volume = open_volume(path)
    assert volume.levels[1].path == level_1
    assert volume.levels[0].scale == (500.0, 250.0, 250.0)
    metadata = path / ("zarr.json" if kind["version"] == "0.5" else ".zattrs")
    assert '"theirs": 1' in metadata.read_text()


def test_levels_in_groups_of_their_own(tmp_path: Path) -> None:
    path, data = tmp_path / "v.ome.zarr", noise()
    others(path, data, version="0.5", name="scale0/image", chunks=(64, 64, 64))
    build_levels(path)
    assert_levels(path, data)
    assert [level.path for level in open_volume(path).levels][:2] == [
        "scale0/image",
        "scale1/image",
    ]
    assert "scale1" in dict(zarr.open_group(path, mode="r").groups())


@pytest.mark.parametrize("how", ["mode", "min", "max"])
def test_labels_and_projections(tmp_path: Path, how: Any) -> None:
    path = tmp_path / "v.ome.zarr"
    data = noise(dtype="uint32" if how == "mode" else "uint16") // 50
    kind = {"kind": "labels"} if how == "mode" else {"projection": how}
    whole = finest_alone(path, data, **kind)
    build_levels(path)  # the volume says what it is
    assert_levels(path, data, how)
    assert json.loads(whole["zarr.json"]) == json.loads((path / "zarr.json").read_bytes())
    others(tmp_path / "o.ome.zarr", data, version="0.5", chunks=(64, 64, 64))
    build_levels(tmp_path / "o.ome.zarr", **kind)
    assert_levels(tmp_path / "o.ome.zarr", data, how)


def test_levels_that_are_there_stay_unless_they_may_be_replaced(tmp_path: Path) -> None:
    path, data = tmp_path / "v.ome.zarr", noise()
    build_pyramid(ArraySource(data, 2.0), path)
    before = files_of(path)
    with pytest.raises(OutputError, match=r"has coarser levels already \(1, 2\).*--overwrite"):
        build_levels(path)
    assert files_of(path) == before
    build_levels(path, projection="max", overwrite=True)
    assert_levels(path, data, "max")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.ome.zarr"]


def test_levels_of_other_names_go_when_they_are_replaced(tmp_path: Path) -> None:
    path, data = tmp_path / "v.ome.zarr", noise()
    others(path, data, version="0.5", chunks=(64, 64, 64))
    group = zarr.open_group(path, mode="r+")
    group.create_array("half", shape=(75, 18, 145), dtype="u2")[...] = 1
    ome = group.attrs["ome"]
    ome["multiscales"][0]["datasets"].append(
        {"path": "half", "coordinateTransformations": [{"type": "scale", "scale": [1, 0.5, 0.5]}]}
    )
    group.attrs["ome"] = ome
    with pytest.raises(OutputError, match=r"\(half\)"):
        build_levels(path)
    build_levels(path, overwrite=True)
    assert_levels(path, data)
    assert not (path / "half").exists()


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["first", "late", "moving", "listing"])
def test_a_kill_leaves_the_volume_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path, data = tmp_path / "v.ome.zarr", noise()
    finest_alone(path, data)
    before = files_of(path)
    read: list[int] = []
    again = pyramid_levels._FromLevel.again
    limit = {"first": 0, "late": 1}.get(moment, 99)

    def counted(self: Any, index: int) -> Any:
        if len(read) == limit:
            raise Killed
        read.append(index)
        return again(self, index)

    def kill(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("hipct.core.threads._size", 1)
        patch.setattr(pyramid_levels._FromLevel, "again", counted)
        if moment == "listing":
            patch.setattr(VolumeLevels, "_list", kill)
        if moment == "moving":
            original: Callable[..., None] = os.rename
            patch.setattr(
                os, "rename", lambda a, b: kill() if str(b).endswith("/1") else original(a, b)
            )
        with pytest.raises(Killed):
            build_levels(path)
    assert (tmp_path / "v.ome.zarr.levels").exists() == (moment != "first")
    if moment in ("first", "late"):
        assert files_of(path) == before
    with monkeypatch.context() as patch:
        limit = 99
        patch.setattr(pyramid_levels._FromLevel, "again", counted)
        build_levels(path)
    if moment in ("moving", "listing"):
        assert sorted(read) == [0, 1]
    assert_levels(path, data)
    assert check_volume(path, deep=True) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.ome.zarr"]


def test_another_reduction_does_not_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, data = tmp_path / "v.ome.zarr", noise()
    finest_alone(path, data)
    with monkeypatch.context() as patch:
        patch.setattr(VolumeLevels, "publish", lambda *_: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            build_levels(path)
    with pytest.raises(OutputError, match=r"other parameters \(reduction: mean then, max now\)"):
        build_levels(path, projection="max")
    build_levels(path, projection="max", restart=True)
    assert_levels(path, data, "max")


def test_what_is_damaged_or_changes_is_named_and_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "v.ome.zarr"
    finest_alone(path, noise())
    before = files_of(path)
    shard = path / "0" / "c" / "1" / "0" / "0"
    torn = before["0/c/1/0/0"]
    for content, what in (
        (torn[: len(torn) // 2], "no whole shard|truncated"),
        (torn[:100] + b"x" + torn[101:], "is damaged"),
        (None, "0/c/1/0/0 is missing"),
    ):
        shard.unlink()
        if content is not None:
            shard.write_bytes(content)
        with pytest.raises(FormatError, match=what):
            build_levels(path, restart=True)
        shard.write_bytes(torn)
        assert files_of(path) == before

    def touch(self: Any) -> None:
        os.utime(shard, (1, 1))

    monkeypatch.setattr(pyramid_levels._FromLevel, "run", touch)
    with pytest.raises(FormatError, match="has changed while it was read"):
        build_levels(path, restart=True)
    assert files_of(path) == before


def test_what_cannot_be_reduced_is_refused(tmp_path: Path) -> None:
    for number, (dtype, kind, error, what) in enumerate(
        (
            ("float32", {}, InputError, "holds float32, .* --window"),
            ("uint32", {}, InputError, "holds uint32, and levels by mean"),
            ("uint16", {"kind": "labels", "projection": "max"}, InputError, "by their mode"),
            ("uint16", {"memory_bytes": 1000}, PlanError, "1.0 kB are allowed"),
        )
    ):
        path = tmp_path / f"{number}.ome.zarr"
        others(path, noise((140, 8, 8), dtype), version="0.5", chunks=(64, 8, 8))
        with pytest.raises(error, match=what):
            build_levels(path, **kind)
    small = tmp_path / "small.ome.zarr"
    others(small, noise((8, 8, 8)), version="0.5", chunks=(8, 8, 8))
    with pytest.raises(InputError, match="no larger than one chunk"):
        build_levels(small)
    metadata = json.loads((small / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["axes"].reverse()
    (small / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(FormatError, match="stored as x, y, z"):
        build_levels(small)
    (tmp_path / "small.ome.zarr.run").mkdir()
    with pytest.raises(FormatError, match="is being written"):
        build_levels(small)
    assert not list(tmp_path.glob("*.levels"))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, data = tmp_path / "v.ome.zarr", noise()
    finest_alone(path, data)
    with pytest.raises(SystemExit) as ended:
        main(["pyramid", str(path), "--levels", "--memory", "1GB"])
    assert ended.value.code == 0
    told = capsys.readouterr().out.replace("\n", "")
    assert f"{path}: 2 coarser levels of 150 x 35 x 290 uint16, by mean" in told
    assert_levels(path, data)
    for words, what in (
        ([str(path), "x.ome.zarr", "--levels"], "leave OUT x.ome.zarr out"),
        ([str(path), "--levels", "--voxel-um", "3"], "leave --voxel-um 3 out"),
        ([str(path)], "output is missing"),
        ([str(path), "--levels"], "has coarser levels already"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["pyramid", *words])
        assert ended.value.code == 2
        assert what in " ".join(capsys.readouterr().err.split())
