"""Opposite projections: who they are, what they share, and corrections that rest on them."""

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.borders import mend_borders
from hipct.preparation.opposite import Opposites, Strip
from hipct.preparation.outside import continue_outside
from hipct.preparation.pair_levels import match_pair_levels, pair_levels

DEGREE = np.pi / 180


@pytest.mark.parametrize("degrees", [
    np.arange(0, 360, 2.0), np.arange(0, 362, 2.0), np.arange(0, 363, 1.7), np.arange(360, 0, -2.0),
    np.random.default_rng(0).permutation(np.arange(0, 360, 2.0)) - 500,
])  # fmt: skip
def test_opposites_of_any_angles(degrees):
    opposites = Opposites.of(degrees * DEGREE, degrees.size)
    assert opposites.measured.all()
    wave = np.stack([np.cos(degrees * DEGREE), np.sin(degrees * DEGREE)])
    np.testing.assert_allclose(opposites.take(wave), -wave, atol=2e-4)


def test_a_gap_has_no_opposites():
    degrees = np.arange(10, 360, 2.0)
    measured = Opposites.of(degrees * DEGREE, degrees.size).measured
    # Opposite of the gap between 358 and 370 degrees: 180 to 188.
    np.testing.assert_array_equal(measured, (degrees < 179) | (degrees > 189))


@pytest.mark.parametrize("axis", [190.3, 20.0, 99.5, 199.5, 0.0, -7.25, 210.5])
def test_columns_and_their_opposites_count_once(axis):
    strip = Strip(200, axis)
    assert strip.outer_is_left == (axis > 99.5)
    weights = strip.counts_once()
    assert weights[0 if strip.outer_is_left else -1] == pytest.approx(1, abs=1e-4)
    mirrored = 2 * axis - np.arange(200)
    both = (mirrored >= 0) & (mirrored <= 199)
    other = np.interp(mirrored[both], np.arange(200), weights)
    np.testing.assert_allclose(weights[both] + other, 1, atol=0.05)


@pytest.mark.parametrize("axis", [180.3, 19.77, 120.5])
@pytest.mark.parametrize("number", [360, 361])
def test_levels_are_told_from_stripes_and_structure(axis, number):
    """A smooth scene that opposites mirror, with stripes and levels of both on top."""
    theta = np.arange(number) * 2 * np.pi / number
    distance = np.arange(200) - axis
    place = 30 * np.cos(theta - 0.3)[:, None]
    rows = np.exp(-(((distance - place) / 25) ** 2))
    levels = 0.02 * np.cos(theta) + 0.01 * np.sin(5 * theta)
    stripes = 0.05 * np.random.default_rng(0).standard_normal(200)
    bad = rows + levels[:, None] + stripes
    found = pair_levels(bad[None], theta, axis)[0]
    # An even part, the same for both of a pair, cannot be told; these levels have none.
    np.testing.assert_allclose(found, levels, atol=3e-4)
    matched = match_pair_levels(bad[None], theta, axis)[0]
    np.testing.assert_allclose(matched, rows + stripes, atol=3e-4)


def test_in_place_and_precision():
    theta = np.arange(90) * 4 * DEGREE
    rows = np.random.default_rng(0).random((2, 90, 64)).astype(np.float32)
    exact = match_pair_levels(rows.astype(np.float64), theta, 50.2)
    wide, _ = continue_outside(rows, theta, 50.2, 20)
    assert wide.dtype == np.float32
    mended = mend_borders(rows, 5)
    assert match_pair_levels(rows, theta, 50.2, out=rows) is rows
    np.testing.assert_allclose(rows, exact, atol=1e-6)
    part = mended[:, :, :7].copy()
    assert mend_borders(mended, 5, out=mended) is mended
    np.testing.assert_allclose(mended[:, :, 5:7], part[:, :, 5:7])


def test_a_body_that_ends_in_the_field_has_nothing_beside_it():
    theta = np.arange(120) * 3 * DEGREE
    rows = 2 * np.sqrt(np.maximum(60.0**2 - (np.arange(100) - 80.0) ** 2, 0))
    wide, axis = continue_outside(np.tile(rows, (1, 120, 1)), theta, 80.0, 30)
    assert axis == 110.0
    assert np.abs(wide[:, :, :30]).max() == 0
    np.testing.assert_array_equal(wide[0, 0, 30:], rows)


def test_a_hole_in_the_ground_goes_on_below_it():
    """Densities below that of the ground: rows are negative, and their chords too."""
    theta = np.arange(120) * 3 * DEGREE
    distance = np.arange(-30, 100) - 80.0
    rows = -2 * np.sqrt(np.maximum(95.0**2 - distance**2, 0))
    wide, _ = continue_outside(np.tile(rows[30:], (1, 120, 1)), theta, 80.0, 30)
    np.testing.assert_allclose(wide[0, 0], rows, atol=1e-5)


def test_devices_do_as_numpy_does(xp, fetch):
    theta = np.arange(45) * 8 * DEGREE
    rows = np.random.default_rng(0).uniform(0.5, 1, (3, 45, 64)).astype(np.float32)
    for axis in (50.2, 12.4):
        given = xp.asarray(rows)
        for found, expected in (
            (match_pair_levels(given, theta, axis), match_pair_levels(rows, theta, axis)),
            (mend_borders(given, 6), mend_borders(rows, 6)),
            (
                continue_outside(given, theta, axis, 20)[0],
                continue_outside(rows, theta, axis, 20)[0],
            ),
        ):
            np.testing.assert_allclose(fetch(found), expected, atol=2e-5)
        np.testing.assert_array_equal(fetch(given), rows)


SINOGRAMS = np.ones((1, 8, 64))
ANGLES = np.arange(8) * np.pi / 4


@pytest.mark.parametrize(("call", "message"), [
    (lambda: pair_levels(SINOGRAMS, ANGLES[:7], 50), "one value for each"),
    (lambda: pair_levels(SINOGRAMS, ANGLES, 61), "share 5.0 columns"),
    (lambda: pair_levels(SINOGRAMS, ANGLES, 55, border_px=7), "share 3.0 columns"),
    (lambda: pair_levels(SINOGRAMS, ANGLES, -3), "share 0.0 columns"),
    (lambda: pair_levels(SINOGRAMS, ANGLES, 50, border_px=-1), "0 or more"),
    (lambda: pair_levels(SINOGRAMS, ANGLES, 200), "at most one width"),
    (lambda: pair_levels(SINOGRAMS[:, :1], ANGLES[:1], 50), "There is 1 projection"),
    (lambda: pair_levels(SINOGRAMS, ANGLES * np.nan, 50), "finite"),
    (lambda: mend_borders(SINOGRAMS, 17), "between 0 and 16"),
    (lambda: mend_borders(SINOGRAMS[0], 1), "three axes"),
    (lambda: continue_outside(SINOGRAMS, ANGLES, 50, 0), "between 1 and 128"),
    (lambda: continue_outside(SINOGRAMS[:, :, :12], ANGLES, 5, 5), "16 or more"),
])  # fmt: skip
def test_what_cannot_be(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_a_slice_does_not_depend_on_the_others():
    theta = np.arange(450) * 0.8 * DEGREE
    rows = np.random.default_rng(0).random((5, 450, 300)).astype(np.float32)
    matched = match_pair_levels(rows, theta, 270.2)
    wide, _ = continue_outside(rows, theta, 270.2, 40)
    for k in range(5):
        part = rows[k : k + 1].copy()
        np.testing.assert_array_equal(match_pair_levels(part, theta, 270.2)[0], matched[k])
        np.testing.assert_array_equal(continue_outside(part, theta, 270.2, 40)[0][0], wide[k])
