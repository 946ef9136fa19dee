"""Pyramids: exact voxels, means and positions, one writer a shard, any order, resuming."""

from __future__ import annotations

import itertools
import random
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import dask.array as da
import h5py
import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import FormatError, InputError, OutputError, PlanError
from hipct.core.threads import set_thread_count
from hipct.volume import pyramid, writer
from hipct.volume.layout import PyramidSpec
from hipct.volume.pyramid import (
    PyramidTree,
    create_pyramid,
    pyramid_memory_bytes,
    read_layer,
    read_reduced,
    write_layer,
    write_node,
    write_pyramid,
)
from hipct.volume.window import Window


def mean_of_eight(volume: np.ndarray) -> np.ndarray:
    """The oracle: float64 means of the voxels that exist, NumPy's half-to-even rounding."""
    z, y, x = volume.shape
    padded = np.full([n + n % 2 for n in volume.shape], np.nan)
    padded[:z, :y, :x] = volume
    parts = [padded[i::2, j::2, k::2] for i, j, k in itertools.product((0, 1), repeat=3)]
    return np.rint(np.nanmean(parts, axis=0)).astype(volume.dtype)


def reference_levels(volume: np.ndarray, count: int) -> list[np.ndarray]:
    levels = [volume]
    while len(levels) < count:
        levels.append(mean_of_eight(levels[-1]))
    return levels


def noise(shape: tuple[int, ...], dtype: type = np.uint16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


def assert_levels_equal(path: Path, volume: np.ndarray, spec: PyramidSpec) -> None:
    for number, expected in enumerate(reference_levels(volume, len(spec.levels))):
        np.testing.assert_array_equal(zarr.open_array(path / str(number), mode="r")[:], expected)


def files_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


@settings(max_examples=25, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, 45) for _ in range(3))),
    heights=st.sampled_from(((4, 4), (4, 8), (6, 12), (8, 8))),
    dtype=st.sampled_from((np.uint8, np.uint16)),
    seed=st.integers(0, 9),
)
def test_any_order_of_layers_gives_the_whole_array_reference(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    heights: tuple[int, int],
    dtype: type,
    seed: int,
) -> None:
    path = tmp_path_factory.mktemp("any") / "v.ome.zarr"
    volume = noise(shape, dtype, seed)
    spec = PyramidSpec(
        shape=shape,
        voxel_size_um=(1.0, 2.0, 3.0),
        dtype=np.dtype(dtype),
        chunk=heights[0],
        layer=heights[1],
        shard_plane=2 * heights[0],
    )
    create_pyramid(path, spec)
    tree = PyramidTree(spec)
    shuffled = random.Random(seed)
    ready = [(0, j) for j in range(spec.layers(0))]
    halves: dict[tuple[int, int], np.ndarray | None] = {}
    while ready:
        node = ready.pop(shuffled.randrange(len(ready)))
        children = tree.children(*node)
        blocks = [halves.pop(c) for c in children] or [volume[spec.levels[0].rows(node[1])]]
        halves[node] = write_node(path, spec, *node, blocks)
        parent = tree.parent(*node)
        if parent and all(c in halves for c in tree.children(*parent)):
            ready.append(parent)
    assert halves == {tree.root: None}
    assert_levels_equal(path, volume, spec)


def test_nodes_come_children_first_and_cover_every_layer() -> None:
    spec = PyramidSpec(shape=(77, 9, 9), voxel_size_um=1.0, chunk=4, layer=4, shard_plane=4)
    tree = PyramidTree(spec)
    nodes = tree.nodes()
    everything = {(n, j) for n in range(len(spec.levels)) for j in range(spec.layers(n))}
    assert set(nodes) == everything
    assert len(nodes) == len(everything)
    for place, node in enumerate(nodes):
        assert set(tree.children(*node)) <= set(nodes[:place])
        assert all(tree.parent(*child) == node for child in tree.children(*node))
    assert nodes[-1] == tree.root
    assert tree.parent(*tree.root) is None


def test_means_and_positions_agree_on_every_level(tmp_path: Path) -> None:
    """The trap of levels without half-voxel translations, and that of truncated means."""
    n, voxel = 96, (10.0, 20.0, 20.0)
    z, y, x = np.meshgrid(*(np.arange(n),) * 3, indexing="ij")
    blob = np.exp(-((z - 45.3) ** 2 + (y - 51.7) ** 2 + (x - 43.1) ** 2) / (2 * 9.0**2))
    # Noise of 200 grey values dithers the rounding, so that its errors are independent.
    volume = np.rint(60000 * blob + noise((n, n, n)) / 65535 * 200).astype(np.uint16)
    write_pyramid(volume, tmp_path / "v.ome.zarr", voxel_size_um=voxel, chunk=16)
    centre = centre_of_mass_um(volume, voxel, (0.0, 0.0, 0.0))
    group = zarr.open_group(tmp_path / "v.ome.zarr", mode="r")
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert [group[d["path"]].shape[0] for d in datasets] == [96, 48, 24, 12]
    for number, dataset in enumerate(datasets):
        scale, translation = dataset["coordinateTransformations"]
        assert scale["scale"] == [v * 2**number for v in voxel]
        assert translation["translation"] == [0.5 * (2**number - 1) * v for v in voxel]
        level = group[dataset["path"]][:]
        found = centre_of_mass_um(level, scale["scale"], translation["translation"])
        np.testing.assert_allclose(found, centre, atol=0.02)
        # Rounding errors are uniform within half a grey value, 1/sqrt(12) each, and independent.
        tolerance = 4 / np.sqrt(12) * np.sqrt(sum(8.0**k for k in range(1, number + 1))) / 96**1.5
        assert abs(level.mean(dtype=np.float64) - volume.mean(dtype=np.float64)) <= tolerance


def centre_of_mass_um(volume, voxel, origin) -> np.ndarray:
    weights = volume.astype(np.float64)
    places = [
        (weights.sum(axis=tuple({0, 1, 2} - {axis})) * np.arange(volume.shape[axis])).sum()
        / weights.sum()
        for axis in range(3)
    ]
    return np.array([p * v + o for p, v, o in zip(places, voxel, origin)])


@pytest.mark.parametrize("name", ["bone_128x128x128", "NT_128x128x128", "shell_225x128x128"])
def test_real_volumes_keep_their_mean(shared_data: Path, tmp_path: Path, name: str) -> None:
    volume = tifffile.imread(shared_data / "volumes" / f"{name}.tif")[:, :, :96]
    write_pyramid(volume, tmp_path / "v.ome.zarr", voxel_size_um=5.0, chunk=32)
    assert zarr.open_array(tmp_path / "v.ome.zarr" / "2", mode="r").dtype == np.uint8
    exact = volume[: volume.shape[0] // 16 * 16].mean(dtype=np.float64)
    for number in range(3):
        level = zarr.open_array(tmp_path / "v.ome.zarr" / str(number), mode="r")
        mean = level[: volume.shape[0] // 16 * 16 >> number].mean(dtype=np.float64)
        assert abs(mean - exact) < 0.02


def test_a_single_slice_stays_in_its_plane() -> None:
    spec = PyramidSpec(shape=(1, 40, 40), voxel_size_um=2.0, chunk=8, layer=8, shard_plane=8)
    assert [level.shape for level in spec.levels][-1] == (1, 5, 5)
    assert {level.scale[0] for level in spec.levels} == {2.0}
    assert {level.translation[0] for level in spec.levels} == {0.0}
    assert spec.levels[-1].translation[1] == 0.5 * (8 - 1) * 2.0


def test_levels_end_where_one_chunk_is_enough() -> None:
    spec = PyramidSpec(shape=(1000, 3000, 2049), voxel_size_um=20.0)
    assert [level.shape for level in spec.levels] == [
        (1000, 3000, 2049),
        (500, 1500, 1025),
        (250, 750, 513),
        (125, 375, 257),
        (63, 188, 129),
        (32, 94, 65),
    ]
    first = spec.levels[0]
    assert first.chunk == (128, 128, 128)
    assert first.shard == (128, 1024, 1024)
    assert spec.levels[3].chunk == (125, 128, 128)
    assert spec.levels[5].chunk == spec.levels[5].shard == (32, 94, 65)


def test_every_shard_is_written_once_by_one_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: Counter[str] = Counter()
    original = writer.write_together

    def count(files: dict[Path, bytes]) -> None:
        written.update(str(path) for path in files)
        original(files)

    monkeypatch.setattr(writer, "write_together", count)
    volume = noise((50, 60, 70))
    write_pyramid(volume, tmp_path / "v.ome.zarr", voxel_size_um=1.0, chunk=8)
    partial_root = tmp_path / "v.ome.zarr.partial"
    on_disk = {
        str(partial_root / f.relative_to(tmp_path / "v.ome.zarr"))
        for f in (tmp_path / "v.ome.zarr").rglob("c/*/*/*")
    }
    assert set(written) == on_disk
    assert set(written.values()) == {1}


def test_a_volume_of_zeros_has_all_its_shards(tmp_path: Path) -> None:
    write_pyramid(np.zeros((20, 20, 20), np.uint8), tmp_path / "v", voxel_size_um=1.0, chunk=8)
    assert len(list((tmp_path / "v" / "0").rglob("c/*/*/*"))) == 3
    assert not zarr.open_array(tmp_path / "v" / "0", mode="r")[:].any()


def test_chunks_of_zeros_take_no_room_and_read_as_zeros(tmp_path: Path) -> None:
    volume = noise((8, 32, 32))
    volume[:, 8:16] = 0
    write_pyramid(volume, tmp_path / "v", voxel_size_um=1.0, chunk=8)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "v" / "0", mode="r")[:], volume)
    full = noise((8, 32, 32))
    write_pyramid(full, tmp_path / "full", voxel_size_um=1.0, chunk=8)
    sizes = [(tmp_path / name / "0/c/0/0/0").stat().st_size for name in ("v", "full")]
    assert sizes[1] - sizes[0] >= 4 * 8**3 * 2


def test_runs_are_byte_identical_whatever_the_threads(tmp_path: Path) -> None:
    volume = noise((40, 50, 60))
    write_pyramid(volume, tmp_path / "a.ome.zarr", voxel_size_um=1.0, chunk=16)
    first = files_of(tmp_path / "a.ome.zarr")
    set_thread_count(1)
    try:
        write_pyramid(volume, tmp_path / "a.ome.zarr", voxel_size_um=1.0, chunk=16, overwrite=True)
    finally:
        set_thread_count(None)
    assert files_of(tmp_path / "a.ome.zarr") == first


def test_a_broken_run_goes_on_from_the_layers_on_disk(tmp_path: Path) -> None:
    volume = noise((61, 40, 40))
    spec = PyramidSpec(shape=volume.shape, voxel_size_um=1.0, chunk=8, layer=8, shard_plane=16)
    tree = PyramidTree(spec)
    create_pyramid(tmp_path / "v", spec)
    done = set(tree.nodes()[::2])
    expected = {}
    for node in tree.nodes():  # what an undisturbed run returns
        blocks = [expected[c] for c in tree.children(*node)]
        expected[node] = write_node(
            tmp_path / "v", spec, *node, blocks or [volume[spec.levels[0].rows(node[1])]]
        )
    for node in set(tree.nodes()) - done:  # what a killed one left out
        for shard in (tmp_path / "v" / str(node[0]) / "c" / str(node[1])).rglob("*"):
            if shard.is_file():
                shard.unlink()
    halves: dict[tuple[int, int], np.ndarray | None] = {}
    for node in tree.nodes():
        if node in done:
            halves[node] = read_reduced(tmp_path / "v", spec, *node)
        else:
            blocks = [halves[c] for c in tree.children(*node)]
            halves[node] = write_node(
                tmp_path / "v", spec, *node, blocks or [volume[spec.levels[0].rows(node[1])]]
            )
        if expected[node] is None:
            assert halves[node] is None
        else:
            np.testing.assert_array_equal(halves[node], expected[node])
    assert_levels_equal(tmp_path / "v", volume, spec)


def test_a_layer_comes_back_and_a_missing_or_torn_shard_is_named(tmp_path: Path) -> None:
    volume = noise((8, 40, 40))
    spec = PyramidSpec(shape=volume.shape, voxel_size_um=1.0, chunk=8, layer=8, shard_plane=16)
    create_pyramid(tmp_path / "v", spec)
    write_layer(tmp_path / "v", spec, 0, 0, volume)
    np.testing.assert_array_equal(read_layer(tmp_path / "v", spec, 0, 0), volume)
    shard = tmp_path / "v" / "0" / "c" / "0" / "1" / "2"
    whole = shard.read_bytes()
    for damaged in (whole[:-1], whole[:20], b"", whole[:30] + b"\x00\x01" + whole[32:]):
        shard.write_bytes(damaged)
        with pytest.raises(FormatError, match="0/c/0/1/2"):
            read_layer(tmp_path / "v", spec, 0, 0)
    shard.unlink()
    with pytest.raises(FormatError, match="cannot be read"):
        read_reduced(tmp_path / "v", spec, 0, 0)


def test_memmaps_are_taken(tmp_path: Path) -> None:
    volume = noise((16, 30, 30))
    staged = np.memmap(tmp_path / "layer.raw", np.uint16, "w+", shape=volume.shape)
    staged[...] = volume
    spec = PyramidSpec(shape=volume.shape, voxel_size_um=1.0, chunk=8, layer=16, shard_plane=16)
    create_pyramid(tmp_path / "v", spec)
    reduced = write_node(tmp_path / "v", spec, 0, 0, [staged])
    np.testing.assert_array_equal(reduced, mean_of_eight(volume))


def test_zarr_dask_and_hdf5_arrays_are_streamed(tmp_path: Path) -> None:
    volume = noise((20, 30, 25))
    stored = zarr.create_array(tmp_path / "z", shape=volume.shape, dtype="u2", chunks=(7, 9, 11))
    stored[...] = volume
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["v"] = volume.astype(">u2")
        sources = {
            "numpy": volume,
            "zarr": stored,
            "dask": da.from_array(volume, chunks=6),
            "hdf5": file["v"],
        }
        for name, source in sources.items():
            write_pyramid(source, tmp_path / name, voxel_size_um=1.0, chunk=8)
    spec = PyramidSpec(shape=volume.shape, voxel_size_um=1.0, chunk=8, layer=8)
    for name in sources:
        assert_levels_equal(tmp_path / name, volume, spec)


def test_floats_go_through_the_window_and_come_back(tmp_path: Path) -> None:
    window = Window(-0.3, 1.7)
    volume = np.random.default_rng(1).uniform(-0.2, 1.6, (20, 21, 22)).astype(np.float32)
    volume[0, 0, :4] = (np.nan, -9.0, 9.0, np.inf)
    write_pyramid(volume, tmp_path / "v", voxel_size_um=3.0, window=window, chunk=8)
    group = zarr.open_group(tmp_path / "v", mode="r")
    stored = group.attrs["hipct"]["window"]
    values = group["0"][:] * stored["scale"] + stored["offset"]
    assert stored["unit"] == "1/cm"
    inside = (volume > window.low) & (volume < window.high)
    assert np.abs(values - volume)[inside].max() <= (0.5 + 65535 / 2**23) * stored["scale"]
    assert group.attrs["hipct"]["clipping"] == {
        "voxels": 20 * 21 * 22,
        "below": 1,
        "above": 2,
        "nan": 1,
    }


def test_memory_stays_within_the_plan(tmp_path: Path) -> None:
    source = zarr.create_array(tmp_path / "z", shape=(1024, 128, 128), dtype="u2", chunks=(32,) * 3)
    rng = np.random.default_rng(0)
    for start in range(0, 1024, 32):
        source[start : start + 32] = rng.integers(0, 4096, (32, 128, 128), "u2")
    spec = PyramidSpec(shape=source.shape, voxel_size_um=1.0, chunk=32, layer=32)
    budget = pyramid_memory_bytes(spec, 2, 2)
    write_pyramid(source, tmp_path / "warm", voxel_size_um=1.0, chunk=32)
    tracemalloc.start()
    try:
        write_pyramid(source, tmp_path / "v", voxel_size_um=1.0, chunk=32, memory_bytes=budget)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= budget
    assert budget < source.nbytes / 3


def test_a_budget_too_small_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="smaller chunk than 128"):
        write_pyramid(noise((64, 64, 64)), tmp_path / "v", voxel_size_um=1.0, memory_bytes=10_000)
    assert not list(tmp_path.iterdir())


def test_the_display_window_is_that_of_the_voxels(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(20000, 500, (32, 32, 32)).astype(np.uint16)
    write_pyramid(volume, tmp_path / "v", voxel_size_um=1.0, chunk=32)
    ome = zarr.open_group(tmp_path / "v", mode="r").attrs["ome"]
    window = ome["omero"]["channels"][0]["window"]
    assert (window["min"], window["max"]) == (0, 65535)
    assert window["start"] == pytest.approx(np.percentile(volume, 0.1), abs=1)
    assert window["end"] == pytest.approx(np.percentile(volume, 99.9), abs=1)


@pytest.mark.parametrize(
    ("volume", "options", "message"),
    [
        (np.zeros((4, 4), np.uint8), {}, "three axes"),
        (np.zeros((4, 4, 4), np.int32), {}, "int32; convert"),
        (np.zeros((4, 4, 4), np.float32), {}, "window=\\(low, high\\)"),
        (np.zeros((4, 0, 4), np.uint8), {}, "above 0"),
        (np.zeros((4, 4, 4), np.uint8), {"voxel_size_um": 0.0}, "voxel size is 0.0"),
        (np.zeros((4, 4, 4), np.uint8), {"voxel_size_um": (1, np.nan, 1)}, "voxel size"),
        (np.zeros((4, 4, 4), np.uint8), {"chunk": 7}, "chunk is 7"),
        (np.zeros((4, 4, 4), np.uint8), {"window": (2.0, 1.0)}, "window is \\(2.0, 1.0\\)"),
        (np.zeros((4, 4, 4), np.uint8), {"attributes": {"a": np.nan}}, "without NaN"),
        (object(), {}, "no shape and dtype"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, volume: object, options: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        write_pyramid(volume, tmp_path / "v", **{"voxel_size_um": 1.0, **options})
    assert not list(tmp_path.iterdir())


def test_an_existing_output_is_left_until_the_new_one_stands(tmp_path: Path) -> None:
    write_pyramid(noise((8, 8, 8)), tmp_path / "v", voxel_size_um=1.0)
    before = files_of(tmp_path / "v")
    with pytest.raises(OutputError, match="exists already"):
        write_pyramid(noise((8, 8, 8)), tmp_path / "v", voxel_size_um=2.0)

    class Broken:
        shape, dtype = (8, 8, 8), np.dtype(np.uint16)

        def __getitem__(self, key: object) -> np.ndarray:
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write_pyramid(Broken(), tmp_path / "v", voxel_size_um=2.0, overwrite=True)
    assert files_of(tmp_path / "v") == before
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_a_full_disk_is_a_sentence_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(files: dict[Path, bytes]) -> None:
        raise OutputError(f"{next(iter(files))} could not be written: No space left on device.")

    monkeypatch.setattr(writer, "write_together", full)
    with pytest.raises(OutputError, match="No space left"):
        write_pyramid(noise((8, 8, 8)), tmp_path / "v", voxel_size_um=1.0)
    assert not list(tmp_path.iterdir())


def test_an_error_waits_for_the_layers_under_way(tmp_path: Path) -> None:
    class Slow:
        shape, dtype = (64, 8, 8), np.dtype(np.uint16)

        def __getitem__(self, key: tuple[slice, slice]) -> np.ndarray:
            if key[0].start == 0:
                raise OSError("torn tape")
            time.sleep(0.2)
            return np.zeros((8, 8, 8), np.uint16)

    with pytest.raises(OSError, match="torn tape"):
        write_pyramid(Slow(), tmp_path / "v", voxel_size_um=1.0, chunk=8)
    time.sleep(0.5)
    assert not list(tmp_path.iterdir())


def test_wrong_blocks_are_refused(tmp_path: Path) -> None:
    spec = PyramidSpec(shape=(20, 8, 8), voxel_size_um=1.0, chunk=8, layer=8, shard_plane=8)
    create_pyramid(tmp_path / "v", spec)
    for block in (noise((8, 8, 7)), noise((7, 8, 8)), noise((8, 8, 8), np.uint8)):
        with pytest.raises(InputError, match="Layer 0 of level 0"):
            write_layer(tmp_path / "v", spec, 0, 0, block)
    with pytest.raises(InputError, match="Write layer 3 does not exist"):
        write_layer(tmp_path / "v", spec, 0, 3, noise((8, 8, 8)))


def test_everything_of_the_room_is_reachable_from_one_module() -> None:
    assert all(hasattr(pyramid, name) for name in pyramid.__all__)
    assert list(pyramid.__all__) == sorted(pyramid.__all__)
