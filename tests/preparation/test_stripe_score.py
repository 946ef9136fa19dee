"""The score of stripes: it measures what was planted, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.stripe_score import stripe_score


def noise(slices=2, angles=480, columns=300):
    return np.random.default_rng(0).standard_normal((slices, angles, columns))


def fine_stripes(columns=300, seed=1):
    """A profile of unit rms without anything that a median of 21 columns would keep."""
    profile = np.zeros(columns)
    place = np.random.default_rng(seed).choice(np.arange(0, columns, 6), 20, replace=False)
    profile[place] = 1
    return profile / np.sqrt((profile**2).mean())


@pytest.mark.parametrize("strength", [0.1, 0.3, 1.0, 3.0])
def test_the_rms_of_planted_stripes_is_found(strength):
    found = stripe_score(noise() + strength * fine_stripes())
    np.testing.assert_allclose(found.ring_rms, strength, rtol=0.05, atol=0.01)
    np.testing.assert_allclose(found.noise, 1, rtol=0.08 + 0.1 * strength)
    np.testing.assert_allclose(found.score, found.ring_rms / found.noise)


def test_noise_alone_has_no_stripes():
    powers = stripe_score(noise(20, 240, 200)).power
    assert (powers < 0).any()
    assert abs(powers.mean()) < 3 * powers.std() / np.sqrt(20)
    assert abs(powers).max() < 0.08**2


def test_edges_that_move_with_the_angle_do_not_count():
    angle = np.linspace(0, np.pi, 480)[:, None]
    edge = np.arange(300) < 150 + 80 * np.cos(angle)
    assert stripe_score(noise() + 20 * edge).score.max() < 0.05


def test_a_score_needs_no_noise():
    constant = np.ones((1, 96, 240), np.float32)
    assert stripe_score(constant).score[0] == 0
    striped = constant + np.float32(0.1) * fine_stripes(240).astype(np.float32)
    assert stripe_score(striped).score[0] == np.inf


def test_device_equals_numpy(device, fetch):
    sinograms = (noise() + fine_stripes()).astype(np.float32)
    expected, found = stripe_score(sinograms), stripe_score(device.asarray(sinograms))
    for name in ("power", "noise", "ring_rms", "score"):
        np.testing.assert_allclose(fetch(getattr(found, name)), getattr(expected, name), rtol=1e-5)


def test_wrong_input_is_answered_in_sentences():
    with pytest.raises(InputError, match="47 angles are too few"):
        stripe_score(np.ones((1, 47, 60)))
    with pytest.raises(InputError, match="width_px is 8"):
        stripe_score(np.ones((1, 96, 60)), width_px=8)
    with pytest.raises(InputError, match="three axes"):
        stripe_score(np.ones((96, 60)))
