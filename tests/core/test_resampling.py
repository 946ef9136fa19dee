"""Moving images by fractions of a pixel, against waves that are known everywhere."""

import numpy as np
import pytest

from hipct.core.resampling import REACH, sample, taps


@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.5, 0.77, 0.99])
@pytest.mark.parametrize(("frequency", "limit"), [(0.05, 2e-3), (0.2, 2e-3), (0.3, 5e-3)])
def test_waves_keep_phase_and_height(fraction, frequency, limit):
    place = np.arange(200)
    wave = np.cos(2 * np.pi * frequency * place)
    moved = sample(wave[None], 20 + fraction, 150, axis=1)[0]
    exact = np.cos(2 * np.pi * frequency * (20 + fraction + np.arange(150)))
    np.testing.assert_allclose(moved, exact, atol=limit)


def test_levels_stay_and_whole_numbers_copy():
    values = np.random.default_rng(0).random((2, 30, 3)).astype(np.float32)
    assert sample(values * 0 + 0.7, 3.3, 20, axis=1) == pytest.approx(0.7, abs=1e-6)
    np.testing.assert_array_equal(sample(values, 5.0, 20, axis=1), values[:, 5:25])
    assert taps(0.4).sum() == pytest.approx(1.0)
    assert taps(0.4).size == 2 * REACH


def test_ends_go_on():
    values = np.arange(5.0)[None]
    np.testing.assert_array_equal(sample(values, -3.0, 11, axis=1)[0, [0, 3, 7, 10]], [0, 0, 4, 4])


def test_devices_sample_as_numpy_does(xp, fetch):
    values = np.random.default_rng(1).random((3, 20, 4)).astype(np.float32)
    for start in (-2.3, 4.7, 12.0):
        found = fetch(sample(xp.asarray(values), start, 10, axis=1))
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, sample(values, start, 10, axis=1), atol=1e-6)
