"""Unsharp masks against their analytic response."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hipct.core.errors import InputError
from hipct.phase import UnsharpMask, unsharp, unsharp_halo_rows

METHODS = ["gaussian", "log"]


def cosine(rows, columns, order):
    y, x = np.arange(rows) + 0.5, np.arange(columns) + 0.5
    fy, fx = order[0] / (2 * rows), order[1] / (2 * columns)
    return np.outer(np.cos(2 * np.pi * fy * y), np.cos(2 * np.pi * fx * x)), np.hypot(fx, fy)


@pytest.mark.parametrize("order", [(0, 0), (4, 0), (0, 9), (8, 12), (20, 3)])
@pytest.mark.parametrize("sigma", [1.5, 2.5])
def test_a_cosine_image_is_multiplied_by_the_analytic_response(order, sigma):
    image, f = cosine(60, 90, order)
    gauss = np.exp(-2 * (np.pi * sigma * f) ** 2)
    factor = {
        "gaussian": 1 + 0.7 * (1 - gauss),
        "log": 1 + 0.7 * sigma**2 * (2 * np.pi * f) ** 2 * gauss,
    }
    for method in METHODS:
        result = unsharp(image, sigma_px=sigma, strength=0.7, method=method)
        assert np.abs(result - factor[method] * image).max() < 2e-6


@pytest.mark.parametrize("method", METHODS)
def test_a_narrow_mask_has_the_response_of_its_samples(method):
    # Poisson's sum over the aliases: the response of a sampled Gaussian in closed form.
    image, f = cosine(64, 1, (22, 0))
    sigma, c, m = 0.8, 3.0, np.arange(-4, 5)
    gauss = np.exp(-2 * (np.pi * sigma * (f - m)) ** 2).sum()
    gauss /= np.exp(-2 * (np.pi * sigma * m) ** 2).sum()
    if method == "gaussian":
        factor, tolerance = 1 + c * (1 - gauss), 1e-5
    else:
        k = 2 * np.pi * sigma * (f - m)
        # The correction of mean and second moment of the samples is of the order 3e-4.
        factor, tolerance = 1 + c * (k**2 * np.exp(-(k**2) / 2)).sum(), 4e-3
    result = unsharp(image, sigma_px=sigma, strength=c, method=method)
    assert np.abs(result - factor * image).max() < tolerance


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_is_kept_and_edges_gain_contrast(method):
    image = np.random.default_rng(0).random((40, 50))
    result = unsharp(image, sigma_px=0.8, strength=3.0, method=method)
    assert result.mean() == pytest.approx(image.mean(), abs=1e-13)
    step = np.zeros((3, 40))
    step[:, 20:] = 1
    sharper = unsharp(step, sigma_px=1.0, strength=1.0, method=method)
    assert sharper[1, 19] < -0.1
    assert sharper[1, 20] > 1.1


def test_log_is_exact_on_a_parabola():
    y, x = np.mgrid[:41, :41] - 20.0
    image = 0.5 * x**2 - 0.2 * y**2 + 3 * x
    result = unsharp(image, sigma_px=0.8, strength=2.0, method="log")
    inner = (slice(10, 31),) * 2
    assert np.abs(result - (image - 2.0 * 0.8**2 * (1.0 - 0.4)))[inner].max() < 1e-10


def test_gaussian_equals_scipys():
    image = np.random.default_rng(2).random((30, 44))
    blurred = ndimage.gaussian_filter(image, 2.0, mode="reflect", truncate=6)
    expected = 1.5 * image - 0.5 * blurred
    assert np.abs(unsharp(image, sigma_px=2.0, strength=0.5) - expected).max() < 1e-7


@pytest.mark.parametrize("method", METHODS)
def test_outside_its_halo_nothing_is_felt(method):
    image = np.random.default_rng(3).random((80, 12))
    halo = unsharp_halo_rows(1.3)
    changed = image.copy()
    changed[40:] = 9.0
    mask = {"sigma_px": 1.3, "strength": 2.0, "method": method}
    assert np.array_equal(
        unsharp(image, **mask)[: 40 - halo], unsharp(changed, **mask)[: 40 - halo]
    )
    assert not np.allclose(unsharp(image, **mask)[39], unsharp(changed, **mask)[39])


def test_types_and_stacks():
    stack = np.random.default_rng(4).random((2, 3, 20, 30)).astype(np.float32)
    result = unsharp(stack, sigma_px=1.0, strength=1.0)
    assert result.dtype == np.float32
    assert result.shape == stack.shape
    one = unsharp(stack[1, 2].astype(np.float64), sigma_px=1.0, strength=1.0)
    assert np.abs(one - result[1, 2]).max() < 1e-6
    assert unsharp(stack.astype(np.uint8), sigma_px=1.0, strength=1.0).dtype == np.float32


def test_wrong_input_is_named():
    image = np.zeros((4, 4))
    for arguments, words in [
        ({"sigma_px": 0.0, "strength": 1.0}, "sigma_px is 0"),
        ({"sigma_px": 1.0, "strength": -1.0}, "strength is -1"),
        ({"sigma_px": 1.0, "strength": 1.0, "method": "box"}, "box"),
    ]:
        with pytest.raises(InputError, match=words):
            unsharp(image, **arguments)
    with pytest.raises(InputError, match="at least 2-D"):
        unsharp(np.zeros(4), sigma_px=1.0, strength=1.0)
    with pytest.raises(InputError, match="strength is nan"):
        UnsharpMask(sigma_px=1.0, strength=float("nan"))
