"""Shifts between images that overlap in part, on projections whose shift is known."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.registration import measure_shift, measure_shifts
from hipct.simulation.anatomy import build_organ

ANGLES = (0.2, 0.9, 1.7, 2.6)
SHAPE = 100, 200
FINE = 3


@cache
def organ():
    return build_organ(90.0, height_um=500.0, seed=3)


def view(angle, top, left):
    """Line integrals of an organ, up to 2, with pixels of 1 um, averaged over each pixel."""
    rows, columns = SHAPE
    sub = (np.arange(FINE) - (FINE - 1) / 2) / FINE
    z = (top + np.arange(rows)[:, None] + sub).ravel()
    u = (left + np.arange(columns)[:, None] + sub).ravel()
    image = organ().projected_thickness(angle, z, u).astype(np.float64) * 2000
    return image.reshape(rows, FINE, columns, FINE).mean(axis=(1, 3))


@cache
def pair(down, right):
    """Two stacks of views; what lies at (r, c) of the first lies at (r + down, c + right) there."""
    views = [[view(a, -30 - r, -100 - c) for a in ANGLES] for r, c in ((0, 0), (down, right))]
    return np.array(views[0], np.float32), np.array(views[1], np.float32)


def noisy(stack, sigma, seed=0):
    noise = np.random.default_rng(seed).standard_normal(stack.shape, np.float32)
    return stack + np.float32(sigma) * noise


SHIFTS = [(-71.37, 2.62), (-65.0, -1.5), (0.43, -0.28), (4.81, 61.9)]


@pytest.mark.parametrize("shift", SHIFTS)
def test_clean_views(xp, fetch, shift):
    first, second = (xp.asarray(stack) for stack in pair(*shift))
    expected = tuple(round(part / 10) * 10 for part in shift)
    options = {"reach_px": (7, 8), "expected_px": expected}
    found = measure_shift(first, second, **options)
    assert abs(found.rows - shift[0]) < 0.02
    assert abs(found.columns - shift[1]) < 0.02
    assert found.confidence > 0.999
    assert max(found.error_px) < 0.02
    for one in measure_shifts(first, second, **options):
        assert abs(one.rows - shift[0]) < 0.02
        assert abs(one.columns - shift[1]) < 0.02
    single = measure_shift(first[1], second[1], **options)
    assert abs(single.rows - shift[0]) < 0.02


@pytest.mark.parametrize("shift", SHIFTS)
def test_noise_level_and_slope(shift):
    """Noise of 1 %, level and slope of the second detector field."""
    first, second = pair(*shift)
    slope = np.linspace(0, 0.2, SHAPE[1], dtype=np.float32) + np.float32(0.1)
    expected = tuple(round(part / 10) * 10 for part in shift)
    errors, said = [], []
    for seed in range(4):
        found = measure_shift(
            noisy(first, 0.01, seed), 0.9 * noisy(second, 0.01, seed + 50) + slope,
            reach_px=(7, 8), expected_px=expected,
        )  # fmt: skip
        errors.append((found.rows - shift[0], found.columns - shift[1]))
        said.append(found.error_px)
        assert found.confidence > 0.99
    errors, said = np.array(errors), np.array(said)
    assert np.sqrt(np.mean(errors**2, axis=0)).max() < 0.1
    assert 0.3 < np.sqrt(np.mean((errors / said) ** 2)) < 3


def test_what_belongs_to_the_detector_does_not_win():
    """Rings: a pattern of the same size as the sample's structure, at shift 0 in both."""
    shift = (4.81, -6.3)
    rings = 0.5 * np.random.default_rng(1).standard_normal(SHAPE).astype(np.float32)
    first, second = (stack + rings for stack in pair(*shift))
    options = {"reach_px": (8, 8)}
    fooled = measure_shift(first, second, remove_static=False, **options)
    assert np.hypot(fooled.rows, fooled.columns) < 1
    found = measure_shift(first, second, **options)
    assert np.hypot(found.rows - shift[0], found.columns - shift[1]) < 0.02
    first, second = (stack + 0.2 * rings for stack in pair(*shift))
    for one in measure_shifts(first, second, **options):
        assert np.hypot(one.rows - shift[0], one.columns - shift[1]) < 0.1


def test_confidence():
    """It is about evenly spread over 0 to 1 where there is nothing in common."""
    rng = np.random.default_rng(2)
    values = []
    for _ in range(60):
        one, two = rng.standard_normal((2, 40, 60))
        values.append(measure_shift(one, two, reach_px=(6, 6)).confidence)
    inside = np.array(values)[np.array(values) > 0]
    assert len(inside) > 20
    assert 0.25 < np.median(inside) < 0.75
    assert np.mean(inside > 0.95) < 0.2
    # A shift beyond the search is not found on its border.
    first, second = pair(4.81, 61.9)
    assert measure_shift(first, second, reach_px=(2, 3), expected_px=(5, 52)).confidence < 0.95


def test_images_of_different_sizes(xp):
    """A strip of one image in the other."""
    first, _ = pair(0.43, -0.28)
    whole = xp.asarray(first[0])
    found = measure_shift(whole, whole[20:70, 33:150], reach_px=(30, 40))
    assert (found.rows, found.columns) == (
        pytest.approx(-20, abs=0.02), pytest.approx(-33, abs=0.02)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("first", "second", "options", "match"),
    [
        (np.zeros((20, 30)), np.zeros((2, 20, 30)), {}, "as many images"),
        (np.zeros(20), np.zeros(20), {}, "rows, columns"),
        (np.zeros((20, 30)), np.zeros((20, 30)), {"expected_px": (15, 0)}, "overlap by 5"),
        (np.zeros((20, 30)), np.zeros((20, 30)), {"reach_px": (-1, 2)}, "0 or more"),
        (np.zeros((20, 30)), np.zeros((20, 30)), {"fine_px": 9, "coarse_px": 3}, "band-pass"),
        (np.full((20, 30), np.nan), np.zeros((20, 30)), {}, "not finite"),
        (np.zeros((20, 30), complex), np.zeros((20, 30)), {}, "real numbers"),
    ],
)
def test_bad_input(first, second, options, match):
    with pytest.raises(InputError, match=match):
        measure_shift(first, second, **{"reach_px": (3, 3)} | options)
