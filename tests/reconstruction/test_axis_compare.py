"""Lines compared with their mirror images: filters, loops against arrays, pairs of few views."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hipct.core.threads import set_thread_count
from hipct.reconstruction import axis_compare, axis_filter, axis_overlap
from hipct.reconstruction.axis import find_axis
from hipct.reconstruction.axis_compare import Lines
from hipct.reconstruction.axis_filter import derivative_taps, filtered, gaussian_taps
from hipct.reconstruction.axis_overlap import search_mirror
from hipct.reconstruction.axis_pair import opposite_pairs

AXIS = 163.37


def views(angles, rows, *, columns=320, noise=0.01, stripes=0.0, seed=1):
    """Blurred discs about the axis, each row other ones, (angles, rows, columns), peak about 2."""
    random = np.random.default_rng(seed)
    angles = np.asarray(angles)[:, None, None]
    radius, turn, size = (
        random.uniform(*limits, (12, rows)) for limits in ((0, 90), (0, 6), (8, 40))
    )
    column = np.arange(columns)
    lines = np.zeros((len(angles), rows, columns))
    for r, t, s in zip(radius, turn, size):
        from_disc = column - AXIS - (r[:, None] * np.cos(angles - t[:, None]))
        lines += np.sqrt(np.maximum(s[:, None] ** 2 - from_disc**2, 0)) / 40
    lines = ndimage.gaussian_filter1d(lines, 0.6, axis=2)
    lines += noise * random.standard_normal(lines.shape)
    return (lines + stripes * random.standard_normal((rows, columns))).astype(np.float32)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 2.0, 4.0])
@pytest.mark.parametrize("shift", [-0.25, 0.0, 0.2])
def test_taps_smooth_and_move_a_wave(sigma, shift):
    taps = gaussian_taps(sigma, shift)
    places = np.arange(len(taps)) - len(taps) // 2
    assert taps.sum() == pytest.approx(1, abs=1e-6)
    for omega in (0.05, 0.3, 1.0):
        wave = taps @ np.exp(1j * omega * places)
        expected = np.exp(1j * omega * shift - 0.5 * (sigma * omega) ** 2)
        assert abs(wave - expected) < 4e-3


@pytest.mark.parametrize("accelerated", [True, False])
def test_lines_are_filtered_without_their_stripes(accelerated, monkeypatch):
    monkeypatch.setattr(axis_filter, "has_numba", lambda: accelerated)
    random = np.random.default_rng(2)
    lines, stripes = random.standard_normal((6, 77)), random.standard_normal((3, 77))
    some = np.array([4, 0, 5])
    clean = (lines - np.tile(stripes, (2, 1)))[some]
    smooth = filtered(lines, gaussian_taps(2.0), stripes, some)
    expected = ndimage.gaussian_filter1d(clean, 2.0, axis=1, mode="nearest", truncate=3.5)
    np.testing.assert_allclose(smooth, expected, atol=1e-5)
    slope = filtered(lines, derivative_taps(2.0, 6), stripes, some)
    expected = ndimage.gaussian_filter1d(clean, 2.0, axis=1, order=1, mode="nearest", truncate=3.0)
    np.testing.assert_allclose(slope, expected, atol=1e-5)
    for columns in (slice(6, 71), slice(6, 71, 2), slice(1, 77, 4)):
        inside = filtered(lines, derivative_taps(2.0, 6), stripes, some, columns)
        np.testing.assert_allclose(inside, expected[:, columns], atol=1e-5)


@pytest.mark.parametrize("accelerated", [True, False])
@pytest.mark.parametrize("count", [5, 8, 70])
def test_lines_are_convolved_with_each_other(accelerated, count, monkeypatch):
    monkeypatch.setattr(axis_overlap, "has_numba", lambda: accelerated)
    random = np.random.default_rng(3)
    first, second = random.standard_normal((2, count, 90)).astype(np.float32)
    scales = random.uniform(0.5, 2, (2, 90)).astype(np.float32)
    found = axis_overlap._correlated(first, second, *scales)
    expected = [np.convolve(*lines) for lines in zip(first * scales[0], second * scales[1])]
    np.testing.assert_allclose(found, np.mean(expected, axis=0), atol=3e-5)


@pytest.mark.parametrize(("count", "step"), [(4, 2), (8, 2), (64, 2), (3, 1), (40, 1)])
def test_loops_give_the_variances_that_arrays_do(count, step, monkeypatch):
    pytest.importorskip("numba")
    random = np.random.default_rng(4)
    scale = random.uniform(0.1, 3, 90)
    first, second, changes = (
        (scale * random.standard_normal((lines, 90))).astype(np.float32)
        for lines in (count, count, 16)
    )
    loops = axis_overlap._variances(first, second, changes, step)
    monkeypatch.setattr(axis_overlap, "has_numba", lambda: False)
    arrays = axis_overlap._variances(first, second, changes, step)
    for one, other in zip(loops, arrays):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-4)


@pytest.mark.parametrize("columns", [10, 90, 700, 1500])
def test_loops_say_of_powers_what_arrays_do(columns, monkeypatch):
    pytest.importorskip("numba")
    random = np.random.default_rng(6)
    values = random.uniform(0.1, 3, (4, columns)).astype(np.float32)
    values[:2] += values[2:]
    loops = axis_overlap._of_powers(values)
    monkeypatch.setattr(axis_overlap, "has_numba", lambda: False)
    arrays = axis_overlap._of_powers(values)
    assert len(loops) == 2 * columns - 1
    np.testing.assert_allclose(loops, arrays, atol=1e-5 * np.abs(arrays).max())


@pytest.mark.parametrize(("begin", "end"), [(0, 200), (37, 150), (90, 93), (60, 120)])
def test_loops_find_the_peak_that_arrays_do(begin, end, monkeypatch):
    pytest.importorskip("numba")
    random = np.random.default_rng(5)
    for seed in range(40):
        hills = ndimage.gaussian_filter1d(random.standard_normal(200), 1 + seed % 7)
        monkeypatch.setattr(axis_overlap, "has_numba", lambda: True)
        loops = axis_overlap._highest(hills, begin, end, 6.0)
        monkeypatch.setattr(axis_overlap, "has_numba", lambda: False)
        assert axis_overlap._highest(hills, begin, end, 6.0) == loops


@pytest.mark.parametrize("accelerated", [True, False])
def test_the_highest_place_and_what_is_nearly_as_high(accelerated, monkeypatch):
    monkeypatch.setattr(axis_overlap, "has_numba", lambda: accelerated)
    hills = np.zeros(100)
    # A ripple on the highest's slope is no other place, one beyond a valley is.
    hills[40:49] = 8, 10, 8, 9, 8, 7.5, 9, 8, 1
    hills[70:73] = 2, 6, 2
    assert axis_overlap._highest(hills, 5, 95, 3.0) == (41, 6.0, 6)


@pytest.mark.parametrize("sigma", [0.5, 2.0])
@pytest.mark.parametrize("striped", [True, False])
@pytest.mark.parametrize("at", [AXIS, 163.05, 80.2, 20.3, 299.9])
def test_loops_compare_as_arrays_do(sigma, striped, at, monkeypatch):
    pytest.importorskip("numba")
    angles = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    (pairs,) = opposite_pairs(views(angles, 3, stripes=0.02), angles, 100)
    lines = Lines.of(pairs, striped=striped)
    loops = lines.compare(at, sigma)
    by_loops = loops.whole, loops.half(1, 3)
    for module in (axis_compare, axis_filter):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    arrays = lines.compare(at, sigma)
    for name in ("pull", "curvature", "columns"):
        expected = getattr(arrays, name)
        close = 1e-4 * np.abs(expected).max()
        np.testing.assert_allclose(getattr(loops, name), expected, atol=close)
    for found, expected in zip(by_loops, (arrays.whole, arrays.half(1, 3))):
        assert found == pytest.approx(expected, abs=1e-4, rel=1e-5)


def test_the_error_does_not_depend_on_where_it_is_looked_from():
    angles = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    (pairs,) = opposite_pairs(views(angles, 3), angles, 100)
    lines = Lines.of(pairs, striped=True)
    here, there = (lines.compare(at, 2.0).whole for at in (AXIS, AXIS + 0.3))
    assert there[0] == pytest.approx(here[0], abs=0.02)
    assert there[1] == pytest.approx(here[1], rel=0.3)


@pytest.mark.parametrize(("count", "rows"), [(2, 200), (150, 3)])
def test_threads_do_not_change_the_axis(count, rows):
    angles = np.arange(count) * np.pi if count == 2 else np.arange(count) * 2 * np.pi / count
    scan = views(angles, rows, noise=0.03)
    found = []
    try:
        for threads in (1, 2, 3):
            set_thread_count(threads)
            found.append(find_axis(scan, angles, method="pairs"))
    finally:
        set_thread_count(None)
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("stripes", [0.0, 0.05])
def test_a_pair_of_many_rows(stripes):
    errors, claims = [], []
    for seed in range(10):
        pair = views([0.4, 0.4 + np.pi], 64, noise=0.03, stripes=stripes, seed=seed)
        found = find_axis(pair, [0.4, 0.4 + np.pi], method="pairs")
        errors.append(found.value - AXIS)
        claims.append(found.uncertainty_px)
    assert np.sqrt(np.mean(np.square(errors))) < 0.02
    assert 0.5 < np.sqrt(np.mean(np.square(errors))) / np.mean(claims) < 1.6


@pytest.mark.parametrize("rows", [4, 8])
def test_few_rows_claim_no_more_than_they_know(rows):
    of_claimed = []
    for seed in range(60):
        pair = views([0.4, 0.4 + np.pi], rows, noise=0.03, seed=seed)
        found = find_axis(pair, [0.4, 0.4 + np.pi], method="pairs")
        of_claimed.append((found.value - AXIS) / found.uncertainty_px)
    assert 0.8 < np.sqrt(np.mean(np.square(of_claimed))) < 1.25


def test_a_wide_hill_of_smooth_noisy_lines_is_climbed_to_its_top():
    """The highest ripple of the evidence lies columns away from the axis."""
    angles = np.array([0.4, 0.4 + np.pi])
    pair = ndimage.gaussian_filter1d(views(angles, 64, noise=0.0, seed=9), 20, axis=2)
    pair += 0.2 * np.random.default_rng(9).standard_normal(pair.shape).astype(np.float32)
    (pairs,) = opposite_pairs(pair, angles, 1)
    peak = search_mirror(pairs, 0, 319, 160)
    assert 3 < abs(peak.value - AXIS) < peak.doubt_px
    assert peak.runner_up < 0.3 * peak.evidence
    assert abs(find_axis(pair, angles, method="pairs").value - AXIS) < 0.15
