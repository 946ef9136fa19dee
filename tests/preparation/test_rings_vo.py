"""Dead, large and all stripes: against the published code, planted stripes, real stripes."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.threads import set_thread_count
from hipct.preparation import rings_dead, rings_large
from hipct.preparation.rings import remove_rings, ring_memory_bytes
from hipct.preparation.rings_detect import detect_stripes, widened
from hipct.preparation.stripe_score import stripe_score

METHODS = ("dead", "large", "all")
methods = pytest.mark.parametrize("method", METHODS)


def sample(angles=361, columns=400, noise=0.002, seed=0):
    """Line integrals (1, angles, columns) of three discs with air on either side, with noise."""
    angle = np.linspace(0, np.pi, angles, endpoint=False)[:, None]
    column = np.arange(columns) - (columns - 1) / 2
    sinogram = noise * np.random.default_rng(seed).standard_normal((angles, columns))
    for x, y, radius, mu in ((14, -9, 140, 0.002), (50, 10, 40, 0.001), (-45, -65, 25, -0.001)):
        off_centre = column - x * np.cos(angle) - y * np.sin(angle)
        sinogram += 2 * mu * np.sqrt(np.maximum(radius**2 - off_centre**2, 0))
    return sinogram[None].astype(np.float32)


def without_ties(sinogram):
    """No two equal values in a column: the order of such is a matter of taste."""
    ranks = sinogram.argsort(axis=0, kind="stable").argsort(axis=0)
    return (sinogram.astype(np.float64) + 1e-6 * ranks).astype(np.float32)


def by_algotom(method, sinogram):
    removal = pytest.importorskip("algotom.prep.removal", reason="algotom is not installed")
    if method == "dead":
        return removal.remove_dead_stripe(sinogram, residual=False)
    return {"large": removal.remove_large_stripe, "all": removal.remove_all_stripe}[method](
        sinogram
    )


@methods
def test_real_stripes_are_removed_as_by_algotom(shared_data, method):
    transmission = np.load(shared_data / "i12_stripes" / "sino_stripe_i12.npy")
    sinograms = without_ties(transmission)[None]
    result = remove_rings(sinograms, method, quantity="transmission")[0]
    expected = by_algotom(method, sinograms[0])
    assert abs(expected - sinograms[0]).max() > 0.5
    np.testing.assert_allclose(result, expected, atol=1e-6)


@methods
def test_planted_stripes_are_removed_as_by_algotom(method):
    # Far from air, so that ratios have a meaning.
    sinogram = 1 + sample(90, 130)[0]
    sinogram[:, 40:52] *= 1.1
    sinogram[:, 80] *= 0.7
    sinogram[:, 100] = 1.2
    sinogram[:, 20] += 0.2 * np.random.default_rng(1).standard_normal(90).astype(np.float32)
    sinogram = without_ties(sinogram)
    result = remove_rings(sinogram[None], method, quantity="transmission")[0]
    np.testing.assert_allclose(result, by_algotom(method, sinogram), atol=1e-6)


@pytest.mark.parametrize("columns", [8, 57, 200])
def test_stripes_are_detected_as_by_algotom(columns):
    utility = pytest.importorskip("algotom.util.utility", reason="algotom is not installed")
    rng = np.random.default_rng(columns)
    profiles = 1 + 0.01 * rng.standard_normal((20, columns))
    profiles[:, ::7] += 0.1 * rng.standard_normal((20, len(profiles[0, ::7])))
    for snr in (1.0, 2.0, 3.0):
        expected = [utility.detect_stripe(profile, snr) > 0 for profile in profiles]
        np.testing.assert_array_equal(detect_stripes(profiles, snr), expected)


def test_a_mask_is_widened_by_one_column():
    mask = np.array([[1, 0, 0, 0, 1, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 0]], bool)
    wide = np.array([[1, 1, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0]], bool)
    np.testing.assert_array_equal(widened(mask), wide)


def planted(method):
    """Stripes of the kind that a method is for, as (changed sinogram, columns changed)."""
    sinograms = sample()
    changed = np.zeros(400, bool)
    rng = np.random.default_rng(2)
    if method in ("large", "all"):
        sinograms[:, :, 180:192] += 0.15
        changed[180:192] = True
    if method in ("dead", "all"):
        sinograms[:, :, 210] = 0.3
        sinograms[:, :, 240:242] += (0.2 * rng.standard_normal((1, 361, 2))).astype(np.float32)
        changed[[210, 240, 241]] = True
    if method == "all":
        fine = rng.choice(np.arange(5, 395), 50, replace=False)
        sinograms[:, :, fine] += (0.02 * rng.standard_normal(50)).astype(np.float32)
    return sinograms, changed


@pytest.mark.parametrize(("method", "left"), [("dead", 0.025), ("large", 0.1), ("all", 0.08)])
def test_planted_stripes_go_from_line_integrals_with_air(method, left):
    clean = sample()
    striped, changed = planted(method)
    before = np.sqrt(((striped - clean)[0, :, changed] ** 2).mean())
    after = remove_rings(striped, method) - clean
    assert np.sqrt((after[0, :, changed] ** 2).mean()) < left * before
    assert np.sqrt((after[0, :, ~changed] ** 2).mean()) < 0.01 * clean.max()


def test_ratios_ruin_air_and_differences_do_not():
    """Why line integrals are levelled by differences."""
    clean = sample()
    air = np.r_[0:30, 375:400]
    ratio = remove_rings(clean, "large", quantity="transmission")
    difference = remove_rings(clean, "large")
    assert abs(ratio - clean)[0][:, air].max() > 0.8 * 0.002  # of the order of the noise itself
    assert abs(difference - clean)[0][:, air].max() < 4 * 0.002 / np.sqrt(361)


def test_all_removes_what_sorting_cannot():
    striped, _ = planted("all")
    clean = sample()
    errors = [
        np.sqrt(((remove_rings(striped, method) - clean) ** 2).mean())
        for method in ("sorting", "all")
    ]
    assert errors[1] < 0.35 * errors[0]
    assert stripe_score(remove_rings(striped, "all")).ring_rms[0] < 2e-3
    assert stripe_score(striped).ring_rms[0] > 0.01


@methods
def test_a_sample_without_stripes_is_spared(method):
    clean = sample(noise=0.01)
    touched = remove_rings(clean, method) - clean
    assert np.sqrt((touched**2).mean()) < 0.006 * clean.max()
    assert abs(touched.mean(axis=1)).max() < 0.015 * clean.max()


@methods
@pytest.mark.parametrize("value", [0.0, 3.0])
def test_an_empty_sinogram_stays_as_it_is(method, value):
    sinograms = np.full((2, 40, 60), value, np.float32)
    np.testing.assert_array_equal(remove_rings(sinograms, method), sinograms)


@pytest.mark.parametrize("quantity", ["line_integral", "transmission"])
@pytest.mark.parametrize("shape", [(2, 361, 200), (1, 30, 300), (3, 7, 51), (1, 1, 60)])
@methods
def test_accelerators_equal_plain_code(monkeypatch, method, shape, quantity):
    rng = np.random.default_rng(3)
    sinograms = (1 + 0.05 * rng.standard_normal(shape)).astype(np.float32)
    sinograms[:, :, 20:26] += 0.4
    sinograms[:, :, 40] = 1.1
    fast = remove_rings(sinograms, method, quantity=quantity)
    for module in (rings_dead, rings_large):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    plain = remove_rings(sinograms, method, quantity=quantity)
    np.testing.assert_allclose(fast, plain, atol=2e-6)
    if shape[1] > 300:
        assert abs(plain - sinograms).max() > 0.1


@methods
def test_slices_do_not_see_each_other_and_threads_do_not_matter(method):
    sinograms = np.concatenate([sample(120, 400, seed=k) for k in range(4)])
    sinograms[1:3, :, 150:160] += 0.1
    sinograms[2, :, 250] = 0.2
    whole = remove_rings(sinograms, method)
    try:
        set_thread_count(1)
        for place in range(4):
            alone = remove_rings(sinograms[place : place + 1], method)
            np.testing.assert_array_equal(alone[0], whole[place])
    finally:
        set_thread_count(None)
    assert remove_rings(sinograms, method, out=sinograms) is sinograms
    np.testing.assert_array_equal(sinograms, whole)


@methods
def test_float64_stays_float64(method):
    striped, _ = planted(method)
    double = remove_rings(striped.astype(np.float64), method)
    assert double.dtype == np.float64
    np.testing.assert_allclose(remove_rings(striped, method), double, atol=2e-6)


@methods
def test_device_equals_numpy(device, fetch, method):
    striped, _ = planted(method)
    striped = np.concatenate([striped, sample(seed=5)])
    kept = device.asarray(striped)
    result = remove_rings(kept, method)
    np.testing.assert_allclose(fetch(result), remove_rings(striped, method), atol=2e-6)
    np.testing.assert_array_equal(fetch(kept), striped)
    double = remove_rings(device.asarray(striped.astype(np.float64)), method)
    np.testing.assert_allclose(fetch(double), remove_rings(striped, method), atol=2e-6)
    transmission = remove_rings(device.asarray(1 + striped), method, quantity="transmission")
    expected = remove_rings(1 + striped, method, quantity="transmission")
    np.testing.assert_allclose(fetch(transmission), expected, atol=2e-6)
    assert remove_rings(kept, method, out=kept) is kept
    np.testing.assert_array_equal(fetch(kept), fetch(result))


@methods
def test_a_device_takes_batches_within_its_memory(standin, fetch, monkeypatch, method):
    from hipct.preparation import rings_large_cuda

    sinograms = np.concatenate([sample(200, 300, seed=k) for k in range(3)])
    whole = fetch(remove_rings(standin.asarray(sinograms), method))
    monkeypatch.setattr(rings_large_cuda, "MOST_SLICES", 1)
    kept = standin.asarray(sinograms)
    pool = standin.get_default_memory_pool()
    before = pool._peak[0] = pool.used_bytes()
    standin._transfers.reset()
    remove_rings(kept, method, out=kept)
    said = ring_memory_bytes(3, 200, 300, method=method, on_device=True)
    assert 0.3 * said < pool._peak[0] - before <= said
    assert standin._transfers.to_host <= 2
    np.testing.assert_array_equal(fetch(kept), whole)


@methods
def test_wrong_input_is_answered_in_sentences(xp, method):
    good = xp.ones((2, 40, 60), np.float32)
    for bad in (np.nan, np.inf):
        broken = good.copy()
        broken[1, 3, 5] = bad
        with pytest.raises(InputError, match="NaN or infinite"):
            remove_rings(broken, method)
    for large_px in (0, 4, 61):
        with pytest.raises(InputError, match=f"large_px is {large_px}"):
            remove_rings(good, method, large_px=large_px)
    for snr in (0.5, np.nan, np.inf):
        with pytest.raises(InputError, match=f"snr is {snr}"):
            remove_rings(good, method, snr=snr)
    with pytest.raises(InputError, match="three axes"):
        remove_rings(good[0], method)
    if method != "dead":
        with pytest.raises(InputError, match="quantity is 'counts'"):
            remove_rings(good, method, quantity="counts")
    if method == "all":
        with pytest.raises(InputError, match="size_px is 4"):
            remove_rings(good, method, size_px=4)
