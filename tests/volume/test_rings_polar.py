"""Rings of slices: their score, and their removal in polar coordinates."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.threads import set_thread_count
from hipct.reconstruction import fbp
from hipct.volume import polar as polar_module
from hipct.volume import rings_polar
from hipct.volume.ring_score import ring_score
from hipct.volume.rings_polar import polar_memory_bytes, remove_rings_polar

COLUMNS = 256
ANGLES = np.arange(640) * 2 * np.pi / 640
DISCS = ((10, -8, 100, 0.4), (40, 25, 25, 0.3), (-35, -30, 18, -0.2), (50, -35, 8, 0.4))
NOISE = 0.02


def radius(n=COLUMNS):
    place = np.arange(n) - (n - 1) / 2
    return np.hypot(place, place[:, None])


def sinograms(noise=NOISE, seed=0):
    """Line integrals (1, angles, columns) of discs, averaged over each pixel, with noise."""
    column = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    lines = np.zeros((len(ANGLES), COLUMNS))
    for x, y, size, mu in DISCS:
        middle = x * np.cos(ANGLES) + y * np.sin(ANGLES)
        for shift in (np.arange(8) - 3.5) / 8:
            distance = column + shift - middle[:, None]
            lines += 2 * mu / 8 * np.sqrt(np.maximum(size**2 - distance**2, 0)) / 100
    lines += noise * np.random.default_rng(seed).standard_normal(lines.shape)
    return lines[None].astype(np.float32)


def stripes(seed=1):
    """Offsets of 25 columns and of one stripe six columns wide."""
    rng = np.random.default_rng(seed)
    profile = np.zeros(COLUMNS, np.float32)
    profile[rng.choice(COLUMNS, 25, replace=False)] = 0.03 * rng.standard_normal(25)
    profile[200:206] += 0.02
    return profile


@pytest.fixture(scope="module")
def clean():
    return fbp(sinograms(), ANGLES)


@pytest.fixture(scope="module")
def rings():
    return fbp(np.tile(stripes(), (1, len(ANGLES), 1)), ANGLES)


def rms(values):
    return float(np.sqrt((values.astype(np.float64) ** 2).mean()))


def annulus(image, inner=45, outer=120):
    r = radius()
    return image[..., (r > inner) & (r < outer)]


@pytest.mark.parametrize("strength", [0.5, 1.0, 2.0, 4.0])
def test_the_score_is_proportional_to_the_rings(clean, rings, strength):
    found = ring_score(clean + strength * rings)
    r = radius()
    truth = rms(strength * rings[0][(r > 20) & (r < 127)])
    assert found.ring_rms[0] == pytest.approx(truth, rel=0.3)
    once = ring_score(clean + rings).ring_rms[0]
    assert found.ring_rms[0] == pytest.approx(strength * once, rel=0.15)


def test_the_score_is_blind_to_the_sample(clean, rings):
    bare = fbp(sinograms() - sinograms(noise=0), ANGLES)
    for image in (clean, bare):  # noise of a mean over some thousands of products
        assert abs(ring_score(image).power[0]) < (0.12 * ring_score(image).noise[0]) ** 2
    with_sample, without = ring_score(clean + rings), ring_score(bare + rings)
    assert with_sample.ring_rms[0] == pytest.approx(without.ring_rms[0], rel=0.03)
    assert with_sample.noise[0] == pytest.approx(without.noise[0], rel=0.08)


def test_rings_go_and_the_sample_stays(clean, rings):
    before, after = clean + rings, remove_rings_polar(clean + rings)
    left = annulus(after - remove_rings_polar(clean))
    assert rms(left) < 0.3 * rms(annulus(rings))
    assert ring_score(after).ring_rms[0] < 0.35 * ring_score(before).ring_rms[0]
    touched = annulus(remove_rings_polar(clean) - clean)
    assert rms(touched) < 0.2 * rms(annulus(clean - fbp(sinograms(noise=0), ANGLES)))


def edge_response(image, x, y, size):
    """Mean profile across the edge of a disc, with its place: bins half a pixel wide."""
    place = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    distance = np.hypot(place - x, place[:, None] - y) - size
    bins = np.arange(-4, 4.01, 0.5)
    which = np.digitize(distance, bins)
    return np.array([image[which == k].mean() for k in range(1, len(bins))])


@pytest.mark.parametrize("disc", DISCS[1:])
def test_no_resolution_is_lost(disc):
    noiseless = fbp(sinograms(noise=0), ANGLES)
    x, y, size, mu = disc
    before = edge_response(noiseless[0], x, y, size)
    after = edge_response(remove_rings_polar(noiseless)[0], x, y, size)
    np.testing.assert_allclose(after, before, atol=0.01 * abs(mu) / 100)


def test_the_centre_is_protected(clean, rings):
    image = clean + rings
    result = remove_rings_polar(image, centre_px=30)
    inner = radius() < 29
    np.testing.assert_array_equal(result[0][inner], image[0][inner])
    assert rms((result - image)[0][(radius() > 60) & (radius() < 120)]) > 0
    everywhere = remove_rings_polar(image, centre_px=0)
    assert rms((everywhere - image)[0][inner]) > 0
    assert np.isfinite(everywhere).all()


def test_rings_about_an_axis_beside_the_middle():
    """Slices of a sub-scan in which the sample was moved."""
    moved = {"centre_px": (-6.3, 4.6)}
    both = sinograms() + stripes()
    plain, ringed = fbp(sinograms(), ANGLES, **moved), fbp(both, ANGLES, **moved)
    after = remove_rings_polar(ringed, beside_px=(6.3, -4.6))
    assert rms(annulus(after - remove_rings_polar(plain, beside_px=(6.3, -4.6)))) < 0.35 * rms(
        annulus(ringed - plain)
    )
    wrong = remove_rings_polar(ringed)
    assert rms(annulus(wrong - plain)) > 0.8 * rms(annulus(ringed - plain))


def test_rings_that_change_along_the_angle_need_a_short_arc():
    place = np.arange(COLUMNS) - (COLUMNS - 1) / 2
    turn = np.arctan2(place[:, None], place)
    ring = np.exp(-((radius() - 90) ** 2) / 2) * np.cos(2 * turn)
    left = [rms(remove_rings_polar(ring[None], arc_px=arc) - 0) for arc in (10, 1000)]
    assert left[0] < 0.2 * rms(ring)
    assert left[1] > 0.9 * rms(ring)


def test_slabs_and_threads_give_the_same_numbers(clean, rings):
    slices = np.concatenate([clean + k * rings for k in range(3)])
    whole = remove_rings_polar(slices)
    try:
        set_thread_count(1)
        for place in range(3):
            alone = remove_rings_polar(slices[place : place + 1])
            np.testing.assert_array_equal(alone[0], whole[place])
    finally:
        set_thread_count(None)
    assert remove_rings_polar(slices, out=slices) is slices
    np.testing.assert_array_equal(slices, whole)


@pytest.mark.parametrize("n", [32, 61, 100])
def test_accelerator_and_device_equal_plain_code(device, fetch, monkeypatch, n):
    rng = np.random.default_rng(n)
    slices = rng.standard_normal((2, n, n)).astype(np.float32)
    settings = {"width_px": 7, "arc_px": 20.0, "centre_px": 5.0}
    fast = remove_rings_polar(slices, **settings)
    score = ring_score(slices, width_px=7)
    for module in (rings_polar, polar_module):
        monkeypatch.setattr(module, "has_numba", lambda: False)
    np.testing.assert_allclose(remove_rings_polar(slices, **settings), fast, atol=2e-6)
    double = remove_rings_polar(slices.astype(np.float64), **settings)
    assert double.dtype == np.float64
    np.testing.assert_allclose(fast, double, atol=2e-6)
    kept = device.asarray(slices)
    result = remove_rings_polar(kept, **settings)
    np.testing.assert_allclose(fetch(result), fast, atol=2e-6)
    np.testing.assert_allclose(
        fetch(ring_score(kept, width_px=7).power), score.power, rtol=1e-4, atol=1e-7
    )
    np.testing.assert_allclose(fetch(ring_score(kept, width_px=7).noise), score.noise, rtol=1e-5)
    assert remove_rings_polar(kept, out=kept, **settings) is kept
    np.testing.assert_array_equal(fetch(kept), fetch(result))


def test_memory_is_what_was_said(standin):
    slices = standin.asarray(np.random.default_rng(0).random((2, 160, 160), np.float32))
    pool = standin.get_default_memory_pool()
    before = pool._peak[0] = pool.used_bytes()
    remove_rings_polar(slices, out=slices)
    said = polar_memory_bytes(2, 160, on_device=True)
    assert 0.3 * said < pool._peak[0] - before <= said


def test_an_axis_far_beside_the_middle_is_refused():
    with pytest.raises(InputError, match=r"\(40, 0\) pixels \(y, x\) beside the middle"):
        remove_rings_polar(np.zeros((1, 64, 64), np.float32), beside_px=(40, 0))


def test_wrong_input_is_answered_in_sentences(xp):
    good = xp.ones((2, 64, 64), np.float32)
    broken = good.copy()
    broken[1, 30, 50] = np.nan
    with pytest.raises(InputError, match="NaN or infinite"):
        remove_rings_polar(broken)
    for function in (remove_rings_polar, ring_score):
        for shape in ((1, 64, 60), (1, 20, 20)):
            with pytest.raises(InputError, match="square slices of 32 pixels"):
                function(xp.ones(shape, np.float32))
        for width_px in (1, 8, 65):
            with pytest.raises(InputError, match=f"width_px is {width_px}"):
                function(good, width_px=width_px)
    for name in ("arc_px", "centre_px"):
        with pytest.raises(InputError, match=f"{name} is -1"):
            remove_rings_polar(good, **{name: -1.0})
