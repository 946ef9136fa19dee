"""Zingers, air columns and the logarithm where the projections live, against NumPy's array code."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation import zingers as zingers_module
from hipct.preparation.air import air_normalise
from hipct.preparation.counts import PixelCounts
from hipct.preparation.linearise import line_integral, sinograms
from hipct.preparation.zingers import remove_zingers

SIZES = [(1, 1, 1), (2, 1, 70), (3, 9, 1), (2, 2, 2), (2, 35, 33), (1, 4, 257), (3, 65, 40)]
CLOSE = {"rtol": 1e-6, "atol": 2e-7}


@pytest.fixture(autouse=True)
def array_code(monkeypatch):
    """What zingers are compared with."""
    monkeypatch.setattr(zingers_module, "has_numba", lambda: False)


def transmission(size, *, faults=False):
    rng = np.random.default_rng()
    values = rng.uniform(0.05, 1.2, size).astype(np.float32)
    if faults:
        for wrong in (np.nan, np.inf, -np.inf, 0, -1, 1e-9):
            values[rng.random(size) < 0.03] = wrong
    return values


@pytest.mark.parametrize("threshold", [0.05, 0.5])
@pytest.mark.parametrize("size", SIZES)
def test_zingers(device, fetch, size, threshold):
    values = transmission(size)
    counts, expected_counts = PixelCounts(), PixelCounts()
    expected = remove_zingers(values, threshold, counts=expected_counts)
    result = remove_zingers(device.asarray(values), threshold, counts=counts)
    np.testing.assert_array_equal(fetch(result), expected)
    assert counts.as_dict() == expected_counts.as_dict()


def test_zingers_of_counted_rows_and_into_views(xp, fetch):
    values = np.full((2, 9, 40), 0.5, np.float32)
    values[:, [0, 4, 8], 7] = 3
    counts = PixelCounts()
    wide = xp.zeros((2, 9, 50), np.float32)
    given = xp.asarray(np.pad(values, ((0, 0), (0, 0), (5, 0))))[..., 5:]
    remove_zingers(given, 0.2, counts=counts, counted_rows=slice(1, 9), out=wide[..., :40])
    np.testing.assert_array_equal(fetch(wide)[..., :40], 0.5)
    np.testing.assert_array_equal(fetch(wide)[..., 40:], 0)
    assert counts.zinger == 4
    with pytest.raises(InputError, match="shares memory"):
        remove_zingers(given, 0.2, out=given)


@pytest.mark.parametrize("size", SIZES)
def test_air(device, fetch, size):
    values = transmission(size, faults=True)
    columns = size[2]
    for left, right in {(1, 0), (0, columns), (columns // 2, columns - columns // 2), (columns, 0)}:
        counts, expected_counts = PixelCounts(), PixelCounts()
        given = device.asarray(values)
        expected = air_normalise(values, left=left, right=right, counts=expected_counts)
        result = air_normalise(given, left=left, right=right, counts=counts, out=given)
        np.testing.assert_allclose(fetch(result), expected, **CLOSE)
        assert counts.as_dict() == expected_counts.as_dict()


@pytest.mark.parametrize("size", SIZES)
def test_line_integrals(device, fetch, size):
    values = transmission(size, faults=True)
    counts, expected_counts = PixelCounts(), PixelCounts()
    expected = line_integral(values, minimum=1e-3, counts=expected_counts)
    given = device.asarray(values)
    result = fetch(line_integral(given, minimum=1e-3, counts=counts))
    np.testing.assert_allclose(result, expected, **CLOSE)
    assert counts.as_dict() == expected_counts.as_dict()
    np.testing.assert_array_equal(fetch(line_integral(given, minimum=1e-3, out=given)), result)


def test_an_array_longer_than_a_block_of_threads(device, fetch):
    values = transmission((3, 1025), faults=True)
    wide = device.zeros((3, 1100), np.float32)
    line_integral(device.asarray(values), out=wide[:, 7:1032])
    np.testing.assert_allclose(fetch(wide)[:, 7:1032], line_integral(values), **CLOSE)
    assert not fetch(wide)[:, 1032:].any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint16])
@pytest.mark.parametrize("size", [(1, 1, 1), (4, 7, 33), (3, 5, 1100)])
def test_sinograms(xp, fetch, size, dtype):
    angles, rows, columns = size
    values = transmission(size, faults=np.dtype(dtype).kind == "f").astype(dtype)
    for wanted in (slice(None), slice(rows // 3, rows - rows // 3)):
        counts = PixelCounts()
        known = np.where(np.isfinite(values), values, 1).astype(np.float64)[:, wanted]
        expected = -np.log(np.maximum(known, 1e-3)).swapaxes(0, 1)
        kind = np.float64 if dtype == np.float64 else np.float32
        out = xp.full((expected.shape[0], angles + 5, columns), -7, kind)
        given = xp.asarray(values)
        sinograms(given, out, 2, rows=wanted, minimum=1e-3, counts=counts)
        result = fetch(out)
        np.testing.assert_allclose(result[:, 2 : 2 + angles], expected, **CLOSE)
        assert (result[:, :2] == -7).all()
        assert (result[:, 2 + angles :] == -7).all()
        low = ~np.isfinite(values[:, wanted]) | (values[:, wanted] < 1e-3)
        assert counts.clamped == low.sum()
        again = xp.full(out.shape, -7, kind)
        sinograms(given[:, wanted], again, 2, minimum=1e-3)
        np.testing.assert_array_equal(fetch(again), result)
        np.testing.assert_array_equal(fetch(given), values)


def test_sinograms_that_do_not_fit_are_refused(xp):
    values, out = xp.ones((3, 5, 8), np.float32), xp.ones((5, 4, 8), np.float32)
    with pytest.raises(InputError, match="first is 2"):
        sinograms(values, out, 2)
    with pytest.raises(InputError, match="first is -1"):
        sinograms(values, out, -1)
    with pytest.raises(InputError, match="out has shape"):
        sinograms(values, out, rows=slice(1, 5))
    with pytest.raises(InputError, match="follow one another"):
        sinograms(values, out, rows=slice(None, None, -1))
    with pytest.raises(InputError, match="dtype"):
        sinograms(values, out.astype(np.float64))


def test_double_precision_stays(xp, fetch):
    values = np.linspace(0.01, 1.5, 60).reshape(2, 5, 6)
    given = xp.asarray(values)
    np.testing.assert_allclose(fetch(line_integral(given)), -np.log(values), rtol=1e-15)
    np.testing.assert_allclose(
        fetch(air_normalise(given, left=2)), values / values[..., :2].mean(-1, keepdims=True)
    )
    spot = values.copy()
    spot[1, 2, 3] = 9
    # The median of its neighbours is the next value of its row.
    spot[1, 2, 3] = fetch(remove_zingers(xp.asarray(spot), 1.0))[1, 2, 3]
    assert spot[1, 2, 3] == values[1, 2, 4]


def test_transfers(standin):
    given = standin.ones((6, 5, 40), np.float32)
    out = standin.empty((5, 6, 40), np.float32)
    standin._transfers.reset()
    remove_zingers(given, 0.2)
    air_normalise(given, left=3, right=3)
    line_integral(given)
    sinograms(given, out)
    assert (standin._transfers.to_host, standin._transfers.to_device) == (0, 0)
    counts = PixelCounts()
    remove_zingers(given, 0.2, counts=counts)
    air_normalise(given, left=3, right=3, counts=counts)
    line_integral(given, counts=counts)
    sinograms(given, out, counts=counts)
    assert standin._transfers.to_host == 4
