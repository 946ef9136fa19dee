"""Volumes on servers: the same voxels, no byte more than needed, and errors as sentences."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hipct.cli.inspect import command as inspect
from hipct.core.errors import FormatError, InputError, RemoteError
from hipct.storage.shards import index_bytes, read_index
from hipct.viewing.layers import layer_data
from hipct.volume.open import open_volume
from hipct.volume.preview import orthogonal_preview
from hipct.volume.pyramid import write_pyramid
from hipct.volume.storage import Folder, Patience, open_storage
from hipct.volume.storage_zarr import ChunkStore, ReadStore, chunkwise

SHAPE = (40, 70, 93)
VOXEL = (30.0, 20.0, 10.0)
QUICK = Patience(timeout_s=0.25, attempts=3, pause_s=0.01)
KINDS = ("folder", "file", "s3", "gs", "http")
VERSIONS = ("0.5", "0.4")


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    """Noise, with a box of zeros: chunks that are not stored."""
    values = np.random.default_rng(0).integers(1, 60000, SHAPE, np.uint16)
    values[:16, :32, 16:80] = 0
    return values


@pytest.fixture(scope="module")
def addresses(values: np.ndarray, bucket: str, web: Any) -> Any:
    """Address of the volume by version and kind."""
    found = {}
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("GOOGLE_BASE_URL", os.environ["AWS_ENDPOINT_URL"])
        for version in VERSIONS:
            name = f"heart-{version}.ome.zarr"
            folder = web.folder / name
            write_pyramid(
                values,
                folder,
                voxel_size_um=VOXEL,
                window=(-0.1, 0.5),
                chunk=16,
                version=version,
            )
            copy = open_storage(f"{bucket}/{name}")
            for one in Folder(folder).list():
                copy.put(one.key, Folder(folder).get(one.key) or b"")
            found[version] = {
                "folder": str(folder),
                "file": folder.as_uri(),
                "s3": f"{bucket}/{name}",
                "gs": f"{bucket.replace('s3', 'gs')}/{name}/",
                "http": f"{web.url}/{name}",
            }
        yield found


class Counted:
    """A storage that notes what is asked of it."""

    def __init__(self, storage: Folder) -> None:
        self.storage, self.address = storage, storage.address
        self.parts: list[tuple[str, int, int | None]] = []
        self.bytes = 0

    def get(self, key: str) -> bytes | None:
        return self.get_part(key, 0)

    def get_part(self, key: str, start: int, stop: int | None = None) -> bytes | None:
        data = self.storage.get_part(key, start, stop)
        self.parts.append((key, start, stop))
        self.bytes += len(data or b"")
        return data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_volume_is_the_same_wherever_it_lies(
    version: str, kind: str, addresses: Any, values: np.ndarray
) -> None:
    here, there = (open_volume(addresses[version][one]) for one in ("folder", kind))
    assert there.name == here.name == f"heart-{version}"
    assert there.version == version
    for name in ("axes", "length_unit", "display", "scale", "offset", "unit", "provenance"):
        assert getattr(there, name) == getattr(here, name)
    assert len(there.levels) == len(here.levels) == 4
    for far, near in zip(there.levels, here.levels):
        assert (far.scale, far.translation) == (near.scale, near.translation)
        np.testing.assert_array_equal(far.chunkwise[...], near.array[...])
    far, near = there.levels[1], here.levels[1]
    np.testing.assert_array_equal(far.array[...], near.array[...])
    np.testing.assert_array_equal(far.dask().compute(), near.array[...])
    np.testing.assert_array_equal(there.levels[0].chunkwise[...], values)
    np.testing.assert_array_equal(there.physical(1, (3, ..., 5)), here.physical(1, (3, ..., 5)))
    sent = pickle.loads(pickle.dumps(there.levels[1].chunkwise))
    np.testing.assert_array_equal(sent[:, 3], here.levels[1].array[:, 3])


def test_a_volume_on_a_server_has_no_folder(addresses: Any) -> None:
    volume = open_volume(addresses["0.5"]["s3"])
    assert volume.address == addresses["0.5"]["s3"]
    with pytest.raises(InputError, match=r"^s3://organs/heart-0.5.ome.zarr lies on a server"):
        volume.path  # noqa: B018
    local = open_volume(addresses["0.5"]["file"])
    assert local.path == Path(addresses["0.5"]["folder"])


def test_opening_takes_two_round_trips(addresses: Any, web: Any) -> None:
    web.begin(delay_s=0.05)
    open_volume(addresses["0.5"]["http"])
    assert web.most_at_once >= 4  # All levels together.
    assert all(one.path.endswith(("zarr.json", ".zarray", ".zattrs")) for one in web.requests)
    assert zarr.config.get("codec_pipeline.batch_size") == 1  # As the user has it.
    web.begin()
    levels, _ = layer_data(addresses["0.5"]["http"])
    assert [level.shape for level in levels][:2] == [SHAPE, (20, 35, 47)]
    assert not [one for one in web.requests if "/c/" in one.path]


def touched(array: zarr.Array[Any], box: tuple[slice, ...]) -> tuple[set[str], int, int]:
    """Shards that a box touches, how many of its chunks are stored, and their bytes."""
    folder = Path(str(array.store.root))
    grid = [s // c for s, c in zip(array.shards, array.chunks)]
    ranges = [range(b.start // c, -(-b.stop // c)) for b, c in zip(box, array.chunks)]
    shards, number, size = set(), 0, 0
    for place in product(*ranges):
        key = "c/" + "/".join(str(p // n) for p, n in zip(place, grid))
        shards.add(key)
        if not (folder / key).exists():
            continue
        data = (folder / key).read_bytes()
        index = read_index(data, len(data), int(np.prod(grid)), key)
        offset, length = index[np.ravel_multi_index([p % n for p, n in zip(place, grid)], grid)]
        if offset != 2**64 - 1:
            number, size = number + 1, size + int(length)
    return shards, number, size


BOXES = st.tuples(*(st.tuples(st.integers(0, n - 1), st.integers(1, n)) for n in SHAPE))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(box=BOXES)
def test_a_view_reads_the_chunks_that_it_touches_and_each_index_once(
    sharded: zarr.Array[Any], box: Any
) -> None:
    region = tuple(slice(start, min(start + n, size)) for (start, n), size in zip(box, SHAPE))
    counted = Counted(Folder(Path(str(sharded.store.root))))
    view = chunkwise(zarr.open_array(ReadStore(counted), mode="r"))
    assert view.shards is None
    assert view.chunks == (8, 8, 8)
    counted.parts, counted.bytes = [], 0
    np.testing.assert_array_equal(view[region], sharded[region])
    shards, number, size = touched(sharded, region)
    tails = [part for part in counted.parts if part[1] < 0]
    assert {key for key, _, _ in tails} == shards
    assert len(tails) == len(shards)
    assert len(counted.parts) == len(shards) + number
    stored = sum((Path(str(sharded.store.root)) / key).exists() for key in shards)
    assert counted.bytes == size + stored * index_bytes(32)
    # The next view of these shards finds their indexes known.
    counted.parts = []
    view[region]
    assert len(counted.parts) == number
    assert all(start >= 0 for _, start, _ in counted.parts)


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("level", [0, 1])
def test_a_plane_from_a_server_takes_no_byte_more_than_needed(
    axis: int, level: int, addresses: Any, web: Any
) -> None:
    volume = open_volume(addresses["0.5"]["http"])
    stored = open_volume(addresses["0.5"]["folder"]).level(level).array
    view = volume.level(level).chunkwise
    web.begin(delay_s=0.1)
    index = tuple(5 if k == axis else slice(None) for k in range(3))
    np.testing.assert_array_equal(view[index], stored[index])
    box = tuple(slice(5, 6) if k == axis else slice(0, n) for k, n in enumerate(stored.shape))
    local = zarr.open_array(Path(addresses["0.5"]["folder"]) / str(level), mode="r")
    shards, number, size = touched(local, box)
    grid = [s // c for s, c in zip(local.shards, local.chunks)]
    assert len(web.requests) == len(shards) + number
    assert sum(one.sent for one in web.requests) == size + len(shards) * index_bytes(
        int(np.prod(grid))
    )
    if number >= 10:
        assert web.most_at_once >= 8


def test_a_store_for_reading_is_no_other(sharded: zarr.Array[Any]) -> None:
    store = ReadStore(Folder(Path(str(sharded.store.root))))
    assert not any((store.supports_writes, store.supports_deletes, store.supports_listing))
    for listed in (store.list, lambda: store.list_prefix("c"), lambda: store.list_dir("c")):
        with pytest.raises(RemoteError, match="cannot be listed"):
            listed()
    with pytest.raises(ValueError, match="read-only"):
        zarr.open_array(store, mode="r")[0, 0, 0] = 1


def test_chunks_without_shards_are_read_as_they_are(addresses: Any, web: Any) -> None:
    level = open_volume(addresses["0.4"]["http"]).levels[0]
    assert level.chunkwise is level.array
    web.begin(delay_s=0.1)
    level.chunkwise[:, 5]
    assert len(web.requests) == 3 * 6
    assert web.most_at_once >= 8


@pytest.mark.parametrize(
    "settings",
    [
        {"codecs": "gzip", "location": "end"},
        {"codecs": "blosc", "location": "start"},
        {"codecs": "zstd", "location": "end", "key": ("v2", ".")},
        {"codecs": "zstd", "location": "end", "key": ("default", ".")},
    ],
)
def test_other_codecs_keys_and_places_of_the_index(tmp_path: Path, settings: Any) -> None:
    codecs = zarr.codecs
    inner = {
        "gzip": codecs.GzipCodec(),
        "blosc": codecs.BloscCodec(),
        "zstd": codecs.ZstdCodec(),
    }[settings["codecs"]]
    sharding = codecs.ShardingCodec(
        chunk_shape=(4, 4, 4),
        codecs=[codecs.TransposeCodec(order=(2, 0, 1)), codecs.BytesCodec(), inner],
        index_location=settings["location"],
    )
    name, separator = settings.get("key", ("default", "/"))
    array = zarr.create(
        shape=(9, 17, 18),
        chunks=(8, 8, 8),
        dtype="f4",
        store=tmp_path / "a.zarr",
        zarr_format=3,
        codecs=[sharding],
        chunk_key_encoding=(name, separator),
    )
    values = np.random.default_rng(0).normal(size=array.shape).astype("f4")
    array[...] = values
    view = chunkwise(zarr.open_array(tmp_path / "a.zarr", mode="r"))
    assert isinstance(view.store, ChunkStore) == (settings["location"] == "end")
    np.testing.assert_array_equal(view[...], values)
    np.testing.assert_array_equal(view[8, 3:9], values[8, 3:9])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_server_that_dies_is_named_where_voxels_are_read(
    version: str, addresses: Any, web: Any
) -> None:
    address = addresses[version]["http"]
    level = open_volume(address, patience=QUICK).levels[0]
    plane = level.dask()[3]
    web.begin(lambda path, before: 503)
    for read in (
        lambda: level.array[3],
        lambda: level.chunkwise[3],
        plane.compute,
        lambda: open_volume(address, patience=QUICK),
    ):
        with pytest.raises(RemoteError, match=rf"^{address}.* answers 503 .*, 3 times; try"):
            read()
    web.begin()


def test_a_hanging_server_is_waited_for_once(addresses: Any, web: Any) -> None:
    """Not by one chunk after the other, and not at the end of the process."""
    address = addresses["0.5"]["http"]
    view = open_volume(address, patience=QUICK).levels[0].chunkwise
    web.begin(lambda path, before: "hang" if "/c/" in path else None)
    started = time.monotonic()
    with pytest.raises(RemoteError, match=r"nothing came for 0.25 s, 3 times"):
        view[3]
    assert time.monotonic() - started < 5
    time.sleep(0.5)
    # All chunks of a shard share the fate of its index.
    assert all(times == 3 for times in web.seen.values())
    web.begin()
    np.testing.assert_array_equal(view[3], open_volume(address).levels[0].array[3])
    web.begin(lambda path, before: "hang" if "/c/" in path else None)
    code = (
        "import threading, time\n"
        "from hipct.volume.open import open_volume\n"
        f"view = open_volume({address!r}).levels[0].chunkwise\n"
        "threading.Thread(target=lambda: view[3], daemon=True).start()\n"
        "time.sleep(0.5)\n"
    )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", code], check=True, timeout=20)
    assert [path for path in web.seen if "/c/" in path]
    web.begin()


def test_a_shard_that_changes_or_is_torn_is_named(tmp_path: Path) -> None:
    write_pyramid(
        np.ones((16, 32, 32), np.uint16), tmp_path / "a.ome.zarr", voxel_size_um=1, chunk=16
    )
    level = open_volume(tmp_path / "a.ome.zarr").levels[0]
    level.chunkwise[0, 0, 0]
    shard = tmp_path / "a.ome.zarr" / "0" / "c" / "0" / "0" / "0"
    data = shard.read_bytes()
    shard.write_bytes(data[:10])
    with pytest.raises(FormatError, match="0/c/0/0/0 has changed or is truncated"):
        level.chunkwise[0]
    for torn in (data[:10], data[:-1]):
        shard.write_bytes(torn)
        with pytest.raises(FormatError, match=r"0/c/0/0/0 (has|is) "):
            open_volume(tmp_path / "a.ome.zarr").levels[0].chunkwise[0]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nothing.ome.zarr", "no OME-Zarr volume: it holds neither zarr.json nor .zattrs"),
        ("sharded.zarr", "a Zarr node but no OME-Zarr image"),
    ],
)
def test_an_address_without_a_volume(name: str, words: str, sharded: Any, web: Any) -> None:
    with pytest.raises(FormatError, match=words):
        open_volume(f"{web.url}/{name}")


def test_a_level_that_is_missing_on_a_server(web: Any, addresses: Any) -> None:
    web.begin(lambda path, before: 404 if "zarr/2/" in path else None)
    with pytest.raises(FormatError, match="Level '2' of http"):
        open_volume(addresses["0.5"]["http"])
    web.begin()


@pytest.mark.parametrize("kind", ["s3", "gs", "http", "file"])
def test_inspect_tells_the_same_of_an_address(kind: str, addresses: Any) -> None:
    told = [
        CliRunner().invoke(inspect, [addresses["0.5"][one]], catch_exceptions=False).output
        for one in ("folder", kind)
    ]
    assert told[0] == told[1]
    assert "40 x 70 x 93 voxels" in told[0]


def test_a_picture_of_a_volume_on_a_server(addresses: Any, tmp_path: Path) -> None:
    pictures = [
        orthogonal_preview(addresses["0.5"][kind], tmp_path / f"{kind}.png").read_bytes()
        for kind in ("folder", "s3")
    ]
    assert pictures[0] == pictures[1]
