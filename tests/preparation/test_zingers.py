"""Zingers: found, replaced by the median, counted; nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import InputError
from hipct.preparation import zingers
from hipct.preparation.counts import PixelCounts
from hipct.preparation.zingers import HALO_ROWS, remove_zingers


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 40)),
    st.integers(0, 2**32 - 1),
    st.booleans(),
)
def test_equals_the_median_filter_of_scipy(shape, seed, accelerated):
    rng = np.random.default_rng(seed)
    transmission = rng.uniform(0.3, 0.7, shape).astype(np.float32)
    transmission[rng.random(shape) < 0.1] += 1
    counts = PixelCounts()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(zingers, "has_numba", lambda: accelerated)
        result = remove_zingers(transmission, 0.25, counts=counts)
    median = scipy.ndimage.median_filter(transmission, (1, 3, 3), mode="nearest")
    bright = transmission > median + np.float32(0.25)
    np.testing.assert_array_equal(result, np.where(bright, median, transmission))
    assert counts.zinger == bright.sum()


def test_planted_zingers_go_and_all_else_stays_bit_for_bit():
    rng = np.random.default_rng(0)
    clean = rng.normal(0.6, 0.02, (3, 30, 40)).astype(np.float32)
    spoilt = clean.copy()
    spots = np.zeros(clean.shape, bool)
    spots[0, 10, 10] = spots[1, 0, 0] = spots[2, 20:22, 30:32] = True
    spoilt[spots] += 3
    counts = PixelCounts()
    result = remove_zingers(spoilt, 0.2, counts=counts)
    np.testing.assert_array_equal(result[~spots], clean[~spots])
    np.testing.assert_allclose(result[spots], 0.6, atol=0.1)
    assert counts.zinger == 6


def test_dark_spots_stay():
    frame = np.full((1, 5, 5), 0.5)
    frame[0, 2, 2] = 0
    np.testing.assert_array_equal(remove_zingers(frame, 0.1), frame)


def test_slabs_with_a_halo_equal_the_whole_and_count_their_own_rows():
    rng = np.random.default_rng(1)
    transmission = rng.uniform(0, 1, (2, 20, 15)).astype(np.float32)
    whole_counts, slab_counts = PixelCounts(), PixelCounts()
    whole = remove_zingers(transmission, 0.3, counts=whole_counts)
    for start, stop in ((0, 7), (7, 8), (8, 20)):
        first, last = max(0, start - HALO_ROWS), min(20, stop + HALO_ROWS)
        own = slice(start - first, stop - first)
        slab = remove_zingers(
            transmission[:, first:last], 0.3, counts=slab_counts, counted_rows=own
        )
        np.testing.assert_array_equal(slab[:, own], whole[:, start:stop])
    assert slab_counts.zinger == whole_counts.zinger > 0


def test_wrong_input_is_answered_in_sentences():
    good = np.ones((1, 4, 4), np.float32)
    with pytest.raises(InputError, match="threshold is -1"):
        remove_zingers(good, -1)
    with pytest.raises(InputError, match="shares memory"):
        remove_zingers(good, 0.1, out=good)
    with pytest.raises(InputError, match="three axes"):
        remove_zingers(good[0], 0.1)
