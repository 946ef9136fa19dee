"""Double flat fields: against nabu's, and on simulated scans and series without good flats."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.double_flat import (
    MeanProjection,
    apply_double_flat,
    double_flat,
    frames_of_the_series,
    general_reference,
)
from hipct.preparation.lowpass import low_pass


def scan(angles=60, rows=20, columns=160, seed=0):
    """Transmission of a body that turns, and the sensitivity that its flats miss."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:rows, :columns]
    turn = np.arange(angles)[:, None, None] * 2 * np.pi / angles
    centre = 80 + 20 * np.cos(turn) + 0.1 * row
    transmission = np.exp(-np.sqrt(np.clip(1 - ((column - centre) / 55) ** 2, 0, None)))
    sensitivity = 1 + rng.normal(0, 0.02, (rows, columns))
    return transmission.astype(np.float32), sensitivity.astype(np.float32)


def mean_of(xp, blocks):
    mean = MeanProjection()
    for block in blocks:
        mean.add(xp.asarray(block))
    return mean


def test_nabu_has_the_same(xp, fetch):
    nabu = pytest.importorskip("nabu.preproc.double_flatfield")
    truth, sensitivity = scan()
    frames = truth * sensitivity
    peer = nabu.DoubleFlatField(
        frames.shape, input_is_mlog=False, average_is_on_log=True, sigma_filter=4.0
    )
    expected = peer.compute_double_flatfield(frames)
    mean = mean_of(xp, np.array_split(frames, 7))
    result = double_flat(mean.line_integral(), 4.0)
    # nabu cuts its Gaussian at 4 sigma, and leaves out 6e-5 of it.
    np.testing.assert_allclose(fetch(result), expected, atol=5e-5)
    corrected = fetch(apply_double_flat(xp.asarray(frames), result))
    np.testing.assert_allclose(corrected, peer.apply_double_flatfield(frames.copy()), atol=5e-5)


def rings(transmission, truth):
    """What stays at its pixel, fine, in line integrals."""
    error = (np.log(truth) - np.log(transmission)).mean(0)
    return (error - low_pass(error.astype(np.float32), 4)).std()


def test_rings_of_one_scan_go():
    truth, sensitivity = scan(angles=120)
    frames = truth * sensitivity
    reference = double_flat(mean_of(np, [frames]).line_integral(), 4.0)
    result = apply_double_flat(frames, reference)
    assert rings(frames, truth) > 0.018
    # What is left is the fine part of the sample's own mean.
    assert rings(result, truth) < 0.2 * rings(frames, truth)
    # And the sample loses little: its own mean is smooth.
    clean = apply_double_flat(truth, double_flat(mean_of(np, [truth]).line_integral(), 4.0))
    assert np.abs(np.log(clean) - np.log(truth)).std() < 6e-3


def organ(seed):
    """Another piece of an organ: smooth, and a vessel that stays on the axis of one sub-scan."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:20, :160]
    thickness = 0.7 + 0.1 * np.sin(row / 9 + rng.uniform(0, 6)) * np.cos(column / 12)
    vessel = np.abs(column - rng.uniform(4, 156)) < 1.5
    return np.exp(-thickness - 0.3 * vessel)


def test_the_series_has_one_reference(xp, fetch):
    """Faults of the detector stay, the sample of each sub-scan goes, levels do not matter."""
    _, sensitivity = scan(seed=2)
    levels = np.linspace(1, 0.9, 12)
    means = np.stack([level * organ(seed) * sensitivity for seed, level in enumerate(levels)])
    result = fetch(general_reference(xp.asarray(means.astype(np.float32)), 3.0))
    fine = sensitivity / low_pass(sensitivity, 3.0)
    left = np.std(fine / result)
    # One sub-scan alone takes its vessel for a fault.
    alone = means[0] / low_pass(means[0].astype(np.float32), 3.0)
    assert np.std(fine) > 0.015
    assert left < 0.3 * np.std(fine)
    assert np.std(fine / alone) > 5 * left
    flat = fetch(general_reference(xp.asarray(means.astype(np.float32))))
    assert np.median(flat) == pytest.approx(1, abs=0.05)


def test_frames_of_a_reference_scan_that_nobody_took(xp, fetch):
    """The median over sub-scans holds what depends on the angle, and no sample."""
    column = np.arange(44)
    beam = np.exp(-(((column - 22 - 4 * np.sin(np.arange(8)[:, None])) / 30) ** 2))[:, None, :]
    levels = np.array([1.0, 0.95, 1.1, 0.9, 1.02, 0.97, 1.05])
    frames = np.repeat(beam[None], 7, axis=0) * np.ones((1, 1, 5, 1)) * 2000
    for k in range(7):
        frames[k, :, :, 5 * k : 5 * k + 9] *= 0.5
        frames[k] *= levels[k]
    counts = np.round(frames).astype(np.uint16)
    result = fetch(frames_of_the_series(xp.asarray(counts), levels))
    np.testing.assert_allclose(result, np.broadcast_to(2000 * beam, result.shape), rtol=2e-3)
    without = fetch(frames_of_the_series(xp.asarray(counts)))
    assert np.abs(without / (2000 * beam) - 1).max() > 0.02


def test_what_does_not_fit_is_refused(xp):
    mean = MeanProjection()
    with pytest.raises(InputError, match="No frame"):
        mean.line_integral()
    mean.add(xp.ones((2, 3, 4), np.float32))
    with pytest.raises(InputError, match="those before had"):
        mean.add(xp.ones((2, 3, 5), np.float32))
    with pytest.raises(InputError, match="same rows"):
        apply_double_flat(xp.ones((2, 3, 4)), xp.ones((3, 5)))
    with pytest.raises(InputError, match="four axes"):
        frames_of_the_series(xp.ones((3, 4, 5)))
    with pytest.raises(InputError, match="above 0"):
        frames_of_the_series(xp.ones((2, 3, 4, 5)), [1.0, 0.0])
    with pytest.raises(InputError, match=r"rows, columns"):
        double_flat(xp.ones((2, 3, 4)), 3)


def test_means_add_up_in_double_precision(xp, fetch):
    """Counts of 6000 frames: 1 in 1e7 of the sum is more than a frame's noise."""
    frames = np.full((2000, 1, 2), 60001.0, np.float32)
    frames[:, :, 1] = 3.0
    mean = mean_of(xp, np.array_split(frames, 3))
    assert mean.angles == 2000
    np.testing.assert_array_equal(fetch(mean.transmission()), [[60001, 3]])
    np.testing.assert_allclose(fetch(mean.line_integral()), -np.log([[60001, 3]]), rtol=1e-7)


def test_unknown_pixels_of_the_reference_change_nothing(xp, fetch):
    reference = np.full((2, 3), 2.0, np.float32)
    reference[0, 1], reference[1, 2] = np.nan, 0
    result = fetch(apply_double_flat(xp.ones((1, 2, 3), np.float32), xp.asarray(reference)))
    np.testing.assert_array_equal(result, [[[0.5, 1, 0.5], [0.5, 0.5, 1]]])
