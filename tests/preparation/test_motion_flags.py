"""Sudden motion and bubbles, in views in which they happen and in views in which nothing does."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.motion_changes import bubbles, find_changes
from hipct.preparation.motion_pairs import Pair
from hipct.preparation.motion_steps import find_jumps, link_shifts, link_sums, step_size
from hipct.preparation.registration import Shift

SHAPE = 40, 120
COUNT = 150
STEP = 90
MOVED = np.array([0.9, -0.7])
STILL = Shift(0.0, 0.0, 1.0, (0.02, 0.02))


def turning(count=COUNT, jump=None, spread=1, noise=0.01, seed=0):
    """Blobs on orbits, which jump between two views or over some."""
    random = np.random.default_rng(seed)
    rows = random.uniform(0, SHAPE[0], 60)
    radius, phase = random.uniform(0, 50, 60), random.uniform(0, 2 * np.pi, 60)
    width = random.uniform(1.5, 4, 60)
    r, c = np.ogrid[: SHAPE[0], : SHAPE[1]]
    views = np.empty((count, *SHAPE), np.float32)
    for k in range(count):
        moved = np.zeros(2) if jump is None else np.clip((k - STEP) / spread, 0, 1) * np.array(jump)
        columns = 60 + radius * np.cos(phase + k * 0.01) + moved[1]
        down = np.exp(
            -((r - rows[:, None, None] - moved[0]) ** 2) / (2 * width[:, None, None] ** 2)
        )
        right = np.exp(-((c - columns[:, None, None]) ** 2) / (2 * width[:, None, None] ** 2))
        views[k] = 0.1 * np.einsum("brx,bxc->rc", down, right)
    return views + np.float32(noise) * random.standard_normal(views.shape, np.float32)


def disc(row, column, radius):
    """Path through a ball, in pixels."""
    r, c = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return 2 * np.sqrt(np.maximum(radius**2 - (r - row) ** 2 - (c - column) ** 2, 0))


def pair(angle=0.0, times=(0.0, 1.0), second=200):
    return Pair(0, 0.0, second, False, angle, times)


def test_shifts_between_links():
    """Small shifts of a smooth scene are found by the linear model."""
    r, c = np.ogrid[: SHAPE[0], : SHAPE[1]]
    moved = np.cumsum([[0, 0], [0.1, -0.2], [0.0, 0.3], [-0.25, 0.0]], axis=0)
    views = [
        np.sin(0.2 * (r - d)) + np.cos(0.15 * (c - e)) + np.sin(0.1 * (r - d) + 0.12 * (c - e))
        for d, e in moved
    ]
    shifts = link_shifts(link_sums(np.array(views, np.float32)))
    np.testing.assert_allclose(shifts, np.diff(moved, axis=0), atol=0.01)


def test_sums_of_bands_add_up(xp, fetch):
    views = turning(12)
    parts = [fetch(link_sums(xp.asarray(views[:, rows]))) for rows in (slice(0, 20), slice(20, 40))]
    assert parts[0].dtype == np.float64
    # Bands lose their borders: the middle of the whole is looked at by none.
    middle = link_sums(views[:, 17 - 3 : 23 + 3])
    np.testing.assert_allclose(parts[0] + parts[1] + middle, link_sums(views), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_nothing_happens(seed):
    assert find_jumps(link_shifts(link_sums(turning(seed=seed)))) == ()
    assert find_jumps(np.random.default_rng(seed).standard_normal((2000, 2))) == ()


@pytest.mark.parametrize("spread", [1, 5])
def test_a_jump_is_found_where_it_is(spread):
    views = turning(jump=MOVED, spread=spread)
    (jump,) = find_jumps(link_shifts(link_sums(views)))
    assert jump.first <= STEP < jump.last
    assert jump.last - jump.first <= 8
    wide = jump.last - jump.first
    if spread == 1:
        assert (jump.first, jump.last) == (STEP, STEP + 1)
        rows, columns, confidence = step_size(
            views[[jump.first - wide, jump.first, jump.last, jump.last + wide]]
        )
        np.testing.assert_allclose([rows, columns], MOVED, atol=0.1)
        assert confidence > 0.99


def test_a_step_that_is_none_has_no_confidence():
    views = turning(8)
    *_, confidence = step_size(views[2:6])
    assert confidence == 0


@pytest.mark.parametrize("seed", range(3))
def test_equal_views_have_no_changes(seed):
    random = np.random.default_rng(seed)
    scene = turning(1, noise=0.0)[0]
    noisy = [scene + 0.01 * random.standard_normal(SHAPE, np.float32) for _ in range(2)]
    assert find_changes(*noisy, STILL, pair()) == ()
    # Not quite registered, and under another light.
    beside = turning(1, noise=0.0)[0] + np.linspace(0, 0.1, SHAPE[1], dtype=np.float32)
    off = Shift(0.1, -0.1, 1.0, (0.02, 0.02))
    assert find_changes(noisy[0], beside, off, pair()) == ()


@pytest.mark.parametrize("radius", [4, 8])
def test_a_bubble_is_found(xp, radius):
    random = np.random.default_rng(1)
    scene = turning(1, noise=0.0)[0]
    first = scene + 0.01 * random.standard_normal(SHAPE, np.float32)
    # The sample has moved by whole pixels, the bubble with it.
    late = scene - 0.01 * disc(18, 70, radius)
    second = np.roll(late, (2, -3), (0, 1)) + 0.01 * random.standard_normal(SHAPE, np.float32)
    shift = Shift(2.0, -3.0, 1.0, (0.02, 0.02))
    views = (xp.asarray(view.astype(np.float32)) for view in (first, second))
    (change,) = find_changes(*views, shift, pair())
    assert abs(change.row - 18) < 1
    assert abs(change.column - 70) < 1
    assert abs(change.diameter_px - 2 * radius) < 0.25 * radius
    assert change.depth < 0
    assert change.confidence > 0.99


def test_bubbles_of_several_pairs():
    random = np.random.default_rng(2)
    scene = turning(1, noise=0.0)[0]
    changes = []
    for angle, start, column in ((0.0, 0.0, 40), (1.6, 0.25, 90), (3.1, 0.5, 70)):
        first = scene + 0.01 * random.standard_normal(SHAPE, np.float32)
        second = scene + 0.01 * random.standard_normal(SHAPE, np.float32)
        second = second - 0.01 * disc(18, column, 6) - 0.01 * disc(30, 20, 5)
        changes += find_changes(
            first.astype(np.float32), second.astype(np.float32), STILL, pair(angle, (start, 1.0))
        )
    assert len(changes) == 6
    # What stays on its pixels while the sample turns belongs to the detector.
    (bubble,) = bubbles(changes, axis_px=60.0)
    assert abs(bubble.row - 18) < 1
    assert bubble.times == (0.5, 1.0)


def test_too_few_views_or_pixels_are_refused(xp):
    with pytest.raises(InputError, match="give 2 or more"):
        link_sums(xp.zeros((1, 40, 40), np.float32))
    with pytest.raises(InputError, match="8 rows"):
        link_sums(xp.zeros((4, 7, 40), np.float32))
    assert find_jumps(np.zeros((10, 2))) == ()
