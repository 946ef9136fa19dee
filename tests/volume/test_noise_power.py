"""Noise of known power, and squares of which none can be told."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from hipct.core.errors import InputError
from hipct.volume.noise_power import noise_power

SIDE, PIXEL_UM, DEVIATION = 64, 20.0, 0.3


@pytest.fixture(scope="module")
def white():
    return np.random.default_rng(4).normal(0, DEVIATION, (200, 2 * SIDE, 2 * SIDE))


def test_white_noise_has_its_variance_times_the_area_of_a_pixel_everywhere(white):
    told = noise_power(white[:, :SIDE, :SIDE], pixel_size=PIXEL_UM)
    # The lowest rings have few samples, and lose some to the mean that is taken off.
    np.testing.assert_allclose(told.power[2:], DEVIATION**2 * PIXEL_UM**2, rtol=0.06)
    assert told.frequency[0] == pytest.approx(1 / (SIDE * PIXEL_UM))
    assert told.frequency[-1] == pytest.approx(1 / (2 * PIXEL_UM))


def test_a_filter_multiplies_it_by_the_square_of_its_transfer_function(white):
    blurred = ndimage.gaussian_filter(white, (0, 1.2, 1.2), mode="wrap")
    told = noise_power(blurred[:, :SIDE, :SIDE])
    transfer = np.exp(-2 * (np.pi * 1.2 * told.frequency) ** 2)
    seen = slice(2, SIDE // 4)
    np.testing.assert_allclose(
        told.power[seen], (DEVIATION * transfer[seen]) ** 2, rtol=0.12, atol=1e-6
    )


def test_over_all_frequencies_it_adds_up_to_the_variance(white):
    blurred = ndimage.gaussian_filter(white, (0, 1.5, 1.5), mode="wrap")[:, :SIDE, :SIDE]
    told = noise_power(blurred, pixel_size=PIXEL_UM)
    step = told.frequency[0]
    in_rings = (2 * np.pi * told.frequency * told.power * step).sum()
    in_the_middle = told.power[0] * step**2
    assert in_rings + in_the_middle == pytest.approx(blurred.var(), rel=0.05)


def test_a_mean_of_two_has_half_of_the_power(white):
    one, other = white[:100, :SIDE, :SIDE], white[100:, :SIDE, :SIDE]
    half = noise_power((one - other) / 2).power / noise_power(one).power
    assert half[2:].mean() == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize(
    ("squares", "pixel_size", "told"),
    [
        (np.zeros((3, 8, 8)), 1.0, "16 pixels"),
        (np.zeros((32, 32)), 1.0, "shape"),
        (np.zeros((3, 32, 30)), 1.0, "shape"),
        (np.zeros((0, 32, 32)), 1.0, "shape"),
        (np.full((1, 32, 32), np.nan), 1.0, "finite"),
        (np.zeros((1, 32, 32)), 0.0, "above 0"),
    ],
)
def test_what_has_no_power_is_refused_with_a_sentence(squares, pixel_size, told):
    with pytest.raises(InputError, match=told):
        noise_power(squares, pixel_size=pixel_size)
