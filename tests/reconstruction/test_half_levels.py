"""What scans do to half-acquisitions, simulated, and what is left of it after its correction."""

import numpy as np
import pytest

from hipct.preparation.borders import mend_borders
from hipct.preparation.pair_levels import match_pair_levels, pair_levels
from hipct.reconstruction import fbp
from hipct.reconstruction.half import overlap_width

ANGLES = 601


class Case:
    """An organ of line integrals up to 1.5, and the errors of its reconstruction over mu."""

    def __init__(self, phantoms, columns, axis, angles):
        self.theta = np.arange(angles) * 2 * np.pi / angles
        self.axis = axis
        self.radius = max(axis, columns - 1 - axis)
        self.mu = 1.5 / (1.72 * self.radius)
        organ = phantoms.organ(self.radius)
        self.rows = self.mu * phantoms.seen_by_a_detector(organ, self.theta, columns, axis, 0.5)
        size = self.slice(self.rows).shape[0]
        self.truth = phantoms.truth(organ, size)
        self.inner = phantoms.away_from_edges(organ, size, 4, 0.95 * self.radius)
        x, y = phantoms.coordinates(size)
        self.distance = np.hypot(x, y)

    def slice(self, rows):
        return fbp(rows.reshape(1, *rows.shape[-2:]), self.theta, self.axis, acquisition="half")[0]

    def error(self, rows):
        return self.slice(rows) / self.mu - self.truth

    def rms(self, rows, within=np.inf):
        chosen = self.inner & (self.distance < within)
        return float(np.sqrt(np.mean(self.error(rows)[chosen] ** 2)))


@pytest.fixture(scope="module", params=[(240, 220.3, 720), (240, 19.6, 721), (240, 190.3, 721)])
def case(request, phantoms):
    return Case(phantoms, *request.param)


def test_levels_that_change_with_the_angle(case):
    """3 % of the beam: a vortex around the axis, of which nothing is left."""
    levels = 0.03 * np.sin(3 * case.theta) + 0.02 * np.cos(case.theta)
    bad = case.rows + levels[:, None]
    clean, before = (case.rms(rows, within=0.2 * case.radius) for rows in (case.rows, bad))
    matched = match_pair_levels(bad[None], case.theta, case.axis)
    assert before > 4 * clean
    assert before > 8e-3
    assert case.rms(matched, within=0.2 * case.radius) < 1.02 * clean
    assert case.rms(matched) < 1.02 * case.rms(case.rows) < 2.5e-3


def test_a_jump_of_the_level_leaves_no_structure(case):
    """Of a jump both of a pair take a half: the level shifts evenly, its structure is gone."""
    bad = case.rows + 0.03 * (case.theta > 2.0)[:, None]
    centre = case.inner & (case.distance < 0.3 * case.radius)
    clean, before, after = (
        case.error(rows)[centre].std()
        for rows in (case.rows, bad, match_pair_levels(bad[None], case.theta, case.axis))
    )
    assert before > 4 * clean
    assert after < 1.1 * clean


def test_levels_of_an_exact_scan_are_next_to_nothing(case):
    levels = pair_levels(case.rows[None], case.theta, case.axis)
    assert np.abs(levels).max() < 2e-3
    matched = match_pair_levels(case.rows[None], case.theta, case.axis)
    assert case.rms(matched) < 1.01 * case.rms(case.rows)


def test_dark_borders_of_the_detector(phantoms):
    """30 % at the edge, gone within a few columns: without mending the slice is 10 % too low."""
    case = Case(phantoms, 320, 290.3, ANGLES)
    assert overlap_width(320, 290.3) > 50
    column = np.arange(320)
    dark = 0.3 * np.exp(-column / 1.5) + 0.3 * np.exp(-(319 - column) / 1.5)
    bad = case.rows + dark
    before, after = case.error(bad), case.error(mend_borders(bad[None], 8))
    rim = case.inner & (case.distance > 0.85 * case.radius)
    centre = case.inner & (case.distance < 0.2 * case.radius)
    assert before[case.inner].mean() < -0.1
    assert before[rim].mean() - before[centre].mean() < -0.1
    assert abs(after[case.inner].mean()) < 5e-4
    assert abs(after[rim].mean() - after[centre].mean()) < 1e-3
    assert case.rms(mend_borders(bad[None], 8)) < 1.05 * case.rms(case.rows)
