"""Sorting networks and ranks: against NumPy's sort and median."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.preparation.networks_numba import schedule, sort_rows
from hipct.preparation.rings_large_numba import smooth_band
from hipct.preparation.rings_ranks_numba import rank_columns, restore_columns, work_space
from hipct.preparation.rings_sorting_numba import steps


@pytest.mark.parametrize("rows", [*range(16, 321, 16), 512, 1008, 1504, 2048, 4112])
def test_rows_are_sorted_whatever_their_number(rows):
    rng = np.random.default_rng(rows)
    # Few values, so that many are equal, and the largest of all, which fills columns up.
    keys = rng.integers(0, rows, (rows, 16), dtype=np.uint32)
    keys[rng.random(keys.shape) < 0.2] = 2**32 - 1
    expected = np.sort(keys, axis=0)
    sort_rows(keys, schedule(rows))
    np.testing.assert_array_equal(keys, expected)


@pytest.mark.parametrize("size", [1, 5, 9, 33, 65])
def test_medians_across_columns(size):
    """Of all kinds of networks, and of windows too wide for one; bands end anywhere."""
    rng = np.random.default_rng(size)
    ranked = rng.standard_normal((83, 256)).astype(np.float32)
    smooth = np.full_like(ranked, np.nan)
    for first, last in ((0, 7), (7, 40), (40, 83)):
        before = smooth.copy()
        smooth_band(ranked, size, first, last, smooth)
        before[first:last] = smooth[first:last]
        np.testing.assert_array_equal(smooth, before)
    padded = np.pad(ranked, ((size // 2, size // 2), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=0)
    np.testing.assert_array_equal(smooth, np.median(windows, axis=-1))


def sinogram(kind, angles, columns):
    rng = np.random.default_rng(angles)
    values = rng.standard_normal((angles, columns)).astype(np.float32)
    if kind == "few values":
        return np.round(values)
    if kind == "one far off":  # all others share a few steps
        values[angles // 2] = 3e38
        values[angles // 3, ::2] = -3e38
    if kind == "two close to each other":  # in the wrong order, in one step
        values[0], values[-1] = np.float32(0.5) * (1 + np.float32(2e-7)), 0.5
    if kind == "all magnitudes":
        values *= 10.0 ** rng.integers(-42, 37, values.shape)
    return values.astype(np.float32)


@pytest.mark.parametrize("angles", [1, 15, 300, 1500, 16385])
@pytest.mark.parametrize(
    "kind", ["noise", "few values", "one far off", "two close to each other", "all magnitudes"]
)
def test_ranks_are_those_of_a_stable_sort(kind, angles):
    columns = 21  # a strip and a part of one
    values = sinogram(kind, angles, columns)
    ranked = np.zeros((columns, -(-angles // 256) * 256), np.float32)
    origin = np.zeros((columns, angles), np.uint16)
    plan = steps(angles)
    work = work_space(plan)
    assert rank_columns(values, 0, columns, ranked, origin, plan, work)
    order = np.argsort(values, axis=0, kind="stable")
    np.testing.assert_array_equal(origin.T, order)
    np.testing.assert_array_equal(ranked[:, :angles].T, np.take_along_axis(values, order, axis=0))
    restored = np.full((angles, columns + 3), np.nan, np.float32)
    restore_columns(ranked, origin, 0, columns, restored, work)
    np.testing.assert_array_equal(restored[:, :columns], values)
    assert np.isnan(restored[:, columns:]).all()
    values[angles // 2, columns - 1] = np.nan
    assert not rank_columns(values, 0, columns, ranked, origin, plan, work)
