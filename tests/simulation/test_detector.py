"""Counts: statistics, what flats undo and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.simulation.detector import Detector, machine_current


def detector(**changes):
    values = {"rows": 40, "columns": 60, "photons": None, "rings": 0.0, "drift": 0.0}
    return Detector(**(values | changes))


def counts(frame, camera):
    return frame.astype(float) - camera.dark(0)


def test_noise_is_poissons():
    """The variance of counts is the gain times their mean, plus the read noise's."""
    camera = detector(photons=300.0)
    frames = np.stack(
        [camera.expose(None, time=0.0, current_ma=200.0, number=k) for k in range(400)]
    ).astype(float)
    mean = frames.mean(axis=0) - 100
    gain, read = 30_000 / 300, 8.0
    assert np.median(frames.var(axis=0) / (gain * mean + read**2)) == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(mean, camera.beam(0.0), rtol=0.02, atol=4)
    # Frames are independent of each other.
    step = (frames[1:] - frames[:-1]).var(axis=0)
    assert np.median(step / frames.var(axis=0)) == pytest.approx(2, abs=0.05)


def test_without_noise_flats_undo_the_beam_to_the_last_count():
    camera = detector()
    transmission = np.linspace(0.4, 1.3, 60, dtype=np.float32) * np.ones((40, 1), np.float32)
    sample = camera.expose(transmission, time=0.3, current_ma=190.0, number=0)
    flat = camera.expose(None, time=0.3, current_ma=200.0, number=0)
    ratio = counts(sample, camera) / counts(flat, camera) / (190 / 200)
    # Half a count of each frame, of at least 0.4 * 14000 counts.
    np.testing.assert_allclose(ratio, transmission, rtol=2e-4)


def test_spots_make_the_same_error_in_every_projection():
    camera = detector(rings=0.05, photons=None)
    ratios = []
    for k, time in enumerate((0.0, 0.5, 1.0)):
        sample = camera.expose(np.ones((40, 60), np.float32), time=time, current_ma=200.0, number=k)
        flat = camera.expose(None, time=time, current_ma=200.0, number=k)
        ratios.append(counts(sample, camera) / counts(flat, camera))
    np.testing.assert_allclose(ratios[0], camera.gain_error, rtol=2e-4)
    np.testing.assert_allclose(ratios[1], ratios[0], rtol=2e-4)
    np.testing.assert_allclose(ratios[2], ratios[0], rtol=2e-4)
    error = np.abs(camera.gain_error - 1)
    assert 0.01 < error.max() <= 0.05
    assert np.median(error) < 1e-3


def test_the_beam_moves_by_the_drift():
    camera = Detector(rows=400, columns=8, photons=None, drift=0.03, rings=0.0)
    still = Detector(rows=400, columns=8, photons=None, drift=0.0, rings=0.0)
    row = np.arange(400)
    log = [np.log(camera.beam(t) / still.beam(0.0)).mean(axis=1) for t in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(log[0], 0, atol=1e-5)
    # A Gaussian of 0.5 heights that moves by s changes by (2 (r - m) s - s^2) / (2 sigma^2).
    for values, moved in zip(log[1:], (6.0, 12.0)):
        wanted = (2 * (row - 199.5) * moved - moved**2) / (2 * 200.0**2)
        np.testing.assert_allclose(values, wanted, atol=1e-5)


def test_the_beam_is_narrow_in_the_vertical_and_wide_in_the_horizontal():
    beam = Detector(rows=200, columns=200, photons=None).beam(0.0)
    row, column = np.median(beam, axis=1), np.median(beam, axis=0)
    assert row[0] / row[100] == pytest.approx(np.exp(-0.5), rel=0.05)
    assert column[0] / column[100] == pytest.approx(np.exp(-0.5 * (0.5 / 1.2) ** 2), rel=0.05)


def test_the_current_decays_and_is_refilled_three_times():
    current = machine_current(np.linspace(0, 1, 3001, endpoint=False), seed=1)
    steps = np.diff(current)
    assert np.count_nonzero(steps > 0) == 3
    assert current.max() == pytest.approx(200, rel=1e-3)
    assert current.min() == pytest.approx(200 * np.exp(-0.06), rel=1e-3)
    assert machine_current(np.array([0.1]), seed=2) != machine_current(np.array([0.1]), seed=3)


def test_dead_pixels_are_stuck_in_every_frame():
    camera = detector(dead_pixels=0.01, photons=1000.0)
    frames = [camera.expose(None, time=0, current_ma=200, number=k) for k in range(3)]
    frames.append(camera.dark(0))
    zero = np.all([frame == 0 for frame in frames], axis=0)
    full = np.all([frame == 65535 for frame in frames], axis=0)
    assert zero.sum() == full.sum() == 12


def test_zingers_hit_their_share_of_pixels():
    plain, hit = detector(), detector(zingers=0.01)
    extra = 0
    for k in range(20):
        before = plain.expose(None, time=0, current_ma=200, number=k).astype(int)
        after = hit.expose(None, time=0, current_ma=200, number=k).astype(int)
        assert np.all(after >= before)
        extra += np.count_nonzero(after - before > 8000)
    assert extra / (20 * 2400) == pytest.approx(0.01, rel=0.15)


def test_the_same_seed_takes_the_same_frame_and_other_numbers_others():
    camera = detector(photons=1000.0, seed=5)
    again = detector(photons=1000.0, seed=5)
    first = camera.expose(None, time=0.2, current_ma=200, number=7)
    np.testing.assert_array_equal(first, again.expose(None, time=0.2, current_ma=200, number=7))
    other = camera.expose(None, time=0.2, current_ma=200, number=8)
    sample = camera.expose(np.ones((40, 60), np.float32), time=0.2, current_ma=200, number=7)
    assert np.any(first != other)
    assert np.any(first != sample)
    assert np.any(camera.dark(0) != camera.dark(1))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"photons": 0.0}, "noise is 0.0 photons"),
        ({"photons": np.inf}, "noise is inf photons"),
        ({"rings": 0.6}, "rings is 0.6"),
        ({"zingers": -0.1}, "zingers is -0.1"),
        ({"dead_pixels": np.nan}, "dead_pixels is nan"),
        ({"drift": 0.9}, "drift is 0.9"),
        ({"seed": -3}, "seed is -3"),
    ],
)
def test_wrong_values_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        detector(**changes)
