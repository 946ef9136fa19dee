"""Eigen flats: their number, their coefficients, and drifting stripes that they take away."""

from __future__ import annotations

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.preparation.dynamic_fit import solve
from hipct.preparation.dynamic_flats import EigenFlats
from hipct.preparation.flat import FlatField
from hipct.preparation.lowpass import low_pass

ROWS, COLUMNS = 96, 128


class Beam:
    """Horizontal stripes of a multilayer, that move up and down and change their strength."""

    def __init__(self, photons=20000, seed=0):
        self.rng = np.random.default_rng(seed)
        self.photons = photons
        self.row, self.column = np.mgrid[:ROWS, :COLUMNS]
        self.gain = 1 + self.rng.normal(0, 0.03, (ROWS, COLUMNS))
        self.heights = self.rng.uniform(0, ROWS, 25)
        self.depths = self.rng.uniform(0.02, 0.12, 25)

    def flat(self, shift_px, strength=1.0, level=1.0):
        row = self.row + 0.02 * self.column - shift_px
        lines = np.exp(-(((row[..., None] - self.heights) / 1.8) ** 2) / 2) @ self.depths
        profile = np.exp(-(((self.row - ROWS / 2) / 70) ** 2))
        return level * self.photons * profile * (1 + strength * lines) * self.gain

    def counts(self, drifts, transmission=1.0):
        means = np.stack([self.flat(*drift) * transmission for drift in drifts])
        return (self.rng.poisson(means) + 100).astype(np.uint16)


def drifts(number, seed):
    rng = np.random.default_rng(seed)
    shift = rng.uniform(-0.7, 0.7, number)
    strength = rng.uniform(0.85, 1.15, number)
    level = rng.uniform(0.95, 1.05, number)
    return list(zip(shift, strength, level))


def sample(margin=20):
    """A body with edges, and air at both sides."""
    row, column = np.mgrid[:ROWS, :COLUMNS]
    inside = (column > margin) & (column < COLUMNS - margin)
    thickness = np.where(inside, 0.6 + 0.2 * np.sin(column / 11) * np.cos(row / 17), 0)
    vessels = sum(
        0.25 * (np.hypot(row - r, column - c) < radius)
        for r, c, radius in ((20, 50, 8), (60, 80, 12), (75, 40, 5), (40, 64, 6))
    )
    return np.exp(-thickness - vessels * inside)


DARKS = np.full((3, ROWS, COLUMNS), 100, np.uint16)


@pytest.fixture(scope="module")
def acquired():
    """(flats, projections, truth, drifts of the projections)."""
    beam = Beam()
    moved = drifts(6, 7)
    return beam.counts(drifts(30, 5)), beam.counts(moved, sample()), sample(), moved


def stripes(transmission, truth):
    """Stripes of the line integrals: rms of what is fine along the column, mean along the row.

    Seven columns on either side lie at edges, a row's mean over a third of the field is left.
    """
    error = (np.log(truth) - np.log(np.maximum(transmission, 1e-3)))[:, :, 30:-30]
    profile = error.mean(axis=2)
    smooth = np.stack([low_pass(p[:, None].astype(np.float32), 8)[:, 0] for p in profile])
    return np.sqrt(((profile - smooth) ** 2).mean())


def static(xp, flats, projections):
    field = FlatField.from_frames(xp.asarray(flats), xp.asarray(DARKS), reduction="mean")
    return field.apply(xp.asarray(projections))


def test_components_above_the_noise(acquired):
    flats = acquired[0]
    found = EigenFlats.from_frames(flats, DARKS)
    # A shift below a pixel is one direction and a bit of a second, the strength another.
    assert 2 <= len(found.eigen) <= 4
    np.testing.assert_allclose((found.eigen**2).mean((1, 2)), 1, rtol=1e-3)
    beam = Beam(seed=2)
    assert len(EigenFlats.from_frames(beam.counts([(0.0, 1.0, 1.0)] * 30), DARKS).eigen) == 0


@pytest.mark.parametrize("background", [True, False])
def test_drifting_stripes_go(xp, fetch, acquired, background):
    """Stripes: what is left is near the noise; level: by the background alone."""
    flats, projections, truth, moved = acquired
    eigen = EigenFlats.from_frames(xp.asarray(flats), xp.asarray(DARKS))
    before = static(xp, flats, projections)
    mask = None
    if background:
        mask = np.zeros((ROWS, COLUMNS), bool)
        mask[:, :18] = mask[:, -18:] = True
    coefficients = eigen.follow(before, background=mask)
    after = fetch(eigen.apply(before, coefficients))
    assert after.dtype == np.float32
    left, noise = stripes(fetch(before), truth), stripes(quiet(projections, moved), truth)
    assert left > 0.008
    found = stripes(after, truth)
    assert found < 0.18 * left
    assert found < 1.3 * noise
    levels_before, levels_after = (
        (np.log(t) - np.log(truth))[:, :, 30:-30].mean((1, 2)) for t in (fetch(before), after)
    )
    assert np.abs(levels_before).max() > 0.03
    if background:
        assert np.abs(levels_after).max() < 2e-3
    else:
        assert (fetch(coefficients)[:, 0] == 1).all()


def quiet(projections, moved):
    """Projections over their own true flats: what noise alone leaves."""
    beam = Beam()
    flats = np.stack([beam.flat(*drift) for drift in moved])
    return (projections - 100.0) / flats


def test_slabs_and_blocks_take_the_coefficients_of_the_whole(xp, fetch, acquired):
    flats, projections, _, _ = acquired
    eigen = EigenFlats.from_frames(xp.asarray(flats), xp.asarray(DARKS))
    before = static(xp, flats, projections)
    coefficients = eigen.follow(before)
    whole = fetch(eigen.apply(before, coefficients))
    rows = slice(30, 50)
    slab = eigen.of_rows(xp.asarray(flats[:, rows]), xp.asarray(DARKS[:, rows]))
    part = slab.apply(before[2:5, rows], coefficients[2:5])
    np.testing.assert_allclose(fetch(part), whole[2:5, rows], rtol=3e-6)
    np.testing.assert_array_equal(fetch(eigen.follow(before[2:5])), fetch(coefficients)[2:5])


def test_a_band_of_rows_is_enough(acquired):
    flats, projections, truth, _ = acquired
    rows = slice(20, 76)
    eigen = EigenFlats.from_frames(flats[:, rows], DARKS[:, rows])
    before = static(np, flats, projections)
    coefficients = eigen.follow(before[:, rows])
    after = eigen.of_rows(flats, DARKS).apply(before, coefficients)
    assert stripes(after, truth) < 0.22 * stripes(before, truth)


def test_nothing_is_fetched_for_projections(standin, acquired):
    flats, projections, _, _ = acquired
    eigen = EigenFlats.from_frames(standin.asarray(flats), standin.asarray(DARKS))
    before = static(standin, flats, projections[:1])
    standin._transfers.reset()
    eigen.apply(before, eigen.follow(before))
    assert standin._transfers.to_host == 0


def test_dead_pixels_do_not_matter(acquired):
    flats, projections, _, _ = acquired
    spoilt = flats.copy()
    spoilt[:, 10, 70] = 100
    eigen, clean = (EigenFlats.from_frames(f, DARKS, components=2) for f in (spoilt, flats))
    assert np.isnan(eigen.mean[10, 70])
    assert (eigen.eigen[:, 10, 70] == 0).all()
    before = static(np, spoilt, projections)
    after = eigen.apply(before, eigen.follow(before))
    assert np.isfinite(after).all()
    reference = clean.apply(before, clean.follow(before))
    np.testing.assert_allclose(after[:, 40:], reference[:, 40:], rtol=2e-3)


def test_small_systems(xp, fetch):
    rng = np.random.default_rng(1)
    root = rng.normal(size=(5, 9))
    matrix, values = root @ root.T, rng.normal(size=5)
    result = fetch(solve(xp.asarray(matrix), xp.asarray(values)))
    np.testing.assert_allclose(result, np.linalg.solve(matrix, values), rtol=1e-6)
    assert not fetch(solve(xp.zeros((2, 2)), xp.zeros(2))).any()


def test_what_does_not_fit_is_refused(acquired):
    flats, projections, _, _ = acquired
    with pytest.raises(InputError, match="3 flats or more"):
        EigenFlats.from_frames(flats[:2])
    with pytest.raises(InputError, match="above its dark"):
        EigenFlats.from_frames(flats * (np.arange(30) != 4)[:, None, None].astype(np.uint16))
    eigen = EigenFlats.from_frames(flats, DARKS, components=1)
    with pytest.raises(InputError, match="were found with 30"):
        eigen.of_rows(flats[:9])
    with pytest.raises(InputError, match="same rows"):
        eigen.follow(projections[:, 1:])
    with pytest.raises(InputError, match="fewer than the 2 unknowns"):
        eigen.follow(projections, background=np.zeros((ROWS, COLUMNS), bool))
    with pytest.raises(InputError, match="needs a bool"):
        eigen.follow(projections, background=np.zeros((ROWS, COLUMNS)))
    with pytest.raises(InputError, match="as follow"):
        eigen.apply(projections, np.ones((6, 5)))
