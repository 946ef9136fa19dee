"""Regularised ring removal: against the minimum it promises, algotom, planted stripes."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.rings import remove_rings, ring_memory_bytes
from hipct.preparation.rings_titarenko import remove_rings_regularised, rough_part
from hipct.preparation.stripe_score import stripe_score


def noise(slices=3, angles=60, columns=70):
    rng = np.random.default_rng(3)
    return rng.standard_normal((slices, angles, columns)).astype(np.float32)


@pytest.mark.parametrize("columns", [1, 2, 3, 40, 101])
@pytest.mark.parametrize("alpha", [1e-4, 0.05, 3.0])
def test_offsets_make_the_mean_smoothest(columns, alpha):
    mean = np.random.default_rng(0).standard_normal(columns)
    difference = np.diff(np.eye(columns), axis=0)
    rough = difference.T @ difference
    expected = np.linalg.solve(rough + alpha * np.eye(columns), rough @ mean)
    np.testing.assert_allclose(rough_part(mean[None], alpha)[0], expected, atol=1e-11)


@pytest.mark.parametrize("blocks", [1, 7])
def test_equals_algotom_away_from_the_borders(blocks):
    """Its hyperbolic cosines are those of one column farther: exp(-tau) of the correction."""
    removal = pytest.importorskip("algotom.prep.removal", reason="algotom is not installed")
    sinogram = noise(1, 60, 400)[0]
    expected = removal.remove_stripe_based_regularization(
        sinogram, alpha=0.05, num_chunk=blocks, apply_log=False, sort=False
    )
    result = remove_rings_regularised(sinogram[None], alpha=0.05, blocks=blocks)[0]
    tau = 2 * np.arcsinh(np.sqrt(0.05) / 2)
    inner = np.s_[:, 100:300]
    less = np.exp(-tau) * (result - sinogram)[inner]
    np.testing.assert_allclose(less, (expected - sinogram)[inner], atol=2e-6)


def test_planted_stripes_go_and_blocks_follow_them():
    rng = np.random.default_rng(1)
    clean = 0.05 * noise(2, 400, 200)
    stripes = 0.3 * rng.standard_normal((2, 1, 200)).astype(np.float32)
    alike = clean + stripes
    assert np.std((remove_rings_regularised(alike, alpha=1e-4) - clean).mean(axis=1)) < 0.02
    turned = alike.copy()
    turned[:, 200:] -= 2 * stripes
    left = [
        stripe_score(remove_rings_regularised(turned, alpha=1e-4, blocks=blocks)).ring_rms.max()
        for blocks in (1, 2)
    ]
    assert left[0] > 0.25
    assert left[1] < 0.02


def test_device_equals_numpy(device, fetch):
    sinograms = noise()
    for blocks in (1, 4):
        expected = remove_rings(sinograms, "regularised", blocks=blocks)
        kept = device.asarray(sinograms)
        result = remove_rings(kept, "regularised", blocks=blocks)
        np.testing.assert_allclose(fetch(result), expected, atol=1e-6)
        assert remove_rings(kept, "regularised", blocks=blocks, out=kept) is kept
        np.testing.assert_array_equal(fetch(kept), fetch(result))


def test_one_fetch_and_the_memory_that_was_said(standin):
    sinograms = standin.asarray(noise(3, 200, 400))
    pool = standin.get_default_memory_pool()
    before = pool._peak[0] = pool.used_bytes()
    standin._transfers.reset()
    remove_rings(sinograms, "regularised", out=sinograms)
    said = ring_memory_bytes(3, 200, 400, method="regularised", on_device=True)
    assert 0.2 * said < pool._peak[0] - before <= said
    assert standin._transfers.to_host == 1


def test_in_place_and_dtypes():
    sinograms = noise()
    expected = remove_rings(sinograms, "regularised")
    assert expected.dtype == np.float32
    double = remove_rings(sinograms.astype(np.float64), "regularised")
    assert double.dtype == np.float64
    np.testing.assert_allclose(expected, double, atol=1e-6)
    np.testing.assert_array_equal(remove_rings(sinograms[1:2], "regularised")[0], expected[1])
    assert remove_rings(sinograms, "regularised", out=sinograms) is sinograms
    np.testing.assert_array_equal(sinograms, expected)


def test_wrong_input_is_answered_in_sentences(xp):
    good = xp.ones((2, 40, 60), np.float32)
    broken = good.copy()
    broken[1, 3, 5] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        remove_rings(broken, "regularised")
    for alpha in (0, -1.0, np.nan, np.inf):
        with pytest.raises(InputError, match="alpha is"):
            remove_rings(good, "regularised", alpha=alpha)
    for blocks in (0, 41):
        with pytest.raises(InputError, match=f"blocks is {blocks}"):
            remove_rings(good, "regularised", blocks=blocks)
