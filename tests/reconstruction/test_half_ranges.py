"""Half-acquisitions as scans come: turns not quite whole, odd numbers, wide and narrow overlaps."""

import numpy as np
import pytest

from hipct.reconstruction import fbp
from hipct.reconstruction.axis import find_axis
from hipct.reconstruction.half import overlap_width


def smooth_body(phantoms, theta, columns, axis):
    """Bumps (1 - r^2)^2, without edges: what is left is the method's own error."""
    radius = max(axis, columns - 1 - axis)
    bumps = [(1.0, 0.02, -0.03, 0.9), (-0.5, 0.3, 0.25, 0.3), (0.6, -0.4, -0.3, 0.35)]
    rows = np.zeros((theta.size, columns))
    for mu, x, y, r in bumps:
        centre = axis + radius * (x * np.cos(theta) + y * np.sin(theta))
        s = (np.arange(columns) - centre[:, None]) / (r * radius)
        rows += mu * r * radius * 16 / 15 * np.maximum(1 - s**2, 0) ** 2.5
    size = fbp(rows[None, :, :], theta, axis, acquisition="half")[0]
    x, y = phantoms.coordinates(len(size))
    truth = np.zeros(x.shape)
    for mu, a, b, r in bumps:
        squared = ((x - radius * a) ** 2 + (y - radius * b) ** 2) / (r * radius) ** 2
        truth += mu * np.maximum(1 - squared, 0) ** 2
    return size - truth, np.hypot(x, y), radius


# Overlaps of 40, 40, 83, 219 and 237 columns of 240; from a whole turn on nothing is lost, and of
# a wedge that is missing the strip has no part, so that a wide one makes up for it.
@pytest.mark.parametrize("axis", [219.5, 19.6, 198.0, 130.0, 120.75])
@pytest.mark.parametrize(("degrees", "number", "limit"), [
    (360, 600, 1.2e-4), (360, 601, 1.2e-4), (361, 601, 1.2e-4), (362, 603, 1.2e-4),
    (362.3, 601, 1.2e-4), (400, 701, 1.2e-4), (359, 601, 3e-4), (358, 601, 8e-4),
])  # fmt: skip
def test_ranges_about_a_turn(phantoms, axis, degrees, number, limit):
    theta = np.deg2rad(17 + np.arange(number) * degrees / number)
    error, distance, radius = smooth_body(phantoms, theta, 240, axis)
    inside = error[distance < 0.95 * radius]
    assert overlap_width(240, axis) >= 40
    assert np.sqrt(np.mean(inside**2)) < limit
    assert abs(inside.mean()) < 5e-5


@pytest.mark.parametrize("axis", [-4.0, 246.0])
@pytest.mark.parametrize(("degrees", "number", "limit"), [
    (360, 600, 2.5e-3), (360, 601, 2.5e-3), (362.3, 601, 2.5e-3), (359, 601, 6e-3),
])  # fmt: skip
def test_ranges_about_a_turn_around_a_hole(phantoms, axis, degrees, number, limit):
    """With the axis off the detector: what lies outside of the hole, 6 px around it left out."""
    theta = np.deg2rad(np.arange(number) * degrees / number)
    error, distance, radius = smooth_body(phantoms, theta, 240, axis)
    hole = -0.5 * overlap_width(240, axis)
    ring = error[(distance > hole + 6) & (distance < 0.95 * radius)]
    assert np.sqrt(np.mean(ring**2)) < limit
    assert abs(ring.mean()) < 1e-4


@pytest.mark.parametrize("axis", [299.7, 20.3, 250.1, 165.2])
@pytest.mark.parametrize(("degrees", "number"), [(360, 721), (359, 721), (362, 720)])
def test_the_axis_is_found_whatever_the_range(phantoms, axis, degrees, number):
    """Overlaps of 40 columns to nearly all, of a body with detail near its middle, and noise."""
    theta = np.deg2rad(np.arange(number) * degrees / number)
    radius = max(axis, 319 - axis)
    detail = [(0.03, 0.02, 0.02), (-0.02, 0.04, 0.015), (0.05, -0.05, 0.03), (0.1, 0.0, 0.02)]
    organ = (*phantoms.organ(radius), *(
        phantoms.Ellipse(0.3, radius * x, radius * y, radius * r, radius * r) for x, y, r in detail
    ))  # fmt: skip
    rows = phantoms.seen_by_a_detector(organ, theta, 320, axis, 0.5)[:, None]
    rows += 0.002 * rows.max() * np.random.default_rng(0).standard_normal(rows.shape)
    found = find_axis(rows, theta, acquisition="half")
    assert found.value == pytest.approx(axis, abs=0.05)
    assert found.confidence > 0.9
