"""Pyramids of labels by the mode, of projections by the smallest or largest value."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hipct.core.errors import InputError
from hipct.volume.check import check_volume
from hipct.volume.layout import PyramidSpec
from hipct.volume.pyramid import PyramidTree, create_pyramid, set_display_window, write_node
from hipct.volume.reduce import _ranked_array, reduce_block


def commonest(group: np.ndarray) -> int:
    """The oracle: counts in Python, the smallest of the commonest."""
    counts = Counter(group.ravel().tolist())
    return min(label for label, count in counts.items() if count == max(counts.values()))


ORACLES = {"mode": commonest, "min": np.min, "max": np.max}


def oracle(block: np.ndarray, how: str) -> np.ndarray:
    out = np.empty([-(-n // 2) for n in block.shape], block.dtype)
    for place in itertools.product(*(range(n) for n in out.shape)):
        out[place] = ORACLES[how](block[tuple(slice(2 * p, 2 * p + 2) for p in place)])
    return out


@settings(max_examples=60, deadline=None)
@given(
    block=arrays(
        st.sampled_from((np.uint8, np.uint16, np.uint32)),
        array_shapes(min_dims=3, max_dims=3, max_side=5),
        elements=st.integers(0, 3),
    ),
    how=st.sampled_from(("mode", "min", "max")),
)
def test_equals_counting(block: np.ndarray, how: str) -> None:
    if how != "mode" and block.dtype == np.uint32:
        block = block.astype(np.uint16)
    np.testing.assert_array_equal(reduce_block(block, how=how), oracle(block, how))
    np.testing.assert_array_equal(_ranked_array(block, how), oracle(block, how))


@pytest.mark.parametrize("how", ["mode", "min", "max"])
def test_devices_give_the_same(xp, fetch, how: str) -> None:
    block = np.random.default_rng(1).integers(65533, 65536, (5, 8, 7), np.uint16)
    found = fetch(reduce_block(xp.asarray(block), how=how))
    np.testing.assert_array_equal(found, oracle(block, how))


def test_a_view_that_is_not_contiguous_is_reduced_as_well() -> None:
    block = np.random.default_rng(2).integers(0, 3, (5, 6, 7), np.uint8)
    for how in ORACLES:
        np.testing.assert_array_equal(reduce_block(block.T, how=how), oracle(block.T, how))


def test_images_of_32_bits_and_unknown_reductions_are_refused() -> None:
    block = np.zeros((2, 2, 2), np.uint32)
    with pytest.raises(InputError, match=r"uint32.*give uint8 or uint16"):
        reduce_block(block)
    with pytest.raises(InputError, match="'median'; allowed are mean, mode"):
        reduce_block(block, how="median")
    with pytest.raises(InputError, match="dtype is uint32; it has to be uint8 or uint16"):
        PyramidSpec(shape=(2, 2, 2), voxel_size_um=1.0, dtype=np.dtype(np.uint32))


@pytest.mark.parametrize("how", ["mode", "min", "max"])
def test_a_volume_says_how_it_was_reduced_and_is_checked_by_that(tmp_path: Path, how: str) -> None:
    dtype = np.dtype(np.uint32 if how == "mode" else np.uint16)
    volume = np.random.default_rng(3).integers(0, 4, (21, 17, 30)).astype(dtype)
    spec = PyramidSpec(
        shape=volume.shape, voxel_size_um=2.0, dtype=dtype, chunk=8, layer=8, reduction=how
    )
    path = tmp_path / "v.ome.zarr"
    create_pyramid(path, spec)
    halves: dict[tuple[int, int], np.ndarray | None] = {}
    tree = PyramidTree(spec)
    for node in tree.nodes():
        blocks = [halves.pop(child) for child in tree.children(*node)]
        halves[node] = write_node(
            path, spec, *node, blocks or [volume[spec.levels[0].rows(node[1])]]
        )
    set_display_window(path, spec)
    expected = volume
    for number in range(len(spec.levels)):
        np.testing.assert_array_equal(zarr.open_array(path / str(number), mode="r")[:], expected)
        expected = oracle(expected, how)
    attributes = zarr.open_group(path, mode="r").attrs
    assert attributes["ome"]["multiscales"][0]["type"] == how
    assert attributes["hipct"]["reduction"] == how
    assert ("image-label" in attributes["ome"]) == (how == "mode")
    assert ("omero" in attributes["ome"]) == (how != "mode")
    assert check_volume(path, deep=True) == []
    wrong = zarr.open_array(path / "1", mode="r+")
    wrong[...] = wrong[:] + 1
    assert [f.rule for f in check_volume(path)] == ["means", "means"]
