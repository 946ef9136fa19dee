"""Pictures that never wait: what stands in, what is fetched, what is given up, what is a hole."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hipct.core.errors import FormatError, InputError
from hipct.viewing import reads as reading
from hipct.viewing.reads import PyramidReads, reads_of_volume
from hipct.viewing.reads_cache import ChunkCache
from hipct.viewing.reads_lazy import LazyLevel
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

SHAPE = (32, 64, 64)
CHUNK = (8, 8, 8)
PATIENCE_S = 60.0


class Source:
    """Chunks of an array; what is asked for is noted, and comes when the gate is open."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype, self.chunks = values, values.shape, values.dtype, CHUNK
        self.asked: list[tuple[int, ...]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.broken: set[tuple[int, ...]] = set()

    def chunk(self, place: tuple[int, ...]) -> np.ndarray:
        self.asked.append(place)
        assert self.gate.wait(PATIENCE_S)
        if place in self.broken:
            raise FormatError(f"Chunk {place} is damaged.")
        return self.values[tuple(slice(p * 8, p * 8 + 8) for p in place)].copy()


def halved(values: np.ndarray) -> np.ndarray:
    z, y, x = (n // 2 for n in values.shape)
    return values.reshape(z, 2, y, 2, x, 2).mean((1, 3, 5)).astype(values.dtype)


@pytest.fixture
def levels() -> list[Source]:
    z, y, x = np.ogrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    finest = (10.0 * z + 3 * y + x).astype(np.float32)
    middle = halved(finest)
    return [Source(finest), Source(middle), Source(halved(middle))]


@pytest.fixture
def make(levels: list[Source], request: pytest.FixtureRequest) -> Callable[..., PyramidReads]:
    def make(**options: Any) -> PyramidReads:
        factors = [2.0**number for number in range(len(levels))]
        places = [((f,) * 3, ((f - 1) / 2,) * 3) for f in factors]
        reads = PyramidReads(levels, places, **options)
        request.addfinalizer(reads.close)
        return reads

    return make


def settle(reads: PyramidReads) -> None:
    end = time.monotonic() + PATIENCE_S
    while reads.pending:
        assert time.monotonic() < end
        time.sleep(0.002)


def plane(z: int, low: int = 0, high: int = 64) -> tuple[tuple[int, int], ...]:
    return ((z, z + 1), (low, high), (low, high))


@pytest.mark.parametrize(
    "key",
    [
        (5,),
        (slice(None), slice(2, 40), slice(3, 99)),
        (..., 7),
        (np.int64(-1), ..., slice(-4, None)),
        (slice(3, 1),),
        (slice(None, None, 2), 4),
        (np.array([1, 3]),),
    ],
)
def test_a_level_is_cut_as_numpy_cuts(levels: list[Source], make: Any, key: Any) -> None:
    level = make().levels[0]
    expected = levels[0].values[key]
    part = level[key]
    assert part.shape == expected.shape
    np.testing.assert_array_equal(np.asarray(part), expected)


def test_cutting_reads_nothing_and_a_plane_reads_its_chunks(
    levels: list[Source], make: Any
) -> None:
    part = make().levels[0][:, 16:32, 0:8]
    assert isinstance(part, LazyLevel)
    assert levels[0].asked == []
    np.asarray(part[9])
    assert sorted(levels[0].asked) == [(1, 2, 0), (1, 3, 0)]


def test_a_picture_is_there_at_once_and_right_in_the_end(levels: list[Source], make: Any) -> None:
    reads = make(threads=2)
    changes: list[int] = []
    reads.watch(lambda: changes.append(1))
    reads.levels[2].__array__()
    settle(reads)
    for source in levels[:2]:
        source.gate.clear()
    begin = time.monotonic()
    first = reads.picture(0, plane(13))
    # A chunk would have been waited for as long as there is patience.
    assert time.monotonic() - begin < PATIENCE_S / 2
    # What stands in are means over 4 voxels of a linear volume: off by what they span at most.
    assert np.abs(first - levels[0].values[13:14]).max() <= 0.5 * 3 * (10 + 3 + 1) + 1e-3
    assert np.abs(first - levels[0].values[13:14]).max() > 1
    for source in levels[:2]:
        source.gate.set()
    settle(reads)
    assert changes
    np.testing.assert_array_equal(reads.picture(0, plane(13)), levels[0].values[13:14])


def test_what_is_no_longer_looked_at_is_not_fetched(levels: list[Source], make: Any) -> None:
    reads = make(threads=1)
    reads.watch(lambda: None)
    reads.levels[2].__array__()
    settle(reads)
    levels[0].gate.clear()
    reads.picture(0, plane(3, 0, 32))
    while not levels[0].asked:
        time.sleep(0.002)
    reads.picture(0, plane(3, 32, 64))
    levels[0].gate.set()
    settle(reads)
    begun, *others = levels[0].asked
    assert max(begun[1:]) < 4
    assert len(others) == 16
    assert all(min(place[1:]) >= 4 for place in others)
    # From the middle outwards.
    assert {place[1:] for place in others[:4]} == {(5, 5), (5, 6), (6, 5), (6, 6)}


def test_a_broken_chunk_is_a_hole_with_a_name(
    levels: list[Source], make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = make(threads=2)
    told: list[str] = []
    reads.watch(lambda: None, told.append)
    levels[0].broken = {(1, 2, 3)}
    for _ in range(3):
        reads.picture(0, plane(9))
        settle(reads)
    picture = reads.picture(0, plane(9))[0]
    expected = levels[0].values[9].copy()
    expected[16:24, 24:32] = 0
    np.testing.assert_array_equal(picture, expected)
    assert told == ["Chunk (1, 2, 3) is damaged."]
    assert reads.faults == ("Chunk (1, 2, 3) is damaged.",)
    assert levels[0].asked.count((1, 2, 3)) == 1
    monkeypatch.setattr(reading, "_HOLE_S", 0.0)
    levels[0].broken = set()
    reads.picture(0, plane(9))
    settle(reads)
    np.testing.assert_array_equal(reads.picture(0, plane(9))[0], levels[0].values[9])
    assert reads.faults == ()


def test_unwatched_reads_wait_and_raise(levels: list[Source], make: Any) -> None:
    reads = make()
    levels[0].broken = {(0, 0, 0)}
    np.testing.assert_array_equal(np.asarray(reads.levels[0][8, 8:16]), levels[0].values[8, 8:16])
    with pytest.raises(FormatError, match="damaged"):
        np.asarray(reads.levels[0][0, 0])
    with pytest.raises(InterruptedError):
        reads.read(0, plane(20), lambda: True)


def test_the_cache_is_bounded_and_a_view_beyond_it_ends(levels: list[Source], make: Any) -> None:
    size = 8**3 * 4
    reads = make(threads=2, budget_bytes=20 * size)
    reads.watch(lambda: None)
    for z in (3, 11, 19, 27, 3):
        picture = reads.picture(0, plane(z))
        settle(reads)
        assert reads.cache.bytes <= 20 * size
        picture = reads.picture(0, plane(z))[0]
        settle(reads)
    # The middle is as fine as it can be, the rest is still a picture of the place.
    np.testing.assert_array_equal(picture[28:36, 28:36], levels[0].values[3, 28:36, 28:36])
    assert np.abs(picture - levels[0].values[3]).max() < 40
    with pytest.raises(InputError, match="more than 0"):
        ChunkCache(0)


def test_the_next_slices_come_before_they_are_looked_at(levels: list[Source], make: Any) -> None:
    reads = make(threads=1)
    reads.watch(lambda: None)
    for z in (4, 5):
        reads.picture(0, plane(z, 0, 16))
        settle(reads)
    end = time.monotonic() + PATIENCE_S
    while (1, 1, 1) not in levels[0].asked:
        assert time.monotonic() < end
        time.sleep(0.002)
    assert {place[0] for place in levels[0].asked} == {0, 1}


def test_values_that_are_known(levels: list[Source], make: Any) -> None:
    reads = make()
    assert reads.known((13.0, 40.0, 7.0)) is None
    np.asarray(reads.levels[1])
    assert reads.known((13.0, 40.0, 7.0)) == (levels[1].values[6, 20, 3], 1)
    np.asarray(reads.levels[0][13, 40])
    assert reads.known((13.0, 40.4, 6.6)) == (levels[0].values[13, 40, 7], 0)
    assert reads.known((-3.0, 0, 0)) is None


def test_volumes_of_any_kind_and_what_is_missing_of_them(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1, 60000, (40, 70, 50)).astype(np.uint16)
    for version in ("0.5", "0.4"):
        path = tmp_path / f"v{version}"
        write_pyramid(values, path, voxel_size_um=20.0, chunk=16, version=version)
        reads = reads_of_volume(open_volume(path))
        np.testing.assert_array_equal(np.asarray(reads.levels[0][:, 3:60, 9]), values[:, 3:60, 9])
    foreign = zarr.create_array(
        tmp_path / "v0.5" / "9",
        data=values,
        chunks=(16, 16, 16),
        compressors=zarr.codecs.GzipCodec(),
    )
    assert foreign.shape == values.shape
    file = tmp_path / "v0.5" / "zarr.json"
    file.write_text(file.read_text().replace('"path": "0"', '"path": "9"'))
    reads = reads_of_volume(open_volume(tmp_path / "v0.5"))
    np.testing.assert_array_equal(np.asarray(reads.levels[0][39]), values[39])


def test_a_missing_level_is_told_and_a_missing_file_is_a_hole(tmp_path: Path) -> None:
    values = np.full((40, 70, 50), 7, np.uint16)
    write_pyramid(values, tmp_path / "v", voxel_size_um=20.0, chunk=16)
    shards = sorted((tmp_path / "v" / "0" / "c").rglob("*"))
    next(file for file in shards if file.is_file()).unlink()
    (tmp_path / "v" / "1" / "zarr.json").unlink()
    with pytest.raises(FormatError, match="Level '1'"):
        open_volume(tmp_path / "v")
    volume = open_volume(tmp_path / "v", whole=False)
    assert [level.path for level in volume.levels] == ["0", "2", "3"]
    assert "Level '1'" in volume.notes[0]
    reads = reads_of_volume(volume)
    with pytest.raises(FormatError, match="is missing"):
        np.asarray(reads.levels[0][0])
    for level in ("0", "2", "3"):
        (tmp_path / "v" / level / "zarr.json").unlink()
    with pytest.raises(FormatError, match="Level '0'"):
        open_volume(tmp_path / "v", whole=False)


def test_files_that_were_written_anew_are_read_anew(tmp_path: Path) -> None:
    for number in (1000, 2000):
        values = np.random.default_rng(number).integers(0, number, (40, 70, 50)).astype(np.uint16)
        write_pyramid(values, tmp_path / f"{number}", voxel_size_um=20.0, chunk=16)
    shutil.copytree(tmp_path / "1000", tmp_path / "v")
    reads = reads_of_volume(open_volume(tmp_path / "v"))
    np.asarray(reads.levels[0])
    shutil.copytree(tmp_path / "2000" / "0" / "c", tmp_path / "v" / "0" / "c", dirs_exist_ok=True)
    reads.forget()
    np.testing.assert_array_equal(np.asarray(reads.levels[0]), values)


def test_volumes_share_one_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    from hipct.viewing import reads_cache

    monkeypatch.setattr(reads_cache, "_caches", type(reads_cache._caches)())
    monkeypatch.setattr(reads_cache, "default_budget_bytes", lambda: 100)
    first, second = ChunkCache(90, kept_level=1), ChunkCache(90)
    for number in range(8):
        first.put((int(number == 0), (number,)), np.zeros(10, np.uint8))
    for number in range(8):
        second.put((0, (number,)), np.zeros(10, np.uint8))
    assert first.bytes + second.bytes == 100
    assert first.bytes == second.bytes
    # The oldest went, but for the level that is kept.
    assert [n for n in range(8) if (int(n == 0), (n,)) in first] == [0, 4, 5, 6, 7]
