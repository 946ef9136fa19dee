"""The iterative retrieval: its model against FFTs of the whole plane, its derivatives, its gain."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.fft

from hipct.core.errors import InputError
from hipct.core.physics import wavelength_m
from hipct.phase import NonlinearFilter, PaganinFilter, UnsharpMask, unsharp
from hipct.phase.nonlinear import model_reach
from hipct.phase.wave import DARK, FresnelModel

SCAN = {"pixel_size_um": 2.0, "energy_kev": 60.0, "delta_beta": 1000.0}
METRE = (SCAN["pixel_size_um"] * 1e-6) ** 2 / wavelength_m(SCAN["energy_kev"])
"""Distance of lambda z / p^2 = 1."""
FINE = 4


def blobs(rows, columns, radians, seed=0):
    """Line integrals on fine samples of smooth bodies that turn the phase by so much at most."""
    rng = np.random.default_rng(seed)
    z = (np.arange(rows * FINE) + 0.5)[:, None] / FINE
    x = (np.arange(columns * FINE) + 0.5) / FINE
    total = np.zeros((rows * FINE, columns * FINE))
    for _ in range(12):
        width = rng.uniform(2, 6)
        at = rng.uniform(0.2, 0.8, 2) * (rows, columns)
        total += rng.uniform(0.3, 1) * np.exp(
            -((z - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * width**2)
        )
    return total * 2 * radians / (SCAN["delta_beta"] * total.max())


def pixels(fine):
    rows, columns = (n // FINE for n in fine.shape)
    return fine.reshape(rows, FINE, columns, FINE).mean(axis=(1, 3))


def propagated(fine, number):
    """Intensity on pixels, by FFTs of the wave mirrored to twice its size."""
    wave = np.exp(-(1 + 1j * SCAN["delta_beta"]) / 2 * fine)
    wave = np.concatenate([wave, wave[::-1]])
    wave = np.concatenate([wave, wave[:, ::-1]], axis=1)
    f = [np.fft.fftfreq(n, 1 / FINE) for n in wave.shape]
    square = f[0][:, None] ** 2 + f[1] ** 2
    there = np.fft.ifft2(np.fft.fft2(wave) * np.exp(-1j * np.pi * number * square))
    return pixels(np.abs(there[: fine.shape[0], : fine.shape[1]]) ** 2)


def error(transmission, truth):
    found = -np.log(transmission.astype(np.float64))
    return np.sqrt(np.mean((found - truth) ** 2)) / truth.std()


@pytest.mark.parametrize("number", [0.5, 8.0])
def test_the_model_shows_what_ffts_show(number):
    fine = blobs(24, 30, 20)
    # Band-limited, so that the model's interpolation gives the same fine samples.
    coarse = pixels(fine)
    model = FresnelModel(coarse.shape, number, SCAN["delta_beta"], oversampling=FINE)
    spectrum = np.zeros(fine.shape)
    spectrum[:24, :30] = scipy.fft.dctn(coarse, norm="ortho") * FINE
    refined = scipy.fft.idctn(spectrum, norm="ortho")
    shown = model.image(coarse.astype(np.float32), np.float32(1))[2]
    expected = propagated(refined, number)
    assert abs(expected - 1).max() > 0.1
    assert np.abs(shown - expected).max() < 2e-4


def test_derivative_and_adjoint():
    rng = np.random.default_rng(1)
    truth = pixels(blobs(16, 20, 15)).astype(np.float32)
    model = FresnelModel(truth.shape, 4.0, SCAN["delta_beta"], oversampling=2)
    smooth = rng.uniform(0.2, 1, truth.shape).astype(np.float32)
    waves = model.image(truth, smooth)
    change = rng.normal(size=truth.shape).astype(np.float32)
    step = np.float32(1e-5)
    ahead, behind = (model.image(truth + s * change, smooth)[2] for s in (step, -step))
    slope = model.derivative(*waves[:2], change, smooth)
    assert np.abs((ahead - behind) / (2 * step) - slope).max() < 2e-3 * np.abs(slope).max()
    residual = rng.normal(size=truth.shape).astype(np.float32)
    one = np.vdot(slope, residual)
    other = np.vdot(change, model.adjoint(*waves[:2], residual, smooth))
    assert one == pytest.approx(other, rel=1e-3)
    assert model.amplitude(np.float32(-1)) == pytest.approx(np.sqrt(DARK))


@pytest.mark.parametrize(("number", "gain"), [(1.0, 2.2), (5.0, 1.6)])
def test_it_errs_less_than_paganin_where_fringes_are_strong(number, gain):
    fine = blobs(64, 72, 25)
    image = propagated(fine, number)[None].astype(np.float32)
    truth = pixels(fine)
    given = {"distance_m": number * METRE, **SCAN}
    plain = error(PaganinFilter(64, 72, **given).apply(image)[0], truth)
    found = error(NonlinearFilter(64, 72, **given).apply(image)[0], truth)
    assert found < plain / gain
    noisy = np.random.default_rng(0).poisson(image * 1e4) / 1e4
    plain = error(PaganinFilter(64, 72, **given).apply(noisy)[0], truth)
    assert error(NonlinearFilter(64, 72, **given).apply(noisy)[0], truth) < plain


@pytest.mark.parametrize("padding", ["mirror", "edge"])
def test_every_array_module_gives_the_same(xp, fetch, padding):
    images = np.stack([propagated(blobs(20, 26, 8, seed), 2.0) for seed in (0, 1)])
    mask = UnsharpMask(sigma_px=0.8, strength=1.0)
    given = {"distance_m": 2 * METRE, "iterations": 1, "padding": padding, **SCAN}
    plan = NonlinearFilter(20, 26, unsharp=mask, xp=xp, **given)
    found = fetch(plan.apply(xp.asarray(images)))
    expected = NonlinearFilter(20, 26, **given).apply(images.astype(np.float32))
    expected = unsharp(expected, sigma_px=0.8, strength=1.0)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 1e-4
    alone = fetch(plan.apply(xp.asarray(images[1:])))
    assert np.array_equal(alone[0], found[1])


def test_a_tile_with_its_halo_agrees_with_the_whole():
    number, rows, cut = 1.0, 300, 200
    fine = blobs(rows, 40, 15, seed=3)
    image = propagated(fine, number)[None].astype(np.float32)
    given = {"distance_m": number * METRE, **SCAN}
    whole = -np.log(NonlinearFilter(rows, 40, **given).apply(image)[0])
    tile = -np.log(NonlinearFilter(cut, 40, **given).apply(image[:, :cut])[0])
    plain = -np.log(PaganinFilter(rows, 40, **given).apply(image)[0])
    inner = slice(0, cut - 100)  # the reach of Paganin's kernel, to 1e-5
    assert model_reach(number, 2) < 100
    off = np.abs(whole[inner] - tile[inner]).max()
    assert off < 0.02 * np.abs(whole[inner] - plain[inner]).max()


def test_memory_stays_within_what_is_said():
    import tracemalloc

    plan = NonlinearFilter(128, 160, distance_m=METRE, iterations=1, **SCAN)
    image = propagated(blobs(128, 160, 8), 1.0)[None].astype(np.float32)
    plan.apply(image)  # keeps its factors
    tracemalloc.start()
    plan.apply(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    kept = 4 * 128 * 160 * 10
    assert 0.5 * (plan.memory_bytes(1) - kept) < peak < plan.memory_bytes(1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"iterations": 0}, "iterations is 0"),
        ({"oversampling": 0}, "oversampling is 0"),
        ({"oversampling": 2.5}, "oversampling is 2.5; it has to be a whole number"),
        ({"delta_beta": float("nan")}, "delta_beta is nan"),
        ({"regularisation": 0.0}, "regularisation is 0.0"),
        ({"padding": "zero"}, "padding is 'zero'"),
    ],
)
def test_what_is_wrong_is_said(change, words):
    with pytest.raises(InputError, match=words):
        NonlinearFilter(8, 8, **{"distance_m": METRE, **SCAN, **change})


def test_a_phase_too_steep_for_the_samples_is_refused():
    noise = np.random.default_rng(0).uniform(0.02, 1, (1, 24, 24)).astype(np.float32)
    plan = NonlinearFilter(24, 24, distance_m=1e-6 * METRE, **SCAN)
    with pytest.raises(InputError, match=r"Raise phase\.oversampling"):
        plan.apply(noise)
    bad = np.ones((2, 24, 24), np.float32)
    bad[1, 3, 3] = np.inf
    with pytest.raises(InputError, match="Image 1 of the block"):
        plan.apply(bad)
