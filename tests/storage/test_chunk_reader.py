"""Chunks decoded without Zarr, against what Zarr reads of the same arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec, GzipCodec, ZstdCodec

from hipct.core.errors import FormatError
from hipct.storage.chunk_reader import open_chunks

SHAPE = (37, 50, 41)
CHECKED = [BloscCodec(cname="lz4"), Crc32cCodec()]
KINDS: dict[str, dict[str, Any]] = {
    "v3, zarr's own": {},
    "v3, plain": {"compressors": None},
    "v3, blosc": {"compressors": BloscCodec(cname="lz4")},
    "v3, dots": {"chunk_key_encoding": {"name": "default", "separator": "."}},
    "v3, keys of v2": {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
    "shards": {"shards": (32, 32, 48), "compressors": ZstdCodec(checksum=True)},
    "shards of blosc": {"shards": (16, 96, 48), "compressors": BloscCodec(cname="zstd")},
    "shards of one chunk": {"shards": (16, 16, 16), "compressors": CHECKED},
    "v2": {"zarr_format": 2, "compressors": None},
    "v2, its own": {"zarr_format": 2},
}


def voxels(dtype: str = "uint16") -> np.ndarray:
    data = np.random.default_rng(3).integers(1, 200, SHAPE).astype(dtype)
    data[16:32, 16:32, :16] = 7  # the fill value: Zarr leaves this chunk out
    return data


def store(folder: Path, data: np.ndarray, **kind: Any) -> zarr.Array[Any]:
    array = zarr.create_array(
        folder, shape=SHAPE, chunks=(16, 16, 16), dtype=data.dtype, fill_value=7, **kind
    )
    array[...] = data
    return array


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_regions_are_what_zarr_reads(tmp_path: Path, kind: str, dtype: str) -> None:
    data = voxels(dtype)
    store(tmp_path / "a", data, **KINDS[kind])
    reader = open_chunks(tmp_path / "a")
    assert reader is not None
    assert (reader.shape, reader.chunks, reader.dtype) == (SHAPE, (16, 16, 16), np.dtype(dtype))
    for region in (
        (slice(None), slice(None), slice(None)),
        (slice(3, 33), slice(16, 32), slice(40, 41)),
        (slice(16, 17), slice(0, 50), slice(5, 5)),
    ):
        np.testing.assert_array_equal(reader[region], data[region])


@pytest.mark.parametrize(
    "kind",
    [
        {"compressors": GzipCodec()},
        {"zarr_format": 2, "order": "F"},
        {"filters": zarr.codecs.TransposeCodec(order=(2, 1, 0))},
    ],
)
def test_what_is_not_known_is_left_to_zarr(tmp_path: Path, kind: dict[str, Any]) -> None:
    store(tmp_path / "a", voxels(), **kind)
    assert open_chunks(tmp_path / "a") is None
    assert open_chunks(tmp_path) is None


def test_every_chunk_comes_once_where_it_lies(tmp_path: Path) -> None:
    data = voxels()
    store(tmp_path / "a", data, **KINDS["shards"])
    reader = open_chunks(tmp_path / "a")
    assert reader is not None
    times, found = np.zeros(SHAPE, int), np.zeros_like(data)

    def use(start: tuple[int, ...], part: np.ndarray) -> None:
        place = tuple(slice(a, a + n) for a, n in zip(start, part.shape))
        times[place] += 1
        found[place] = part

    region = (slice(4, 37), slice(0, 50), slice(7, 30))
    reader.each_chunk(region, use)
    assert (times[region] == 1).all()
    assert times.sum() == data[region].size
    np.testing.assert_array_equal(found[region], data[region])


def test_damage_is_named(tmp_path: Path) -> None:
    store(tmp_path / "a", voxels(), **KINDS["shards of blosc"])
    file = tmp_path / "a" / "c" / "0" / "0" / "0"
    whole = file.read_bytes()
    everything = (slice(None),) * 3
    for broken, what in (
        (whole[:-1], "checksum of its index"),
        (whole[:10], "truncated"),
        (b"\0" * 200 + whole[200:], r"chunk \(0, 0, 0\), is damaged"),
    ):
        file.write_bytes(broken)
        with pytest.raises(FormatError, match=what):
            open_chunks(tmp_path / "a")[everything]
    file.unlink()
    assert (open_chunks(tmp_path / "a")[:16, :50, :41] == 7).all()
    with pytest.raises(FormatError, match=f"{file} is missing"):
        open_chunks(tmp_path / "a", whole=True)[everything]


def test_a_chunk_of_another_size_is_named(tmp_path: Path) -> None:
    for number, kind in enumerate((KINDS["v3, blosc"], KINDS["v3, zarr's own"])):
        folder = tmp_path / str(number)
        store(folder, voxels(), **kind)
        small = zarr.create_array(
            tmp_path / f"small{number}", shape=(4,), chunks=(4,), dtype="u2", **kind
        )
        small[...] = 5
        (folder / "c/0/0/0").write_bytes((tmp_path / f"small{number}" / "c/0").read_bytes())
        with pytest.raises(FormatError, match="another size than its chunk"):
            open_chunks(folder)[:16, :16, :16]
