"""The seam score: 1 for noise, more for steps of level and position, less than nothing hidden."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.volume.seam import row_differences, seam_score


def noise(slices=40, size=64, seed=0):
    return np.random.default_rng(seed).standard_normal((slices, size, size)).astype(np.float32)


def test_differences_are_what_is_said(xp, fetch):
    volume = noise(5)
    inside = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 28
    means = volume.reshape(5, 16, 4, 16, 4).mean(axis=(2, 4), dtype=np.float64)
    whole = inside.reshape(16, 4, 16, 4).all(axis=(1, 3))
    expected = np.sqrt(np.mean(np.diff(means, axis=0)[:, whole] ** 2, axis=1))
    found = row_differences(xp.asarray(volume), inside=xp.asarray(inside))
    assert found == pytest.approx(expected, rel=1e-6)
    single = row_differences(xp.asarray(volume), tile_px=1)
    assert single == pytest.approx(np.diff(volume, axis=0).std(axis=(1, 2)), rel=1e-3)
    parts = [row_differences(volume[a : a + 3], inside=inside) for a in (0, 2)]
    assert np.concatenate(parts) == pytest.approx(expected, rel=1e-6)


def test_noise_alone_has_no_seam():
    scores = [seam_score(row_differences(noise(seed=seed)), 20) for seed in range(20)]
    assert np.mean(scores) == pytest.approx(1, abs=0.02)
    assert np.std(scores) < 0.06


def test_a_step_of_level_is_found_below_the_noise():
    volume = noise()
    volume[20:] += 0.25
    differences = row_differences(volume, tile_px=4)
    # The noise of a mean of 16 pixels of two slices is 0.35.
    assert seam_score(differences, 20) == pytest.approx(np.hypot(0.25, 0.3536) / 0.3536, abs=0.08)
    assert seam_score(differences, 10) == pytest.approx(1, abs=0.1)
    assert seam_score(row_differences(volume, tile_px=1), 20) < 1.05


def test_a_blended_seam():
    volume = noise()
    volume += np.clip((np.arange(40) - 14) / 8, 0, 1)[:, None, None] * 4
    differences = row_differences(volume)
    assert seam_score(differences, 15, 22) > 1.5
    assert seam_score(differences, 15, 30) < seam_score(differences, 15, 22)


def test_volumes_without_change():
    assert seam_score(np.zeros(9), 4) == 1
    steps = np.zeros(9)
    steps[4] = 1
    assert seam_score(steps, 5) == np.inf


def test_bad_input():
    for slab in (np.zeros((1, 9, 9)), np.zeros((3, 9)), np.zeros((3, 3, 9))):
        with pytest.raises(InputError, match="slab"):
            row_differences(slab)
    with pytest.raises(InputError, match="No tile"):
        row_differences(np.zeros((3, 9, 9)), inside=np.zeros((9, 9), bool))
    for first, last in ((0, None), (10, None), (5, 4)):
        with pytest.raises(InputError, match="seam lies"):
            seam_score(np.ones(9), first, last)
    with pytest.raises(InputError, match="reaches beyond"):
        seam_score(np.ones(3), 1, 3)
