"""The rotation axis on analytic phantoms: ellipses have their line integrals in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from hipct.core.errors import InputError
from hipct.reconstruction.axis import find_axis
from hipct.reconstruction.axis_overlap import mirror_peak
from hipct.reconstruction.axis_pair import opposite_pairs
from hipct.reconstruction.axis_refine import refine_axis, refine_pairs
from hipct.reconstruction.axis_sinogram import half_turns, wedge_minimum

FULL = (np.arange(300) * np.pi / 300, 256)


def ellipses(radius, seed, count=25):
    """(x, y, half axes, tilt, mu) about the axis: a body and random features inside it."""
    random = np.random.default_rng(seed)
    bodies = [(0.03 * radius, -0.02 * radius, 0.85 * radius, 0.75 * radius, 0.3, 1 / radius)]
    for _ in range(count):
        r, t = 0.65 * radius * np.sqrt(random.random()), 2 * np.pi * random.random()
        a, b = radius * random.uniform(0.02, 0.2, 2)
        bodies.append(
            (
                r * np.cos(t),
                r * np.sin(t),
                a,
                b,
                random.uniform(0, 3),
                random.uniform(-0.4, 0.5) / radius,
            )
        )
    return bodies


def projections(angles, columns, axis, radius, *, rows=1, seed=0, noise=0.0, rings=0.0):
    """Line integrals (angles, rows, columns), peak about 2, with noise and static stripes."""
    random = np.random.default_rng(seed)
    t = np.asarray(angles)[:, None]
    result = np.zeros((len(t), rows, columns))
    for row in range(rows):
        for x, y, a, b, tilt, mu in ellipses(radius, 100 * seed + row // 3):
            from_centre = np.arange(columns) - axis - x * np.cos(t) - y * np.sin(t)
            square = (a * np.cos(t - tilt)) ** 2 + (b * np.sin(t - tilt)) ** 2
            chord = np.sqrt(np.maximum(square - from_centre**2, 0))
            result[:, row] += 2 * mu * a * b * chord / square
    result += noise * random.standard_normal(result.shape)
    return result + rings * random.standard_normal((rows, columns))


@pytest.mark.parametrize("axis", [118.0, 127.5, 131.37, 141.8])
@pytest.mark.parametrize("end", [False, True])
def test_a_clean_full_scan_is_found_to_a_few_hundredths(axis, end):
    angles = np.linspace(0, np.pi, 300, endpoint=end)
    data = projections(angles, 256, axis, 95, seed=3)
    found = find_axis(data, angles)
    assert abs(found.value - axis) < 0.03
    assert found.confidence > 0.95
    assert {c.method for c in found.candidates} == {"pairs", "sinogram"}
    for candidate in found.candidates:
        assert abs(candidate.value - axis) < 0.04


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("end", [False, True])
def test_noise_and_rings_of_a_full_scan(seed, end):
    axis = 127.5 + 20 * np.sin(seed + 1)
    angles = np.linspace(0, np.pi, 260, endpoint=end)
    data = projections(angles, 256, axis, 95, rows=6, seed=seed, noise=0.02, rings=0.02)
    found = find_axis(data, angles)
    assert abs(found.value - axis) < 0.1
    assert found.confidence > 0.9
    for candidate in found.candidates[:2]:
        assert abs(candidate.value - axis) < 0.25


@pytest.mark.parametrize("seed", range(3))
def test_strong_rings_do_not_pull_any_method_to_the_middle(seed):
    angles, columns = FULL
    data = projections(angles, columns, 111.3, 90, rows=2, seed=seed, rings=0.2)
    found = find_axis(data, angles)
    assert abs(found.value - 111.3) < 0.1
    around = np.concatenate([angles, angles + np.pi])
    data = projections(around, columns, 111.3, 90, rows=1, seed=seed, rings=0.5)
    assert abs(find_axis(data, around, method="pairs").value - 111.3) < 0.01


@pytest.mark.parametrize("axis", [112.4, 139.9])
def test_a_truncated_object_does_not_pull_the_axis_to_the_middle(axis):
    angles = np.linspace(0, np.pi, 300)
    data = projections(angles, 256, axis, 170, rows=4, seed=5, noise=0.003)
    assert abs(find_axis(data, angles).value - axis) < 0.1
    around = np.linspace(0, 2 * np.pi, 400)
    data = projections(around, 256, axis, 170, rows=1, seed=5, noise=0.01)
    assert abs(find_axis(data, around).value - axis) < 0.02


def test_a_full_turn_has_a_partner_for_every_view():
    angles = np.arange(401) * 2 * np.pi / 401  # odd: opposites lie between views
    data = projections(angles, 256, 133.81, 95, seed=7, noise=0.03, rings=0.05)
    found = find_axis(data, angles)
    assert found.method == "pairs"
    assert abs(found.value - 133.81) < 0.02
    assert found.uncertainty_px < 0.02


@pytest.mark.parametrize("overlap", [44, 60, 120, 200, 235])
@pytest.mark.parametrize("side", ["left", "right"])
def test_half_acquisition_of_any_overlap(overlap, side):
    axis = (overlap - 1) / 2 + 0.23
    axis = axis if side == "left" else 255 - axis
    extent = max(axis, 255 - axis)
    angles = np.linspace(0, 2 * np.pi, 361)
    data = projections(
        angles, 256, axis, 0.9 * extent, rows=2, seed=overlap, noise=0.01, rings=0.02
    )
    found = find_axis(data, angles, acquisition="half")
    assert found.method == "overlap"
    assert abs(found.value - axis) < 0.1
    assert found.confidence > 0.8


@pytest.mark.parametrize("odd", [0, 1])
def test_half_acquisition_of_a_truncated_organ_and_odd_ranges(odd):
    # Object beyond the extended field, a range a little below 360 degrees.
    angles = np.deg2rad(np.linspace(0, 356.5, 400 + odd))
    data = projections(angles, 256, 62.63, 230, rows=3, seed=11, noise=0.003, rings=0.005)
    found = find_axis(data, angles, acquisition="half")
    assert abs(found.value - 62.63) < 0.1


def test_the_uncertainty_of_a_narrow_overlap_is_not_too_small():
    """Noise as phase retrieval leaves it, correlated over a good part of the overlap."""
    angles, axis = np.arange(400) * 2 * np.pi / 400, 235.3
    # Smooth lines, as those of the middle of an organ.
    clean = ndimage.gaussian_filter1d(
        projections(angles, 256, axis, 200, rows=4, seed=9), 4, axis=2
    )
    found = []
    for seed in range(12):
        noise = np.random.default_rng(seed).standard_normal(clean.shape)
        noise = ndimage.gaussian_filter1d(noise, 4, axis=2)
        noisy = clean + 0.02 * noise / noise.std()
        found.append(find_axis(noisy, angles, acquisition="half", hint=235, search=6))
    error = np.array([estimate.value - axis for estimate in found])
    claimed = np.array([estimate.uncertainty_px for estimate in found])
    assert np.sqrt(np.mean(error**2)) < 0.1
    assert np.sqrt(np.mean((error / claimed) ** 2)) < 1.5


@pytest.mark.parametrize("count", [100, 101])
def test_a_pair_is_counted_once(count):
    """Seen from both of its ends it would halve the variance that the pairs' scatter tells."""
    angles = np.arange(count) * 2 * np.pi / count
    views = np.random.default_rng(1).standard_normal((count, 1, 64))
    (pairs,) = opposite_pairs(views, angles, 1000)
    assert len(pairs.views) == 50
    assert not (pairs.views[:, None] == pairs.opposites).all(axis=(2, 3)).any()


def test_shading_that_ends_at_the_detector_decides_nothing():
    # A strong slope over the detector and a level that differs from view to view.
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False)
    data = projections(angles, 256, 70.2, 170, seed=2, noise=0.01)
    data += 3.0 * np.linspace(0, 1, 256) ** 2
    data *= 1 + 0.02 * np.sin(7 * angles)[:, None, None]
    assert abs(find_axis(data, angles, acquisition="half").value - 70.2) < 0.1


def test_any_order_of_angles_turns_and_a_monotone_change():
    angles, columns = FULL
    data = projections(angles, columns, 120.6, 95, seed=1, noise=0.005)
    expected = find_axis(data, angles).value
    order = np.random.default_rng(0).permutation(len(angles))
    assert find_axis(data[order], angles[order]).value == pytest.approx(expected, abs=1e-9)
    assert abs(find_axis(data, 5 - angles).value - expected) < 0.02
    assert abs(find_axis(np.exp(-data), angles).value - 120.6) < 0.05
    twice = np.concatenate([angles, angles + np.pi, angles + 2 * np.pi])
    data = projections(twice, columns, 120.6, 95, seed=1, noise=0.01)
    assert abs(find_axis(data, twice).value - 120.6) < 0.01


def test_uneven_angles():
    random = np.random.default_rng(8)
    angles = np.linspace(0, 2 * np.pi, 500) + random.uniform(-0.004, 0.004, 500)
    data = projections(angles, 256, 124.4, 95, seed=4, noise=0.01)
    found = find_axis(data, angles)
    assert abs(found.value - 124.4) < 0.03


def test_two_views_are_enough_for_a_pair():
    data = projections([0.3, 0.3 + np.pi], 200, 88.77, 70, rows=8, seed=6, noise=0.01)
    found = find_axis(data, [0.3, 0.3 + np.pi])
    assert abs(found.value - 88.77) < 0.05
    assert any("second method" in note for note in found.notes)


@given(shift=st.floats(-25, 25), seed=st.integers(0, 5))
@settings(max_examples=15, deadline=None)
def test_moving_the_detector_moves_the_axis(shift, seed):
    angles = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    data = projections(angles, 192, 95.5 + shift, 60, seed=seed, noise=0.005)
    assert abs(find_axis(data, angles).value - 95.5 - shift) < 0.05


def test_a_hint_narrows_and_a_wrong_hint_is_said():
    angles = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    data = projections(angles, 256, 60.4, 160, seed=9, noise=0.01)
    near = find_axis(data, angles, acquisition="half", hint=57.0)
    assert abs(near.value - 60.4) < 0.05
    assert not any("hint" in note for note in near.notes)
    wrong = find_axis(data, angles, acquisition="half", hint=200.0)
    assert abs(wrong.value - 60.4) < 0.05
    assert any("The hint 200 was not followed" in note for note in wrong.notes)
    limited = find_axis(data, angles, acquisition="half", hint=200.0, search=20.0)
    assert 180 <= limited.value <= 220
    assert any("mirrors better" in note for note in limited.notes)
    # An axis out of the middle half of a full scan is reached by a hint only.
    data = projections(angles, 256, 52.0, 40, seed=9, noise=0.01)
    assert abs(find_axis(data, angles, hint=55.0).value - 52.0) < 0.05


def test_nothing_but_noise_is_said_to_be_nothing():
    random = np.random.default_rng(0)
    low = 0
    for _ in range(5):
        data = random.standard_normal((90, 2, 128))
        found = find_axis(data, np.linspace(0, np.pi, 90))
        low += found.confidence < 0.5 and any("confidence is low" in n for n in found.notes)
    assert low == 5


def test_a_tilted_axis_is_said():
    angles = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    upper = projections(angles, 200, 97.0, 80, seed=1)
    lower = projections(angles, 200, 100.0, 80, seed=2)
    found = find_axis(np.concatenate([upper, lower], axis=1), angles)
    assert any("tilted" in note for note in found.notes)
    by_name = {c.method: c.value for c in found.candidates}
    assert by_name["pairs, upper rows"] == pytest.approx(97.0, abs=0.05)
    assert by_name["pairs, lower rows"] == pytest.approx(100.0, abs=0.05)


def test_wedge_in_closed_form_equals_the_sum_over_the_spectrum():
    # Brute force: the mirrored, shifted copy appended, its 2-D spectrum summed off the wedge.
    angles = np.arange(64) * np.pi / 64
    sinogram = projections(angles, 64, 31.2, 22, seed=1)[:, 0]

    def energy(axis):
        spectrum = np.fft.rfft(sinogram - sinogram.mean(), 128, axis=1)
        omega = 2 * np.pi * np.fft.rfftfreq(128)
        whole = np.concatenate([spectrum, np.conj(spectrum) * np.exp(-2j * omega * axis)])
        whole = np.fft.fft(whole, axis=0)
        harmonic = np.abs(np.fft.fftfreq(128, 1 / 128))
        outside = (harmonic[:, None] > np.maximum(31 * omega, 4)) & (harmonic[:, None] < 64)
        outside[:, 0] = False
        return np.sum(np.abs(whole[outside]) ** 2)

    positions = np.arange(28, 34, 0.05)
    by_force = positions[np.argmin([energy(axis) for axis in positions])]
    turn = half_turns(angles)[0]
    found = wedge_minimum(sinogram[:, None], turn, 31.2, (25.0, 37.0), np.zeros((1, 64)))
    assert abs(found.value - by_force) < 0.15
    assert abs(found.value - 31.2) < 0.05


def test_half_turns_leave_the_repeated_end_out_and_even_out_the_steps():
    values = np.arange(41.0)[:, None, None] * np.ones((1, 1, 40))
    turns = half_turns(np.linspace(0, 2 * np.pi, 41))
    assert [turn.sinogram(values, 0)[0, 0] for turn in turns] == [0.0, 20.0]
    assert [len(turn.sinogram(values, 0)) for turn in turns] == [20, 20]
    uneven = np.linspace(0, 2 * np.pi, 41)
    uneven[5] += 0.25 * uneven[1]
    assert half_turns(uneven)[0].sinogram(values, 0)[5, 0] == pytest.approx(4.8)


def test_very_many_views_are_bundled_without_moving_the_axis():
    angles = np.arange(2400) * np.pi / 2400
    data = projections(angles, 128, 66.6, 48, noise=0.02)
    turn = half_turns(angles)[0]
    assert turn.bundle == 2
    np.testing.assert_allclose(turn.sinogram(data, 0)[7], data[14:16, 0].mean(axis=0))
    found = find_axis(data, angles, method="sinogram")
    assert abs(found.value - 66.6) < 0.05


def test_refinement_converges_from_two_pixels_away_on_smooth_lines():
    x = np.arange(200.0)
    line = np.exp(-((x - 70) ** 2) / 200) + 0.5 * np.exp(-((x - 130) ** 2) / 50)
    opposite = np.exp(-((2 * 95.3 - x - 70) ** 2) / 200)
    opposite += 0.5 * np.exp(-((2 * 95.3 - x - 130) ** 2) / 50)
    for start in (93.5, 95.3, 97.0):
        value, uncertainty = refine_axis(line[None], opposite[None], start)
        assert value == pytest.approx(95.3, abs=2e-3)
        assert uncertainty < 0.01
    peak = mirror_peak((line[None], opposite[None]), np.zeros((1, 200)), 0, 199, 60)
    assert peak.value == pytest.approx(95.3, abs=0.3)
    assert not peak.at_border


def test_wrong_input_is_named():
    angles = np.linspace(0, np.pi, 60)
    data = projections(angles, 96, 47.0, 35)
    spoilt = data.copy()
    spoilt[3, 0, 5] = np.nan
    cases = [
        (lambda: find_axis(data[:1], angles[:1]), "1 projection"),
        (lambda: find_axis(data, angles / 2), "cover 91"),
        (lambda: find_axis(data, np.rad2deg(angles) * 0.001), "radians"),
        (lambda: find_axis(spoilt, angles), "projections holds 1 NaN"),
        (lambda: find_axis(data, np.where(angles > 3, np.nan, angles)), "angles holds"),
        (lambda: find_axis(data, angles[:-1]), "one angle for each"),
        (lambda: find_axis(data[:, 0], angles), "projections has the shape"),
        (lambda: find_axis(data, angles, hint=-3.0), "off the detector"),
        (lambda: find_axis(data, angles, hint=96.0, acquisition="half"), "off the detector"),
        (lambda: find_axis(data, angles, acquisition="quarter"), "quarter"),
        (lambda: find_axis(data, angles, method="overlap"), "auto, pairs, sinogram"),
        (lambda: find_axis(data, angles, method="pairs", acquisition="half"), "auto, overlap"),
        (lambda: find_axis(data, angles, search=5.0), "no hint"),
        (lambda: find_axis(data, angles, hint=40.0, search=-1.0), "search is -1"),
        (lambda: find_axis(data, angles, min_overlap=3), "min_overlap is 3"),
        (lambda: find_axis(data[[0, 30]], [0.0, 3.6]), "180 degrees apart"),
        (lambda: find_axis(data[[0, -1]], [0, np.pi], method="sinogram"), "at least 16 views"),
        (lambda: find_axis(np.zeros((60, 1, 96)), angles), "nothing"),
    ]
    for call, words in cases:
        with pytest.raises(InputError, match=words):
            call()


def test_views_that_were_taken_twice_do_not_stop_the_search():
    angles = np.repeat(np.deg2rad(np.arange(0, 180, 4)), 2)
    found = find_axis(projections(angles, 96, 49.3, 35), angles)
    assert found.value == pytest.approx(49.3, abs=0.2)


def test_a_range_that_leaves_no_position_is_refused():
    angles = np.linspace(0, np.pi, 60)
    data = projections(angles, 96, 47.0, 35)
    with pytest.raises(InputError, match="No axis can be tried"):
        find_axis(data, angles, hint=0.5, search=0.5)


def without_stripes(pairs):
    return [stack - np.resize(pairs.stripes, stack.shape) for stack in pairs.lines]


def test_few_lines_lead_to_what_all_lines_say():
    angles = np.arange(500) * 2 * np.pi / 500
    data = projections(angles, 320, 163.37, 130, rows=2, seed=3, noise=0.03, rings=0.02)
    (pairs,) = opposite_pairs(data, angles, 1000)
    whole, upper, lower = refine_pairs(pairs, 163.0)
    value, error = refine_axis(*without_stripes(pairs), 163.0)
    assert whole[0] == pytest.approx(value, abs=0.5 * error)
    assert whole[1] == pytest.approx(error, rel=0.05)
    for half, rows in ((upper, slice(0, 1)), (lower, slice(1, 2))):
        own = refine_axis(*without_stripes(pairs.of_rows(rows)), 163.0)
        assert half[0] == pytest.approx(own[0], abs=0.5 * own[1])
        assert half[1] == pytest.approx(own[1], rel=0.3)


@pytest.mark.parametrize(
    ("columns", "overlap", "lines"),
    [(520, 70, 1), (520, 70, 60), (520, 400, 1), (520, 400, 60), (1500, 1100, 8)],
)
def test_the_quick_evidence_is_near_to_the_exact_one(columns, overlap, lines):
    axis = (overlap - 1) / 2 + 0.2
    angles = np.linspace(0, np.pi, lines, endpoint=False)
    both = [
        projections(angles + turn, columns, axis, 0.92 * columns, seed=5, noise=0.01)[:, 0]
        for turn in (0, np.pi)
    ]
    noise = 0.01 * np.sqrt(2) * np.random.default_rng(3).standard_normal((64, columns))
    last = columns - 1
    exact, quick = (mirror_peak(both, noise, 0, last, 32, quick=way) for way in (False, True))
    assert abs(exact.value - axis) <= 1
    assert abs(quick.value - exact.value) <= 1
    assert quick.evidence == pytest.approx(exact.evidence, rel=0.15)
    assert quick.runner_up == pytest.approx(exact.runner_up, abs=0.2 * exact.evidence)
