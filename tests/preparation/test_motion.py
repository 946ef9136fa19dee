"""The drift of a sample: pairs of views, shifts between them, the path that explains them."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.motion import Drift, Path, common_strip, fit_drift, measure_pairs
from hipct.preparation.motion_pairs import find_pairs, scan_times
from hipct.preparation.registration import Shift
from hipct.simulation.anatomy import build_organ

ROWS, COLUMNS, AXIS = 56, 112, 74.3
HALF = np.arange(360) * 2 * np.pi / 360
FULL = np.arange(180) * np.pi / 180
RETURNS = np.arange(4) * np.pi / 2
MOVED = np.array([1.8, -1.3, 2.1])


@cache
def organ():
    return build_organ(60.0, height_um=300.0, seed=5)


def view(angle, moved=(0.0, 0.0, 0.0), fine=3):
    """Line integrals of an organ that stands at (x, y, z), with pixels of 1 um."""
    x, y, z = moved
    sub = (np.arange(fine) - (fine - 1) / 2) / fine
    rows = (np.arange(ROWS)[:, None] - ROWS / 2 - z + sub).ravel()
    aside = x * math.cos(angle) + y * math.sin(angle)
    columns = (np.arange(COLUMNS)[:, None] - AXIS - aside + sub).ravel()
    image = organ().projected_thickness(angle, rows, columns).astype(np.float64) * 2000
    return image.reshape(ROWS, fine, COLUMNS, fine).mean(axis=(1, 3)).astype(np.float32)


def path(kind, times):
    """How much of the motion is done at times."""
    return {"even": np.asarray(times), "settling": np.sqrt(times), "still": 0.0 * times}[kind]


def true_shift(pair, kind):
    x, y, z = MOVED * np.ptp(path(kind, np.array(pair.times)))
    return z, x * math.cos(pair.angle_rad) + y * math.sin(pair.angle_rad)


def shifts_of(pairs, kind, *, axis_error=0.0, error=0.03, seed=0):
    """Shifts as they would be measured, with noise of their error."""
    random = np.random.default_rng(seed)
    found = []
    for pair in pairs:
        rows, columns = np.array(true_shift(pair, kind)) + error * random.standard_normal(2)
        columns -= 2 * axis_error * pair.mirrored
        found.append(Shift(rows, columns, 1.0, (error, error)))
    return found


def farthest(drift, kind):
    """Largest distance between the path found and the true one."""
    times = np.linspace(0, 1, 101)
    gone = path(kind, times)
    paths = drift.x, drift.y, drift.z
    return max(np.abs(p.at(times) - d * gone).max() for p, d in zip(paths, MOVED))


def test_pairs_of_a_half_acquisition():
    pairs = find_pairs(HALF, scan_times(np.arange(360)), RETURNS)
    assert len(pairs) == 8 + 1 + 12
    again = [pair for pair in pairs if pair.second >= 360 and not pair.mirrored]
    assert [(pair.first, pair.second) for pair in again] == [
        (0, 360), (90, 361), (180, 362), (270, 363),
    ]  # fmt: skip
    (turn,) = [pair for pair in pairs if pair.second < 360 and not pair.mirrored]
    # The last view is a step short of the turn, at which a view would lie a step before the first.
    assert (turn.first, turn.share, turn.second) == (0, pytest.approx(-1), 359)
    opposite = [pair for pair in pairs if pair.second < 360 and pair.mirrored]
    assert opposite[0].second == 179
    assert opposite[-1].second == 359
    for pair in opposite:
        between = HALF[pair.first] + pair.share * HALF[1]
        assert between + np.pi == pytest.approx(HALF[pair.second])
        assert pair.times[0] == pytest.approx(max(pair.first + pair.share, 0) / 359, abs=1e-9)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("sense", [1, -1])
def test_pairs_do_not_depend_on_how_angles_are_written(sense, wrapped):
    angles = sense * HALF + 3.0
    if wrapped:
        angles = np.angle(np.exp(1j * angles))
    pairs = find_pairs(angles, scan_times(np.arange(360)), sense * RETURNS + 3.0)
    plain = find_pairs(HALF, scan_times(np.arange(360)), RETURNS)
    assert [(p.second, p.mirrored) for p in pairs] == [(p.second, p.mirrored) for p in plain]
    np.testing.assert_allclose([p.times for p in pairs], [p.times for p in plain], atol=1e-9)
    place = [p.first + p.share for p in pairs]
    np.testing.assert_allclose(place, [p.first + p.share for p in plain], atol=1e-6)


def test_pairs_of_other_scans():
    times = scan_times(np.arange(180))
    (ends,) = find_pairs(FULL, times)
    assert ends.mirrored
    assert (ends.first, ends.share, ends.second) == (0, pytest.approx(-1), 179)
    # Returns at 0 and 90 degrees, and from the other side those at 180 and 270.
    again = find_pairs(FULL, times, RETURNS, within=False)
    assert [(p.first, p.second, p.mirrored) for p in again] == [
        (0, 180, False), (90, 181, False), (0, 182, True), (90, 183, True),
    ]  # fmt: skip
    assert find_pairs(FULL, times, within=False) == ()
    assert find_pairs(np.tile(FULL[:4], 45), times) == ()
    with pytest.raises(InputError, match="times"):
        find_pairs(FULL, times[:-1])


@pytest.mark.parametrize("kind", ["even", "settling", "still"])
def test_the_path_is_found(kind):
    times = scan_times(np.arange(360))
    pairs = find_pairs(HALF, times, RETURNS)
    for seed in range(5):
        drift = fit_drift(pairs, shifts_of(pairs, kind, axis_error=0.4, seed=seed))
        assert farthest(drift, kind) < 0.1
        assert abs(drift.axis_shift_px - 0.4) < 0.05
        assert (drift.pairs, drift.left_out) == (21, 0)
        assert max(drift.residual_px) < 0.05
        for one in (drift.x, drift.y, drift.z):
            assert one.error_px < 0.1
            assert bool(one.coefficients_px) == (kind != "still")


def test_a_wrong_pair_has_no_say():
    pairs = find_pairs(HALF, scan_times(np.arange(360)), RETURNS)
    shifts = shifts_of(pairs, "settling")
    shifts[3] = Shift(-6.1, 5.2, 0.97, (0.03, 0.03))
    shifts[7] = Shift(3.0, 3.0, 0.3, (0.5, 0.5))
    drift = fit_drift(pairs, shifts)
    assert farthest(drift, "settling") < 0.1
    assert (drift.pairs, drift.left_out) == (19, 1)


def test_what_cannot_be_seen_is_said():
    """A turn alone tells x (where its views look along y) and z; half a turn z alone."""
    turn = find_pairs(HALF, scan_times(np.arange(360)), opposite=0)
    drift = fit_drift(turn, shifts_of(turn, "even", error=0.01))
    assert np.isinf(drift.y.error_px)
    assert drift.y.coefficients_px == ()
    assert abs(drift.x.at([1.0])[0] - MOVED[0]) < 0.1
    assert abs(drift.z.at([0.5])[0] - MOVED[2] / 2) < 0.1
    assert drift.axis_shift_px is None
    ends = find_pairs(FULL, scan_times(np.arange(180)))
    drift = fit_drift(ends, shifts_of(ends, "even", error=0.01))
    assert np.isinf([drift.x.error_px, drift.y.error_px]).all()
    assert abs(drift.z.at([1.0])[0] - MOVED[2]) < 0.1
    assert fit_drift(ends, [Shift(0, 0, 0.2, (1, 1))]) is None


def test_the_degree_can_be_told():
    pairs = find_pairs(HALF, scan_times(np.arange(360)), RETURNS)
    drift = fit_drift(pairs, shifts_of(pairs, "settling"), degree=2)
    assert [len(one.coefficients_px) for one in (drift.x, drift.y, drift.z)] == [2, 2, 2]
    assert farthest(drift, "settling") < 0.15
    with pytest.raises(InputError, match="degree of the drift is 5"):
        fit_drift(pairs, shifts_of(pairs, "even"), degree=5)
    with pytest.raises(InputError, match="21 pairs and 2 shifts"):
        fit_drift(pairs, shifts_of(pairs, "even")[:2])


@pytest.mark.parametrize("axis_error", [0.0, 0.8])
def test_shifts_of_views(xp, axis_error):
    """Same and opposite views with static detector noise stronger than their own."""
    times = scan_times(np.arange(360))
    pairs = find_pairs(HALF, times, RETURNS[:2], opposite=3)
    random = np.random.default_rng(1)
    dust = random.standard_normal((ROWS, COLUMNS), np.float32)
    angles = np.concatenate([HALF, RETURNS[:2]])
    when = np.concatenate([times, [1, 1]])

    def seen(k):
        noise = 0.002 * random.standard_normal((ROWS, COLUMNS), np.float32)
        return view(angles[k], MOVED * when[k]) + 0.004 * dust + noise

    firsts = [
        (1 - p.share) * seen(p.first) + (p.share * seen(p.first + 1) if p.share else 0)
        for p in pairs
    ]
    seconds = [seen(p.second) for p in pairs]
    static = np.mean([view(a) for a in HALF[::12]], axis=0) + 0.004 * dust
    found = measure_pairs(
        *(xp.asarray(np.stack(stack).astype(np.float32)) for stack in (firsts, seconds)),
        pairs,
        axis_px=AXIS - axis_error,
        reach_px=6.0,
        static=xp.asarray(static.astype(np.float32)),
    )
    for pair, shift in zip(pairs, found):
        rows, columns = true_shift(pair, "even")
        columns -= 2 * axis_error * pair.mirrored
        assert shift.confidence > 0.99
        assert abs(shift.rows - rows) < 0.1
        assert abs(shift.columns - columns) < 0.1


def test_too_narrow_a_strip_tells_nothing():
    pairs = find_pairs(HALF, scan_times(np.arange(360)), opposite=2)
    views = np.random.default_rng(0).random((len(pairs), 20, COLUMNS), np.float32)
    shifts = measure_pairs(views, views, pairs, axis_px=105.0, reach_px=3.0)
    assert [shift.confidence == 0 for shift in shifts] == [pair.mirrored for pair in pairs]
    assert common_strip(140.0, COLUMNS, mirrored=True).width == 0


def test_shifts_of_a_drift():
    drift = Drift(
        Path((1.0,), 0.5, 0.1), Path((), 1.0, 0.1), Path((2.0, -0.5), 1.0, 0.1), None, (0, 0), 4, 0
    )
    rows, columns = drift.shifts_px([0.0, 0.5, np.pi], [0.0, 0.25, 1.0])
    np.testing.assert_allclose(rows, [0, 0.5 - 0.5 / 16, 1.5])
    np.testing.assert_allclose(columns, [0, 0.5 * np.cos(0.5), -1])
