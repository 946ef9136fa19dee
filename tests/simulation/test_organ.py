"""Line integrals and voxels against numerical integration of the indicator functions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from hipct.core.errors import InputError
from hipct.simulation import Organ
from hipct.simulation.anatomy import build_jar, build_organ
from hipct.simulation.primitives import capsule, cylinder, ellipsoid, graded

TURN = Rotation.from_euler("zxz", [0.4, 0.9, -0.7]).as_matrix()
SOLIDS = {
    "ellipsoid": ellipsoid((12, -20, 7), (40, 25, 31), mu=2.0, rotation=TURN),
    "soft ellipsoid": ellipsoid((5, 9, -7), (33, 45, 21), mu=2.0, rotation=TURN, soft=True),
    "graded ellipsoid": graded(ellipsoid((5, 9, 0), (33, 45, 31), mu=2.0, rotation=TURN), 0.8),
    "cylinder": cylinder((-9, 15, 0), 31, mu=2.0),
    "soft cylinder": cylinder((-9, 15, 0), 31, mu=2.0, soft=True),
    "capsule": capsule((-20, 5, -22), (24, -15, 19), 14, mu=2.0),
    "upright capsule": capsule((3, 5, -22), (3, 5, 19), 14, mu=2.0),
    "capsule across": capsule((-20, 5, 4), (24, 5, 4), 14, mu=2.0),
    "ball": capsule((3, 5, 4), (3, 5, 4), 24, mu=2.0),
}
ANGLES = [0.0, 0.6, np.pi / 2, 2.4, 4.0]


def density(solid, x, y, z):
    """Density of a table of solids at points, straight from the definitions."""
    total = np.zeros(np.broadcast(x, y, z).shape)
    point = np.stack(np.broadcast_arrays(x, y, z), axis=-1)
    if hasattr(solid, "form"):
        for centre, form, soft, mu in zip(solid.centre, solid.form, solid.soft, solid.mu):
            d = point - centre
            q = np.einsum("...i,ij,...j->...", d, form, d)
            total += mu * np.where(q <= 1, 1 - q if soft else 1.0, 0)
    else:
        for a, b, radius, mu in zip(solid.start, solid.end, solid.radius, solid.mu):
            axis, d = b - a, point - a
            s = np.clip(d @ axis / max(axis @ axis, 1e-30), 0, 1)
            distance = np.linalg.norm(d - s[..., None] * axis, axis=-1)
            total += mu * (distance <= radius)
    return total


def numerical_projection(solid, angle, z, u):
    """Sum of the density along t, the third axis of the view's frame."""
    t = np.arange(-110, 110, 0.1) + 0.05
    c, s = np.cos(angle), np.sin(angle)
    x = u[None, :, None] * c - t * s
    y = u[None, :, None] * s + t * c
    return density(solid, x, y, z[:, None, None]).sum(axis=-1) * 0.1 * 1e-4


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("name", SOLIDS)
def test_line_integrals_equal_the_sum_along_the_ray(name, accelerate):
    solid = SOLIDS[name]
    z, u = np.linspace(-41, 43, 9), np.linspace(-67, 61, 15)
    for angle in ANGLES:
        found = Organ.of(solid).projected_thickness(angle, z, u, accelerate=accelerate)
        wanted = numerical_projection(solid, angle, z, u)
        # A sum with steps of 0.1 um misses up to one step at each of two faces.
        np.testing.assert_allclose(found, wanted, atol=2 * 2 * 0.1e-4)
        assert wanted.max() > 2e-3


@pytest.mark.parametrize("accelerate", [True, False])
@pytest.mark.parametrize("name", SOLIDS)
def test_voxels_are_means_of_the_density(name, accelerate):
    solid = SOLIDS[name]
    z, y, x = np.arange(-30, 31, 6.0), np.arange(-48, 49, 6.0), np.arange(-48, 43, 6.0)
    found = Organ.of(solid).volume(z, y, x, voxel_um=6.0, supersampling=4, accelerate=accelerate)
    offsets = (np.arange(4) + 0.5) / 4 * 6 - 3
    wanted = np.zeros_like(found, dtype=float)
    for dz in offsets:
        for dy in offsets:
            for dx in offsets:
                wanted += density(solid, x + dx, (y + dy)[:, None], (z + dz)[:, None, None])
    np.testing.assert_allclose(found, wanted / 64, atol=2e-6)


def test_compiled_and_array_code_agree_on_an_organ():
    organ = build_organ(600.0, seed=3).together_with(build_jar(700.0))
    z, u = np.linspace(-300, 300, 31), np.linspace(-720, 720, 97)
    for angle in (0.0, 1.1):
        fast = organ.projected_thickness(angle, z, u)
        plain = organ.projected_thickness(angle, z, u, accelerate=False)
        np.testing.assert_allclose(fast, plain, atol=2e-7)
    voxels = {"voxel_um": 15.0, "supersampling": 3}
    fast = organ.volume(z[:2], u[::4], u, **voxels)
    plain = organ.volume(z[:2], u[::4], u, **voxels, accelerate=False)
    np.testing.assert_allclose(fast, plain, atol=5e-6)


def test_mass_is_the_same_at_all_angles_and_that_of_the_solids():
    ball = ellipsoid((70, -40, 10), (30, 50, 20), mu=1.5, rotation=TURN)
    rod = capsule((-60, 30, -40), (20, 60, 35), 12, mu=-0.5)
    organ = Organ.of(ball, rod)
    z, u = np.arange(-80, 81, 0.25), np.arange(-140, 141, 0.25)
    length = np.linalg.norm(rod.end - rod.start)
    mass = 1.5 * 4 / 3 * np.pi * 30 * 50 * 20
    mass -= 0.5 * np.pi * 12**2 * (length + 4 / 3 * 12)
    for angle in np.linspace(0, 2 * np.pi, 9):
        total = organ.projected_thickness(angle, z, u)
        total = total.sum(dtype=float) * 0.25**2 / 1e-4
        assert total == pytest.approx(mass, rel=1e-4)


def test_a_ball_projects_where_the_convention_says():
    """x to the right, y down: column = axis + x cos a + y sin a; row = z."""
    organ = Organ.of(ellipsoid((100, 60, -40), (20, 20, 20), mu=1.0))
    z, u = np.arange(-100, 101, 1.0), np.arange(-200, 201, 1.0)
    for angle in ANGLES:
        image = organ.projected_thickness(angle, z, u).astype(float)
        u_found = (image.sum(axis=0) * u).sum() / image.sum()
        z_found = (image.sum(axis=1) * z).sum() / image.sum()
        assert u_found == pytest.approx(100 * np.cos(angle) + 60 * np.sin(angle), abs=0.01)
        assert z_found == pytest.approx(-40, abs=0.01)


def test_voxels_sum_to_the_projections():
    """The voxels' sums along y and x are the projections at 0 and 90 degrees."""
    organ = build_organ(400.0, height_um=300.0, seed=1)
    pitch = 8.0
    z = np.arange(-160, 161, pitch)
    across = np.arange(-420, 421, pitch)
    volume = organ.volume(z, across, across, voxel_um=pitch, supersampling=4).astype(float)
    fine = (np.arange(4) + 0.5) / 4 * pitch - pitch / 2
    for angle, axis in ((0.0, 1), (np.pi / 2, 2)):
        rays = organ.projected_thickness(
            angle, (z[:, None] + fine).ravel(), (across[:, None] + fine).ravel()
        )
        pixels = rays.reshape(z.size, 4, across.size, 4).mean(axis=(1, 3), dtype=float)
        sums = volume.sum(axis=axis) * pitch * 1e-4
        assert np.abs(sums - pixels).max() < 0.01 * pixels.max()
        assert np.abs((sums - pixels).mean()) < 1e-4 * pixels.mean()


def test_the_organ_keeps_inside_its_radius_and_the_jar_encloses_it():
    organ = build_organ(500.0, seed=7)
    angles = np.linspace(0, np.pi, 12, endpoint=False)
    u = np.arange(-600, 601, 5.0)
    shadow = sum(organ.projected_thickness(a, np.arange(-600, 601, 50.0), u) for a in angles)
    assert np.abs(shadow[:, np.abs(u) > 500]).max() == 0
    assert shadow[:, np.abs(u) < 400].max() > 0.01
    jar = build_jar(500.0).volume([0.0], [0.0], u, voxel_um=5.0)[0, 0]
    np.testing.assert_allclose(jar[np.abs(u) < 450], 0.17, rtol=1e-5)
    np.testing.assert_allclose(jar[(np.abs(u) > 475) & (np.abs(u) < 480)], 0.20, rtol=1e-5)
    assert np.abs(jar[np.abs(u) > 505]).max() < 1e-6


def test_a_graded_face_falls_from_full_to_zero_between_its_sizes():
    ball = Organ.of(graded(ellipsoid((0, 0, 0), (100, 100, 100), mu=3.0), 0.8))
    x = np.arange(0, 121, 10.0)
    profile = ball.volume([0.0], [0.0], x, voxel_um=0.01, supersampling=1)[0, 0]
    wanted = np.clip((1 - (x / 100) ** 2) / (1 - 0.8**2), 0, 1) * 3
    np.testing.assert_allclose(profile, wanted, atol=1e-5)


def test_vessels_branch_by_murrays_law():
    """Where one piece ends and two begin, the cubes of the radii are equal."""
    vessels = build_organ(1000.0, seed=0).capsules
    ends = {}
    for start, end, radius in zip(vessels.start, vessels.end, vessels.radius):
        # The walls of wide vessels are graded by thinner copies of the same piece.
        key = tuple(start.round(6)), tuple(end.round(6))
        ends[key] = max(radius, ends.get(key, 0.0))
    branchings = 0
    for (_, joint), radius in ends.items():
        children = [r for (start, _), r in ends.items() if start == joint]
        if len(children) == 2:
            branchings += 1
            assert sum(r**3 for r in children) == pytest.approx(radius**3)
    assert branchings > 20


def test_the_same_seed_makes_the_same_organ_and_another_seed_another():
    z, u = [0.0], np.linspace(-500, 500, 51)
    first = build_organ(500.0, seed=4).projected_thickness(0.3, z, u)
    np.testing.assert_array_equal(first, build_organ(500.0, seed=4).projected_thickness(0.3, z, u))
    assert np.abs(first - build_organ(500.0, seed=5).projected_thickness(0.3, z, u)).max() > 1e-4


def test_delta_follows_mu_where_asked():
    organ = build_organ(300.0, seed=0)
    assert organ.delta_per_mu == 0
    with_delta = organ.with_delta(2e-7)
    assert with_delta.delta_per_mu == pytest.approx(2e-7, rel=1e-12)
    mixed = with_delta.together_with(Organ.of(cylinder((0, 0, 0), 300, mu=0.1, delta=1e-9)))
    assert mixed.delta_per_mu is None
    u = np.linspace(-250, 250, 21)
    path = with_delta.projected_thickness(0.2, [0.0], u, weight="delta")
    attenuation = with_delta.projected_thickness(0.2, [0.0], u)
    np.testing.assert_allclose(path, attenuation * 2e-7 / 1e-4, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ellipsoid((0, 0, 0), (1, 0, 1), mu=1), "semi-axes"),
        (lambda: ellipsoid((0, 0, 0), (1, 1, 1), mu=1, rotation=np.ones((3, 3))), "orthogonal"),
        (lambda: ellipsoid((0, np.nan, 0), (1, 1, 1), mu=1), "position"),
        (lambda: cylinder((0, 0, 0), 0, mu=1), "radius of a cylinder"),
        (lambda: capsule((0, 0, 0), (1, 0, 0), -1, mu=1), "radius of a capsule"),
        (lambda: graded(cylinder((0, 0, 0), 1, mu=1), 1.0), "inner size"),
        (lambda: build_organ(0.0), "radius is 0.0"),
        (lambda: build_organ(10.0, seed=-1), "seed is -1"),
        (lambda: build_jar(10.0, wall=0.01), "wall is 0.01"),
        (lambda: _ball().projected_thickness(np.nan, [0], [0]), "angle is nan"),
        (lambda: _ball().projected_thickness(0, [0, 1, 3], [0]), "z_um is not evenly spaced"),
        (lambda: _ball().projected_thickness(0, [0], [1, 0]), "u_um does not ascend"),
        (lambda: _ball().projected_thickness(0, [0], []), "u_um has shape"),
        (lambda: _ball().projected_thickness(0, [0], [0], weight="rho"), "'rho'"),
        (lambda: _ball().volume([0], [0], [0], voxel_um=0), "voxel_um is 0"),
        (lambda: _ball().volume([0], [0], [0], voxel_um=1, supersampling=0), "supersampling is 0"),
    ],
)
def test_wrong_input_is_answered_by_a_sentence(call, words):
    with pytest.raises(InputError, match=words) as caught:
        call()
    assert str(caught.value).endswith(".")


def _ball() -> Organ:
    return Organ.of(ellipsoid((0, 0, 0), (1, 1, 1), mu=1))
