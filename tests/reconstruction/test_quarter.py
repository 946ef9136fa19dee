"""Quarter-acquisition: two annuli found, joined and reconstructed, against the truth."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from hipct.core.errors import InputError
from hipct.preparation.quarter import AnnulusJoin, measure_annuli
from hipct.reconstruction import fbp

DETECTOR, AXIS, ANGLES = 240, 215.4, 1400


class Quarter:
    """Transmission of the two scans of a detector of 240 columns, the outer one to the left."""

    def __init__(self, phantoms, offset, *, right=False):
        self.theta = np.arange(ANGLES) * 2 * np.pi / ANGLES
        self.axis = DETECTOR - 1 - AXIS if right else AXIS
        self.radius = abs(offset) + AXIS
        self.mu = 1.2 / (1.7 * self.radius)
        self.organ = phantoms.organ(self.radius)
        self.inner, self.outer = (
            np.exp(-self.mu * phantoms.seen_by_a_detector(self.organ, self.theta, DETECTOR, c, 0.7))
            for c in (self.axis, self.axis - offset)
        )
        self.inner, self.outer = self.inner[:, None], self.outer[:, None]
        self.phantoms = phantoms

    def rms(self, join, inner, outer):
        """Root mean square error over mu, and the mean, of the half-acquisition of both."""
        rows = -np.log(join.join(inner, outer))
        image = fbp(np.moveaxis(rows, 1, 0), self.theta, join.axis(self.axis), acquisition="half")
        image = image[0] / self.mu
        inside = self.phantoms.away_from_edges(self.organ, len(image), 8, 0.95 * self.radius)
        error = (image - self.phantoms.truth(self.organ, len(image)))[inside]
        return float(np.sqrt(np.mean(error**2))), float(error.mean())


@pytest.mark.parametrize(("offset", "right"), [(-122.37, False), (126.0, True), (-222.5, False)])
def test_joined_annuli_are_the_wide_half_acquisition(phantoms, offset, right):
    """Common columns of 117, 114 and 17 between borders, with levels 5 % apart: <= 3e-3 of mu."""
    quarter = Quarter(phantoms, offset, right=right)
    border = 0 if abs(offset) > 200 else 4
    join = AnnulusJoin(DETECTOR, DETECTOR, (0.0, offset), border)
    level = 1 + 0.05 * np.sin(2 * quarter.theta)[:, None, None]
    rms, bias = quarter.rms(join, quarter.inner, quarter.outer * level)
    assert rms < 3e-3
    assert abs(bias) < 5e-4


def test_unmatched_levels_and_a_wrong_shift_would_show(phantoms):
    """What the join takes away: a step of 5 % between the annuli, and 1 px of offset."""
    quarter = Quarter(phantoms, -122.37)
    join = AnnulusJoin(DETECTOR, DETECTOR, (0.0, -122.37))
    right, _ = quarter.rms(join, quarter.inner, quarter.outer)
    wrong = AnnulusJoin(DETECTOR, DETECTOR, (0.0, -121.37))
    assert quarter.rms(wrong, quarter.inner, quarter.outer)[0] > 2 * right
    joined = join.join(quarter.inner, quarter.outer * 1.05)
    first = -int(join.axis(0))
    plain = np.concatenate([quarter.outer[..., :120] * 1.05, quarter.inner[..., 2:]], axis=-1)
    step = np.abs(np.diff(np.log(plain), axis=-1))[..., 119].mean()
    assert step > 0.04
    seam = np.abs(np.diff(np.log(joined), axis=-1))[..., 110:250]
    assert first == -122
    assert seam.max() < 0.04


def test_three_annuli_by_two_joins(phantoms):
    """An outer annulus is joined to what was joined before."""
    theta = np.arange(1600) * 2 * np.pi / 1600
    columns, axis, mu = 160, 140.2, 1.2 / (1.7 * 350)
    offsets = (0.0, -104.6, -209.9)
    organ = phantoms.organ(350)
    parts = [
        np.exp(-mu * phantoms.seen_by_a_detector(organ, theta, columns, axis - o, 0.7))[:, None]
        for o in offsets
    ]
    first = AnnulusJoin(columns, columns, (0.0, offsets[1]))
    wide = first.join(parts[0], parts[1])
    second = AnnulusJoin(first.columns, columns, (0.0, first.axis(offsets[2])))
    rows = -np.log(second.join(wide, parts[2]))[:, 0]
    wide_axis = second.axis(first.axis(axis))
    assert wide_axis == pytest.approx(140.2 + 209)
    image = fbp(rows[None], theta, wide_axis, acquisition="half")[0] / mu
    inside = phantoms.away_from_edges(organ, len(image), 8, 0.95 * 350)
    error = (image - phantoms.truth(organ, len(image)))[inside]
    assert np.sqrt(np.mean(error**2)) < 3e-3


def texture(seed, rows, columns):
    """Smooth random texture with a clear band, on a fine grid of 4 x 4 a pixel."""
    fine = np.random.default_rng(seed).standard_normal((rows * 4, columns * 4))
    for axis in (0, 1):
        fine = gaussian_filter1d(fine, 6.0, axis=axis)
    return 0.6 + 0.1 * fine / fine.std()


@pytest.mark.parametrize("offset", [(1.25, -96.75), (-0.5, 88.5), (0.0, 121.0)])
def test_offset_is_found_within_a_tenth_of_a_pixel(offset):
    """From motors 3 px off, on common columns, with noise, stripes and levels that differ."""
    rng = np.random.default_rng(1)
    inner, outer = [], []
    for seed in range(6):
        fine = texture(seed, 72, 540)
        images = []
        for row, column in ((4.0, 200.0), (4.0 + offset[0], 200.0 + offset[1])):
            r, c = round(4 * row), round(4 * column)
            part = fine[r : r + 4 * 64, c : c + 4 * 200]
            images.append(part.reshape(64, 4, 200, 4).mean(axis=(1, 3)))
        inner.append(images[0] + 0.01 * rng.standard_normal((64, 200)))
        outer.append(0.95 * images[1] + 0.01 * rng.standard_normal((64, 200)))
    stripes = 0.02 * rng.standard_normal(200)
    found = measure_annuli(
        np.array(inner) + stripes,
        np.array(outer) + stripes,
        (0.0, offset[1] + 3.0),
        reach_px=(3.0, 6.0),
    )
    assert found.columns == pytest.approx(offset[1], abs=0.1)
    assert found.rows == pytest.approx(offset[0], abs=0.1)
    assert found.confidence > 0.95


def test_rows_are_moved_too():
    row, column = np.mgrid[:40, :120]
    wave = np.sin(0.21 * row + 0.13 * column) + 3
    other = np.sin(0.21 * (row + 2.4) + 0.13 * (column + 70.3)) + 3
    joined = AnnulusJoin(120, 120, (2.4, 70.3)).join(wave[None], other[None])[0]
    row, column = np.mgrid[:40, :190]
    exact = np.sin(0.21 * row + 0.13 * column) + 3
    # The first rows are beyond the outer annulus; the window of its last columns is cut.
    np.testing.assert_allclose(joined[8:, :180], exact[8:, :180], atol=1e-2)
    np.testing.assert_allclose(joined[:, :70], exact[:, :70], atol=1e-12)


def test_devices_join_as_numpy_does(xp, fetch):
    rng = np.random.default_rng(2)
    inner, outer = rng.uniform(0.4, 0.9, (2, 3, 5, 90)).astype(np.float32)
    outer[1, 2] = 0.0  # a row without beam keeps its level
    join = AnnulusJoin(90, 90, (0.0, -41.3))
    out = xp.empty((3, 5, join.columns), xp.float32)
    found = join.join(xp.asarray(inner), xp.asarray(outer), out=out)
    assert found is out
    np.testing.assert_allclose(fetch(found), join.join(inner, outer), rtol=2e-6)
    assert np.isfinite(fetch(found)).all()


@pytest.mark.parametrize(("columns", "offset", "message"), [
    ((100, 100), (0.0, 92.0), "have 0 columns in common"),
    ((100, 100), (0.0, -150.0), "have 0 columns in common"),
    ((100, 60), (0.0, 20.0), "has to go beyond"),
    ((60, 100), (0.0, -20.0), "has to go beyond"),
    ((100, 100), (np.nan, 20.0), "give two numbers"),
])  # fmt: skip
def test_annuli_that_cannot_be_joined(columns, offset, message):
    with pytest.raises(InputError, match=message):
        AnnulusJoin(*columns, offset)


def test_projections_of_other_shapes():
    join = AnnulusJoin(90, 90, (0.0, 41.3))
    with pytest.raises(InputError, match="needs 90 columns"):
        join.join(np.ones((2, 3, 90)), np.ones((2, 4, 90)))
