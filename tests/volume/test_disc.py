"""The disc of a slice: the same pixels by whole numbers, by distances and by rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hipct.core.errors import InputError
from hipct.volume.disc import WHOLE_PLANE, circle, columns_inside, squared_reach

SIDES = st.integers(1, 60)
# Quarters: many pixels then lie exactly on the rim.
RADII = st.floats(0, 100) | st.integers(0, 160).map(lambda quarters: quarters / 4)


@settings(max_examples=200, deadline=None)
@given(SIDES, SIDES, RADII)
def test_a_pixel_is_inside_where_its_distance_says_so(rows: int, columns: int, radius: float):
    y = np.arange(rows)[:, np.newaxis] - (rows - 1) / 2
    x = np.arange(columns) - (columns - 1) / 2
    inside = x * x + y * y <= radius * radius
    np.testing.assert_array_equal(circle(rows, columns, radius), inside)
    counts = columns_inside(rows, columns, squared_reach(radius))
    np.testing.assert_array_equal(counts, inside.sum(axis=1))
    assert not ((columns - counts[counts > 0]) % 2).any()


def test_large_slices_and_radii_are_exact():
    side = 46_339
    counts = columns_inside(side, side, squared_reach(side / 2))
    for y in (0, 1, 2, side // 3, side // 2):
        rest = side**2 - (2 * y - (side - 1)) ** 2
        offsets = 2 * np.arange(side, dtype=np.int64) - (side - 1)
        assert counts[y] == (offsets * offsets <= rest).sum()
    for radius in (None, 1e12, 1e300, np.inf):
        assert squared_reach(radius) <= WHOLE_PLANE
        assert (columns_inside(5, 4, squared_reach(radius)) == 4).all()


def test_half_of_the_shorter_side_is_the_default():
    np.testing.assert_array_equal(circle(5, 9), circle(5, 9, 2.5))


@pytest.mark.parametrize("radius", [-0.1, np.nan])
def test_impossible_radii_are_refused(radius):
    with pytest.raises(InputError, match="radius of the disc is"):
        squared_reach(radius)
