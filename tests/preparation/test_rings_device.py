"""Ring removal on a device: against NumPy, at the edges of lanes, groups, tiles and batches."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation import rings_sorting_cuda, rings_wavelet_cuda
from hipct.preparation.rings import remove_rings, ring_memory_bytes
from hipct.preparation.rings_sorting import remove_rings_sorting
from hipct.preparation.rings_wavelet import remove_rings_wavelet


def with_ties(shape, seed=0):
    """Few distinct values, both zeros among them: ties keep the order of the angles."""
    rng = np.random.default_rng(seed)
    sinograms = (rng.integers(-6, 7, shape) * 0.1).astype(np.float32)
    sinograms[rng.random(shape) < 0.1] = -0.0
    return sinograms


def without_ties(shape, seed=0):
    """Values of all magnitudes, too small for normal floats among them."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-42, 30, shape)
    return values.astype(np.float32)


def check_sorting(xp, fetch, sinograms, size_px):
    result = fetch(remove_rings_sorting(xp.asarray(sinograms), size_px=size_px))
    np.testing.assert_array_equal(result, remove_rings_sorting(sinograms, size_px=size_px))


values = pytest.mark.parametrize("make", [with_ties, without_ties])


@values
@pytest.mark.parametrize("angles", [1, 2, 31, 33, 1000, 1024, 1025, 2100])
def test_sorting_equals_numpy_for_any_number_of_angles(device, fetch, make, angles):
    for columns, size_px in ((2, 1), (5, 3)):
        check_sorting(device, fetch, make((2, angles, columns)), size_px)


@values
@pytest.mark.parametrize("size_px", [1, 3, 21, 63, 65, 141])
def test_sorting_equals_numpy_for_any_width(device, fetch, make, size_px):
    check_sorting(device, fetch, make((2, 45, 141)), size_px)


def test_a_median_is_slid_across_more_than_one_strip(device, fetch):
    columns = rings_sorting_cuda.STRIP + 9
    for size_px in (5, 75):
        check_sorting(device, fetch, without_ties((1, 40, columns)), size_px)


@values
@pytest.mark.parametrize("angles", [1025, 2048, 2500])
def test_columns_of_several_tiles_are_merged(device, fetch, monkeypatch, make, angles):
    monkeypatch.setattr(rings_sorting_cuda, "MOST_GROUPS", 1)
    assert rings_sorting_cuda.Geometry(angles).tiles == -(-angles // 1024)
    check_sorting(device, fetch, make((2, angles, 3)), 3)


@values
def test_seven_groups_are_merged(device, fetch, make):
    assert rings_sorting_cuda.Geometry(6500).groups == 7
    check_sorting(device, fetch, make((1, 6500, 2)), 1)


def test_more_angles_than_16_bits_count(device, fetch, monkeypatch):
    monkeypatch.setattr(
        rings_sorting_cuda.Geometry, "angle_type", property(lambda self: np.dtype(np.uint32))
    )
    check_sorting(device, fetch, with_ties((1, 300, 25)), 21)


def test_geometry_covers_every_angle():
    for angles in (1, 1024, 3000, 6000, 7168, 7169, 12000, 15000, 30000, 70000):
        geometry = rings_sorting_cuda.Geometry(angles)
        assert geometry.tiles * geometry.tile >= angles > (geometry.tiles - 1) * geometry.tile
        assert geometry.tile <= 1024 * geometry.groups <= 7168
        assert angles - 1 <= np.iinfo(geometry.angle_type).max


@pytest.mark.parametrize(
    ("shape", "settings"),
    [
        ((2, 150, 141), {}),
        ((3, 97, 200), {"levels": 2, "sigma": 2.5, "order": 5}),
        ((1, 64, 64), {"sigma": 0.3, "order": 1}),
        ((1, 30, 40), {"sigma": 20.0}),
        ((2, 20, 2), {"order": 15}),
        ((1, 1100, 131), {}),
        ((2, 1, 1), {}),
    ],
)
def test_wavelet_equals_numpy(device, fetch, shape, settings):
    sinograms = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    expected = remove_rings_wavelet(sinograms.astype(np.float64), **settings)
    result = fetch(remove_rings_wavelet(device.asarray(sinograms), **settings))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-6 * abs(expected).max())


def test_wavelet_with_more_vectors_than_a_block_takes(device, fetch):
    sinograms = np.random.default_rng(2).standard_normal((2, 220, 40)).astype(np.float32)
    settings = {"sigma": 8.0, "levels": 2, "order": 2}
    expected = remove_rings_wavelet(sinograms, **settings)
    result = fetch(remove_rings_wavelet(device.asarray(sinograms), **settings))
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


methods = pytest.mark.parametrize("method", ["sorting", "wavelet"])


@methods
def test_bits_do_not_depend_on_the_slices_in_a_call(device, fetch, monkeypatch, method):
    sinograms = device.asarray(without_ties((5, 60, 70)) if method == "sorting" else noise())
    whole = fetch(remove_rings(sinograms, method))
    for place in range(5):
        alone = fetch(remove_rings(sinograms[place : place + 1], method))
        np.testing.assert_array_equal(alone[0].view(np.uint32), whole[place].view(np.uint32))
    for module in (rings_sorting_cuda, rings_wavelet_cuda):
        monkeypatch.setattr(module, "MOST_SLICES", 2)
    batches = fetch(remove_rings(sinograms, method))
    np.testing.assert_array_equal(batches.view(np.uint32), whole.view(np.uint32))


def noise(slices=5, angles=60, columns=70):
    rng = np.random.default_rng(3)
    return rng.standard_normal((slices, angles, columns)).astype(np.float32)


@methods
def test_in_place_and_into_a_view(device, fetch, method):
    sinograms = device.asarray(noise())
    expected = fetch(remove_rings(sinograms, method))
    wide = device.zeros((5, 60, 80), np.float32)
    view = wide[:, :, 4:74]
    assert remove_rings(sinograms, method, out=view) is view
    np.testing.assert_array_equal(fetch(wide)[:, :, 4:74], expected)
    assert not fetch(wide)[:, :, :4].any()
    view[...] = sinograms
    np.testing.assert_array_equal(fetch(remove_rings(view, method)), expected)
    assert remove_rings(sinograms, method, out=sinograms) is sinograms
    np.testing.assert_array_equal(fetch(sinograms), expected)


@methods
def test_float64_stays_float64(device, fetch, method):
    sinograms = noise(2, 30, 40).astype(np.float64)
    result = fetch(remove_rings(device.asarray(sinograms), method))
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, remove_rings(sinograms, method), rtol=0, atol=1e-12)


@methods
def test_values_that_are_not_finite_are_refused(device, method):
    for bad in (np.nan, np.inf, -np.inf):
        for dtype in (np.float32, np.float64):
            broken = np.ones((2, 40, 40), dtype)
            broken[1, 3, 39] = bad
            with pytest.raises(InputError, match="NaN or infinite"):
                remove_rings(device.asarray(broken), method)
    with pytest.raises(InputError, match="mixed in one call"):
        remove_rings(np.ones((1, 40, 40), np.float32), out=device.ones((1, 40, 40), np.float32))


@methods
def test_one_fetch_whatever_the_number_of_slices(standin, monkeypatch, method):
    for module in (rings_sorting_cuda, rings_wavelet_cuda):
        monkeypatch.setattr(module, "MOST_SLICES", 1)
    sinograms = standin.asarray(noise())
    remove_rings(sinograms, method)  # uploads the plan
    standin._transfers.reset()
    remove_rings(sinograms, method)
    counted = standin._transfers
    assert (counted.to_host, counted.to_device, counted.waits) == (1, 0, 0)


@methods
def test_memory_is_what_was_said(standin, method):
    shape = 3, 200, 400
    sinograms = standin.asarray(noise(*shape))
    pool = standin.get_default_memory_pool()
    before = pool._peak[0] = pool.used_bytes()
    remove_rings(sinograms, method, out=sinograms)
    said = ring_memory_bytes(*shape, method=method, on_device=True)
    assert 0.6 * said < pool._peak[0] - before <= said + 4096


def test_threads_with_streams_of_their_own_agree(device, fetch):
    sinograms = device.asarray(noise())
    device.cuda.get_current_stream().synchronize()
    expected = {method: fetch(remove_rings(sinograms, method)) for method in ("sorting", "wavelet")}

    def work(method):
        with device.cuda.Stream(non_blocking=True) as stream:
            result = remove_rings(sinograms, method)
            stream.synchronize()
            return method, fetch(result)

    with ThreadPoolExecutor(4) as pool:
        for method, result in pool.map(work, ["sorting", "wavelet"] * 3):
            np.testing.assert_array_equal(result, expected[method])
