"""The Fourier correlation against what is known of white noise and of band-limited phantoms."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.quality.correlation import FourierCorrelation, half_bit


def shaped(rng, side, axes, spectrum):
    """A random phantom whose transform has a given magnitude at each radial frequency."""
    white = np.fft.fftn(rng.standard_normal((side,) * axes))
    places = np.meshgrid(*[np.fft.fftfreq(side)] * axes, indexing="ij")
    radius = np.sqrt(sum(place**2 for place in places))
    return np.fft.ifftn(white * spectrum(radius)).real


def resolved(seed, side, axes, spectrum, *, noise, crops):
    rng = np.random.default_rng(seed)
    both = FourierCorrelation(side, axes)
    for _ in range(crops):
        signal = shaped(rng, side, axes, spectrum)
        one, other = noise * rng.standard_normal((2, *signal.shape))
        both.add(signal + one, signal + other)
    return both.resolution()


@pytest.mark.parametrize(("side", "axes", "crops"), [(96, 2, 30), (40, 3, 12)])
def test_white_noise_limits_where_the_signal_falls_below_it(side, axes, crops):
    width, noise = 0.12, 0.3
    found = resolved(1, side, axes, lambda f: np.exp(-((f / width) ** 2)), noise=noise, crops=crops)
    power = np.exp(-2 * (found.frequency / width) ** 2)
    expected = power / (power + noise**2)
    inner = slice(3, None)
    assert np.abs(found.correlation - expected)[inner].max() < 0.12
    assert np.abs((found.correlation - expected)[inner].mean()) < 0.02
    # Where expectation and threshold meet, of a threshold that changes slowly.
    level = np.interp(0.2, found.frequency, found.threshold)
    at = width * np.sqrt(-0.5 * np.log(noise**2 * level / (1 - level)))
    assert 1 / found.pixels == pytest.approx(at, rel=0.06)


@pytest.mark.parametrize("cut", [0.12, 0.25, 0.4])
def test_a_band_limited_phantom_is_resolved_up_to_its_band(cut):
    found = resolved(2, 128, 2, lambda f: (f <= cut).astype(float), noise=0.2, crops=12)
    # Hann's window and means over three rings widen a sharp band by a ring each.
    assert 1 / found.pixels == pytest.approx(cut, abs=3 / 128)
    assert found.correlation[found.frequency < cut - 0.03][3:].min() > 0.9
    assert np.abs(found.correlation[found.frequency > cut + 0.03]).max() < 0.25


def test_without_noise_all_pixels_are_resolved_and_without_signal_none():
    def white(frequency):
        return np.ones_like(frequency)

    clean = resolved(3, 64, 2, white, noise=0.0, crops=2)
    assert clean.pixels == 2
    assert clean.at_the_limit
    noise = resolved(4, 64, 2, lambda f: 0 * f, noise=1.0, crops=10)
    assert noise.pixels is None or noise.pixels > 15
    assert np.abs(noise.correlation[4:]).mean() < 0.1


def test_scatter_of_pure_noise_is_that_of_the_samples_counted():
    rng = np.random.default_rng(5)
    curves = []
    for _ in range(60):
        both = FourierCorrelation(64)
        both.add(*rng.standard_normal((2, 64, 64)))
        curves.append(both.resolution().correlation[10:])
    ring = np.arange(10, 33)
    # Of a real image half the values are independent, and each has two parts.
    samples = 2 * np.pi * ring * (3 / 8) ** 2 / (35 / 128)
    ratio = np.std(curves, axis=0) * np.sqrt(samples)
    assert 0.85 < ratio.mean() < 1.15


def test_half_a_bit_is_an_snr_of_the_square_root_of_two_less_one():
    # Of infinitely many samples: the mean of both halves has twice the ratio of one.
    ratio = (np.sqrt(2) - 1) / 2
    assert half_bit([1e16])[0] == pytest.approx(ratio / (1 + ratio), abs=1e-4)


def test_a_wrong_crop_is_a_sentence():
    with pytest.raises(InputError, match="32 pixels or more"):
        FourierCorrelation(16)
    both = FourierCorrelation(32)
    with pytest.raises(InputError, match="No crop"):
        both.resolution()
    with pytest.raises(InputError, match=r"the shape \(32, 32\)"):
        both.add(np.zeros((8, 8)), np.zeros((8, 8)))
    with pytest.raises(InputError, match="finite"):
        both.add(np.full((32, 32), np.nan), np.zeros((32, 32)))
