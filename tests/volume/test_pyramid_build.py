"""Pyramids in one pass: voxels by a whole-array reference, memory by the plan, going on."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from pathlib import Path
from typing import Any

import dask.threaded
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import FormatError, InputError, OutputError, PlanError
from hipct.volume import layer_stream, pyramid_build
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid import PyramidTree
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_ledger import PyramidLedger
from hipct.volume.pyramid_plan import plan_pyramid
from hipct.volume.pyramid_source import WHOLE, ArraySource


class Counted(ArraySource):
    """An array that counts how often each voxel is read, by bands or by whole slices."""

    def __init__(self, array: np.ndarray, *, whole_planes: bool = False) -> None:
        super().__init__(array, 2.0)
        self.whole_planes = whole_planes
        self.times = np.zeros(array.shape, np.uint8)
        self.print = "as it was"

    def read(self, z: slice, y: slice = WHOLE) -> np.ndarray:
        self.times[z, y] += 1
        return super().read(z, y)

    def fingerprint(self) -> str:
        return self.print


def group(volume: np.ndarray) -> np.ndarray:
    """The eight voxels of each group along a new axis; those that do not exist are NaN."""
    z, y, x = volume.shape
    padded = np.full([n + n % 2 for n in volume.shape], np.nan)
    padded[:z, :y, :x] = volume
    return np.stack([padded[i::2, j::2, k::2] for i in (0, 1) for j in (0, 1) for k in (0, 1)])


def commonest(eight: np.ndarray) -> float:
    values, counts = np.unique(eight[~np.isnan(eight)], return_counts=True)
    return float(values[counts.argmax()])


REFERENCE = {
    "mean": lambda v: np.rint(np.nanmean(group(v), axis=0)),
    "min": lambda v: np.nanmin(group(v), axis=0),
    "max": lambda v: np.nanmax(group(v), axis=0),
    "mode": lambda v: np.apply_along_axis(commonest, 0, group(v)),
}


def assert_is_pyramid_of(path: Path, volume: np.ndarray, how: str) -> None:
    expected = volume
    for level in open_volume(path).levels:
        np.testing.assert_array_equal(level.array[:], expected)
        expected = REFERENCE[how](expected).astype(volume.dtype)


def noise(shape: tuple[int, ...], dtype: Any = np.uint16, top: int | None = None) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    return rng.integers(0, np.iinfo(dtype).max if top is None else top, shape, dtype, endpoint=True)


def run_shuffled(seed: int) -> Any:
    """A scheduler that runs ready tasks one by one in any order."""
    shuffled = random.Random(seed)

    def get(graph: dict[Any, Any], wanted: list[Any], **_: Any) -> None:
        def is_key(value: Any) -> bool:
            return isinstance(value, tuple) and value[0] in ("node", "half")

        def needs(value: Any) -> set[Any]:
            if is_key(value):
                return {value}
            return set().union(*map(needs, value)) if isinstance(value, (list, tuple)) else set()

        def filled(value: Any) -> Any:
            if is_key(value):
                return results[value]
            return [filled(v) for v in value] if isinstance(value, list) else value

        results: dict[Any, Any] = {}
        while len(results) < len(graph):
            ready = [
                key
                for key in graph
                if key not in results and needs(graph[key][1:]) <= results.keys()
            ]
            key = shuffled.choice(ready)
            function, *arguments = graph[key]
            results[key] = function(*map(filled, arguments))

    return get


@settings(max_examples=12, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 45), st.integers(1, 20), st.integers(1, 20)),
    how=st.sampled_from(("mean", "mode", "min", "max")),
    whole_planes=st.booleans(),
    workers=st.integers(1, 4),
    done=st.floats(0, 0.9),
    seed=st.integers(0, 2**32),
)
def test_any_order_and_any_broken_run_give_the_whole_array_reference(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    *,
    how: str,
    whole_planes: bool,
    workers: int,
    done: float,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("any") / "v.ome.zarr"
    volume = noise(shape, np.uint8 if seed % 2 else np.uint16, top=5 if how == "mode" else None)
    source = Counted(volume, whole_planes=whole_planes)
    options: dict[str, Any] = {"chunk": 4, "kind": "labels" if how == "mode" else "image"}
    options["projection"] = how if how in ("min", "max") else None
    nodes = len(PyramidTree(plan_pyramid(source, **options).spec).nodes())
    stop = int(done * nodes)
    record = PyramidLedger.record

    class Killed(BaseException):
        pass

    def recorded(self: PyramidLedger, level: int, layer: int, values: Any) -> None:
        record(self, level, layer, values)
        if len(self.done()) == stop:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hipct.volume.pyramid_plan._MOST_WORKERS", workers)
        patch.setattr("hipct.volume.pyramid_plan.thread_count", lambda: workers)
        patch.setattr(dask.threaded, "get", run_shuffled(seed))
        if stop:
            with patch.context() as killing:
                killing.setattr(PyramidLedger, "record", recorded)
                with pytest.raises(Killed):
                    build_pyramid(source, path, **options)
        assert not path.exists()
        build_pyramid(source, path, **options)
    assert_is_pyramid_of(path, volume, how)
    assert (source.times == 1).all()
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("workers", [1, 3])
def test_real_threads_write_every_shard_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    written: Counter[str] = Counter()
    original = layer_stream.GrowingFile.finish

    def count(file: layer_stream.GrowingFile) -> None:
        written.update([str(file.path)])
        time.sleep(random.random() * 1e-3)
        original(file)

    monkeypatch.setattr(layer_stream.GrowingFile, "finish", count)
    monkeypatch.setattr("hipct.volume.pyramid_plan.thread_count", lambda: workers)
    volume = noise((53, 30, 20))
    # Layers of whole slices are made one after the other.
    source = Counted(volume, whole_planes=workers == 1)
    plan = build_pyramid(source, tmp_path / "v.ome.zarr", chunk=8)
    assert plan.workers == workers
    assert (source.times == 1).all()
    assert_is_pyramid_of(tmp_path / "v.ome.zarr", volume, "mean")
    assert set(written.values()) == {1}
    assert len(written) == len(list((tmp_path / "v.ome.zarr").rglob("c/*/*/*")))
    assert check_volume(tmp_path / "v.ome.zarr", deep=True) == []


def test_means_and_labels_of_real_volumes(shared_data: Path, tmp_path: Path) -> None:
    bone = tifffile.imread(shared_data / "volumes" / "bone_128x128x128.tif")
    build_pyramid(ArraySource(bone, 5.0), tmp_path / "bone.ome.zarr", chunk=16)
    for number, level in enumerate(open_volume(tmp_path / "bone.ome.zarr").levels):
        assert abs(level.array[:].mean() - bone.mean()) < 0.02 * number + 1e-9
        assert level.translation == tuple([0.5 * (2**number - 1) * 5.0] * 3)
    import h5py

    with h5py.File(shared_data / "volumes" / "vessels_256cube_LABELS.h5") as file:
        source = ArraySource(file["data"], 1.0)
        build_pyramid(source, tmp_path / "vessels.ome.zarr", kind="labels", chunk=64)
        labels = file["data"][:]
    found = open_volume(tmp_path / "vessels.ome.zarr")
    assert all(set(np.unique(level.array[:])) == {0, 255} for level in found.levels)
    np.testing.assert_array_equal(found.levels[0].array[:], labels)
    assert check_volume(tmp_path / "vessels.ome.zarr") == []


@pytest.mark.parametrize("whole_planes", [True, False])
def test_memory_stays_within_the_plan(tmp_path: Path, whole_planes: bool) -> None:
    class Made(ArraySource):
        """Voxels that cost no memory before they are read."""

        def read(self, z: slice, y: slice = WHOLE) -> np.ndarray:
            rows = range(*y.indices(self.shape[1]))
            rng = np.random.default_rng(z.start)
            return rng.integers(0, 4096, (z.stop - z.start, len(rows), self.shape[2]), np.uint16)

    source = Made(np.broadcast_to(np.uint16(0), (768, 128, 256)), 1.0)
    source.whole_planes = whole_planes
    build_pyramid(source, tmp_path / "warm", chunk=32)
    plan = plan_pyramid(source, chunk=32, memory_bytes=32 << 20)
    tracemalloc.start()
    try:
        build_pyramid(source, tmp_path / "v", chunk=32, memory_bytes=plan.memory_bytes)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert plan.memory_bytes / 3 < peak <= plan.memory_bytes < 768 * 128 * 256 * 2 / 2


def test_less_memory_means_thinner_layers_and_the_same_voxels(tmp_path: Path) -> None:
    volume = noise((150, 140, 130))
    source = Counted(volume, whole_planes=True)
    plans = [plan_pyramid(source, memory_bytes=size << 20) for size in (100, 32, 16, 8)]
    assert [plan.spec.layer for plan in plans] == [128, 64, 32, 16]
    for plan, size in zip(plans, (100, 32, 16, 8)):
        assert plan.memory_bytes <= size << 20
        assert plan.spec.levels[0].chunk == (plan.spec.layer, 128, 128)
    build_pyramid(source, tmp_path / "v", memory_bytes=16 << 20)
    assert_is_pyramid_of(tmp_path / "v", volume, "mean")
    with pytest.raises(PlanError, match=r"layer of 16 slices of 140 x 130 .* 1.0 MB are allowed"):
        build_pyramid(source, tmp_path / "w", memory_bytes=10**6)
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


KILLED = """
import sys, time, tifffile
from pathlib import Path
from hipct.volume import pyramid_build
from hipct.volume.pyramid_ledger import PyramidLedger
from hipct.volume.pyramid_source import ArraySource

record = PyramidLedger.record
def slowly(self, level, layer, values):
    record(self, level, layer, values)
    print(level, layer, flush=True)
    time.sleep(0.2)
PyramidLedger.record = slowly
ArraySource.fingerprint = lambda self: "as it was"
source = ArraySource(tifffile.memmap(sys.argv[1]), 2.0)
pyramid_build.build_pyramid(source, sys.argv[2], chunk=8, memory_bytes=int(sys.argv[3]))
"""


def test_a_killed_process_is_gone_on_with_whatever_memory_there_is(tmp_path: Path) -> None:
    volume = noise((90, 40, 50))
    tifffile.imwrite(tmp_path / "v.tif", volume)
    out = tmp_path / "v.ome.zarr"
    program = [sys.executable, "-c", KILLED, str(tmp_path / "v.tif"), str(out), "2000000"]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(5):
            process.stdout.readline()
        with pytest.raises(OutputError, match="another process is writing this output"):
            build_pyramid(Counted(volume), out, chunk=8)
        process.kill()
    assert not out.exists()
    ledger = PyramidLedger(out)
    before = ledger.done()
    assert len(before) >= 5
    torn = ledger.volume / "0" / "c" / "9" / "0" / ".0.deadbeef.tmp"
    torn.parent.mkdir(parents=True, exist_ok=True)
    torn.write_bytes(b"half")
    source = Counted(volume)
    with pytest.raises(OutputError, match=r"unfinished run with other parameters \(kind: image"):
        build_pyramid(source, out, chunk=8, kind="labels")
    build_pyramid(source, out, chunk=8)
    read = source.times.any(axis=(1, 2))
    assert not any(read[8 * layer] for level, layer in before if level == 0)
    assert_is_pyramid_of(out, volume, "mean")
    assert check_volume(out, deep=True) == []
    assert sorted(p.name for p in tmp_path.iterdir()) == ["v.ome.zarr", "v.tif"]


def test_what_a_machine_lost_when_it_went_down_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, out = noise((64, 40, 50)), tmp_path / "v.ome.zarr"
    with monkeypatch.context() as patch:
        patch.setattr(pyramid_build, "publish", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_pyramid(Counted(volume), out, chunk=8)
    ledger = PyramidLedger(out)
    for layer, size in ((2, 100), (5, 0)):
        shard = ledger.volume / "0" / "c" / str(layer) / "0" / "0"
        shard.write_bytes(shard.read_bytes()[:size])
    (ledger.folder / "done" / "0-000007.json").write_bytes(b"")
    monkeypatch.setattr("hipct.volume.pyramid_ledger._boot", lambda: "another time")
    source = Counted(volume)
    build_pyramid(source, out, chunk=8)
    again = np.unique(np.flatnonzero(source.times.any(axis=(1, 2))) // 8)
    assert again.tolist() == [2, 5, 7]
    assert_is_pyramid_of(out, volume, "mean")
    assert check_volume(out, deep=True) == []


def test_a_changed_source_goes_on_only_from_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = Counted(noise((40, 20, 20)))

    run = pyramid_build._Build.run

    def run_and_change(self: Any) -> None:
        run(self)
        source.print = "another"

    monkeypatch.setattr(pyramid_build._Build, "run", run_and_change)
    with pytest.raises(FormatError, match="has changed while it was read"):
        build_pyramid(source, tmp_path / "v", chunk=8)
    assert not (tmp_path / "v").exists()
    monkeypatch.undo()
    with pytest.raises(OutputError, match="source: as it was then, another now"):
        build_pyramid(source, tmp_path / "v", chunk=8)
    build_pyramid(source, tmp_path / "v", chunk=8, restart=True)
    assert (source.times == 2).all()


def test_an_array_without_a_fingerprint_is_begun_anew(tmp_path: Path) -> None:
    source = Counted(noise((40, 9, 9)))
    source.print = ""
    source.shape = (41, 9, 9)
    with pytest.raises(FormatError, match="for the slices 40 to 40"):
        build_pyramid(source, tmp_path / "v", chunk=8, memory_bytes=10**6)
    assert PyramidLedger(tmp_path / "v").done()
    volume = noise((41, 9, 9))
    build_pyramid(ArraySource(volume, 2.0), tmp_path / "v", chunk=8)
    assert_is_pyramid_of(tmp_path / "v", volume, "mean")


def test_floats_and_signed_integers_need_a_window(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(0, 100, (20, 20, 20))
    for dtype in (np.float32, np.int16, np.uint32, np.float64):
        source = ArraySource(
            np.abs(values).astype(dtype) if dtype == np.uint32 else values.astype(dtype)
        )
        with pytest.raises(InputError, match=rf"{np.dtype(dtype)}.*--window LOW:HIGH"):
            build_pyramid(source, tmp_path / "v", chunk=8)
    source = ArraySource(values.astype(np.int16), 1.0)
    source.value = (0.01, 0.5)
    build_pyramid(source, tmp_path / "i", chunk=8, window=(-4.0, 4.0))
    found = open_volume(tmp_path / "i")
    np.testing.assert_allclose(
        found.physical(), values.astype(np.int16) * 0.01 + 0.5, atol=0.51 * 8 / 65535
    )
    holed = values.astype(np.float32)
    holed[0, 0, :3] = np.nan
    build_pyramid(ArraySource(holed, 1.0), tmp_path / "f", chunk=8, window=(-50.0, 50.0))
    clipping = open_volume(tmp_path / "f").provenance["clipping"]
    assert clipping["voxels"] == 8000
    assert clipping["nan"] == 3
    assert clipping["below"] == (holed < -50).sum()
    assert clipping["above"] == (holed > 50).sum()


def test_labels_keep_their_numbers_or_are_refused(tmp_path: Path) -> None:
    labels = noise((12, 12, 12), np.int64, 70000).astype(np.int64)
    build_pyramid(ArraySource(labels), tmp_path / "v", kind="labels", chunk=4)
    assert open_volume(tmp_path / "v").dtype == np.uint32
    assert_is_pyramid_of(tmp_path / "v", labels.astype(np.uint32), "mode")
    labels[7, 3, 3] = -2
    with pytest.raises(InputError, match=r"labels from -2 to .* 0 .. 4294967295"):
        build_pyramid(ArraySource(labels), tmp_path / "w", kind="labels", chunk=4)
    mask = labels > 9
    build_pyramid(ArraySource(mask), tmp_path / "m", kind="labels", chunk=4)
    assert_is_pyramid_of(tmp_path / "m", mask.astype(np.uint8), "mode")
    with pytest.raises(InputError, match="labels are whole numbers"):
        build_pyramid(ArraySource(labels * 1.0), tmp_path / "x", kind="labels")
    with pytest.raises(InputError, match="take no window"):
        build_pyramid(ArraySource(labels), tmp_path / "x", kind="labels", window=(0, 1))
    with pytest.raises(InputError, match="projection max of labels"):
        build_pyramid(ArraySource(labels), tmp_path / "x", kind="labels", projection="max")


def test_what_stands_at_the_output_is_safe(tmp_path: Path) -> None:
    source = ArraySource(noise((9, 9, 9)))
    build_pyramid(source, tmp_path / "v", chunk=4)
    with pytest.raises(OutputError, match="exists already"):
        build_pyramid(source, tmp_path / "v", chunk=4)
    build_pyramid(source, tmp_path / "v", chunk=4, overwrite=True, voxel_size_um=3.0)
    assert open_volume(tmp_path / "v").voxel_size_um == (3.0, 3.0, 3.0)
    source.name = str(tmp_path / "v")
    for out in (tmp_path / "v", tmp_path / "v" / "w"):
        with pytest.raises(OutputError, match="one and the same or lie within"):
            build_pyramid(source, out, chunk=4, overwrite=True)


def test_a_source_that_gives_something_else_is_named(tmp_path: Path) -> None:
    class Short(ArraySource):
        def read(self, z: slice, y: slice = WHOLE) -> np.ndarray:
            return super().read(z, y)[:-1]

    with pytest.raises(FormatError, match=r"gave uint16 \(3, \d, 9\) for the slices \d to \d"):
        build_pyramid(Short(noise((9, 9, 9))), tmp_path / "v", chunk=4)
    assert not list(tmp_path.iterdir())
