"""Data sets as they lie in the bucket: N5 and OME-Zarr 0.4, with the recorded quirks."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dask.array
import numcodecs
import numpy as np
import pytest

from hipct.atlas.blocks import n5_array
from hipct.atlas.catalogue import load_catalogue
from hipct.atlas.opening import open_set
from hipct.atlas.remote import Server, open_store, split_format
from hipct.core.errors import FormatError, InputError, RemoteError
from hipct.volume.storage import Patience

QUICK = Patience(timeout_s=0.3, attempts=3, pause_s=0.01)


@pytest.mark.parametrize("name", ["n5", "zarr"])
def test_levels_hold_what_was_stored(bucket: Any, name: str) -> None:
    volume = open_set(bucket.set_named(name), mirror=str(bucket.folder))
    assert [level.array.shape for level in volume.levels] == [v.shape for v in bucket.levels]
    for level, truth in zip(volume.levels, bucket.levels):
        assert level.array.dtype == np.uint16
        assert level.array.compression == "blosc-zstd"
        np.testing.assert_array_equal(level.array[:], truth)


@pytest.mark.parametrize("name", ["n5", "zarr"])
@pytest.mark.parametrize(
    "region",
    [
        np.s_[3:40:7, ..., 20],
        np.s_[17],
        np.s_[..., -1],
        np.s_[16:32, 16:32, 16:32],
        np.s_[-5:, :3, 40:99],
        np.s_[5:5],
        np.s_[44, 37, 50],
    ],
)
def test_regions_are_those_of_numpy(bucket: Any, name: str, region: Any) -> None:
    array = open_set(bucket.set_named(name), mirror=str(bucket.folder)).levels[0].array
    np.testing.assert_array_equal(array[region], bucket.levels[0][region])


def test_n5_agrees_with_the_reader_of_hoa_tools(bucket: Any) -> None:
    """Of its blocks: they are ours to write in these tests, and somebody else's to read."""
    from hoa_tools._n5 import N5ChunkWrapper

    wrapper = N5ChunkWrapper("<u2", [16] * 3, numcodecs.Blosc("zstd").get_config())
    array = open_set(bucket.set_named("n5"), mirror=str(bucket.folder)).levels[0].array
    for place in ((0, 0, 0), (2, 2, 3), (1, 2, 0)):
        data = (bucket.path("n5") / array.key(place)).read_bytes()
        theirs = np.asarray(wrapper.decode(data)).reshape(16, 16, 16)
        ours = array.decode(data, place)
        z, y, x = ours.shape
        np.testing.assert_array_equal(ours, theirs[:z, :y, :x])


def test_a_chunk_of_zarr_agrees_with_zarr(bucket: Any) -> None:
    import zarr

    theirs = zarr.open_array(bucket.path("zarr") / "1", mode="r")
    ours = open_set(bucket.set_named("zarr"), mirror=str(bucket.folder)).levels[1].array
    np.testing.assert_array_equal(ours[:], np.asarray(theirs[:]).T)


def test_levels_lie_in_the_middle_of_what_they_are_means_of(bucket: Any) -> None:
    """24.132 um: level 4 would lie 181 um off without its half voxels."""
    volume = open_set(bucket.set_named("zarr"), mirror=str(bucket.folder))
    origins = [level.origin_um[0] for level in volume.levels]
    np.testing.assert_allclose(origins, [0, 0.5 * 24.132, 1.5 * 24.132])
    assert [level.voxel_size_um for level in volume.levels] == [24.132, 48.264, 96.528]


def test_quirks_are_said(bucket: Any) -> None:
    n5 = open_set(bucket.set_named("n5"), mirror=str(bucket.folder))
    assert n5.notes == (
        "N5 lists axes as x, y, z with x running fastest; they are given as z, y, x.",
    )
    zarr = open_set(bucket.set_named("zarr"), mirror=str(bucket.folder))
    assert zarr.notes == (
        "The axes are stored x, y, z; they are given as z, y, x.",
        "Level 0, 1, 2 list the translation before the scale, which is not valid; they are read "
        "in the order listed.",
    )


@pytest.fixture
def own(bucket: Any, tmp_path: Path) -> Path:
    """A copy of the bucket that a test may harm."""
    shutil.copytree(bucket.folder, tmp_path / "mirror")
    return tmp_path / "mirror"


def change(file: Path, edit: Any) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def test_further_images_of_a_set_are_said(bucket: Any, own: Path) -> None:
    folder = own / bucket.path("zarr").relative_to(bucket.folder)
    change(folder / ".zattrs", lambda c: c["multiscales"].append(c["multiscales"][0]))
    volume = open_set(bucket.set_named("zarr"), mirror=str(own))
    assert any("lists 2 images; the first is taken" in note for note in volume.notes)
    np.testing.assert_array_equal(volume.levels[2].array[:], bucket.levels[2])


def test_a_translation_after_the_scale_that_misplaces_a_level_is_said(
    bucket: Any, own: Path
) -> None:
    folder = own / bucket.path("zarr").relative_to(bucket.folder)

    def repair_by_swapping(content: dict[str, Any]) -> None:
        for one in content["multiscales"][0]["datasets"]:
            one["coordinateTransformations"].reverse()

    change(folder / ".zattrs", repair_by_swapping)
    volume = open_set(bucket.set_named("zarr"), mirror=str(own))
    # 0.5 um at every level, where the means of level 2 lie 1.5 voxels of 24.132 um behind.
    assert any("Level 2 lies -36.2 um beside its voxels" in note for note in volume.notes)
    assert volume.levels[2].origin_um[0] == pytest.approx(1.5 * 24.132)


@pytest.mark.parametrize(
    ("name", "file", "edit", "words"),
    [
        ("zarr", ".zattrs", lambda c: c.pop("multiscales"), "is broken"),
        ("zarr", ".zattrs", lambda c: c["multiscales"][0]["axes"].reverse(), "described with"),
        ("zarr", ".zattrs", lambda c: c["multiscales"][0]["axes"].pop(), "has the axes x, y;"),
        ("zarr", "1/.zarray", lambda c: c.update(filters=[{"id": "delta"}]), "filters"),
        ("zarr", "1/.zarray", lambda c: c.update(shape=[9, 9, 9]), "Level 1 of zarr has 9 x 9"),
        ("n5", "s0/attributes.json", lambda c: c.pop("blockSize"), "blockSize"),
        ("n5", "s0/attributes.json", lambda c: c["dimensions"].pop(), "three numbers"),
        ("n5", "s0/attributes.json", lambda c: c["compression"].update(type="lz4"), "'lz4'"),
    ],
)
def test_broken_metadata_is_named(
    bucket: Any, own: Path, name: str, file: str, *, edit: Any, words: str
) -> None:
    change(own / bucket.path(name).relative_to(bucket.folder) / file, edit)
    with pytest.raises(FormatError, match=words):
        open_set(bucket.set_named(name), mirror=str(own))


@pytest.mark.parametrize("kind", ["gzip", "raw", "bzip2", "xz", "zstd"])
def test_other_compressions_of_n5_are_read(
    tmp_path: Path, bucket: Any, n5_writer: Any, kind: str
) -> None:
    n5_writer(tmp_path / "n5", bucket.levels[2:], {"type": kind})
    store = open_store((tmp_path / "n5").as_uri())
    attributes = json.loads((tmp_path / "n5" / "s0" / "attributes.json").read_text())
    np.testing.assert_array_equal(n5_array(store, "s0", attributes)[:], bucket.levels[2])


@pytest.mark.parametrize("name", ["n5", "zarr"])
def test_a_torn_block_is_named(bucket: Any, own: Path, name: str) -> None:
    array = open_set(bucket.set_named(name), mirror=str(own)).levels[0].array
    file = own / bucket.path(name).relative_to(bucket.folder) / array.key((1, 1, 1))
    whole = file.read_bytes()
    for torn in (whole[: len(whole) // 2], whole[:3], b""):
        file.write_bytes(torn)
        with pytest.raises(FormatError, match=f"block .*{array.key((1, 1, 1))} "):
            array[20, 20, 20]
        assert array[0, 0, 0] == bucket.levels[0][0, 0, 0]


def test_levels_are_lazy_for_dask(bucket: Any, server: Any) -> None:
    array = open_set(bucket.set_named("n5"), mirror=server.url, patience=QUICK).levels[0].array
    server.asked.clear()
    lazy = dask.array.from_array(array, chunks=array.chunks)
    assert server.asked == []
    np.testing.assert_array_equal(lazy[20:24, 3, 3].compute(), bucket.levels[0][20:24, 3, 3])
    assert len(server.asked) == 1


@pytest.mark.parametrize("kind", ["500", "503", "429", "stall", "cut", "checksum"])
def test_a_server_with_a_bad_moment_is_asked_again(bucket: Any, server: Any, kind: str) -> None:
    volume = open_set(bucket.set_named("n5"), mirror=server.url, patience=QUICK)
    server.kind, server.times = kind, {"/s0/1/1/1": 2}
    server.asked.clear()
    np.testing.assert_array_equal(
        volume.levels[0].array[16:32, 16:32, 16:32], bucket.levels[0][16:32, 16:32, 16:32]
    )
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("500", "the server answers 500 .*, 3 times; try again later"),
        ("stall", "nothing came for 0.3 s, 3 times"),
        ("cut", "3 times"),
        ("drip", r"its bytes come too slowly \(\d+ of 1000 in 0 s\), 3 times"),
        ("checksum", "another checksum than the server tells, 3 times"),
        ("403", "the server answers 403 Forbidden\\.$"),
    ],
)
def test_a_server_that_stays_bad_is_told_in_a_sentence(
    bucket: Any, server: Any, kind: str, words: str
) -> None:
    volume = open_set(bucket.set_named("n5"), mirror=server.url, patience=QUICK)
    server.kind, server.times = kind, {"/s0/1/1/1": 99}
    with pytest.raises(RemoteError, match=f"s0/1/1/1 could not be read: .*{words}"):
        volume.levels[0].array[20, 20, 20]


def test_no_server_at_all_is_told(bucket: Any) -> None:
    with pytest.raises(RemoteError, match=r"could not be read: .*refused.*, 3 times"):
        open_set(bucket.set_named("n5"), mirror="http://127.0.0.1:9", patience=QUICK)


def test_pauses_double_and_a_server_may_ask_for_longer() -> None:
    patience = Patience(pause_s=0.5)
    assert [patience.pause_after(n) for n in (1, 2, 3, 4)] == [0.5, 1, 2, 4]
    assert patience.pause_after(1, 7) == 7
    assert patience.pause_after(20) == 60


def test_addresses_are_mapped() -> None:
    store = open_store("gs://bucket/a/b")
    assert isinstance(store, Server)
    assert store.url == "https://storage.googleapis.com/bucket/a/b"
    assert (
        open_store("gs://bucket/a", mirror="http://here:80/").address == "http://here:80/bucket/a"
    )
    assert split_format("n5://gs://bucket/a") == ("n5", "gs://bucket/a")
    if find_spec("obstore"):
        there = open_store("gs://bucket/a", mirror="s3://copy")
        assert there.address == "s3://copy/bucket/a"
    for url in ("gs://bucket/a", "tiff://gs://a", "n5:/a"):
        with pytest.raises(InputError, match="does not say its format"):
            split_format(url)
    with pytest.raises(InputError, match="cannot be read"):
        open_store("ftp://bucket/a")
    with pytest.raises(InputError, match="does not exist"):
        open_store("gs://bucket/a", mirror="/nowhere")


def test_real_descriptions_have_addresses_that_can_be_read() -> None:
    pytest.importorskip("hoa_tools")
    for one in load_catalogue().values():
        _, address = split_format(one.url)
        assert isinstance(open_store(address), Server)
