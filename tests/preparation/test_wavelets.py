"""Daubechies wavelets against PyWavelets and their defining properties."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

from hipct.core.errors import InputError
from hipct.preparation.wavelets import (
    HIGHEST_ORDER,
    analysis,
    analysis_adjoint,
    coefficients,
    daubechies,
    synthesis,
)

orders = pytest.mark.parametrize("order", range(1, HIGHEST_ORDER + 1))


@orders
def test_filters_are_orthonormal_and_have_their_vanishing_moments(order):
    taps = daubechies(order)
    for shift in range(order):
        overlap = taps[2 * shift :] @ taps[: len(taps) - 2 * shift]
        assert overlap == pytest.approx(float(shift == 0), abs=1e-12)
    alternating = taps * (-1.0) ** np.arange(2 * order)
    position = np.linspace(-1, 1, 2 * order)
    for moment in range(order):
        assert alternating @ position**moment == pytest.approx(0, abs=1e-11)


@orders
def test_filters_equal_pywavelets(order):
    np.testing.assert_allclose(daubechies(order), pywt.Wavelet(f"db{order}").rec_lo, atol=1e-12)


@orders
@pytest.mark.parametrize("samples", [1, 7, 36, 101])
def test_transform_equals_pywavelets_and_inverts(order, samples):
    signal = np.random.default_rng(samples).standard_normal(samples)
    low, high = (analysis(signal, order, high=high) for high in (False, True))
    approximation, detail = pywt.dwt(signal, f"db{order}", mode="symmetric")
    assert len(low) == len(high) == coefficients(samples, order)
    np.testing.assert_allclose(low, approximation, atol=1e-11)
    np.testing.assert_allclose(abs(high), abs(detail), atol=1e-11)
    back = synthesis(low, samples, order, high=False)
    back += synthesis(high, samples, order, high=True)
    np.testing.assert_allclose(back, signal, atol=1e-11)


@orders
@pytest.mark.parametrize("samples", [1, 7, 36, 101])
def test_adjoint_has_the_same_scalar_products(order, samples):
    rng = np.random.default_rng(samples)
    signal = rng.standard_normal((2, samples))
    bands = rng.standard_normal((2, coefficients(samples, order)))
    back = analysis_adjoint(bands, samples, order)
    assert back.shape == signal.shape
    ahead = analysis(signal, order, high=False)
    np.testing.assert_allclose((ahead * bands).sum(-1), (signal * back).sum(-1), atol=1e-11)


def test_unknown_orders_are_refused():
    for order in (0, HIGHEST_ORDER + 1):
        with pytest.raises(InputError, match=f"db{order}"):
            daubechies(order)
