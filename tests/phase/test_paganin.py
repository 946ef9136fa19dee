"""Paganin's filter against the textbook FFT, plane waves, nabu and tomopy."""

from __future__ import annotations

import importlib
import tracemalloc

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.core.threads import set_thread_count
from hipct.phase import PaganinFilter, UnsharpMask, extent, paganin, unsharp
from hipct.phase.convert import delta_beta_from_tomopy_alpha
from hipct.phase.kernel import kernel_length_px

filter_module = importlib.import_module("hipct.phase.filter")

SCAN = {"pixel_size_um": 20.0, "distance_m": 3.5, "energy_kev": 90.0, "delta_beta": 1470.0}
METHODS = ["paganin", "generalised"]


def textbook(
    images, method="paganin", *, pad, mode, pixel_size_um, distance_m, energy_kev, delta_beta
):
    """The formulas as they stand in the papers, float64, complex FFT of a padded image."""
    rows, columns = images.shape[1:]
    pixel = pixel_size_um * 1e-6
    padded = np.pad(images.astype(np.float64), ((0, 0), pad, pad), mode=mode)
    fy = np.fft.fftfreq(padded.shape[1], pixel)[:, None]
    fx = np.fft.fftfreq(padded.shape[2], pixel)
    strength = wavelength_m(energy_kev) * distance_m * delta_beta
    if method == "paganin":
        denominator = 1 + np.pi * strength * (fx**2 + fy**2)
    else:
        cosines = np.cos(2 * np.pi * fx * pixel) + np.cos(2 * np.pi * fy * pixel)
        denominator = 1 + strength / (4 * np.pi * pixel**2) * 2 * (2 - cosines)
    filtered = np.fft.ifft2(np.fft.fft2(padded) / denominator).real
    return filtered[:, pad[0] : pad[0] + rows, pad[0] : pad[0] + columns]


def mirrored(images, method="paganin", **scan):
    """The same on the image mirrored to twice its size."""
    rows, columns = images.shape[1:]
    whole = np.concatenate([images, images[:, ::-1]], axis=1)
    whole = np.concatenate([whole, whole[:, :, ::-1]], axis=2)
    return textbook(whole, method, pad=(0, 0), mode="edge", **scan)[:, :rows, :columns]


def images(shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).uniform(0.2, 1.2, shape).astype(dtype)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(2, 48, 80), (1, 37, 51), (3, 1, 64), (2, 20, 1)])
def test_mirror_padding_is_the_fft_of_the_mirrored_image(method, shape):
    data = images(shape)
    expected = mirrored(data, method, **SCAN)
    assert np.abs(paganin(data, method=method, **SCAN) - expected).max() < 1e-13
    single = paganin(data.astype(np.float32), method=method, **SCAN)
    assert single.dtype == np.float32
    assert np.abs(single - expected).max() < 1e-6


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_edge_padding_by_the_reach_is_edge_padding_to_more_than_double(method, dtype):
    data = images((2, 96, 130), dtype)
    expected = textbook(data, method, pad=(200, 200), mode="edge", **SCAN)
    assert np.abs(paganin(data, method=method, padding="edge", **SCAN) - expected).max() < 1e-6


@pytest.mark.parametrize("rows", [304, 352])
def test_a_tile_of_any_height_takes_the_fast_transform_without_a_trace(rows):
    """A layer and its halos: a height with a prime above 5, and a reach above its half."""
    pytest.importorskip("numba", reason="numba is not installed")
    scan = SCAN | {"pixel_size_um": 10.0, "distance_m": 1.0, "delta_beta": 1000.0}
    data = images((1, rows, 64))
    plan = PaganinFilter(rows, 64, **scan)
    assert plan._rows.total > 1.5 * rows
    assert plan.takes_logarithm
    assert np.abs(plan.apply(data) - mirrored(data, **scan)).max() < 1e-6


@pytest.mark.parametrize("columns", [2 * 79 * 4, 1021])
def test_slow_lengths_are_extended_without_a_trace(columns):
    data = images((1, 32, columns))
    plan = PaganinFilter(32, columns, **SCAN)
    assert plan._columns.total > columns
    assert np.abs(plan.apply(data) - mirrored(data, **SCAN)).max() < 1e-6
    assert np.abs(paganin(data, **SCAN) - mirrored(data, **SCAN)).max() < 1e-13


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [(0, 0), (3, 0), (0, 5), (7, 11), (40, 60)])
def test_a_cosine_image_is_multiplied_by_the_filter_at_its_frequency(method, order):
    rows, columns = 64, 96
    fy, fx = order[0] / (2 * rows), order[1] / (2 * columns)
    y, x = np.arange(rows) + 0.5, np.arange(columns) + 0.5
    image = np.outer(np.cos(2 * np.pi * fy * y), np.cos(2 * np.pi * fx * x))[None]
    pixel = SCAN["pixel_size_um"] * 1e-6
    strength = wavelength_m(90) * 3.5 * 1470 / pixel**2
    if method == "paganin":
        factor = 1 / (1 + np.pi * strength * (fx**2 + fy**2))
    else:
        cosines = np.cos(2 * np.pi * fx) + np.cos(2 * np.pi * fy)
        factor = 1 / (1 + strength / (4 * np.pi) * 2 * (2 - cosines))
    assert np.abs(paganin(image, method=method, **SCAN) - factor * image).max() < 1e-14


def test_the_two_filters_agree_at_low_frequencies_and_differ_at_nyquist():
    y = np.arange(256) + 0.5
    for order, low, high in ((2, 1.0, 1.001), (255, 1.5, 3.0)):
        image = np.cos(np.pi * order / 256 * y)[None, :, None] * np.ones((1, 1, 4))
        ratio = np.abs(paganin(image, method="generalised", **SCAN)).max()
        ratio /= np.abs(paganin(image, **SCAN)).max()
        assert low <= ratio < high


def test_equals_nabu():
    phase = pytest.importorskip("nabu.preproc.phase", reason="nabu is not installed")
    # At these sizes nabu doubles the image exactly, so that its symmetric padding is a mirror.
    data = images((1, 120, 150))
    theirs = phase.PaganinPhaseRetrieval(
        (120, 150),
        distance=3.5,
        energy=90.0,
        delta_beta=1470.0,
        pixel_size=20e-6,
        padding="symmetric",
    )
    # Its h c has nine digits.
    assert np.abs(paganin(data, **SCAN)[0] - theirs.apply_filter(data[0])).max() < 1e-9


def test_tomopys_stored_result_within_the_error_of_its_grid(shared_data):
    folder = shared_data / "tomopy_refs"
    ours = paganin(
        np.load(folder / "proj.npy"),
        pixel_size_um=1.0,
        distance_m=0.5,
        energy_kev=20.0,
        delta_beta=delta_beta_from_tomopy_alpha(1e-3),
        padding="edge",
    )
    assert np.abs(ours / np.load(folder / "retrieve_phase.npy") - 1).max() < 0.03


def test_a_homogeneous_object_is_retrieved_from_its_own_forward_model():
    # Transport of intensity: I = (1 - z delta / mu nabla^2) exp(-mu t), which the filter inverts.
    y, x = np.mgrid[:128, :160]
    thickness = np.exp(-((y - 60) ** 2 + (x - 80) ** 2) / (2 * 15**2))
    contact = np.exp(-thickness)
    fy = np.fft.fftfreq(128)[:, None]
    fx = np.fft.fftfreq(160)
    a = kernel_length_px(**SCAN)
    propagated = np.fft.ifft2(
        np.fft.fft2(contact) * (1 + (2 * np.pi * a) ** 2 * (fx**2 + fy**2))
    ).real[None]
    assert np.abs(propagated[0] - contact).max() > 0.04
    assert np.abs(-np.log(paganin(propagated, **SCAN))[0] - thickness).max() < 2e-3


def test_an_unsharp_mask_taken_along_equals_one_applied_after():
    data = images((2, 40, 56))
    for method in ("gaussian", "log"):
        mask = UnsharpMask(sigma_px=0.8, strength=3.0, method=method)
        plan = PaganinFilter(40, 56, unsharp=mask, dtype=np.float64, **SCAN)
        after = unsharp(paganin(data, **SCAN), sigma_px=0.8, strength=3.0, method=method)
        assert np.abs(plan.apply(data) - after).max() < 1e-13


def test_one_plan_serves_blocks_of_any_length_in_place_and_integers():
    plan = PaganinFilter(24, 40, **SCAN)
    data = images((7, 24, 40), np.float32)
    whole = plan.apply(data.copy())
    parts = np.concatenate([plan.apply(data[:1]), plan.apply(data[1:6]), plan.apply(data[6:])])
    assert np.array_equal(whole, parts)
    assert np.array_equal(data, images((7, 24, 40), np.float32))
    assert plan.apply(data, out=data) is data
    assert np.array_equal(data, whole)
    counts = np.arange(24 * 40, dtype=np.uint16).reshape(1, 24, 40)
    assert np.array_equal(plan.apply(counts), plan.apply(counts.astype(np.float32)))
    assert plan.memory_bytes(10) >= plan.memory_bytes(1) > 4 * 24 * 40


@pytest.mark.parametrize("padding", ["mirror", "edge"])
@pytest.mark.parametrize(
    "size", [(48, 50), (40, 4), (40, 2), (9, 54), (63, 97), (96, 128), (1, 30)]
)
def test_transforms_in_lanes_equal_the_librarys(size, padding, monkeypatch):
    pytest.importorskip("numba")
    data = images((4, *size), np.float32)
    given = {"padding": padding, "unsharp": UnsharpMask(sigma_px=0.8, strength=3.0), **SCAN}
    plan = PaganinFilter(*size, **given)
    for module in (filter_module, extent):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    library = PaganinFilter(*size, **given)
    assert library._lanes is None
    expected = library.apply(data)
    for threads in (1, 3):
        set_thread_count(threads)
        found = plan.apply(data)
        np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
        np.testing.assert_array_equal(plan.apply(data[2:3])[0], found[2])
    set_thread_count(None)


def test_strips_shared_by_all_threads_give_the_bits_of_one():
    pytest.importorskip("numba")
    data = images((3, 700, 60), np.float32)
    plan = PaganinFilter(700, 60, **SCAN)
    assert plan._lanes
    results = []
    for threads in (1, 2, 40):
        set_thread_count(threads)
        results.append(plan.apply(data))
    set_thread_count(None)
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    assert np.abs(results[0] - mirrored(data, **SCAN)).max() < 1e-6


@pytest.mark.parametrize("padding", ["mirror", "edge"])
@pytest.mark.parametrize("accelerated", [True, False])
def test_sinograms_are_minus_the_logarithm_of_what_is_retrieved(padding, accelerated, monkeypatch):
    if accelerated:
        pytest.importorskip("numba")
    else:
        for module in (filter_module, extent):
            monkeypatch.setattr(module, "has_numba", lambda: False)
    data = images((5, 50, 72), np.float32)
    # So strong a mask takes some of the noise below the minimum.
    mask = UnsharpMask(sigma_px=0.8, strength=60.0)
    plan = PaganinFilter(50, 72, padding=padding, unsharp=mask, **SCAN)
    assert plan.takes_logarithm == accelerated
    retrieved = plan.apply(data).astype(np.float64)[:, 13:37]
    minimum = np.float32(0.3)
    raised = int((retrieved < minimum).sum())
    assert 0 < raised < retrieved.size
    expected = -np.log(np.maximum(retrieved, minimum)).swapaxes(0, 1)
    whole = np.full((26, 9, 80), 7, np.float32)
    for lines in (whole[1:25, :, 3:75], np.full((24, 9, 144), 7, np.float32)[..., ::2]):
        for part in (slice(0, 2), slice(2, 5)):
            assert plan.sinograms(
                data[part], lines, 3 + part.start, rows=slice(13, 37), minimum=minimum
            ) == int((retrieved[part] < minimum).sum())
        np.testing.assert_allclose(lines[:, 3:8], expected, rtol=2.5e-7, atol=1e-12)
        assert (lines[:, :3] == 7).all()
        assert (lines[:, 8:] == 7).all()
    assert (whole[0] == 7).all()
    with pytest.raises(InputError, match="8 or more"):
        plan.sinograms(data, whole[:24, :7, :72], 3, rows=slice(13, 37), minimum=minimum)
    with pytest.raises(InputError, match="minimum 2"):
        plan.sinograms(data, whole[:24, :, :72], rows=slice(13, 37), minimum=2)
    data[3, 2, 1] = np.inf
    with pytest.raises(InputError, match="Image 3"):
        plan.sinograms(data, whole[:24, :, :72], rows=slice(13, 37), minimum=minimum)


def test_work_space_is_as_large_as_said():
    pytest.importorskip("numba")
    data = images((4, 256, 500), np.float32)
    plan = PaganinFilter(256, 500, padding="edge", **SCAN)
    plan.apply(data)
    tracemalloc.start()
    try:
        plan.apply(data)
        taken = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Numba's own arrays are not traced; without them the spectra and the result are most.
    assert plan._lanes
    said = plan.memory_bytes(4) - plan._lanes._response.nbytes
    assert taken < said < 1.6 * taken


@pytest.mark.parametrize("padding", ["mirror", "edge"])
def test_the_level_is_kept(padding):
    flat = np.full((1, 30, 50), 0.37)
    assert np.abs(paganin(flat, padding=padding, **SCAN) - 0.37).max() < 1e-14


def test_wrong_input_is_named():
    data = images((2, 16, 16))
    plan = PaganinFilter(16, 16, **SCAN)
    cases = [
        (lambda: paganin(data, **SCAN | {"distance_m": -1.0}), "distance_m"),
        (lambda: paganin(data, **SCAN | {"delta_beta": float("nan")}), "delta_beta"),
        (lambda: paganin(data, **SCAN | {"energy_kev": 0.0}), "energy_kev"),
        (lambda: paganin(data, method="ctf", **SCAN), "ctf"),
        (lambda: paganin(data, padding="zero", **SCAN), "zero"),
        (lambda: paganin(data[0], **SCAN), r"image\[None\]"),
        (lambda: plan.apply(data[:, :8]), r"\(angles, 16, 16\)"),
        (lambda: plan.apply(data, out=np.empty_like(data)), "float64"),
        (lambda: PaganinFilter(0, 4, **SCAN), "rows is 0"),
        (lambda: PaganinFilter(4, 4, dtype=np.int32, **SCAN), "int32"),
    ]
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_is_refused_with_the_number_of_its_image(bad):
    data = images((5, 16, 16), np.float32)
    data[3, 2, 1] = bad
    with pytest.raises(InputError, match="Image 3"):
        paganin(data, **SCAN)
