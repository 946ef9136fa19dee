"""Half-acquisition: weighting before filtering, on complete objects, against the truth."""

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.reconstruction import Reconstructor, fbp
from hipct.reconstruction.half import extended_width, lateral_weights, overlap_width


@pytest.mark.parametrize("axis", [180.3, 20.0, 99.5, 199.4, 0.0, -7.25, 210.5])
def test_weights_of_opposite_rays_add_up_to_one(axis):
    t = np.linspace(-150, 150, 4001)
    left, right = (lateral_weights(axis + s * t, 200, axis) for s in (-1, 1))
    assert left + right == pytest.approx(1.0, abs=1e-12)
    outer = 1 if axis <= 99.5 else -1
    strip = max(abs(overlap_width(200, axis) - 1) / 2, 0.5)
    assert (lateral_weights(axis + outer * (strip + np.arange(5)), 200, axis) == 1).all()
    assert (lateral_weights(axis - outer * (strip + np.arange(5)), 200, axis) == 0).all()


def test_extended_width():
    assert extended_width(200, 180) == 361
    assert extended_width(200, 19) == 361
    assert extended_width(200, 99.5) == 200
    assert extended_width(200, 180.25) == 362
    assert Reconstructor(np.arange(0, 6, 0.1), 200, 180.25, acquisition="half").size == 362


def smooth_organ(phantoms, angles, columns, axis, radius):
    """Bumps (1 - r^2)^2 have no edge: what is left is the method's own error, at any size."""
    bumps = [(1.0, 0.02, -0.03, 0.9), (-0.5, 0.3, 0.25, 0.3), (0.6, -0.4, -0.3, 0.35)]
    rows = np.zeros((angles.size, columns))
    for mu, x, y, r in bumps:
        centre = axis + radius * (x * np.cos(angles) + y * np.sin(angles))
        s = (np.arange(columns) - centre[:, None]) / (r * radius)
        rows += mu * r * radius * 16 / 15 * np.maximum(1 - s**2, 0) ** 2.5

    def truth(size):
        x, y = phantoms.coordinates(size)
        image = np.zeros((size, size))
        for mu, a, b, r in bumps:
            squared = ((x - radius * a) ** 2 + (y - radius * b) ** 2) / (r * radius) ** 2
            image += mu * np.maximum(1 - squared, 0) ** 2
        return image

    return rows, truth


@pytest.mark.parametrize("padding", ["edge", "zero"])
@pytest.mark.parametrize("engine", ["fourier", "direct"])
@pytest.mark.parametrize("scan", [
    (160, 139.3, 500), (160, 21.0, 501), (161, 128.75, 480), (160, 79.5, 400), (160, 155.0, 500),
    (160, 0.0, 600),
])  # fmt: skip
def test_smooth_organ_is_exact(phantoms, scan, engine, padding):
    columns, axis, angles = scan
    theta = np.arange(angles) * 2 * np.pi / angles
    radius = max(axis, columns - 1 - axis)
    rows, truth = smooth_organ(phantoms, theta, columns, axis, radius)
    image = fbp(rows[None], theta, axis, acquisition="half", engine=engine, padding=padding)[0]
    x, y = phantoms.coordinates(image.shape[0])
    difference = (image - truth(image.shape[0]))[np.hypot(x, y) < 0.95 * radius]
    assert np.sqrt(np.mean(difference**2)) < 3e-4
    assert abs(difference.mean()) < 1e-4


@pytest.mark.parametrize("scan", [
    (320, 290.3, 1000), (320, 28.75, 1001), (321, 295.0, 1000), (320, 262.5, 900),
])  # fmt: skip
def test_organ_with_edges(phantoms, scan):
    """<= 2e-3 of mu, rms over 0.95 R, 4 px from edges, for the plain ramp."""
    columns, axis, angles = scan
    theta = np.arange(angles) * 2 * np.pi / angles
    radius = max(axis, columns - 1 - axis)
    organ = phantoms.organ(radius)
    rows = phantoms.seen_by_a_detector(organ, theta, columns, axis, blur=0.5)
    image = fbp(rows[None], theta, axis, acquisition="half")[0]
    inner = phantoms.away_from_edges(organ, image.shape[0], 4, 0.95 * radius)
    difference = (image - phantoms.truth(organ, image.shape[0]))[inner]
    assert np.sqrt(np.mean(difference**2)) < 2e-3
    assert abs(difference.mean()) < 2e-4


def test_the_cut_of_a_half_acquisition_leaves_no_trace(phantoms):
    """Against a full scan of the whole width, where neither has frequencies that fold."""
    columns, axis, angles = 320, 290.3, 1000
    theta = np.arange(angles) * 2 * np.pi / angles
    organ = phantoms.organ(axis)
    width = extended_width(columns, axis)
    inner = phantoms.away_from_edges(organ, width, 4, 0.95 * axis)
    half, full = (
        fbp(
            phantoms.seen_by_a_detector(organ, theta, wide, axis, blur=1.0)[None],
            theta,
            axis,
            acquisition=acquisition,
            size=width,
        )[0]
        for wide, acquisition in ((columns, "half"), (width, "full"))
    )
    difference = (half - full)[inner]
    assert np.sqrt(np.mean(difference**2)) < 2e-4


def test_the_ramp_rings_no_more_than_in_a_full_scan_of_the_same_width(phantoms):
    columns, axis, angles = 256, 228.25, 800
    theta = np.arange(angles) * 2 * np.pi / angles
    organ = phantoms.organ(axis)
    width = extended_width(columns, axis)
    inner = phantoms.away_from_edges(organ, width, 4, 0.95 * axis)

    def rms(image):
        return np.sqrt(np.mean((image - phantoms.truth(organ, width))[inner] ** 2))

    half = fbp(
        phantoms.project(organ, theta, columns, axis)[None], theta, axis, acquisition="half"
    )[0]
    wide = phantoms.project(organ, theta, width, (width - 1) / 2)[None]
    assert rms(half) < 1.05 * rms(fbp(wide, theta)[0])


@pytest.mark.parametrize("degrees", [
    np.arange(0, 361, 0.75), np.arange(360, 0, -0.75), np.arange(0, 357.5, 0.75),
    np.arange(0, 400, 0.75) - 100,
    np.random.default_rng(1).permutation(np.arange(0, 360, 0.75)),
    np.concatenate([np.arange(0, 180, 0.5), np.arange(180, 360, 1.0)]),
])  # fmt: skip
def test_any_set_of_angles_keeps_the_level(phantoms, degrees):
    columns, axis = 128, 110.4
    theta = np.deg2rad(degrees)
    disc = phantoms.Ellipse(0.03, 25.0, -18.0, 40, 40)
    image = fbp(
        phantoms.project([disc], theta, columns, axis)[None], theta, axis, acquisition="half"
    )[0]
    x, y = phantoms.coordinates(image.shape[0])
    assert image[disc.inside(x, y, 5)].mean() == pytest.approx(0.03, rel=2e-4)
    near = image.astype(float) * (np.hypot(x - 25, y + 18) < 52)
    assert (near * x).sum() / near.sum() == pytest.approx(25, abs=0.02)
    assert (near * y).sum() / near.sum() == pytest.approx(-18, abs=0.02)


@pytest.mark.parametrize("axis", [-6.0, 165.0])
def test_axis_off_the_detector_leaves_a_hole_that_is_reported(phantoms, axis):
    columns, angles = 160, 600
    theta = np.arange(angles) * 2 * np.pi / angles
    radius = max(axis, columns - 1 - axis)
    rows, truth = smooth_organ(phantoms, theta, columns, axis, radius)
    plan = Reconstructor(theta, columns, axis, acquisition="half")
    assert plan.unmeasured_radius_px == pytest.approx(5.5)
    image = plan.reconstruct(rows[None])[0]
    x, y = phantoms.coordinates(plan.size)
    ring = (np.hypot(x, y) > 12) & (np.hypot(x, y) < 0.95 * radius)
    assert np.sqrt(np.mean((image - truth(plan.size))[ring] ** 2)) < 2e-3
    assert np.abs((image - truth(plan.size))[~ring & (np.hypot(x, y) < 12)]).max() < 0.2


def test_half_of_a_full_turn_is_refused():
    with pytest.raises(InputError, match=r"gap of 18[0-9.]+ degrees"):
        fbp(np.zeros((1, 90, 64)), np.deg2rad(np.arange(0, 180, 2)), 60, acquisition="half")
