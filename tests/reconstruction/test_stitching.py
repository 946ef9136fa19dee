"""The chain of sub-scans, its outliers; weights, levels, and rows between rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.core.interpolation import between_samples
from hipct.reconstruction.stitching import refine_positions, smooth_axes
from hipct.reconstruction.stitching_levels import LevelStep, match_levels, measure_level
from hipct.reconstruction.stitching_weights import (
    HALO_ROWS,
    organ_rows,
    overlap_weights,
    resample_rows,
    series_gaps,
)

ANGLES = np.deg2rad(np.arange(12) * 30.0)


@dataclass(frozen=True)
class Shift:
    rows: float
    columns: float
    confidence: float
    error_px: tuple[float, float]


def centred(values):
    return values - values.mean(axis=0)


class Chain:
    """Sub-scans whose places are known, and shifts between them with errors."""

    def __init__(self, count=12, seed=0, error=0.05):
        rng = np.random.default_rng(seed)
        self.motors = 100.0 * np.arange(count)
        self.offset = self.motors + centred(rng.normal(0, 2, count))
        self.lateral = centred(rng.normal(0, 2, (count, 2)))
        self.axis = 512 + np.linspace(-1, 1, count) + rng.normal(0, 0.1, count)
        self.measured_axes = self.axis + rng.normal(0, 0.2, count)
        self.shifts = []
        for k in range(count - 1):
            y, x = self.lateral[k + 1] - self.lateral[k]
            columns = self.axis[k + 1] - self.axis[k] + x * np.cos(ANGLES) + y * np.sin(ANGLES)
            columns += rng.normal(0, error, ANGLES.size)
            rows = self.offset[k] - self.offset[k + 1] + rng.normal(0, error, ANGLES.size)
            self.shifts.append([
                Shift(r, c, 1.0, (error, error)) for r, c in zip(rows, columns)
            ])  # fmt: skip

    def refined(self, **options):
        options = {"axis_error_px": 0.2} | options
        return refine_positions(self.motors, self.measured_axes, ANGLES, self.shifts, **options)

    def errors(self, found):
        return np.column_stack([
            centred(found.offset_px - self.offset),
            centred(found.lateral_px - self.lateral),
            found.axis_px - self.axis,
        ])  # fmt: skip


def test_errors_are_what_they_are_said_to_be():
    ratios = []
    for seed in range(30):
        chain = Chain(seed=seed)
        found = chain.refined()
        ratios.append(chain.errors(found) / found.error_px)
        assert np.abs(chain.errors(found)[:, :3]).max() < 0.2
    rms = np.sqrt(np.mean(np.square(ratios), axis=(0, 1)))
    assert (rms > 0.6).all()
    assert (rms < 1.5).all()


def test_outliers_lose_their_weight_and_are_named():
    chain = Chain()
    # Two views of a pair see something else; one pair cannot be measured; one motor has slipped.
    chain.shifts[3][2] = Shift(-80.0, 9.0, 1.0, (0.05, 0.05))
    chain.shifts[3][7] = Shift(-101.0, -7.0, 1.0, (0.05, 0.05))
    chain.shifts[6] = [Shift(0.0, 0.0, 0.3, (0.5, 0.5))] * ANGLES.size
    chain.measured_axes[9] += 6
    chain.motors[1] += 30
    found = chain.refined()
    errors = chain.errors(found)
    # The pair that was not measured is known from the motors, and the lateral place with it.
    for part in (slice(0, 7), slice(7, None)):
        assert np.abs(centred(errors[part, :3])).max() < 0.15
    assert np.abs(errors[:, 3]).max() < 0.4
    notes = " ".join(found.notes)
    assert "Sub-scans 3 and 4: 2 of 12 views (at 60, 210 degrees)" in notes
    assert "Sub-scans 6 and 7: no view shows a clear shift" in notes
    assert "Sub-scan 9: the measured axis" in notes
    assert "Sub-scan 1: it lies -3" in notes
    assert len(found.notes) == 4


def test_pairs_that_were_not_compared_keep_their_motors():
    chain = Chain()
    chain.shifts = [None] * 11
    found = chain.refined()
    assert found.offset_px == pytest.approx(chain.motors, abs=1e-9)
    assert found.lateral_px == pytest.approx(np.zeros((12, 2)), abs=1e-9)
    assert found.axis_px == pytest.approx(chain.measured_axes, abs=1e-9)
    assert len(found.notes) == 11


def test_an_axis_that_was_not_found_follows_from_its_neighbours():
    chain = Chain()
    chain.measured_axes[[4, 5]] = np.nan
    found = chain.refined()
    assert np.abs(chain.errors(found)[:, 3]).max() < 0.4
    assert sum("no axis was found" in note for note in found.notes) == 2


def test_two_angles_move_axis_and_lateral_as_little_as_they_can():
    """Axis and lateral place cannot be told apart; both stay within their errors."""
    chain = Chain()
    chain.shifts = [pair[:2] for pair in chain.shifts]
    found = refine_positions(
        chain.motors, chain.measured_axes, ANGLES[:2], chain.shifts, axis_error_px=0.2
    )
    assert np.abs(centred(found.offset_px - chain.offset)).max() < 0.3
    assert np.abs(found.axis_px - chain.axis).max() < 0.6
    # What the two views show is met all the same.
    for k, pair in enumerate(chain.shifts):
        y, x = found.lateral_px[k + 1] - found.lateral_px[k]
        step = found.axis_px[k + 1] - found.axis_px[k]
        for angle, shift in zip(ANGLES, pair):
            shown = step + x * np.cos(angle) + y * np.sin(angle)
            assert abs(shown - shift.columns) < 0.05


def test_a_long_series_takes_no_time():
    chain = Chain(count=196)
    assert np.abs(chain.errors(chain.refined())[:, 3]).max() < 0.6


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"motors": [0, 10, 5]}, "ascend"),
        ({"axes": [1.0, 2.0]}, "one of each"),
        ({"axes": [np.nan] * 3}, "No sub-scan has"),
        ({"shifts": [None]}, "shifts of 1 pairs"),
        ({"motor_lateral_px": np.zeros((3, 3))}, "motor_lateral_px"),
        ({"offset_error_px": 0}, "offset_error_px"),
        ({"axis_error_px": -1}, "axis_error_px"),
    ],
)
def test_bad_series(options, match):
    motors = options.pop("motors", [0.0, 100.0, 200.0])
    axes = options.pop("axes", [5.0, 5.0, 5.0])
    shifts = options.pop("shifts", [None, None])
    with pytest.raises(InputError, match=match):
        refine_positions(motors, axes, ANGLES, shifts, **options)


def test_smooth_axes():
    rows = np.arange(20) * 50.0
    axes = 100 + 0.002 * rows
    noisy = axes + np.random.default_rng(0).normal(0, 0.1, 20)
    noisy[7] += 15
    assert np.abs(smooth_axes(noisy, rows, error_px=0.1) - axes).max() < 0.1
    assert np.ptp(smooth_axes(noisy, rows, degree=0)) < 1e-9
    with pytest.raises(InputError, match="lower degree"):
        smooth_axes([1.0, 2.0], [0, 1], degree=2)


@pytest.mark.parametrize("step", [30.5, 44.0, 61.0, 79.3, 88.0, 98.0])
def test_weights_add_up_to_one(step):
    offset = step * np.arange(6) + np.random.default_rng(1).uniform(-0.4, 0.4, 6)
    for margin in (0,) if step > 90 else (0, 5):
        organ = organ_rows(offset, 100, margin_px=margin)
        weights = overlap_weights(offset, 100, organ, margin_px=margin)
        assert not series_gaps(offset, 100, margin_px=margin)
        assert weights.sum(axis=0) == pytest.approx(np.ones(len(organ)), abs=1e-12)
        assert (weights >= 0).all()
        row = np.asarray(organ) - offset[:, None]
        assert (weights[(row < margin) | (row > 99 - margin)] == 0).all()
        # No weight jumps: a ramp over n rows changes by pi / 2n a row at most.
        assert np.abs(np.diff(weights, axis=1)).max() < 0.51 * np.pi / max(99 - step - 11, 1) + 0.2
        contributing = (weights > 0).sum(axis=0).max()
        assert contributing == (3 if step < 45 else 2) or step < 40
    parts = overlap_weights(offset, 100, organ[20:50], margin_px=margin)
    assert np.array_equal(parts, weights[:, 20:50])


def test_gaps_have_no_weight():
    offset = [0.0, 90.0, 250.2]
    assert series_gaps(offset, 100) == [range(190, 251)]
    weights = overlap_weights(offset, 100, range(400))
    total = weights.sum(axis=0)
    assert (total[190:251] == 0).all()
    assert total[:190] == pytest.approx(np.ones(190))
    assert total[251:350] == pytest.approx(np.ones(99))
    with pytest.raises(InputError, match="ascend"):
        overlap_weights([5, 0], 10, range(3))
    with pytest.raises(InputError, match="leave nothing"):
        organ_rows([0], 10, margin_px=5)


@pytest.mark.parametrize("axis", [0, 1])
def test_rows_between_rows(xp, fetch, axis):
    rows = np.arange(60.0)[:, None]
    frequencies = np.array([0.0, 0.05, 0.2, 0.3, 0.35])
    block = np.cos(2 * np.pi * frequencies * rows + 0.3).astype(np.float32)
    for fraction in (0.0, 0.1, 0.5, 0.77, 1.0):
        expected = np.cos(2 * np.pi * frequencies * (rows[4:-5] + fraction) + 0.3)
        found = fetch(resample_rows(xp.asarray(np.moveaxis(block, 0, axis)), fraction, axis=axis))
        assert found.dtype == np.float32
        assert np.abs(np.moveaxis(found, axis, 0) - expected).max() < 0.006
    assert HALO_ROWS == (4, 5)
    with pytest.raises(InputError, match="from 0 to 1"):
        resample_rows(block, 1.2)
    with pytest.raises(InputError, match="take 10"):
        resample_rows(block[:9], 0.2)
    with pytest.raises(InputError, match="float32"):
        resample_rows(block.astype(int), 0.2)


def test_between_samples_keeps_more_than_linear():
    wave = np.cos(np.pi * 0.6 * np.arange(200.0))
    kept = [
        between_samples(wave, 0.5, axis=0, count=count, band=0.36).std() / wave.std()
        for count in (2, 10)
    ]
    assert kept[0] < 0.65
    assert kept[1] > 0.99


def strips(gain, offset, slope, seed=0):
    """Means of two sub-scans of 60 rows, the upper 40.3 rows higher, its axis 1.4 columns on."""
    rng = np.random.default_rng(seed)
    waves = rng.uniform(0.01, 0.2, (2, 12)), rng.uniform(0, 6, 12)
    z, u = np.arange(60.0)[:, None, None], np.arange(70.0)[:, None]

    def scene(z, u):
        return 2 + 0.1 * np.cos(waves[0][0] * z + waves[0][1] * u + waves[1]).sum(axis=2)

    lower, upper = scene(z, u), gain * scene(z + 40.3, u - 1.4)
    # The middle of what is compared: 4 and 5 rows are the halo.
    row = np.arange(60.0)[:, None]
    return lower, upper + offset + slope * row


@pytest.mark.parametrize("gain", [1.0, 1.05])
def test_level_of_a_pair(xp, gain):
    lower, upper = strips(gain, 0.05, 2e-3)
    step = measure_level(
        xp.asarray(lower), xp.asarray(upper), shift_px=(-40.3, 1.4), fit_gain=gain != 1
    )
    assert step.gain == pytest.approx(gain, abs=1e-3)
    assert step.slope == pytest.approx(2e-3, abs=5e-5)
    assert step.offset == pytest.approx(0.05 + 2e-3 * step.upper_row, abs=3e-3)
    assert step.lower_row - step.upper_row == pytest.approx(40.3)
    with pytest.raises(InputError, match="rows in common"):
        measure_level(lower, upper, shift_px=(-51.0, 0.0))
    with pytest.raises(InputError, match="not finite"):
        measure_level(lower * np.nan, upper, shift_px=(-40.3, 1.4))


@pytest.mark.parametrize("slopes", [False, True])
def test_levels_of_a_long_series_do_not_drift(slopes):
    rng = np.random.default_rng(3)
    count, rows = 100, 200
    half = (rows - 1) / 2
    offset, gain = centred(rng.normal(0, 0.05, count)), np.exp(centred(rng.normal(0, 0.02, count)))
    slope = centred(rng.normal(0, 2e-4, count)) * slopes
    steps = []
    for k in range(count - 1):
        ratio, low, high = gain[k + 1] / gain[k], 180.0 - half, 20.0 - half
        step = offset[k + 1] + slope[k + 1] * high - ratio * (offset[k] + slope[k] * low)
        steps.append(
            LevelStep(
                ratio, step + rng.normal(0, 1e-4), slope[k + 1] - ratio * slope[k],
                1e-4, 1e-4, 1e-7, 180.0, 20.0,
            )
        )  # fmt: skip
    steps[40] = None
    levels = match_levels(steps, rows, slopes=slopes)
    for part in (slice(0, 41), slice(41, None)):
        assert np.abs(centred(levels.offset[part] - offset[part])).max() < 3e-3
        assert np.abs(centred(np.log(levels.gain[part] / gain[part]))).max() < 1e-3
        assert np.abs(levels.slope[part] - slope[part]).max() * rows < 3e-3
    assert abs(levels.offset.mean()) < 1e-6
    assert np.exp(np.log(levels.gain).mean()) == pytest.approx(1)
    assert levels.slope.any() == slopes


def test_levels_are_taken_out(xp, fetch):
    step = LevelStep(1.1, 0.2, 1e-3, 1e-4, 1e-4, 1e-6, 15.0, 5.0)
    levels = match_levels([step], 21)
    true = np.random.default_rng(0).random((3, 21, 7))
    row = (np.arange(21) - 10)[:, None]
    for k in (0, 1):
        wrong = levels.gain[k] * true + levels.offset[k] + levels.slope[k] * row
        data = xp.asarray(wrong[:, 4:])
        assert levels.correct(data, k, 4, axis=1) is data
        assert np.abs(fetch(data) - true[:, 4:]).max() < 1e-12
    with pytest.raises(InputError, match="2 rows"):
        match_levels([step], 1)


def test_gains_that_are_none_do_not_add_up():
    """Steps within their errors leave gains at 1; what they would have taken is in the offsets."""
    rng = np.random.default_rng(4)
    gains, mean = 1 + rng.normal(5e-4, 5e-4, 11), 0.8
    steps = [
        LevelStep(gain, -(gain - 1) * mean, 0.0, 2e-3, 1e-5, 1e-6, 80.0, 10.0, mean)
        for gain in gains
    ]
    levels = match_levels(steps, 90)
    assert (levels.gain == 1).all()
    assert np.abs(levels.offset).max() < 1e-6
    # One that stands out counts, and the offset is right for the gain that is taken.
    steps[5] = LevelStep(1.05, -0.05 * mean, 0.0, 2e-3, 1e-5, 1e-6, 80.0, 10.0, mean)
    levels = match_levels(steps, 90)
    assert levels.gain[6] / levels.gain[5] == pytest.approx(1.05, abs=5e-3)
    below, above = (levels.gain[k] * mean + levels.offset[k] for k in (5, 6))
    assert above == pytest.approx(below, abs=1e-5)


def test_gains_are_not_those_of_noise_and_fixed_patterns():
    """Noise on one side alone: without averaging columns it made a gain of 6 %."""
    x = np.arange(256)
    lower = np.tile(1 + 0.5 * np.sin(x / 40), (60, 1))
    noise = np.random.default_rng(2).normal(0, 0.12, lower.shape)
    step = measure_level(lower, lower + noise, shift_px=(0.0, 0.0), fit_gain=True)
    assert step.gain == pytest.approx(1, abs=0.01)
    assert step.mean == pytest.approx(lower.mean(), abs=2e-3)
