"""Means of 2 x 2 x 2 voxels: exact, rounded half to even, over the voxels that exist."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hipct.core.errors import InputError
from hipct.volume.reduce import _reduce_array, reduce_block, reduce_levels


def oracle(block: np.ndarray) -> np.ndarray:
    """Python integers, one voxel at a time: ``round`` of a fraction is half to even."""
    shape = tuple(-(-n // 2) for n in block.shape)
    out = np.empty(shape, block.dtype)
    for place in itertools.product(*(range(n) for n in shape)):
        part = block[tuple(slice(2 * p, 2 * p + 2) for p in place)]
        # Denominators are powers of two: float64 is exact.
        out[place] = round(int(part.sum(dtype=np.int64)) / part.size)
    return out


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        st.sampled_from((np.uint8, np.uint16)),
        array_shapes(min_dims=3, max_dims=3, max_side=7),
    )
)
def test_equals_integer_arithmetic(block: np.ndarray) -> None:
    np.testing.assert_array_equal(reduce_block(block), oracle(block))


@settings(max_examples=40, deadline=None)
@given(
    arrays(
        st.sampled_from((np.uint8, np.uint16)),
        array_shapes(min_dims=3, max_dims=3, max_side=9),
    )
)
def test_array_code_equals_the_accelerator(block: np.ndarray) -> None:
    plain = _reduce_array(block)
    assert plain.dtype == block.dtype
    np.testing.assert_array_equal(plain, reduce_block(block))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 1), (1, 2, 1), (2, 2, 2), (3, 5, 7), (6, 1, 9), (1, 3, 2050), (2, 1, 4099)],
)
def test_equals_integer_arithmetic_everywhere(xp, fetch, shape, dtype) -> None:
    # Few values make many ties.
    for top in (4, np.iinfo(dtype).max):
        block = np.random.default_rng().integers(top // 2, top, shape, dtype, endpoint=True)
        np.testing.assert_array_equal(fetch(reduce_block(xp.asarray(block))), oracle(block))


def test_views_on_either_side(xp, fetch) -> None:
    noise = np.random.default_rng().integers(0, 65536, (6, 8, 20), np.uint16)
    block, out = xp.asarray(noise), xp.zeros((3, 9, 10), xp.uint16)
    result = reduce_block(block, out=out[:, 2:6])
    assert result.shape == (3, 4, 10)
    np.testing.assert_array_equal(fetch(out)[:, 2:6], oracle(noise))
    assert not fetch(out)[:, 6:].any()
    for part in (block[:, :, 1::2], block[1:, ::3]):
        np.testing.assert_array_equal(fetch(reduce_block(part)), oracle(fetch(part)))


def test_levels_of_a_slab_are_those_of_the_volume(xp, fetch) -> None:
    """Each level comes from the rounded one below it, in slabs as in the whole."""
    volume = np.random.default_rng().integers(0, 200, (21, 19, 17), np.uint16)
    expected = [volume]
    for _ in range(3):
        expected.append(oracle(expected[-1]))
    levels = reduce_levels(xp.asarray(volume), 3)
    for level, exact in zip(levels, expected[1:], strict=True):
        np.testing.assert_array_equal(fetch(level), exact)
    slabs = [reduce_levels(xp.asarray(volume[z : z + 8]), 3) for z in range(0, 21, 8)]
    for parts, exact in zip(zip(*slabs), expected[1:]):
        np.testing.assert_array_equal(np.concatenate([fetch(part) for part in parts]), exact)
    assert reduce_levels(xp.asarray(volume), 0) == []


def test_the_mean_does_not_drift() -> None:
    """Truncation loses 0.44 grey values a level, half-up rounding gains 0.06."""
    level = np.random.default_rng(0).integers(0, 2000, (128, 128, 128), np.uint16)
    start = level.mean(dtype=np.float64)
    for _ in range(4):
        level = reduce_block(level)
    # Independent rounding errors of 0.29 on 512 voxels of the last level, less on the others.
    assert abs(level.mean(dtype=np.float64) - start) < 4 * 0.29 / np.sqrt(512)


def test_views_and_the_largest_values() -> None:
    block = np.full((6, 8, 10), 65535, np.uint16)
    assert (reduce_block(block) == 65535).all()
    noise = np.random.default_rng(1).integers(0, 65536, (6, 8, 20), np.uint16)
    for view in (noise[::2, 1:, ::2], noise.transpose(2, 0, 1), noise[::-1, :, ::-1]):
        np.testing.assert_array_equal(reduce_block(view), oracle(view))
    out = np.zeros((3, 9, 10), np.uint16)
    reduce_block(noise, out=out[:, 2:6])
    np.testing.assert_array_equal(out[:, 2:6], oracle(noise))
    assert not out[:, :2].any()
    assert not out[:, 6:].any()


@pytest.mark.parametrize(
    "block",
    [np.zeros((2, 2, 2), np.float32), np.zeros((2, 2), np.uint8), np.zeros((0, 2, 2), np.uint8)],
)
def test_other_blocks_are_refused(block: np.ndarray) -> None:
    with pytest.raises(InputError, match="The block to reduce is"):
        reduce_block(block)


def test_a_wrong_out_is_refused() -> None:
    with pytest.raises(InputError, match="out is uint8"):
        reduce_block(np.zeros((2, 2, 2), np.uint16), out=np.zeros((1, 1, 1), np.uint8))
