"""Median and mean over frames against NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.preparation import reduction
from hipct.preparation.reduction import reduce_frames


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(1, 24), st.integers(1, 3), st.integers(1, 150)),
    st.integers(0, 2**32 - 1),
    st.sampled_from(["median", "mean"]),
    st.booleans(),
    st.booleans(),
)
def test_equals_numpy(shape, seed, how, faults, accelerated):
    count, rows, columns = shape
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 50, (count, rows, columns)).astype(np.float32)
    if faults:
        frames[rng.random(frames.shape) < 0.2] = np.nan
        frames[rng.random(frames.shape) < 0.1] = np.inf
    dark = rng.integers(0, 9, (rows, columns)).astype(np.float32)
    scale = rng.choice([0.5, 1, 2], count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reduction, "has_numba", lambda: accelerated)
        result = reduce_frames(frames, how, dark=dark, scale=scale)
    values = (np.where(np.isfinite(frames), frames, np.nan) - dark) * scale[:, None, None]
    known = ~np.isnan(values).all(axis=0)
    expected = np.full((rows, columns), np.nan)
    middle = np.nanmedian if how == "median" and count > 2 else np.nanmean
    expected[known] = middle(values[:, known], axis=0)
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)


def test_foreign_byte_order():
    frames = np.arange(5 * 6).reshape(5, 2, 3).astype(">u2")
    np.testing.assert_array_equal(reduce_frames(frames, "median"), frames[2])
