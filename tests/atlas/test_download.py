"""Crops of the atlas as volumes of our own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hipct.atlas.download as downloading
from hipct.atlas.crop import make_crop, parse_ends
from hipct.atlas.download import download_crop
from hipct.atlas.opening import AtlasVolume, open_set
from hipct.core.errors import FormatError, InputError, OutputError, PlanError, RemoteError
from hipct.volume.check import check_volume
from hipct.volume.layout import PyramidSpec
from hipct.volume.open import open_volume
from hipct.volume.storage import Patience

QUICK = Patience(timeout_s=0.3, attempts=2, pause_s=0.01)
REGION = ((3, 41), (5, 30), (7, 50))
HERE = np.s_[3:41, 5:30, 7:50]


def opened(bucket: Any, name: str, mirror: str | None = None) -> AtlasVolume:
    return open_set(bucket.set_named(name), mirror=mirror or str(bucket.folder), patience=QUICK)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of 8 rows, so that blocks of 16 reach over several of them."""
    monkeypatch.setattr(downloading, "_CHUNK", 8)
    monkeypatch.setattr(downloading, "_PLANES", (16,))


def means(values: np.ndarray) -> np.ndarray:
    padded = np.full([n + n % 2 for n in values.shape], np.nan)
    padded[tuple(slice(n) for n in values.shape)] = values
    z, y, x = (n // 2 for n in padded.shape)
    return np.rint(np.nanmean(padded.reshape(z, 2, y, 2, x, 2), axis=(1, 3, 5))).astype("u2")


@pytest.mark.parametrize("name", ["n5", "zarr"])
def test_a_crop_is_a_good_volume_in_its_place(
    bucket: Any, small: None, tmp_path: Path, name: str
) -> None:
    volume = opened(bucket, name)
    out = tmp_path / "crop.ome.zarr"
    download_crop(volume, make_crop(volume, 1, ((2, 20), (0, 19), (3, 26))), out)
    assert check_volume(out, deep=True) == []
    assert [path.name for path in tmp_path.iterdir()] == ["crop.ome.zarr"]
    made = open_volume(out)
    assert made.name == name
    truth = bucket.levels[1][2:20, 0:19, 3:26]
    for level in made.levels:
        np.testing.assert_array_equal(np.asarray(level.array[:]), truth)
        truth = means(truth)
    # Level 1: half a voxel of 24.132 um behind, then 2, 0 and 3 voxels of 48.264 um.
    np.testing.assert_allclose(
        made.levels[0].translation, 12.066 + np.array((2, 0, 3)) * 48.264, rtol=1e-12
    )
    np.testing.assert_allclose(
        made.levels[1].translation, np.array(made.levels[0].translation) + 24.132, rtol=1e-12
    )
    told = made.provenance["atlas"]
    assert told["dataset"] == name
    assert told["crop_voxels_zyx"] == [[2, 20], [0, 19], [3, 26]]
    assert told["description"] == bucket.set_named(name).description
    assert told["notes"] == list(volume.notes)


def test_every_block_is_fetched_once(bucket: Any, server: Any, small: None, tmp_path: Path) -> None:
    volume = opened(bucket, "n5", server.url)
    crop = make_crop(volume, 0, REGION)
    server.asked.clear()
    observer = Counting()
    download_crop(volume, crop, tmp_path / "crop.ome.zarr", observer=observer)
    blocks = [f"/s0/{x}/{y}/{z}" for z in range(3) for y in range(2) for x in range(4)]
    assert sorted(path[path.index("/s0") :] for path in server.asked) == sorted(blocks)
    assert (observer.total, observer.done) == (24, 24)
    assert observer.said == ["1 of 24 blocks are not stored; their voxels are 0."]
    made = open_volume(tmp_path / "crop.ome.zarr")
    np.testing.assert_array_equal(made.levels[0].array[:], bucket.levels[0][HERE])
    assert made.provenance["blocks_not_stored"] == 1


@pytest.mark.parametrize("kind", ["500", "stall", "cut", "checksum"])
def test_a_broken_download_leaves_no_volume_and_goes_on(
    bucket: Any, server: Any, small: None, tmp_path: Path, kind: str
) -> None:
    volume = opened(bucket, "n5", server.url)
    crop = make_crop(volume, 0, REGION)
    out = tmp_path / "crop.ome.zarr"
    server.kind, server.times = kind, {"/s0/1/1/2": 2}
    with pytest.raises(RemoteError, match=r"s0/1/1/2 could not be read.*goes on from it"):
        download_crop(volume, crop, out)
    assert not out.exists()
    came = [path for path in server.asked if "/s0/" in path and not path.endswith("/2")]
    server.asked.clear()
    observer = Counting()
    download_crop(volume, crop, out, observer=observer)
    assert not set(server.asked) & set(came)
    assert (observer.total, observer.done) == (24, 24)
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], bucket.levels[0][HERE])
    assert open_volume(out).provenance["blocks_not_stored"] == 1
    assert check_volume(out, deep=True) == []
    assert [path.name for path in tmp_path.iterdir()] == ["crop.ome.zarr"]


def test_harm_done_between_two_calls_is_repaired(
    bucket: Any, server: Any, small: None, tmp_path: Path
) -> None:
    """A torn shard of a finished layer, and a torn block that was kept."""
    volume = opened(bucket, "n5", server.url)
    crop = make_crop(volume, 0, REGION)
    out = tmp_path / "crop.ome.zarr"
    server.kind, server.times = "500", {"/s0/1/1/2": 2}
    with pytest.raises(RemoteError):
        download_crop(volume, crop, out)
    run = tmp_path / "crop.ome.zarr.run"
    shard = next((run / "volume.ome.zarr" / "0" / "c" / "0").rglob("0"), None)
    while shard is not None and shard.is_dir():
        shard = next(shard.iterdir())
    assert shard is not None
    shard.write_bytes(shard.read_bytes()[:50])
    kept = next(file for file in (run / "blocks").iterdir() if file.stat().st_size)
    kept.write_bytes(kept.read_bytes()[:50])
    observer = Counting()
    download_crop(volume, crop, out, observer=observer)
    assert any("It is fetched again" in sentence for sentence in observer.said)
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], bucket.levels[0][HERE])
    assert check_volume(out, deep=True) == []


def test_a_damaged_block_is_no_voxel(bucket: Any, small: None, tmp_path: Path) -> None:
    shutil.copytree(bucket.folder, tmp_path / "mirror")
    file = tmp_path / "mirror" / bucket.path("n5").relative_to(bucket.folder) / "s0/1/1/1"
    whole = file.read_bytes()
    file.write_bytes(whole[:-7])
    volume = opened(bucket, "n5", str(tmp_path / "mirror"))
    out = tmp_path / "out" / "crop.ome.zarr"
    with pytest.raises(FormatError, match="s0/1/1/1 is damaged"):
        download_crop(volume, make_crop(volume, 0, REGION), out)
    assert not out.exists()
    file.write_bytes(whole)
    download_crop(volume, make_crop(volume, 0, REGION), out)
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], bucket.levels[0][HERE])


def test_another_region_does_not_go_on_with_what_has_come(
    bucket: Any, server: Any, small: None, tmp_path: Path
) -> None:
    volume = opened(bucket, "n5", server.url)
    out = tmp_path / "crop.ome.zarr"
    server.kind, server.times = "500", {"/s0/1/1/2": 2}
    with pytest.raises(RemoteError):
        download_crop(volume, make_crop(volume, 0, REGION), out)
    other = make_crop(volume, 1)
    with pytest.raises(
        OutputError, match=r"something else \(it differs in crop_zyx, level, stored"
    ):
        download_crop(volume, other, out)
    download_crop(volume, other, out, restart=True)
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], bucket.levels[1])
    with pytest.raises(OutputError, match="exists already"):
        download_crop(volume, other, out)
    download_crop(volume, make_crop(volume, 2), out, overwrite=True)
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], bucket.levels[2])


def test_a_slab_that_is_not_stored_is_named(bucket: Any, small: None, tmp_path: Path) -> None:
    """Of the N5 copy the blocks 1 along z are lost; the crop begins inside of block 0."""
    shutil.copytree(bucket.folder, tmp_path / "mirror")
    level = tmp_path / "mirror" / bucket.path("n5").relative_to(bucket.folder) / "s0"
    for file in level.glob("*/*/1"):
        file.unlink()
    volume = opened(bucket, "n5", str(tmp_path / "mirror"))
    observer = Counting()
    download_crop(
        volume, make_crop(volume, 0, REGION), tmp_path / "crop.ome.zarr", observer=observer
    )
    # 8 of the slab, and the one that is empty in the original.
    assert observer.said[0] == "9 of 24 blocks are not stored; their voxels are 0."
    (slab,) = observer.said[1:]
    assert slab.startswith("Nothing is stored of z 16:32 of the region (voxels of level 0)")
    made = np.asarray(open_volume(tmp_path / "crop.ome.zarr").levels[0].array[:])
    truth = bucket.levels[0].copy()
    truth[16:32] = 0
    np.testing.assert_array_equal(made, truth[HERE])

    for file in level.glob("*/*/*"):
        file.unlink()
    told = Counting()
    download_crop(volume, make_crop(volume, 0, REGION), tmp_path / "none.zarr", observer=told)
    assert told.said[1].startswith("Nothing is stored of the region: it is empty, or the copy")


def test_memory_decides_shards_and_refuses(bucket: Any, tmp_path: Path) -> None:
    volume = opened(bucket, "n5")
    crop = make_crop(volume, 0)
    with pytest.raises(PlanError, match="are allowed; give more, or a smaller region"):
        download_crop(volume, crop, tmp_path / "crop.ome.zarr", memory_bytes=1000)
    assert list(tmp_path.iterdir()) == []
    wide = PyramidSpec(shape=(128, 1024, 1024), voxel_size_um=1, shard_plane=256)
    assert downloading.pyramid_memory_bytes(wide, 1, 2) < downloading.pyramid_memory_bytes(
        PyramidSpec(shape=(128, 1024, 1024), voxel_size_um=1), 1, 2
    )


def test_lengths_take_the_voxels_whose_centres_lie_inside(bucket: Any) -> None:
    """Level 1: centres at 12.066 + 48.264 i um."""
    volume = opened(bucket, "n5")
    centres = 12.066 + 48.264 * np.arange(23)
    crop = make_crop(volume, 1, ((100, 400), (None, 0.3e3), (60.33, None)), "um")
    inside = np.flatnonzero((centres >= 100) & (centres < 400))
    assert crop.box[0] == slice(inside[0], inside[-1] + 1)
    assert crop.box[1] == slice(0, int((centres[:19] < 300).sum()))
    assert crop.box[2] == slice(1, 26)  # 60.33 is the centre of voxel 1
    assert make_crop(volume, 1, ((0.1, 0.4), (None, 0.3), (0.06033, None)), "mm") == crop
    # Regions that share an end share no voxel.
    below = make_crop(volume, 1, ((None, 200), (None, None), (None, None)), "um")
    above = make_crop(volume, 1, ((200, None), (None, None), (None, None)), "um")
    assert below.box[0].stop == above.box[0].start


@pytest.mark.parametrize(
    ("ends", "unit", "words"),
    [
        (((0, 46), (None, None), (None, None)), "voxel", "Along z the region is 0:46 voxel"),
        (((5, 5), (None, None), (None, None)), "voxel", "voxels 5 to 5 of level 0"),
        (((None, None), (None, None), (-1, 2)), "mm", "Along x"),
        (((1.5, 3), (None, None), (None, None)), "voxel", "no whole number"),
    ],
)
def test_regions_outside_are_refused(bucket: Any, ends: Any, unit: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        make_crop(opened(bucket, "n5"), 0, ends, unit)


@pytest.mark.parametrize("words", ["1:2", "1:2,3:4,5", "a:b,:,:", ":,:,:,:", "nan:1,:,:", ""])
def test_what_is_no_region_is_refused(words: str) -> None:
    with pytest.raises(InputError, match="give three ranges"):
        parse_ends(words)


class Counting:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.total = self.done = 0
        self.said: list[str] = []

    def start(self, stage: str, total: int) -> None:
        self.total = total

    def advance(self, stage: str, steps: int = 1) -> None:
        self.done += steps

    def finish(self, stage: str) -> None:
        pass

    def say(self, message: str) -> None:
        self.said.append(message)
