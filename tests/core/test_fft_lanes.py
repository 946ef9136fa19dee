"""Transforms with the slices innermost, against NumPy's in float64."""

import numpy as np
import pytest

pytest.importorskip("numba", reason="numba is not installed: nothing to compare")

from hipct.core.fft_numba import radices, transform, twiddles


def split(samples):
    """Real parts of all slices before their imaginary parts, as one vector."""
    return np.stack([samples.real, samples.imag], axis=1).astype(np.float32).ravel()


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 8, 30, 240, 2 * 3**4, 5**4, 2**7 * 15])
@pytest.mark.parametrize("inverse", [False, True])
def test_equals_numpy(length, inverse):
    lanes, gap = 4, 3
    rng = np.random.default_rng(length)
    values = rng.standard_normal((length, lanes)) + 1j * rng.standard_normal((length, lanes))
    apart = np.zeros((length, gap, lanes), complex)
    apart[:, 1] = values
    plan = np.array(radices(length), np.int64)
    assert plan.prod() == length
    work, other = np.empty((2, 2 * lanes * length), np.float32)
    swap = lanes if inverse else 0
    source = split(apart.reshape(-1, lanes))
    width = 2 * lanes
    result = transform(
        (0,) * lanes, source, width, gap * width, swap, length, plan, twiddles(length), work, other
    )
    if length == 1:  # nothing to do: the samples are where they were
        return
    parts = result.reshape(length, 2, lanes)
    found = parts[:, 1] + 1j * parts[:, 0] if inverse else parts[:, 0] + 1j * parts[:, 1]
    expected = (
        np.fft.ifft(values, axis=0, norm="forward") if inverse else np.fft.fft(values, axis=0)
    )
    assert np.abs(found - expected).max() < 5e-7 * np.abs(expected).max()


def test_source_may_be_the_second_work_array():
    lanes, length = 4, 240
    values = np.random.default_rng(0).standard_normal((length, 2 * lanes)).astype(np.float32)
    arrays = (np.array(radices(length), np.int64), twiddles(length))
    outside, work, other = (np.empty(values.size, np.float32) for _ in range(3))
    expected = transform(
        (0,) * lanes, values.ravel(), 0, 2 * lanes, 0, length, *arrays, outside, other
    ).copy()
    other[:] = values.ravel()
    result = transform((0,) * lanes, other, 0, 2 * lanes, 0, length, *arrays, work, other)
    assert np.array_equal(result, expected)
