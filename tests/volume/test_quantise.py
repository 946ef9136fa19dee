"""Grey values: rounding, clipping, counting, and the window of a volume."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from hipct.core.errors import InputError
from hipct.core.threads import set_thread_count
from hipct.volume import disc
from hipct.volume import quantise as module
from hipct.volume.quantise import ClipCounts, Window, quantise, window_from_samples
from hipct.volume.window import GreyHistogram, _edges, circle, window_from_histogram


def test_every_grey_value_comes_back() -> None:
    window = Window(-0.25, 3.5)
    values = np.arange(65536) * window.scale + window.offset
    for dtype in (np.float64, np.float32):
        np.testing.assert_array_equal(quantise(values.astype(dtype), window), np.arange(65536))


def test_rounded_to_nearest_not_truncated() -> None:
    window = Window(0.0, 65535.0)
    values = np.array([0.49, 0.51, 1.5, 2.5, 7.999, 65534.6], np.float32)
    np.testing.assert_array_equal(quantise(values, window), [0, 1, 2, 2, 8, 65535])


@pytest.mark.parametrize("accelerated", [True, False])
def test_ties_go_to_even(monkeypatch: pytest.MonkeyPatch, accelerated: bool) -> None:
    if not accelerated:
        monkeypatch.setattr(module, "has_numba", lambda: False)
    values = np.array([0.5, 1.5, 2.5, 3.5, 65533.5, 65534.5], np.float32)
    grey = quantise(values, Window(0.0, 65535.0))
    assert grey.tolist() == [0, 2, 2, 4, 65534, 65534]


def test_clipping_and_nan_are_counted() -> None:
    counts = ClipCounts()
    values = np.array([-1, -np.inf, 0, 1, 2, 2.5, np.inf, np.nan, np.nan, 3], np.float32)
    grey = quantise(values, Window(0.0, 2.0), counts=counts)
    np.testing.assert_array_equal(grey, [0, 0, 0, 32768, 65535, 65535, 65535, 0, 0, 65535])
    quantise(values[:3], Window(0.0, 2.0), counts=counts)
    assert counts.as_dict() == {"voxels": 13, "below": 4, "above": 3, "nan": 2}


@settings(max_examples=50, deadline=None)
@given(
    arrays(
        st.sampled_from((np.float32, np.float64)),
        array_shapes(max_dims=3, max_side=12),
        elements=st.floats(-3, 3, width=32) | st.sampled_from((np.nan, np.inf, -np.inf)),
    ),
    st.floats(-2, 0),
    st.floats(0.5, 4),
)
def test_array_code_equals_the_accelerator(values: np.ndarray, low: float, width: float) -> None:
    window = Window(low, low + width)
    plain = np.empty(values.shape, np.uint16)
    numbers = module._quantise_array(values, window, None, plain)
    counts = ClipCounts()
    np.testing.assert_array_equal(quantise(values, window, counts=counts), plain)
    assert (counts.below, counts.above, counts.nan) == numbers


SHAPES = [(1, 1, 1), (3, 5, 7), (2, 16, 17), (2, 1, 4, 9), (1, 3, 2500), (2, 1, 4097), (0, 3, 3)]
RADII = [None, 0.0, 0.5, 2.0, 7.3, 1e9]


def noise(shape: tuple[int, ...], dtype: type = np.float32) -> np.ndarray:
    """Values inside and outside of a window, with some that are no numbers."""
    rng = np.random.default_rng()
    values = rng.normal(size=shape)
    special = rng.random(shape) < 0.1
    values[special] = rng.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, -1e30], special.sum())
    return values.astype(dtype)


def within(shape: tuple[int, ...], radius: float | None) -> np.ndarray:
    """Pixels of the last two axes no farther from their middle than a radius."""
    y = np.arange(shape[-2])[:, np.newaxis] - (shape[-2] - 1) / 2
    x = np.arange(shape[-1]) - (shape[-1] - 1) / 2
    return np.broadcast_to(np.hypot(y, x) <= (np.inf if radius is None else radius), shape)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_grey_values_and_counts_are_the_same_everywhere(xp, fetch, dtype, shape, radius):
    values, window = noise(shape, dtype), Window(-1.25, 1.5)
    inside = within(shape, radius)
    step = (values - dtype(window.low)) * dtype(1 / window.scale)
    nan = ~inside | np.isnan(step)
    grey = np.where(nan, 0, np.rint(np.clip(step, 0, 65535))).astype(np.uint16)
    expected = {
        "voxels": values.size,
        "below": int((inside & (step < 0)).sum()),
        "above": int((inside & (step > 65535)).sum()),
        "nan": int(nan.sum()),
    }
    counts = ClipCounts()
    out = xp.full(shape, 7, xp.uint16)
    device_values = xp.asarray(values)
    result = quantise(device_values, window, out=out, counts=counts, radius_px=radius)
    assert result is out
    np.testing.assert_array_equal(fetch(out), grey)
    assert counts.as_dict() == expected
    np.testing.assert_array_equal(fetch(device_values), values)


@pytest.mark.parametrize("radius", RADII)
def test_the_disc_without_numba(monkeypatch: pytest.MonkeyPatch, radius: float | None) -> None:
    values, window = noise((3, 12, 13)), Window(-1.25, 1.5)
    fast, plain = ClipCounts(), ClipCounts()
    grey = quantise(values, window, counts=fast, radius_px=radius)
    monkeypatch.setattr(module, "has_numba", lambda: False)
    np.testing.assert_array_equal(quantise(values, window, counts=plain, radius_px=radius), grey)
    assert fast == plain


def test_many_values_of_any_shape(monkeypatch: pytest.MonkeyPatch, xp, fetch) -> None:
    """Without a disc a device cuts an array into lines, whatever its shape."""
    monkeypatch.setattr(disc, "_LINE", 4096)
    window = Window(-1.25, 1.5)
    for shape in ((3 * 4096 + 5,), (2 * 4096,), (7, 1000, 2), (), (4, 0)):
        values = noise(shape)
        result = quantise(xp.asarray(values), window)
        assert result.shape == shape
        np.testing.assert_array_equal(fetch(result), quantise(values, window))
    views = xp.asarray(noise((6, 7, 8)))[::2, :, 1::3]
    expected = quantise(np.ascontiguousarray(fetch(views)), window, radius_px=3)
    np.testing.assert_array_equal(fetch(quantise(views, window, radius_px=3)), expected)


def test_a_disc_needs_an_image_and_a_radius() -> None:
    with pytest.raises(InputError, match=r"shape \(3,\); give \(..., rows, columns\)"):
        quantise(np.zeros(3, np.float32), Window(-1.0, 1.0), radius_px=1)
    with pytest.raises(InputError, match="radius of the disc is -1"):
        quantise(np.zeros((3, 3), np.float32), Window(-1.0, 1.0), radius_px=-1)
    with pytest.raises(InputError, match="A disc was asked for"):
        GreyHistogram().add(np.zeros(3), radius_px=1)


@settings(max_examples=100, deadline=None)
@given(st.floats(-1, 1), st.floats(-1, -0.5), st.floats(0.5, 1))
def test_float64_is_the_nearest_grey_value_exactly(value: float, low: float, high: float) -> None:
    window = Window(low, high)
    step = (Fraction(high) - Fraction(low)) / 65535
    exact = (Fraction(value) - Fraction(low)) / step
    stored = int(quantise(np.array([value]), window)[0])
    clipped = min(max(exact, Fraction(0)), Fraction(65535))
    assert abs(stored - clipped) <= Fraction(1, 2) + Fraction(1, 10**9)


def test_threads_do_not_change_voxels_or_counts() -> None:
    values = np.random.default_rng(0).normal(size=(1 << 20) + 7).astype(np.float32)
    results = []
    for threads in (1, 4):
        set_thread_count(threads)
        counts = ClipCounts()
        results.append((quantise(values, Window(-2.0, 2.0), counts=counts), counts))
    set_thread_count(None)
    np.testing.assert_array_equal(results[0][0], results[1][0])
    assert results[0][1] == results[1][1]
    assert results[0][1].below == (values < -2).sum()


def test_out_is_used_and_checked() -> None:
    out = np.empty((2, 3), np.uint16)
    assert quantise(np.zeros((2, 3), np.float32), Window(-1.0, 1.0), out=out) is out
    assert (out == 32768).all()
    for wrong in (np.empty((3, 2), np.uint16), np.empty((2, 3), np.int16), out.T):
        with pytest.raises(InputError, match="out is"):
            quantise(np.zeros((2, 3), np.float32), Window(-1.0, 1.0), out=wrong)
    with pytest.raises(InputError, match="dtype int64"):
        quantise(np.zeros(3, np.int64), Window(-1.0, 1.0))


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (np.nan, 1.0), (0.0, np.inf)])
def test_impossible_windows_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="grey-value window"):
        Window(*ends)


def test_percentiles_equal_numpy_within_a_bin() -> None:
    rng = np.random.default_rng(0)
    for values in (
        rng.normal(0, 1, 50_000),
        rng.exponential(1e-4, 50_000),
        rng.normal(5, 0.1, 99_999),
    ):
        histogram = GreyHistogram()
        histogram.add(values)
        assert histogram.total == values.size
        for percent in (0.0, 0.1, 3.0, 50.0, 99.9, 100.0):
            exact = np.percentile(values.astype(np.float32), percent)
            gap = np.percentile(values, [max(percent - 0.01, 0), min(percent + 0.01, 100)])
            tolerance = abs(exact) * 2.0**-13 + np.diff(gap)[0]
            assert abs(histogram.percentile(percent) - exact) <= tolerance


def test_histograms_merge_exactly_in_any_order() -> None:
    values = np.random.default_rng(0).normal(size=(6, 500)).astype(np.float32)
    whole = GreyHistogram()
    whole.add(values)
    parts = [GreyHistogram() for _ in values]
    for part, row in zip(parts, values):
        part.add(row)
    merged = GreyHistogram()
    for part in parts[::-1]:
        merged.merge(part)
    np.testing.assert_array_equal(merged.counts, whole.counts)


@pytest.mark.parametrize("radius", RADII)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_histogram_is_the_same_everywhere(xp, fetch, shape, radius):
    values = noise(shape)
    values[..., ::2] = np.random.default_rng().choice([0.0, 0.25, -3.0])
    counted = values[within(shape, radius) & np.isfinite(values)]
    # A bin is all the values whose bits are equal but for the last ten.
    expected = np.unique(counted.view(np.uint32) >> 10, return_counts=True)
    histogram = GreyHistogram()
    for part in (values, values[:0]):
        histogram.add(xp.asarray(part), radius_px=radius)
    assert histogram.total == counted.size
    filled = np.flatnonzero(histogram.counts)
    nearest = [min(_edges(int(place)), key=abs) for place in filled]
    found = np.array(nearest, np.float32).view(np.uint32) >> 10
    order = np.argsort(found)
    np.testing.assert_array_equal(found[order], expected[0])
    np.testing.assert_array_equal(histogram.counts[filled][order], expected[1])


def test_a_histogram_goes_on_after_it_was_read(xp):
    first, second = noise((2, 40, 41)), np.zeros((1, 70, 5000), np.float32)
    whole, parts, other = GreyHistogram(), GreyHistogram(), GreyHistogram()
    for values in (first, second):
        whole.add(values)
    parts.add(xp.asarray(first))
    assert parts.total == np.isfinite(first).sum()
    parts.add(xp.asarray(second), radius_px=None)
    np.testing.assert_array_equal(parts.counts, whole.counts)
    other.add(xp.asarray(first))
    other.merge(parts)
    assert other.total == parts.total + np.isfinite(first).sum()
    assert parts.total == whole.total


def test_a_window_from_slices_is_the_same_everywhere(xp):
    slices = noise((3, 31, 31))
    for values in (slices, slices[0]):
        for radius in (None, 4.0):
            window = window_from_samples(xp.asarray(values), radius_px=radius)
            assert window == window_from_samples(values, radius_px=radius)


def test_the_window_comes_from_inside_the_circle() -> None:
    rng = np.random.default_rng(0)
    slices = rng.uniform(1.0, 2.0, (4, 101, 101)).astype(np.float32)
    inside = circle(101, 101)
    slices[:, ~inside] = -50.0
    slices[:, 50, 50] = np.nan
    window = window_from_samples(slices)
    exact = np.nanpercentile(slices[:, inside], (0.1, 99.9))
    np.testing.assert_allclose((window.low, window.high), exact, atol=1e-3)
    small = window_from_samples(np.where(circle(101, 101, 10), slices, 9.0), radius_px=10)
    assert small.high < 2.0
    assert inside.sum() == pytest.approx(np.pi * 50.5**2, rel=0.01)


def test_a_constant_volume_gets_a_narrow_window() -> None:
    window = window_from_samples(np.full((1, 5, 5), 0.25, np.float32))
    assert window.low < 0.25 < window.high
    assert window.high - window.low < 0.001


def test_a_window_needs_voxels_and_rising_percentiles() -> None:
    with pytest.raises(InputError, match="No finite value"):
        window_from_samples(np.full((1, 5, 5), np.nan, np.float32))
    with pytest.raises(InputError, match="first has to be the lower"):
        window_from_samples(np.zeros((1, 5, 5), np.float32), percentiles=(99.0, 1.0))
    with pytest.raises(InputError, match="percentile is 101"):
        window_from_histogram(_one(), (1.0, 101.0))
    with pytest.raises(InputError, match="shape"):
        window_from_samples(np.zeros(5, np.float32))


def _one() -> GreyHistogram:
    histogram = GreyHistogram()
    histogram.add([1.0])
    return histogram
