"""The filter on a device against the filter on NumPy, in float32 and as a float64 oracle."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import pairwise

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.phase import PaganinFilter, UnsharpMask, paganin, unsharp
from hipct.phase.extent import largest_prime, plan_extent
from hipct.phase.paganin_cuda import batch_images

SCAN = {"pixel_size_um": 20.0, "distance_m": 3.5, "energy_kev": 90.0, "delta_beta": 1470.0}
MASKS = {
    "plain": None,
    "gaussian": UnsharpMask(sigma_px=1.2, strength=0.7),
    "log": UnsharpMask(sigma_px=0.8, strength=3.0, method="log"),
}
# Each border of the product (frequency 0 and N/2 of both axes) for even and odd lengths.
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 3), (3, 2), (8, 33), (33, 8), (37, 51)]


def images(shape, dtype=np.float32):
    return np.random.default_rng().uniform(0.2, 1.2, shape).astype(dtype)


def error(result, expected):
    return np.abs(result - expected).max() / np.abs(expected).max()


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("padding", ["mirror", "edge"])
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_numpy(device, fetch, shape, padding, mask):
    data = images((3, *shape))
    for method in ("paganin", "generalised"):
        options = {"method": method, "padding": padding, "unsharp": MASKS[mask], **SCAN}
        result = fetch(PaganinFilter(*shape, xp=device, **options).apply(device.asarray(data)))
        assert result.dtype == np.float32
        assert error(result, PaganinFilter(*shape, **options).apply(data)) < 2e-6
        oracle = PaganinFilter(*shape, dtype=np.float64, **options).apply(data)
        assert error(result, oracle) < 1e-6


@pytest.mark.parametrize("columns", [2 * 79 * 4, 1021])
def test_slow_lengths_are_extended_without_a_trace(device, fetch, columns):
    data = images((2, 6, columns))
    plan = PaganinFilter(6, columns, xp=device, **SCAN)
    assert plan._columns.total > columns
    oracle = PaganinFilter(6, columns, dtype=np.float64, **SCAN).apply(data)
    assert error(fetch(plan.apply(device.asarray(data))), oracle) < 1e-6


@pytest.mark.parametrize("size", [1, 7, 100, 632, 2528, 5056, 10007])
def test_lengths_for_a_device_are_even_products_of_small_primes(device, size):
    extent = plan_extent(size, 57, "edge", exact=False, xp=device)
    assert (extent.before, extent.size) == (57, size)
    assert size + 2 * 57 <= extent.total < 1.1 * (size + 2 * 57) + 2
    assert extent.total % 2 == 0
    assert largest_prime(extent.total) <= 7
    mirrored = plan_extent(size, 57, "mirror", exact=False, xp=device)
    assert mirrored.before == 0
    assert (mirrored.after == 0) == (largest_prime(size) <= 7 or size + 57 > 1.45 * size)
    kept = plan_extent(size, 57, "mirror", exact=True, xp=device)
    assert kept.total == size


def test_the_bits_do_not_depend_on_how_the_angles_are_cut(device, fetch):
    count = 2 * batch_images(14, 18) + 5
    data = device.asarray(images((count, 14, 18)))
    plan = PaganinFilter(14, 18, unsharp=MASKS["log"], xp=device, **SCAN)
    whole = fetch(plan.apply(data))
    for cuts in ([1, 2], [7, 40, 41], [32, 64], [count - 1]):
        bounds = [0, *cuts, count]
        parts = [fetch(plan.apply(data[a:b])) for a, b in pairwise(bounds)]
        assert np.array_equal(np.concatenate(parts), whole)
    assert np.array_equal(fetch(plan.apply(data[5:6]))[0], whole[5])
    assert error(whole, PaganinFilter(14, 18, unsharp=MASKS["log"], **SCAN).apply(fetch(data))) < (
        2e-6
    )


def test_in_place_views_and_other_types(device, fetch):
    plan = PaganinFilter(12, 20, xp=device, **SCAN)
    data = device.asarray(images((5, 12, 20)))
    expected = fetch(plan.apply(data.copy()))
    wide = device.zeros((5, 14, 30), np.float32)
    wide[:, 1:13, 4:24] = data
    assert np.array_equal(fetch(plan.apply(wide[:, 1:13, 4:24])), expected)
    inside = device.zeros((5, 14, 30), np.float32)
    plan.apply(data, out=inside[:, 1:13, 4:24])
    assert np.array_equal(fetch(inside[:, 1:13, 4:24]), expected)
    assert not fetch(inside[:, 0]).any()
    assert not fetch(inside[:, :, 24:]).any()
    assert np.array_equal(fetch(plan.apply(data.astype(np.float64))), expected)
    assert plan.apply(data, out=data) is data
    assert np.array_equal(fetch(data), expected)
    counts = np.random.default_rng().integers(0, 65536, (2, 12, 20), np.uint16)
    from_counts = fetch(plan.apply(device.asarray(counts)))
    assert np.array_equal(from_counts, fetch(plan.apply(device.asarray(counts, np.float32))))


def test_no_images_are_no_images(device):
    assert PaganinFilter(12, 20, xp=device, **SCAN).apply(device.zeros((0, 12, 20), "f4")).size == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("number", [0, 3, 40])
def test_a_bad_pixel_is_refused_with_the_number_of_its_image(device, bad, number):
    data = images((43, 10, 16))
    data[number, 2, 1] = data[42, 9, 15] = bad
    with pytest.raises(InputError, match=f"Image {number} of the block"):
        paganin(device.asarray(data), **SCAN)
    with pytest.raises(InputError, match="Image 1 of the block"):
        paganin(device.asarray(data[41:], dtype=np.float64), **SCAN)


@pytest.mark.parametrize("padding", ["mirror", "edge"])
def test_float64_is_computed_in_float64(device, fetch, padding):
    data = images((3, 14, 21), np.float64)
    result = fetch(paganin(device.asarray(data), padding=padding, **SCAN))
    assert result.dtype == np.float64
    tolerance = 1e-13 if padding == "mirror" else 1e-7
    assert error(result, paganin(data, padding=padding, **SCAN)) < tolerance


def test_host_and_device_are_not_mixed(device):
    with pytest.raises(InputError, match="make the filter with xp=numpy"):
        PaganinFilter(4, 4, xp=device, **SCAN).apply(np.ones((1, 4, 4), np.float32))


def test_the_estimate_of_memory_holds_the_work_space(device):
    rows, columns = 300, 2160
    plan = PaganinFilter(rows, columns, xp=device, **SCAN)
    image = 4 * rows * columns
    batch = batch_images(rows, columns)
    # A batch of reals, of spectra, and the work areas of both plans.
    work = plan.memory_bytes(0)
    assert 4 * batch * image < work < 4.05 * batch * image
    assert work < 2**28 * 1.05
    assert plan.memory_bytes(1000) == 1000 * image + work
    assert batch_images(1, 1) == batch_images(64, 64) == 32
    assert batch_images(20000, 20000) == 1
    # Lengths with a large prime take up to eight times the work area.
    assert PaganinFilter(37, 64, xp=device, **SCAN).memory_bytes(0) > 16 * 32 * 4 * 37 * 64


@pytest.mark.parametrize("padding", ["mirror", "edge"])
def test_a_call_takes_no_more_memory_than_estimated(device, padding):
    data = device.asarray(images((40, 40, 360)))
    pool = device.get_default_memory_pool()
    pool.free_all_blocks()
    before = pool.total_bytes()
    plan = PaganinFilter(40, 360, padding=padding, xp=device, **SCAN)
    plan.apply(data)
    assert 0 < pool.total_bytes() - before < 1.05 * plan.memory_bytes(40) + 2**20


def test_calls_at_the_same_time_do_not_disturb_one_another(device, fetch):
    data = images((6, 30, 44))
    plan = PaganinFilter(30, 44, xp=device, **SCAN)
    expected = fetch(plan.apply(device.asarray(data)))

    def call(_):
        with device.cuda.Stream(non_blocking=True):
            return fetch(plan.apply(device.asarray(data)))

    with ThreadPoolExecutor(3) as pool:
        assert all(np.array_equal(result, expected) for result in pool.map(call, range(6)))


@pytest.mark.parametrize("mask", ["gaussian", "log"])
def test_an_unsharp_mask_alone_equals_numpys(device, fetch, monkeypatch, mask):
    settings = {"sigma_px": 1.1, "strength": 2.0, "method": mask}
    module = import_module("hipct.phase.unsharp")  # of the same name as its function
    monkeypatch.setattr(module, "_DEVICE_BATCH_BYTES", 3 * 4 * 20 * 31)
    for shape in ((20, 31), (7, 20, 31), (2, 3, 9, 1)):
        data = images(shape)
        result = fetch(unsharp(device.asarray(data), **settings))
        assert result.shape == shape
        assert error(result, unsharp(data, **settings)) < 1e-6


def test_the_phase_imports_without_scipy():
    code = (
        "import sys; sys.modules['scipy'] = None; import hipct.phase as phase; "
        "import hipct.phase.paganin_cuda; phase.halo_rows(pixel_size_um=20, distance_m=3.5, "
        "energy_kev=90, delta_beta=1470)"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
