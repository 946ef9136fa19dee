"""Levels of a series that darkens: measured, fitted, corrected."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.darkening import (
    LevelDrift,
    correct_level,
    darkened,
    fit_drift,
    frame_levels,
    match_series,
)


def series(sub_scans=5, angles=80, rows=20, columns=50, overlap=6):
    """Transmission of a series whose optics darken by 12 %, 1 % of it within each sub-scan.

    The organ is one wall over all rows; outer columns see the jar, off its axis.
    """
    rng = np.random.default_rng(0)
    height = sub_scans * (rows - overlap) + overlap
    organ = 0.5 + 0.2 * np.sin(np.arange(height) / 7)
    turn = np.arange(angles) * 2 * np.pi / angles
    drifts = [LevelDrift(1 - 0.03 * k, -0.01 - 0.002 * k, 0) for k in range(sub_scans)]
    scans = []
    for k, drift in enumerate(drifts):
        wall = np.ones((angles, rows, columns))
        first = k * (rows - overlap)
        wall[:, :, 8:-8] = np.exp(-organ[first : first + rows])[None, :, None]
        jar = 1 + 0.02 * np.cos(turn + 0.3) + 0.005 * np.sin(2 * turn)
        wall *= jar[:, None, None]
        noise = rng.normal(1, 0.005, wall.shape)
        scans.append((wall * noise * drift.levels(angles)[:, None, None]).astype(np.float32))
    return scans, drifts, turn, jar


def test_drift_between_and_within_sub_scans_is_found_and_corrected(xp, fetch):
    scans, truth, turn, jar = series()
    levels = [fetch(frame_levels(xp.asarray(scan), left=8, right=8)) for scan in scans]
    found = [fit_drift(level, turn) for level in levels]
    assert darkened(found)
    for drift, true in zip(found, truth):
        assert drift.level == pytest.approx(true.level, rel=1e-3)
        assert drift.slope == pytest.approx(true.slope, abs=1e-3)
        assert drift.scatter < 1e-3
    corrected = [
        fetch(correct_level(xp.asarray(scan), drift.levels(len(scan))))
        for scan, drift in zip(scans, found)
    ]
    assert not darkened([fit_drift(c[:, :, :8].mean((1, 2)), turn) for c in corrected])
    # The seam: neighbours differ by 3 % in the rows that both have, afterwards by noise alone.
    seams, seams_after = (
        [abs(a[:, -6:].mean() / b[:, :6].mean() - 1) for a, b in pairwise(some)]
        for some in (scans, corrected)
    )
    assert min(seams) > 0.02
    assert max(seams_after) < 1e-3
    # Within a sub-scan: from its first tenth to its last.
    ends = [
        [abs((c / jar[:, None, None])[:8].mean() / (c / jar[:, None, None])[-8:].mean() - 1)]
        for c in (scans[4], corrected[4])
    ]
    assert ends[0][0] > 0.01
    assert ends[1][0] < 1e-3


def test_the_jar_is_no_drift():
    """Three quarters of a turn of a jar off its axis look like a slope, unless it is fitted."""
    turn = np.linspace(0, 1.5 * np.pi, 200)
    levels = np.exp(-0.01 * np.linspace(-0.5, 0.5, 200)) * (1 + 0.03 * np.cos(turn + 1))
    assert abs(fit_drift(levels).slope + 0.01) > 0.01
    assert fit_drift(levels, turn).slope == pytest.approx(-0.01, abs=1e-3)


def test_bubbles_and_lost_frames_do_not_tilt_the_line():
    levels = np.exp(0.02 * np.linspace(-0.5, 0.5, 100))
    spoilt = levels.copy()
    spoilt[80:95] *= 1.2
    spoilt[3], spoilt[50] = np.nan, 0
    drift = fit_drift(spoilt)
    assert drift.slope == pytest.approx(0.02, abs=1e-4)
    assert drift.level == pytest.approx(1, abs=1e-4)


def test_overlaps_match_a_series(xp, fetch):
    scans, truth, _, _ = series()
    below, above = (
        [float(fetch(frame_levels(xp.asarray(scan), rows=rows)).mean()) for scan in some]
        for some, rows in ((scans[:-1], slice(-6, None)), (scans[1:], slice(0, 6)))
    )
    expected = np.array([drift.level for drift in truth])
    np.testing.assert_allclose(
        match_series(below, above), expected / np.median(expected), rtol=1e-3
    )


def test_levels_leave_out_what_is_not_finite(xp, fetch):
    frames = np.full((3, 2, 5), 0.5, np.float32)
    frames[0, 0, 0], frames[1] = np.nan, np.inf
    frames[2, :, 0] = 1.5
    levels = fetch(frame_levels(xp.asarray(frames), left=2, right=1))
    np.testing.assert_allclose(levels, [0.5, np.nan, (2 * 1.5 + 4 * 0.5) / 6])


def test_a_level_of_columns_stays_on_the_device(standin):
    frames = standin.ones((3, 2, 5), np.float32)
    standin._transfers.reset()
    frame_levels(frames, left=1)
    correct_level(frames, [1.0, 2.0, 3.0])
    assert standin._transfers.to_host == 0


def test_what_does_not_fit_is_refused():
    frames = np.ones((3, 2, 5), np.float32)
    with pytest.raises(InputError, match="left is 3"):
        frame_levels(frames, left=3, right=3)
    with pytest.raises(InputError, match="takes none"):
        frame_levels(frames, rows=slice(5, 9))
    with pytest.raises(InputError, match="3 values"):
        fit_drift([1.0, np.nan, 1.0])
    with pytest.raises(InputError, match="above 0"):
        correct_level(frames, [1.0, 0.0, 1.0])
    with pytest.raises(InputError, match="neighbouring"):
        match_series([1.0], [1.0, 1.0])
    assert not darkened([LevelDrift(1, 0.01, 0), LevelDrift(0.98, 0, 0)])
    assert darkened([LevelDrift(1, 0.06, 0)])
