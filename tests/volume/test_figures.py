"""Figures of a slice, on pictures whose blur, rim, noise and levels are known."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.volume.edges import EdgeProfile, edge_model, fit_edge
from hipct.volume.figures import FWHM, figures

SIDE = 384
RADIUS = 30.0


def discs(blur_px, ratio=1.0, kernel_px=4.0):
    """Discs on a grid, blurred and filtered as wavenumbers are: (1 + r L2 k2) / (1 + L2 k2)."""
    # Drawn eight times as finely, so that pixels hold the means of their areas.
    fine = (np.arange(8 * 96) + 0.5) / 8 - 48.3
    disc = (np.hypot(fine, fine[:, None]) < RADIUS).astype(float)
    picture = np.tile(disc.reshape(96, 8, 96, 8).mean(axis=(1, 3)), (4, 4))
    k = 2 * np.pi * np.fft.fftfreq(SIDE)
    k2 = k**2 + k[:, None] ** 2
    # Pixels blur by themselves, with the variance of a box.
    blur = np.exp(-(blur_px**2 - 1 / 12) * k2 / 2)
    filtered = blur * (1 + ratio * kernel_px**2 * k2) / (1 + kernel_px**2 * k2)
    return np.fft.ifft2(np.fft.fft2(picture) * filtered).real


@pytest.fixture(scope="module")
def noise():
    return np.random.default_rng(7).standard_normal((SIDE, SIDE))


@pytest.mark.parametrize("blur_px", [0.7, 1.0, 2.0, 3.0])
def test_sharpness_is_the_width_of_the_blur(blur_px, noise):
    picture = discs(blur_px)
    clean = figures(picture, kernel_px=4.0)
    assert clean.edges > 100
    # Pixels see edges of 0.7 pixels hardly wider than they are.
    assert clean.sharpness_px == pytest.approx(FWHM * blur_px, rel=0.02 if blur_px >= 1 else 0.08)
    assert clean.halo == pytest.approx(0, abs=0.02)
    noisy = figures(picture + 0.1 * noise, kernel_px=4.0)
    assert noisy.sharpness_px == pytest.approx(FWHM * blur_px, rel=0.15)
    assert noisy.halo == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("kernel_px", [2.0, 4.0])
@pytest.mark.parametrize("ratio", [0.25, 0.5, 2.0, 4.0])
def test_halo_is_the_rim_of_a_wrong_ratio(ratio, kernel_px, noise):
    picture = discs(1.0, ratio, kernel_px)
    # Curved edges: the kernel's length is no longer small beside the radius of 30 pixels.
    expected = pytest.approx((ratio - 1) / 2, rel=0.12, abs=0.02)
    assert figures(picture, kernel_px=kernel_px).halo == expected
    told = figures(picture + 0.05 * noise, kernel_px=kernel_px)
    assert told.halo == pytest.approx((ratio - 1) / 2, rel=0.2, abs=0.08)


def test_levels_and_units_change_nothing_but_noise_and_contrast(noise):
    picture = discs(1.0, 0.5) + 0.05 * noise
    plain = figures(picture, kernel_px=4.0)
    scaled = figures(0.02 * picture - 3, kernel_px=4.0)
    assert scaled.sharpness_px == pytest.approx(plain.sharpness_px)
    assert scaled.halo == pytest.approx(plain.halo)
    assert scaled.noise == pytest.approx(0.02 * plain.noise)
    assert scaled.contrast == pytest.approx(0.02 * plain.contrast)
    assert scaled.contrast_to_noise == pytest.approx(plain.contrast_to_noise)
    turned = figures(picture[::-1].T, kernel_px=4.0)
    assert turned.noise == pytest.approx(plain.noise, rel=0.03)
    assert turned.halo == pytest.approx(plain.halo, abs=0.03)


def test_noise_is_that_of_flat_parts(noise):
    assert figures(0.03 * noise).noise == pytest.approx(0.03, rel=0.01)
    slope = np.arange(SIDE) * 0.01
    assert figures(0.03 * noise + slope + slope[:, None]).noise == pytest.approx(0.03, rel=0.01)
    # Edges belong to no flat square.
    assert figures(discs(1.0) + 0.03 * noise).noise == pytest.approx(0.03, rel=0.05)
    assert figures(discs(1.0)).noise < 1e-3


def test_noise_alone_has_no_edges(noise):
    assert figures(noise, kernel_px=4.0)[2:] == (None, None, 0)
    # What neighbours have in common neither.
    smooth = (noise + np.roll(noise, 1, 0) + np.roll(noise, 1, 1) + np.roll(noise, 2, 0)) / 2
    assert figures(smooth, kernel_px=4.0).edges == 0


def test_contrast_is_the_distance_of_two_levels(noise):
    bars = np.where(np.arange(SIDE) // 32 % 2, 0.31, 0.25) * np.ones((SIDE, 1))
    told = figures(bars + 0.01 * noise)
    assert told.contrast == pytest.approx(0.06, rel=0.01)
    assert told.contrast_to_noise == pytest.approx(6, rel=0.03)
    # Noise alone has what means over squares of four pixels leave: 2 sqrt(2/pi) / 4 of it.
    assert figures(noise).contrast_to_noise == pytest.approx(0.4, rel=0.05)


def test_only_what_counts_is_looked_at(noise):
    picture = discs(1.0) + 0.02 * noise
    inside = np.zeros(picture.shape, bool)
    inside[:192] = True
    spoilt = picture.copy()
    spoilt[192:] = np.nan
    told = figures(spoilt, kernel_px=4.0, inside=inside)
    assert told == figures(np.where(inside, picture, 50), kernel_px=4.0, inside=inside)
    assert 0 < told.edges < figures(picture, kernel_px=4.0).edges
    assert told.noise == pytest.approx(0.02, rel=0.05)


def test_the_fit_finds_what_the_model_was_made_of():
    place = np.arange(-24, 24.5, 0.5)
    for blur, halo, length in ((0.5, -0.3, 2.0), (3.0, 0.2, 8.0), (6.0, 1.0, 12.0)):
        profile = EdgeProfile(place, edge_model(place, blur, halo, length), 9)
        fit = fit_edge(profile, length)
        assert fit.blur_px == pytest.approx(blur, rel=0.01)
        assert fit.halo == pytest.approx(halo, abs=0.01)
        assert fit.residual < 1e-3


def test_the_model_is_the_blurred_rim():
    # Numerical convolution on a fine grid.
    step = 0.01
    place = np.arange(-60, 60 + step / 2, step)
    side = np.sign(np.rint(place / step))
    sharp = (1 + side) / 2 + 0.4 * side * np.exp(-np.abs(place) / 5)
    gauss = np.exp(-(place**2) / (2 * 1.7**2))
    blurred = np.convolve(sharp, gauss / gauss.sum(), "same")
    middle = np.abs(place) < 30
    model = edge_model(place[middle], 1.7, 0.4, 5.0)
    np.testing.assert_allclose(model, blurred[middle], atol=1e-4)


@pytest.mark.parametrize(
    ("picture", "options", "words"),
    [
        (np.zeros((3, 20, 20)), {}, r"shape \(3, 20, 20\); give \(rows, columns\)"),
        (np.zeros((20, 20)), {"inside": np.ones((20, 21), bool)}, "have to be the same"),
        (np.full((20, 20), np.nan), {}, "400 of the voxels that count are not finite"),
        (np.zeros((15, 40)), {}, "No square of 16 x 16 voxels"),
        (np.zeros((40, 40)), {"inside": np.eye(40, dtype=bool)}, "No square of 16 x 16 voxels"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(picture, options, words):
    with pytest.raises(InputError, match=words):
        figures(picture, **options)


def test_a_kernel_has_a_length():
    place = np.arange(-5, 5.0)
    with pytest.raises(InputError, match="kernel length is -1"):
        fit_edge(EdgeProfile(place, place, 9), -1.0)
