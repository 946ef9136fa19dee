"""The scan store: bit for bit, no byte twice, whole or absent."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import GzipCodec

from hipct.acquisition import store_files
from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import ScanInfo
from hipct.acquisition.store import ScanStoreWriter, StoreScan, import_scan
from hipct.core.errors import FormatError, InputError, OutputError, PlanError
from hipct.storage import chunk_reader

ALL = slice(None)
DTYPES = ["uint8", "uint16", "uint32", "int16", "int32", "float32", "float64"]


def make_info(shape, dtype="uint16", flats=0, darks=0, **values) -> ScanInfo:
    return ScanInfo(
        projections=shape[0],
        rows=shape[1],
        columns=shape[2],
        dtype=np.dtype(dtype),
        angles_rad=np.linspace(0, np.pi, shape[0]),
        flat_index=np.arange(flats) - 0.5,
        dark_index=np.arange(darks) - 9.0,
        **values,
    )


def noise(shape, dtype="uint16", seed=0) -> np.ndarray:
    """Every bit random, so that nothing can be compressed; floats include NaN and -0."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.random.default_rng(seed).integers(0, 256, size, dtype="uint8")
    return raw.view(dtype).reshape(shape)


def write(path, data, flats=(), darks=(), **options) -> StoreScan:
    info = make_info(data.shape, data.dtype, len(flats), len(darks))
    with ScanStoreWriter(path, info, **options) as writer:
        writer.write_projections(0, data)
        for kind, frames in (("flats", flats), ("darks", darks)):
            if len(frames):
                writer.write_frames(kind, 0, frames)
    return StoreScan(path)


def same_bits(a, b) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 150), st.integers(1, 40), st.integers(1, 9)),
    dtype=st.sampled_from(DTYPES),
    references=st.tuples(st.integers(0, 20), st.integers(0, 3)),
    data=st.data(),
)
def test_round_trip_is_bit_for_bit(tmp_path_factory, shape, dtype, references, data):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    step = data.draw(st.integers(1, 160))
    frames = noise(shape, dtype)
    flats, darks = (noise((n, *shape[1:]), dtype, seed=n) for n in references)
    info = make_info(shape, dtype, *references)
    with ScanStoreWriter(path, info) as writer:
        for first in range(0, shape[0], step):
            writer.write_projections(first, frames[first : first + step])
        for first in range(0, len(flats), step):
            writer.write_flats(first, flats[first : first + step])
        for first in range(0, len(darks), step):
            writer.write_darks(first, darks[first : first + step])
    scan = StoreScan(path)
    angles = slice(*sorted(data.draw(st.tuples(*[st.integers(0, shape[0])] * 2))))
    rows = slice(*sorted(data.draw(st.tuples(*[st.integers(0, shape[1])] * 2))))
    assert same_bits(scan.read_projections(angles, rows), frames[angles, rows])
    assert same_bits(scan.read_flats(rows), flats[:, rows])
    assert same_bits(scan.read_darks(ALL), darks)
    np.testing.assert_array_equal(scan.info.angles_rad, info.angles_rad)


def test_everything_known_of_a_scan_is_kept(tmp_path):
    info = make_info(
        (5, 3, 4),
        flats=2,
        darks=1,
        acquisition="half",
        pixel_size_um=20.0,
        distance_m=3.5,
        energy_kev=88.0,
        rotation_axis_px=0.25,
        projection_index=np.arange(5) + 3.0,
        current=np.array([1, np.nan, 2, 3, 4.0]),
        flat_current=np.array([1.0, 2.0]),
        current_unit="mA",
        subframes=3,
        kind="counts",
        source="heart.nx",
        format="NXtomo",
        notes=("One sentence.",),
    )
    with ScanStoreWriter(tmp_path / "a.zarr", info, attributes={"seed": 4}) as writer:
        writer.write_projections(0, noise((5, 3, 4)))
        writer.write_flats(0, noise((2, 3, 4)))
        writer.write_darks(0, noise((1, 3, 4)))
        writer.write_truth("mu", np.arange(6.0).reshape(2, 3), {"unit": "1/cm"})
        writer.write_truth_attributes({"delta_beta": 1500.0})
    scan = open_scan(tmp_path / "a.zarr")
    assert isinstance(scan, StoreScan)
    for name in (
        *("acquisition", "pixel_size_um", "distance_m", "energy_kev", "rotation_axis_px"),
        *("current_unit", "subframes", "kind", "notes", "dtype"),
    ):
        assert getattr(scan.info, name) == getattr(info, name), name
    for name in (
        *("angles_rad", "projection_index", "flat_index", "dark_index", "current"),
        "flat_current",
    ):
        np.testing.assert_array_equal(getattr(scan.info, name), getattr(info, name))
    assert (scan.origin, scan.attributes) == ("heart.nx", {"seed": 4})
    assert scan.truth().attrs["delta_beta"] == 1500.0
    np.testing.assert_array_equal(scan.truth()["mu"][:], np.arange(6.0).reshape(2, 3))
    assert scan.truth()["mu"].attrs["unit"] == "1/cm"


def test_a_scan_inside_a_larger_store(tmp_path):
    data = noise((5, 3, 4))
    zarr.create_group(tmp_path / "organ.zarr")
    write(tmp_path / "organ.zarr" / "scan_000", data)
    assert same_bits(
        open_scan(tmp_path / "organ.zarr" / "scan_000").read_projections(ALL, ALL), data
    )
    np.testing.assert_array_equal(
        zarr.open_group(tmp_path / "organ.zarr", mode="r")["scan_000/projections"][...], data
    )


def test_import_equals_its_source(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", keys=[2, 1] + [0] * 40 + [1, 2], current=np.arange(44.0))
    with open_scan(tmp_path / "a.nx") as source:
        scan = import_scan(source, tmp_path / "a.zarr", memory_bytes=20_000)
        for kind in ("projections", "flats", "darks"):
            count = getattr(source.info, kind)
            assert same_bits(
                scan.read_frames(kind, slice(0, count)), source.read_frames(kind, slice(0, count))
            )
        np.testing.assert_array_equal(scan.info.projection_index, source.info.projection_index)
        np.testing.assert_array_equal(scan.info.flat_current, source.info.flat_current)
    again = import_scan(scan, tmp_path / "b.zarr")
    assert same_bits(again.read_projections(ALL, ALL), scan.read_projections(ALL, ALL))


def test_import_of_the_tooth(tmp_path, shared_data):
    path = shared_data / "tooth" / "tooth.h5"
    scan = import_scan(path, tmp_path / "tooth.zarr")
    with open_scan(path) as source:
        assert same_bits(scan.read_projections(ALL, ALL), source.read_projections(ALL, ALL))
        assert same_bits(scan.read_flats(ALL), source.read_flats(ALL))
        assert same_bits(scan.read_darks(ALL), source.read_darks(ALL))
        np.testing.assert_array_equal(scan.info.angles_rad, source.info.angles_rad)
    assert (scan.row_chunk, scan.angle_chunk) == (2, 16)


def test_import_tells_its_progress(tmp_path, dxchange):
    class Observer:
        def __init__(self):
            self.total, self.done, self.ended = 0, 0, False

        def start(self, stage, total):
            assert stage == "import"
            self.total = total

        def advance(self, stage, steps=1):
            self.done += steps

        def finish(self, stage):
            self.ended = True

        def say(self, message): ...

    dxchange(tmp_path / "a.h5")
    observer = Observer()
    import_scan(tmp_path / "a.h5", tmp_path / "a.zarr", observer=observer)
    assert (observer.total, observer.done, observer.ended) == (14, 14, True)


# A tile with its halo rounded to chunks, single slabs, the ragged last rows, all.
TILES = [slice(32, 112), slice(0, 16), slice(64, 128), slice(144, 150), slice(0, 150)]


@pytest.mark.parametrize("rows", TILES)
def test_rows_over_all_angles_move_no_byte_twice(tmp_path, rows, monkeypatch):
    data = noise((200, 150, 160))
    scan = write(tmp_path / "a.zarr", data)
    assert rows.start % scan.row_chunk == 0
    asked: list[tuple[int, int, int]] = []
    read = os.preadv

    def noted(opened, buffers, offset):
        got = read(opened, buffers, offset)
        asked.append((os.fstat(opened).st_ino, offset, got))
        return got

    monkeypatch.setattr(chunk_reader.os, "preadv", noted)
    tile = scan.read_projections(ALL, rows)
    np.testing.assert_array_equal(tile, data[:, rows])
    assert len(asked) == len(set(asked))
    # Edge chunks are padded with zeros (200 angles to 208), which the codec shrinks.
    assert tile.nbytes <= sum(got for _, _, got in asked) <= 1.1 * tile.nbytes


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="counts bytes as Linux does")
def test_the_system_sees_no_byte_more(tmp_path):
    data = noise((128, 256, 64))
    scan = write(tmp_path / "a.zarr", data)

    def bytes_read() -> int:
        return int(Path("/proc/self/io").read_text().split()[1])

    total = 0
    for top in range(0, 256, 64):
        rows = slice(top, top + 64)
        before = bytes_read()
        tile = scan.read_projections(ALL, rows)
        moved = bytes_read() - before
        np.testing.assert_array_equal(tile, data[:, rows])
        assert moved <= 1.1 * tile.nbytes
        total += moved
    assert total >= data.nbytes


def test_plain_zarr_reads_the_same_and_its_setting_is_left_alone(tmp_path):
    setting = zarr.config.get("codec_pipeline.path")
    data = noise((40, 20, 7), "float32")
    write(tmp_path / "a.zarr", data)
    assert zarr.config.get("codec_pipeline.path") == setting
    plain = zarr.open_array(tmp_path / "a.zarr" / "projections", mode="r")
    assert "zarrs" not in type(plain.async_array.codec_pipeline).__module__
    assert same_bits(np.asarray(plain[...]), data)
    assert plain.metadata.dimension_names == ("angle", "row", "column")


def test_frames_stored_in_another_way_are_refused(tmp_path):
    scan = write(tmp_path / "a.zarr", noise((8, 4, 6)))
    group = zarr.open_group(scan.path, mode="r+")
    del group["projections"]
    group.create_array("projections", data=noise((8, 4, 6)), compressors=GzipCodec())
    with pytest.raises(FormatError, match=r"projections .* is stored in another way than hipct"):
        StoreScan(scan.path)


@settings(max_examples=25, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_never_data(tmp_path_factory, place, bit):
    """Frames, indices and what lies between them: every byte of a shard is under a checksum."""
    path = tmp_path_factory.mktemp("flip") / "scan.zarr"
    counts = np.random.default_rng(0).poisson(900, (20, 18, 30)).astype("uint16")
    write(path, counts)
    file = path / "projections" / "c" / "0" / "0" / "0"
    stored = bytearray(file.read_bytes())
    stored[int(place * len(stored))] ^= 1 << bit
    file.write_bytes(stored)
    with pytest.raises(FormatError, match=r"is damaged \(|is no whole shard"):
        StoreScan(path).read_projections(ALL, ALL)


def test_many_threads_read(tmp_path):
    data = noise((64, 64, 16))
    scan = write(tmp_path / "a.zarr", data)

    def read(seed):
        top, first = np.random.default_rng(seed).integers(0, 60, 2)
        tile = scan.read_projections(slice(first, first + 4), slice(top, top + 4))
        return same_bits(tile, data[first : first + 4, top : top + 4])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(64)))


def test_blocks_out_of_order_or_of_another_kind_are_refused(tmp_path):
    data = noise((10, 4, 6))
    with ScanStoreWriter(tmp_path / "a.zarr", make_info(data.shape)) as writer:
        writer.write_projections(0, data[:4])
        with pytest.raises(InputError, match="5 to 10 was given where 4 of 10 come next"):
            writer.write_projections(5, data[5:])
        with pytest.raises(InputError, match="without gaps"):
            writer.write_projections(4, data)
        with pytest.raises(InputError, match=r"has to be \(n, 4, 6\) of uint16"):
            writer.write_projections(4, data[4:].astype("float32"))
        writer.write_projections(4, data[4:])
    with pytest.raises(InputError, match="closed already"):
        writer.write_projections(0, data)


def test_missing_frames_leave_nothing(tmp_path):
    def half():
        with ScanStoreWriter(tmp_path / "a.zarr", make_info((10, 4, 6))) as writer:
            writer.write_projections(0, noise((4, 4, 6)))

    with pytest.raises(InputError, match="Only 4 of 10 projections"):
        half()
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_nothing(tmp_path):
    def broken():
        with ScanStoreWriter(tmp_path / "a.zarr", make_info((10, 4, 6))) as writer:
            writer.write_projections(0, noise((4, 4, 6)))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken()
    assert list(tmp_path.iterdir()) == []


def test_attributes_have_to_be_json(tmp_path):
    with pytest.raises(InputError, match="JSON"):
        ScanStoreWriter(tmp_path / "a.zarr", make_info((1, 1, 1)), attributes={"a": np.ones(2)})
    with pytest.raises(InputError, match="'hipct' belongs to the store"):
        ScanStoreWriter(tmp_path / "a.zarr", make_info((1, 1, 1)), attributes={"hipct": 1})


def test_existing_outputs(tmp_path):
    data = noise((3, 2, 4))
    write(tmp_path / "a.zarr", data)
    with pytest.raises(OutputError, match="exists already and was left as it is"):
        write(tmp_path / "a.zarr", data)
    new = write(tmp_path / "a.zarr", data + 1, overwrite=True)
    assert same_bits(new.read_projections(ALL, ALL), data + 1)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text").write_text("years of work")
    with pytest.raises(OutputError, match="no scan store, so that it is not overwritten"):
        write(tmp_path / "thesis", data, overwrite=True)
    assert (tmp_path / "thesis" / "text").exists()
    with pytest.raises(OutputError, match="does not exist; make it first"):
        write(tmp_path / "no" / "a.zarr", data)


def test_a_failed_overwrite_keeps_the_old_store(tmp_path):
    data = noise((3, 2, 4))
    write(tmp_path / "a.zarr", data)
    with (
        pytest.raises(InputError, match="Only 0 of 3"),
        ScanStoreWriter(tmp_path / "a.zarr", make_info(data.shape), overwrite=True),
    ):
        pass
    assert same_bits(StoreScan(tmp_path / "a.zarr").read_projections(ALL, ALL), data)


def test_two_jobs_do_not_write_one_store(tmp_path):
    info = make_info((3, 2, 4))
    with ScanStoreWriter(tmp_path / "a.zarr", info) as writer:
        with pytest.raises(OutputError, match="being written by another job"):
            ScanStoreWriter(tmp_path / "a.zarr", info)
        writer.write_projections(0, noise((3, 2, 4)))
    assert StoreScan(tmp_path / "a.zarr").info.projections == 3


def test_a_small_disk_is_told_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(store_files, "free_bytes", lambda path: 100)
    with pytest.raises(OutputError, match="free; make room"):
        ScanStoreWriter(tmp_path / "a.zarr", make_info((10, 4, 6)))
    assert list(tmp_path.iterdir()) == []


def test_frames_that_do_not_fit_the_memory(tmp_path):
    with pytest.raises(PlanError, match="allow at least the former"):
        ScanStoreWriter(tmp_path / "a.zarr", make_info((100, 400, 400)), memory_bytes=1 << 20)
    assert list(tmp_path.iterdir()) == []


def run(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def test_a_killed_import_leaves_nothing_that_looks_whole(tmp_path):
    done = run(
        """
        import os, signal, sys
        import numpy as np
        from hipct.acquisition.scan import ScanInfo
        from hipct.acquisition.store import ScanStoreWriter
        info = ScanInfo(projections=40, rows=4, columns=6, dtype=np.dtype("uint16"),
                        angles_rad=np.arange(40.0))
        writer = ScanStoreWriter(sys.argv[1], info, memory_bytes=6000)
        writer.write_projections(0, np.ones((39, 4, 6), "uint16"))
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        tmp_path / "a.zarr",
    )
    assert done.returncode == -9, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr.partial"]
    with pytest.raises(FormatError, match="no scan store"):
        open_scan(tmp_path / "a.zarr.partial")
    data = noise((40, 4, 6))
    assert same_bits(write(tmp_path / "a.zarr", data).read_projections(ALL, ALL), data)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


def test_a_disk_that_fails_midway_gives_one_sentence_and_leaves_nothing(tmp_path):
    """A limit on the size of files stands in for the full disk: write() fails alike."""
    done = run(
        """
        import resource, sys
        import numpy as np
        from hipct.acquisition.scan import ScanInfo
        from hipct.acquisition.store import ScanStoreWriter
        from hipct.core.errors import OutputError
        info = ScanInfo(projections=64, rows=32, columns=64, dtype=np.dtype("uint16"),
                        angles_rad=np.arange(64.0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        noise = np.random.default_rng(0).integers(0, 65536, (64, 32, 64), "uint16")
        try:
            with ScanStoreWriter(sys.argv[1], info) as writer:
                writer.write_projections(0, noise)
        except OutputError as error:
            print(error)
        """,
        tmp_path / "a.zarr",
    )
    assert "a.zarr could not be written (" in done.stdout, done.stderr
    assert done.stderr == ""
    assert list(tmp_path.iterdir()) == []


def test_memory_of_an_import_does_not_grow_with_the_scan(tmp_path):
    """Peak of a process that imports 16 MiB and of one that imports 72 MiB, in 12 MiB."""
    code = """
        import resource, sys
        import h5py, numpy as np
        from hipct.acquisition.store import import_scan
        source, out, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
        with h5py.File(source, "w") as file:
            data = file.create_dataset("exchange/data", (count, 128, 512), "uint16")
            for first in range(0, count, 16):
                data[first : first + 16] = first
            file["exchange/theta"] = np.linspace(0, 180, count)
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        before = peak()
        import_scan(source, out, memory_bytes=12 << 20)
        print(before, peak())
        """
    peaks = []
    for count in (128, 576):
        done = run(code, tmp_path / f"{count}.h5", tmp_path / f"{count}.zarr", count)
        assert done.returncode == 0, done.stderr
        before, after = map(int, done.stdout.split())
        peaks.append(after - before)
    # The codecs' own threads and tables come on top of the frames.
    assert max(peaks) < (12 << 20) + (24 << 20)
    assert abs(peaks[1] - peaks[0]) < 10 << 20
