"""Two materials: the ratio of their interface, and the splice of their slices."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.phase import interface_delta_beta, splice


def test_the_interface_has_the_ratio_of_the_differences():
    assert interface_delta_beta(2, 0.002, 5, 0.012) == pytest.approx(300)
    assert interface_delta_beta(5, 0.012, 2, 0.002) == pytest.approx(300)
    assert interface_delta_beta(0, 0, 3, 0.002) == pytest.approx(1500)
    for wrong in ((1, 0.001, 2, 0.001), (1, 0.002, 2, 0.001)):
        with pytest.raises(InputError, match="refracts more and absorbs more"):
            interface_delta_beta(*wrong)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_second_takes_over_smoothly(xp, fetch, dtype):
    first = np.linspace(0, 1, 101).astype(dtype).reshape(1, 101)
    second = np.full_like(first, 5)
    found = fetch(splice(xp.asarray(first), xp.asarray(second), 0.2, 0.6))
    assert found.dtype == dtype
    assert np.array_equal(found[first <= 0.2], first[first <= 0.2])
    assert np.allclose(found[first >= 0.6], 5)
    x = (first[0, 30] - 0.2) / 0.4
    share = 3 * x**2 - 2 * x**3
    assert found[0, 30] == pytest.approx((1 - share) * first[0, 30] + share * 5, rel=1e-5)
    down = fetch(splice(xp.asarray(first), xp.asarray(second), 0.6, 0.2))
    assert np.array_equal(down[first >= 0.6], first[first >= 0.6])
    assert np.allclose(down[first <= 0.2], 5)
    own = xp.asarray(first.copy())
    assert splice(own, xp.asarray(second), 0.2, 0.6, out=own) is own
    assert np.array_equal(fetch(own), found)


def test_wrong_slices_are_refused():
    with pytest.raises(InputError, match="have to be the same"):
        splice(np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), 0, 1)
    with pytest.raises(InputError, match="two finite numbers that differ"):
        splice(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), 1, 1)
