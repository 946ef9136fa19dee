"""Two materials: the ratio of their interface, and the splice of their slices."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.phase import interface_delta_beta, mask_by_value, splice, splice_by_mask


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


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float64])
def test_a_mask_from_elsewhere_joins_slices(xp, fetch, dtype):
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 3, 6, 7)).astype(np.float32)
    mask = rng.uniform(size=first.shape) > 0.5
    found = fetch(splice_by_mask(*(xp.asarray(a) for a in (first, second, mask.astype(dtype)))))
    assert found.dtype == np.float32
    assert np.allclose(found, np.where(mask, second, first), atol=1e-6)
    share = rng.uniform(size=first.shape)
    own, kept = xp.asarray(first.copy()), xp.asarray(share)
    assert splice_by_mask(own, xp.asarray(second), kept, out=own) is own
    assert np.allclose(fetch(own), (1 - share) * first + share * second, atol=1e-6)
    assert np.array_equal(fetch(kept), share)
    by_value = mask_by_value(xp.asarray(first), -0.5, 0.5)
    one = splice_by_mask(xp.asarray(first), xp.asarray(second), by_value)
    other = splice(xp.asarray(first), xp.asarray(second), -0.5, 0.5)
    assert np.array_equal(fetch(one), fetch(other))


def test_wrong_masks_are_refused():
    slices = np.zeros((2, 1, 3, 3), np.float32)
    with pytest.raises(InputError, match=r"\(1, 3, 4\) of mask"):
        splice_by_mask(*slices, np.zeros((1, 3, 4), bool))
    for wrong in (np.full((1, 3, 3), 255, np.uint8), np.full((1, 3, 3), np.nan)):
        with pytest.raises(InputError, match="True and False, or numbers from 0 to 1"):
            splice_by_mask(*slices, wrong)


def test_wrong_slices_are_refused():
    with pytest.raises(InputError, match="have to have the same shape"):
        splice(np.zeros((1, 3, 3)), np.zeros((1, 3, 4)), 0, 1)
    with pytest.raises(InputError, match="two finite numbers that differ"):
        splice(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)), 1, 1)
