"""Flats matched by angle: against brute force, in blocks and slabs, and on a simulated jar."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.flat import FlatField, flat_field
from hipct.preparation.lowpass import low_pass
from hipct.preparation.reference_scan import ReferenceFlats, SmoothReference
from hipct.preparation.reference_windows import ReferenceWindows, match_angles

TURN = 2 * np.pi


def counts(frames=36, rows=9, columns=14, seed=0):
    return np.random.default_rng(seed).integers(5000, 6000, (frames, rows, columns), np.uint16)


def smoothed(xp, reference, windows, *, closed=True, block=7, dark=None, current=None):
    smooth = SmoothReference(*reference.shape, windows, closed=closed, xp=xp)
    for first in range(0, len(reference), block):
        part = slice(first, first + block)
        smooth.feed(
            xp.asarray(reference[part]),
            first,
            dark=None if dark is None else xp.asarray(dark),
            current=None if current is None else current[part],
        )
    return smooth


def flats_at(xp, flats, reference, positions, *, rows=slice(None), current=None, step=5):
    """What the pipeline does: read what is missing, in parts, and ask."""
    for missing in flats.missing(positions):
        for first in range(missing.start, missing.stop, step):
            last = min(first + step, missing.stop)
            flats.feed(
                xp.asarray(np.ascontiguousarray(reference[first:last, rows])),
                first,
                current=None if current is None else current[first:last],
            )
    return flats.flat_field(positions)


def divided(xp, fetch, flats, reference, positions, projections, **options):  # noqa: PLR0917
    """Projections over the flats of their positions."""
    field = flats_at(xp, flats, reference, positions, **options)
    return fetch(field.apply(xp.asarray(projections), projection_index=positions))


def window(frames, place, width, *, closed):
    """Share of each frame in a window of frames around a place."""
    ends = place - width / 2, place + width / 2
    if not closed:
        ends = max(ends[0], -0.5), min(ends[1], frames - 0.5)
    weights = np.zeros(frames)
    for number in range(-frames, 2 * frames):
        part = min(number + 0.5, ends[1]) - max(number - 0.5, ends[0])
        if part > 0:
            weights[number % frames] += part / (ends[1] - ends[0])
    return weights


@pytest.mark.parametrize("places", [[0.0, 17.25, 35.3], [-0.5, 9.5], [34.9, 0.1, 2.0]])
def test_windows_as_defined(xp, fetch, places):
    """Windows of ten frames or fewer are exact, to the fraction of a frame."""
    ndimage = pytest.importorskip("scipy.ndimage")
    reference = counts()
    current = np.random.default_rng(1).uniform(150, 200, 36)
    dark = np.full(reference.shape[1:], 100, np.float32)
    windows = ReferenceWindows(wide=10, narrow=4, sigma_px=2.5)
    smooth = smoothed(xp, reference, windows, dark=dark, current=current)
    flats = ReferenceFlats(smooth, dark=xp.asarray(dark))
    projections = np.full((len(places), *reference.shape[1:]), 3100, np.float32)
    field = flats_at(xp, flats, reference, places, current=current)
    result = field.apply(
        xp.asarray(projections), projection_index=places, current=np.full(len(places), 100.0)
    )
    true = (reference - 100.0) / current[:, None, None]
    low = [ndimage.gaussian_filter(f, 2.5, mode="reflect", truncate=8) for f in true]
    for place, transmission in zip(places, fetch(result)):
        wide, narrow = (window(36, place, width, closed=True) for width in (10, 4))
        flat = np.tensordot(wide, true - low, 1) + np.tensordot(narrow, low, 1)
        np.testing.assert_allclose(transmission, 30 / flat, rtol=3e-5)


def test_an_open_scan_has_one_sided_windows_at_its_ends(xp, fetch):
    reference = counts()
    windows = ReferenceWindows(wide=8, narrow=8, sigma_px=3)
    flats = ReferenceFlats(smoothed(xp, reference, windows, closed=False))
    places = [-0.5, 35.5]
    ones = np.ones((2, *reference.shape[1:]), np.float32)
    result = divided(xp, fetch, flats, reference, places, ones)
    np.testing.assert_allclose(result[0], 1 / reference[:4].mean(0), rtol=2e-6)
    np.testing.assert_allclose(result[1], 1 / reference[-4:].mean(0), rtol=2e-6)


def test_wide_windows_end_softly(fetch):
    """A place between knots gets the window mean whose outermost groups count in part."""
    reference = counts(frames=240)
    windows = ReferenceWindows(wide=60, narrow=60, sigma_px=3)
    flats = ReferenceFlats(smoothed(np, reference, windows))
    result = divided(np, fetch, flats, reference, [100.0], np.ones_like(reference[:1]))
    groups = reference.reshape(40, 6, 9, 14).mean(1)
    # 100.5 frames are 16.75 groups: the window goes from 11.75 groups to 21.75.
    flat = (0.25 * groups[11] + groups[12:21].sum(0) + 0.75 * groups[21]) / 10
    np.testing.assert_allclose(result[0], 1 / flat, rtol=2e-6)


@pytest.mark.parametrize("reduction", ["mean", "median"])
def test_blocks_and_slabs_change_nothing(xp, fetch, reduction):
    reference = counts(frames=90)
    projections = counts(frames=40, seed=5)
    places = match_angles(np.arange(40) * TURN / 40 + 0.03, np.arange(90) * TURN / 90).positions
    windows = ReferenceWindows(wide=30, narrow=12, sigma_px=3, reduction=reduction)
    smooth = smoothed(xp, reference, windows)
    whole = divided(xp, fetch, ReferenceFlats(smooth), reference, places, projections)
    for block, rows in ((7, slice(0, 9)), (40, slice(3, 8))):
        flats = ReferenceFlats(smooth, rows)
        # Upwards and downwards.
        for first in [*range(0, 40, block), *range(40 - block, 0, -block)]:
            part = slice(first, first + block)
            result = divided(
                xp, fetch, flats, reference, places[part], projections[part, rows], rows=rows
            )
            if rows == slice(0, 9):
                np.testing.assert_array_equal(result, whole[part])
            np.testing.assert_allclose(result, whole[part, rows], rtol=2e-6)


def test_only_the_window_is_held_and_nothing_is_read_twice():
    reference = counts(frames=400)
    windows = ReferenceWindows(wide=40, narrow=20, sigma_px=3)
    flats = ReferenceFlats(smoothed(np, reference, windows))
    read = 0
    for first in range(0, 400, 8):
        places = np.arange(first, first + 8.0)
        read += sum(len(part) for part in flats.missing(places))
        flats_at(np, flats, reference, places)
        assert len(flats._sums) <= 10 + 4
    # The window of the first block comes again at the end.
    assert read <= 400 + 40 + 8


def test_transfers(standin):
    """Nothing comes back to the host, however many angles."""
    reference = counts(frames=90)
    windows = ReferenceWindows(wide=30, narrow=12, sigma_px=3)
    flats = ReferenceFlats(smoothed(standin, reference, windows))
    standin._transfers.reset()
    flats_at(standin, flats, reference, np.arange(0.0, 90.0))
    assert standin._transfers.to_host == 0


class Jar:
    """A beam that drifts, the shadow of a jar that is off its axis, and dust on the scintillator.

    ``flat(angle)`` is what lies behind the jar without the sample.
    """

    def __init__(self, rows=48, columns=64, photons=4000, seed=3):
        self.rng = np.random.default_rng(seed)
        self.photons = photons
        self.row, self.column = np.mgrid[:rows, :columns]
        dust = self.rng.normal(0, 0.03, (rows, columns))
        dust[self.rng.random((rows, columns)) < 0.01] -= 0.3
        self.detector = 1 + dust

    def smooth(self, angle):
        beam = np.exp(-(((self.row - 24 - 2 * np.sin(angle)) / 30) ** 2))
        path = np.sqrt(1 - ((self.column - 32 - 6 * np.cos(angle)) / 60) ** 2)
        return beam * np.exp(-0.8 * path)

    def frames(self, angles, transmission=1.0):
        means = [self.photons * self.smooth(a) * self.detector * transmission for a in angles]
        return self.rng.poisson(means).astype(np.uint16)


def sample():
    row, column = np.mgrid[:48, :64]
    body = np.clip(1 - ((column - 32) / 25) ** 2 - ((row - 24) / 40) ** 2, 0, None)
    return np.exp(-np.sqrt(body))


def figures(transmission, truth):
    """Rms of the smooth error of a projection, and of what stays at its pixel (rings)."""
    error = -np.log(np.maximum(transmission, 1e-3)) + np.log(truth)
    smooth = low_pass(error.astype(np.float32), 5)
    return np.sqrt((smooth**2).mean()), (error - smooth).mean(0).std()


def test_the_jar_and_the_dust_are_divided_out():
    jar = Jar()
    reference_angles = np.arange(600) * TURN / 600
    angles = np.arange(150) * TURN / 150 + 0.01
    reference = jar.frames(reference_angles)
    projections = jar.frames(angles, sample())
    match = match_angles(angles, reference_angles)
    assert match.closed
    windows = ReferenceWindows(wide=300, narrow=20, sigma_px=6)
    flats = ReferenceFlats(smoothed(np, reference, windows, block=100))
    split = divided(np, np.asarray, flats, reference, match.positions, projections)
    one_flat = flat_field(projections, reference, reduction="mean")
    narrow = ReferenceWindows(wide=20, narrow=20, sigma_px=6)
    near = ReferenceFlats(smoothed(np, reference, narrow, block=100))
    level, rings = figures(split, sample())
    level_one, rings_one = figures(one_flat, sample())
    # One flat for all angles: shadow of 4 % in the line integrals. Matched: a tenth.
    assert level_one > 0.03
    assert level < 0.1 * level_one
    # Rings: at the noise of the projections' own mean, as with the one flat of 600 frames.
    assert rings < 1.1 * rings_one
    # The flats themselves: with the fine part from 300 frames much less noise than from 20.
    ones = np.ones((3, 48, 64), np.float32)
    truth = np.stack([jar.photons * jar.smooth(a) * jar.detector for a in angles[:3]])
    noise = [
        (divided(np, np.asarray, made, reference, match.positions[:3], ones) * truth).std()
        for made in (flats, near)
    ]
    assert noise[0] < 0.4 * noise[1]


def test_bubbles_ask_for_the_median():
    jar = Jar(seed=4)
    angles = np.arange(400) * TURN / 400
    reference = jar.frames(angles)
    # Rising through a column: 12 frames at each height.
    for k in range(24):
        reference[100 + 8 * k : 112 + 8 * k, 46 - 2 * k : 48 - 2 * k, 20:26] = (
            reference[100 + 8 * k : 112 + 8 * k, 46 - 2 * k : 48 - 2 * k, 20:26] * 1.3
        )
    projections = jar.frames(angles[::4])
    error = {}
    for reduction in ("mean", "median"):
        windows = ReferenceWindows(wide=160, narrow=80, sigma_px=6, reduction=reduction)
        flats = ReferenceFlats(smoothed(np, reference, windows, block=100))
        result = divided(np, np.asarray, flats, reference, np.arange(0.0, 400, 4), projections)
        mean = np.log(result).mean(0)
        error[reduction] = abs(mean[:, 20:26].mean() - mean[:, 40:46].mean())
    assert error["mean"] > 0.004
    assert error["median"] < 0.2 * error["mean"]


def test_a_dead_pixel_is_mended(xp, fetch):
    reference = counts()
    reference[:, 4, 6] = 0
    flats = ReferenceFlats(smoothed(xp, reference, ReferenceWindows(sigma_px=3)))
    projections = np.full((1, 9, 14), 5500, np.uint16)
    result = divided(xp, fetch, flats, reference, [3.0], projections)[0]
    assert result[4, 6] == pytest.approx((result[4, 5] + result[4, 7]) / 2, abs=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_angles_are_matched_over_any_range(sign):
    reference = sign * np.arange(720) * TURN / 720 + 0.4
    angles = np.array([0.4, 0.4 + 5 * TURN, 0.4 - TURN / 720, 0.4 + np.pi])
    match = match_angles(angles, reference)
    np.testing.assert_allclose(match.positions, [0, 0, 719 if sign > 0 else 1, 360], atol=1e-9)
    assert match.frames == 720
    # A turn and a little more counts as a turn.
    longer = match_angles(angles, sign * np.arange(725) * TURN / 720 + 0.4)
    assert longer.frames == 720
    np.testing.assert_allclose(longer.positions, match.positions, atol=1e-9)
    half = match_angles(0.4 + sign * np.array([0.0, np.pi / 2]), reference[:361])
    assert not half.closed
    np.testing.assert_allclose(half.positions, [0, 180], atol=1e-9)
    with pytest.raises(InputError, match="outside of the reference scan"):
        match_angles([0.4 - sign * 1.0], reference[:361])


def test_presets():
    presets = {um: ReferenceWindows.preset(um) for um in (25, 20, 6, 2, 1)}
    values = {um: (w.wide, w.narrow, w.sigma_px) for um, w in presets.items()}
    assert values == {
        25: (1000, 200, 50),
        20: (1000, 200, 50),
        6: (1000, 500, 100),
        2: (600, 200, 200),
        1: (600, 200, 400),
    }
    off = ReferenceWindows.preset(20, off_axis=True), ReferenceWindows.preset(6.5, off_axis=True)
    assert [(w.wide, w.narrow, w.sigma_px) for w in off] == [(600, 200, 50), (100, 400, 100)]


def test_what_does_not_fit_is_refused():
    reference = counts()
    windows = ReferenceWindows(wide=8, narrow=4, sigma_px=3)
    with pytest.raises(InputError, match="narrow window"):
        ReferenceWindows(narrow=1)
    with pytest.raises(InputError, match="reduction"):
        ReferenceWindows(reduction="mode")
    smooth = SmoothReference(*reference.shape, windows)
    smooth.feed(reference[:30], 0)
    with pytest.raises(InputError, match="Frame 30"):
        ReferenceFlats(smooth)
    with pytest.raises(InputError, match="36 that count"):
        smooth.feed(reference[:10], 30)
    smooth.feed(reference[30:], 30)
    flats = ReferenceFlats(smooth, slice(2, 5))
    with pytest.raises(InputError, match="were fed"):
        flats.flat_field([4.0])
    with pytest.raises(InputError, match="these rows"):
        flats.feed(reference[:3], 0)
    flats.feed(reference[:3, 2:5], 0)
    with pytest.raises(InputError, match="machine current"):
        flats.feed(reference[3:4, 2:5], 3, current=[200.0])
    with pytest.raises(InputError, match="outside of"):
        flats.missing([36.0])
    with pytest.raises(InputError, match="even steps"):
        match_angles([0.0], [0.0, 1.0, 6.0])


def test_the_flat_between_groups_is_linear_whatever_other_groups_there_are(fetch):
    """A FlatField with some of the groups gives the bits of one with all."""
    rng = np.random.default_rng(8)
    references = rng.uniform(1, 2, (6, 3, 40)).astype(np.float32)
    times = np.cumsum(rng.uniform(1, 9, 6))
    dark = np.zeros((3, 40), np.float32)
    index = np.linspace(times[2], times[3], 50)
    frames = np.ones((50, 3, 40), np.float32)
    whole = FlatField(dark, references, times, False).apply(frames, projection_index=index)
    part = FlatField(dark, references[2:4], times[2:4], False)
    np.testing.assert_array_equal(part.apply(frames, projection_index=index), whole)
