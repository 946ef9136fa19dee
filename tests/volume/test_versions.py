"""OME-Zarr 0.4 and 0.5 by one writer: the same voxels in the same places, for every reader."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import FormatError, InputError
from hipct.volume.check import check_volume
from hipct.volume.consolidate import consolidate
from hipct.volume.layout import PyramidSpec
from hipct.volume.omezarr import update_attributes
from hipct.volume.open import open_volume
from hipct.volume.pyramid import set_display_window
from hipct.volume.reduce import reduce_block
from hipct.volume.writer import (
    PyramidTree,
    create_pyramid,
    read_layer,
    read_reduced,
    write_layer,
    write_node,
)

VERSIONS = ("0.5", "0.4")
SHAPE = (37, 50, 45)


def noise(shape: tuple[int, ...] = SHAPE, dtype: Any = np.uint16, top: int = 60000) -> np.ndarray:
    return np.random.default_rng(1).integers(0, min(top, np.iinfo(dtype).max), shape, dtype)


def spec_of(volume: np.ndarray, version: str, **options: Any) -> PyramidSpec:
    given: dict[str, Any] = {"voxel_size_um": (2.0, 3.0, 3.0), "chunk": 8, "layer": 16}
    given |= {"shard_plane": 24, "dtype": volume.dtype, "version": version, "name": "organ"}
    return PyramidSpec(shape=volume.shape, **(given | options))


def write(path: Path, volume: np.ndarray, spec: PyramidSpec, **attributes: Any) -> None:
    create_pyramid(path, spec, attributes)
    halves: dict[Any, Any] = {}
    for node in PyramidTree(spec).nodes():
        blocks = [halves.pop(child) for child in PyramidTree(spec).children(*node)]
        blocks = blocks or [volume[spec.levels[0].rows(node[1])]]
        halves[node] = write_node(path, spec, *node, blocks)
    set_display_window(path, spec)


def levels_of(volume: np.ndarray, spec: PyramidSpec) -> list[np.ndarray]:
    levels = [volume]
    while len(levels) < len(spec.levels):
        levels.append(reduce_block(levels[-1], how=spec.reduction))
    return levels


def files_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


@pytest.fixture(
    scope="module", params=[(v, kind) for v in VERSIONS for kind in ("image", "labels")]
)
def written(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, np.ndarray, PyramidSpec]:
    """An image and labels in both versions, with consolidated metadata and an origin."""
    version, kind = request.param
    options: dict[str, Any] = {"origin_um": (100.0, 0.0, -7.5), "consolidated": True}
    volume = noise()
    if kind == "labels":
        volume, options["reduction"] = noise(dtype=np.uint32, top=9), "mode"
    else:
        options["window"] = (-0.1, 0.4)
    path = tmp_path_factory.mktemp("versions") / "organ.ome.zarr"
    spec = spec_of(volume, version, **options)
    write(path, volume, spec, origin="beamline")
    return path, volume, spec


def test_zarr_reads_every_level(written: tuple[Path, np.ndarray, PyramidSpec]) -> None:
    path, volume, spec = written
    group = zarr.open_group(path, mode="r")
    assert group.metadata.zarr_format == (3 if spec.version == "0.5" else 2)
    for number, expected in enumerate(levels_of(volume, spec)):
        array = group[str(number)]
        assert array.dtype == volume.dtype
        np.testing.assert_array_equal(array[:], expected)
        np.testing.assert_array_equal(zarr.open_array(path / str(number), mode="r")[:], expected)
    assert check_volume(path, deep=True) == []


def test_what_is_said_of_the_volume_is_the_same(
    written: tuple[Path, np.ndarray, PyramidSpec],
) -> None:
    path, volume, spec = written
    found = open_volume(path)
    assert found.version == spec.version
    assert (found.name, found.axes, found.length_unit) == ("organ", ("z", "y", "x"), "um")
    assert found.provenance["origin"] == "beamline"
    for number, level in enumerate(found.levels):
        assert level.scale == (2.0 * 2**number, 3.0 * 2**number, 3.0 * 2**number)
        half = 0.5 * (2**number - 1)
        assert level.translation == (100.0 + 2 * half, 3 * half, -7.5 + 3 * half)
    if spec.reduction == "mode":
        assert found.display is None
        assert found.provenance["reduction"] == "mode"
    else:
        assert (found.unit, found.offset) == ("1/cm", -0.1)
        assert found.scale == 0.5 / 65535
        low, high = np.percentile(levels_of(volume, spec)[-1], (0.1, 99.9))
        assert found.display == (int(np.floor(low)), int(np.ceil(high)))


def test_ome_zarr_models_take_it(written: tuple[Path, np.ndarray, PyramidSpec]) -> None:
    path, _, spec = written
    image = ome_zarr_models.open_ome_zarr(path)
    kind = "ImageLabel" if spec.reduction == "mode" else "Image"
    assert type(image).__name__ == kind
    assert f".v{spec.version.replace('.', '')}." in type(image).__module__
    multiscale = (image.ome_attributes if spec.version == "0.5" else image.attributes).multiscales
    assert [axis.unit for axis in multiscale[0].axes] == ["micrometer"] * 3
    assert multiscale[0].datasets[1].coordinateTransformations[1].translation == [101.0, 1.5, -6.0]


def test_ngff_zarr_takes_it(written: tuple[Path, np.ndarray, PyramidSpec]) -> None:
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="ngff-zarr is not installed")
    path, volume, spec = written
    found = ngff_zarr.from_ngff_zarr(path, validate=True)
    for level, image, expected in zip(spec.levels, found.images, levels_of(volume, spec)):
        assert list(image.dims) == ["z", "y", "x"]
        assert tuple(image.scale[axis] for axis in "zyx") == level.scale
        assert tuple(image.translation[axis] for axis in "zyx") == level.translation
        assert set(image.axes_units.values()) == {"micrometer"}
        np.testing.assert_array_equal(np.asarray(image.data), expected)


@settings(max_examples=5, deadline=None)
@given(
    shape=st.tuples(*(st.integers(1, 30) for _ in range(3))),
    heights=st.sampled_from(((4, 4), (4, 12), (6, 12), (8, 8))),
    seed=st.integers(0, 9),
)
def test_layers_in_any_order_give_the_same_chunks(
    tmp_path_factory: pytest.TempPathFactory,
    shape: tuple[int, int, int],
    heights: tuple[int, int],
    seed: int,
) -> None:
    """Written, left half-done and gone on with: voxels by zarr, layers by our own reader."""
    path = tmp_path_factory.mktemp("any") / "v.ome.zarr"
    volume = noise(shape)
    spec = spec_of(volume, "0.4", chunk=heights[0], layer=heights[1], shard_plane=2 * heights[0])
    create_pyramid(path, spec)
    shuffled = random.Random(seed)
    tree = PyramidTree(spec)
    ready, halves = [(0, j) for j in range(spec.layers(0))], {}
    while ready:
        node = ready.pop(shuffled.randrange(len(ready)))
        children = tree.children(*node)
        blocks = [halves[c] for c in children] or [volume[spec.levels[0].rows(node[1])]]
        halves[node] = write_node(path, spec, *node, blocks)
        parent = tree.parent(*node)
        if parent and all(c in halves for c in tree.children(*parent)):
            ready.append(parent)
    for number, expected in enumerate(levels_of(volume, spec)):
        np.testing.assert_array_equal(zarr.open_array(path / str(number), mode="r")[:], expected)
        for index in range(spec.layers(number)):
            rows = spec.levels[number].rows(index)
            np.testing.assert_array_equal(read_layer(path, spec, number, index), expected[rows])
            reduced = read_reduced(path, spec, number, index)
            if reduced is not None:
                np.testing.assert_array_equal(reduced, halves[number, index])
    written = len(list(path.rglob("[0-9]*/[0-9]*/[0-9]*/[0-9]*")))
    grids = [[-(-n // c) for n, c in zip(level.shape, level.chunk)] for level in spec.levels]
    assert written == sum(np.prod(grid) for grid in grids)


def test_a_layer_leaves_nothing_of_what_stood_there(tmp_path: Path) -> None:
    """Chunks of zeros are files; torn ones of a killed process go, in this layer only."""
    volume = noise()
    spec = spec_of(volume, "0.4")
    write(tmp_path / "v", volume, spec)
    before = files_of(tmp_path / "v")
    mine, other = (tmp_path / "v" / "0" / z / "0" / ".1.abc.tmp" for z in ("3", "1"))
    mine.write_bytes(b"torn")
    other.write_bytes(b"torn")
    write_layer(tmp_path / "v", spec, 0, 1, np.zeros((16, 50, 45), np.uint16))
    assert not mine.exists()
    assert other.exists()
    other.unlink()
    array = zarr.open_array(tmp_path / "v" / "0", mode="r")
    assert not array[16:32].any()
    np.testing.assert_array_equal(array[:16], volume[:16])
    write_layer(tmp_path / "v", spec, 0, 1, volume[16:32])
    assert files_of(tmp_path / "v") == before


def test_a_torn_or_missing_chunk_is_named(tmp_path: Path) -> None:
    volume = noise()
    spec = spec_of(volume, "0.4")
    write(tmp_path / "v", volume, spec)
    chunk = tmp_path / "v" / "0" / "2" / "4" / "5"
    whole = chunk.read_bytes()
    for damaged in (whole[:-1], whole[:10], b"", b"\x02" + bytes(40)):
        chunk.write_bytes(damaged)
        with pytest.raises(FormatError, match=r"0/2/4/5 (is damaged|has|holds)"):
            read_layer(tmp_path / "v", spec, 0, 1)
    chunk.unlink()
    with pytest.raises(FormatError, match="0/2/4/5 cannot be read"):
        read_reduced(tmp_path / "v", spec, 0, 1)


@pytest.mark.parametrize("version", VERSIONS)
def test_attributes_change_in_both_versions(tmp_path: Path, version: str) -> None:
    volume = noise()
    spec = spec_of(volume, version, consolidated=True)
    write(tmp_path / "v", volume, spec, first=1)
    update_attributes(tmp_path / "v", {"hipct": {"second": 2}, "ome": {"omero": {"channels": []}}})
    attributes = dict(zarr.open_group(tmp_path / "v", mode="r").attrs)
    ome = attributes["ome"] if version == "0.5" else attributes
    assert ome["omero"] == {"channels": []}
    assert len(ome["multiscales"][0]["datasets"]) == len(spec.levels)
    assert attributes["hipct"] == {"first": 1, "second": 2}
    plain = dict(zarr.open_group(tmp_path / "v", mode="r", use_consolidated=False).attrs)
    assert plain == attributes


@pytest.mark.parametrize("version", VERSIONS)
def test_consolidated_metadata_are_what_stands_on_the_disk(tmp_path: Path, version: str) -> None:
    volume = noise()
    write(tmp_path / "v", volume, spec_of(volume, version))
    path = tmp_path / "v"
    assert zarr.open_group(path, mode="r").metadata.consolidated_metadata is None
    consolidate(path)
    group = zarr.open_group(path, mode="r", use_consolidated=True)
    assert sorted(group.keys()) == ["0", "1", "2", "3"]
    if version == "0.4":  # zarr writes none for version 3 without a warning
        by_zarr = zarr.consolidate_metadata(path)
        assert by_zarr.metadata.consolidated_metadata == group.metadata.consolidated_metadata
    for name in group:
        alone = zarr.open_array(path / name, mode="r")
        assert group[name].metadata == alone.metadata
    # A level and labels that come later are hidden from zarr until it is said again.
    later = zarr.open_group(path, mode="r+", use_consolidated=False).create_group("labels/cells")
    later.create_array("0", shape=(3, 3, 3), chunks=(3, 3, 3), dtype="u1")
    assert "labels" not in zarr.open_group(path, mode="r")
    update_attributes(path, {"hipct": {"labelled": True}})
    assert zarr.open_group(path, mode="r")["labels/cells/0"].shape == (3, 3, 3)


def test_versions_that_nobody_knows_are_refused() -> None:
    with pytest.raises(InputError, match=r"OME-Zarr is 0.6; 0.5 and 0.4 are written"):
        spec_of(noise(), "0.6")
    with pytest.raises(InputError, match="three finite numbers"):
        spec_of(noise(), "0.4", origin_um=(0.0, np.nan, 0.0))


def test_metadata_of_04_are_of_04(tmp_path: Path) -> None:
    """What no reader of 0.4 needs, or would stumble over, is not there."""
    volume = noise()
    write(tmp_path / "v", volume, spec_of(volume, "0.4"))
    names = {f.name for f in (tmp_path / "v").rglob(".z*")}
    assert names == {".zgroup", ".zattrs", ".zarray"}
    assert not list((tmp_path / "v").rglob("zarr.json"))
    array = json.loads((tmp_path / "v" / "0" / ".zarray").read_text())
    assert (array["dimension_separator"], array["dtype"]) == ("/", "<u2")
    assert array["compressor"]["id"] == "blosc"
    attributes = json.loads((tmp_path / "v" / ".zattrs").read_text())
    assert attributes["multiscales"][0]["version"] == "0.4"
    assert "ome" not in attributes
