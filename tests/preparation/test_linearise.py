"""The logarithm: accuracy, clamping, counting."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation import linearise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.linearise import line_integral, sinograms


def test_error_stays_below_3e_7_over_all_transmissions():
    bits = np.arange(np.float32(1e-6).view(np.int32), np.float32(4).view(np.int32), 997)
    transmission = bits.astype(np.int32).view(np.float32)
    result = line_integral(transmission)
    assert result.dtype == np.float32
    exact = -np.log(transmission.astype(np.float64))
    np.testing.assert_allclose(result, exact, rtol=3e-7, atol=0)


def test_double_precision_stays():
    transmission = np.linspace(0.01, 1.5, 50)
    np.testing.assert_allclose(line_integral(transmission), -np.log(transmission), rtol=1e-15)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_small_and_missing_values_are_clamped_and_counted(dtype):
    values = np.array([[np.nan, np.inf, -np.inf, 0, -1, 1e-7, 0.5, 1, 1e-3]], dtype)
    counts = PixelCounts()
    result = line_integral(values, minimum=1e-3, counts=counts)
    high = -np.log(1e-3)
    expected = [[0, 0, 0, high, high, high, np.log(2), 0, high]]
    np.testing.assert_allclose(result, expected, rtol=3e-7, atol=1e-30)
    assert counts.clamped == 6


def test_in_place_blocks_and_gaps():
    rng = np.random.default_rng(0)
    values = rng.uniform(0.1, 1, (3, 400, 301)).astype(np.float32)
    expected = line_integral(values)
    np.testing.assert_allclose(expected, -np.log(values), rtol=3e-7, atol=1e-7)
    wide = np.zeros((3, 400, 400), np.float32)
    line_integral(values, out=wide[..., :301])
    np.testing.assert_array_equal(wide[..., :301], expected)
    assert not wide[..., 301:].any()
    assert line_integral(values, out=values) is values
    np.testing.assert_array_equal(values, expected)


def test_wrong_input_is_answered_in_sentences():
    with pytest.raises(InputError, match="minimum is 0"):
        line_integral(np.ones(3), minimum=0)
    with pytest.raises(InputError, match="real numbers"):
        line_integral(np.array(["a"]))


def test_compiled_logarithm_keeps_within_one_unit_in_the_last_place_wherever_a_value_lies():
    pytest.importorskip("numba")
    bits = np.arange(np.float32(1e-36).view(np.int32), np.float32(1e6).view(np.int32), 499)
    near_one = np.arange(-40000, 40000) + np.float32(1).view(np.int32)
    transmission = np.concatenate([bits, near_one]).astype(np.int32).view(np.float32)
    result = line_integral(transmission, minimum=1e-36)
    exact = -np.log(transmission.astype(np.float64))
    unit = np.spacing(np.abs(exact).astype(np.float32)).astype(np.float64)
    assert (np.abs(result - exact) <= unit).all()
    # Vectors or the rest of a loop, this block or another: the same operations.
    for length in (1, 7, 33, 2049):
        part = slice(1000, 1000 + length)
        np.testing.assert_array_equal(
            line_integral(transmission[part], minimum=1e-36), result[part]
        )


@pytest.mark.parametrize("accelerated", [True, False])
def test_sinograms_are_the_line_integrals_in_another_order(accelerated, monkeypatch):
    if accelerated:
        pytest.importorskip("numba")
    monkeypatch.setattr(linearise, "has_numba", lambda: accelerated)
    rng = np.random.default_rng(1)
    transmission = rng.uniform(0.1, 1, (5, 7, 41)).astype(np.float32)
    transmission[2, 3, 4], transmission[1, 3, 5], transmission[0, 0, 0] = np.nan, -1, 0
    counts = PixelCounts()
    # A part of a larger array: a run of memory only along the columns, and not even there.
    for target in (np.zeros((9, 12, 50), np.float32), np.zeros((9, 12, 100), np.float32)[..., ::2]):
        out = target[2:7, :, 3:44]
        sinograms(transmission, out, 4, rows=slice(1, 6), counts=counts)
        expected = line_integral(transmission).swapaxes(0, 1)[1:6]
        np.testing.assert_array_equal(out[:, 4:9], expected)
        out[:, 4:9] = 0
        assert not target.any()
    assert counts.clamped == 4
