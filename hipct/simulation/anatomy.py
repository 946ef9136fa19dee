"""An organ as HiP-CT sees it: a body with lobes, membranes, a vessel tree, small corpuscles.

Contrasts are differences to the mounting medium, as in a scan whose flats were taken through the
jar and the medium alone. With the jar they are added to the medium's own attenuation.
"""

from __future__ import annotations

import math

import numpy as np

from hipct.core.errors import InputError
from hipct.simulation.organ import Organ
from hipct.simulation.primitives import (
    Capsules,
    Quadrics,
    Vector,
    capsule,
    cylinder,
    ellipsoid,
    graded,
)

# Contrasts to the medium in 1/cm near 90 keV, where soft tissue has 0.18.
TISSUE = 0.06
CORE = -0.012
LOBE = (0.008, 0.016)
MEMBRANE = 0.02
LUMEN = -0.04
CORPUSCLE = 0.025
CALCIFICATION = 0.12
MEDIUM = 0.17
JAR_WALL = 0.03

# Sizes relative to the organ's radius. Its outer face is graded over 1.5 %, a jar's over 3 %.
FACE = 0.985
MEMBRANE_THICKNESS = 0.008
SMALLEST_VESSEL = 0.011
LARGEST_VESSEL = 0.055
LARGEST_GENERATION = 7
WALL = 0.3
LAYER_UM = 60.0
BEND_DEG = (14.0, 26.0)

BALLS_PER_RADIUS = 120
BALL = (0.015, 0.05)
BALL_FACE = 0.7

JAR_FACE = 0.03
JAR_THICKNESS = 0.06


def build_organ(radius_um: float, *, height_um: float | None = None, seed: int = 0) -> Organ:
    """A random organ that fits a cylinder of ``radius_um`` around the rotation axis.

    Parameters
    ----------
    radius_um : float
        Largest distance from the rotation axis in um.
    height_um : float, optional
        Full height in um; 2.2 times the radius by default, so that a flat detector sees a part.
    seed : int
        The same seed makes the same organ.

    Returns
    -------
    Organ
        Contrasts in mu (1/cm); delta is 0 (see :meth:`Organ.with_delta`).

    Raises
    ------
    InputError
        If a size is not above 0 or the seed is negative.
    """
    height = 2.2 * radius_um if height_um is None else height_um
    if not (np.isfinite(radius_um) and radius_um > 0 and np.isfinite(height) and height > 0):
        raise InputError(
            f"The organ's radius is {radius_um} um and its height {height} um; "
            "both have to be above 0."
        )
    if seed < 0:
        raise InputError(f"The seed is {seed}; give 0 or a positive integer.")
    random = np.random.default_rng([seed, 1])
    turn = _about_z(random.uniform(0, np.pi))
    axes = radius_um * np.array([0.97, random.uniform(0.74, 0.82), height / radius_um / 2])
    origin = np.zeros(3)
    parts = [
        graded(ellipsoid(origin, axes, mu=TISSUE, rotation=turn), FACE),
        ellipsoid(origin, axes * [0.72, 0.66, 0.8], mu=CORE, rotation=turn),
        *_lobes(random, axes, turn),
        *_corpuscles(random, axes, turn),
    ]
    tree = _vessels(random, axes, turn)
    return Organ.of(*parts, *tree.joints, *tree.pieces)


def build_tall_organ(radius_um: float, *, height_um: float, seed: int = 0) -> Organ:
    """A random organ of any height with small structure in every slice of it.

    The vessels of :func:`build_organ` keep to its middle; here balls of 1.5 to 5 per cent of
    the radius fill the rest, as many in each slice of a tall organ as in a low one.

    Parameters
    ----------
    radius_um, height_um : float
        Largest distance from the rotation axis, and full height, in um.
    seed : int
        The same seed makes the same organ.

    Raises
    ------
    InputError
        If a size is not above 0 or the seed is negative.
    """
    organ = build_organ(radius_um, height_um=height_um, seed=seed)
    random = np.random.default_rng([seed, 2])
    balls = []
    for _ in range(math.ceil(BALLS_PER_RADIUS * height_um / radius_um)):
        z = random.uniform(-0.49, 0.49)
        reach = 0.7 * radius_um * math.sqrt(1 - 4 * z * z)
        azimuth, out = random.uniform(0, 2 * np.pi), reach * math.sqrt(random.uniform())
        centre = [out * math.cos(azimuth), out * math.sin(azimuth), z * height_um]
        size = radius_um * random.uniform(*BALL)
        contrast = float(CORPUSCLE * random.choice([-1, 1]))
        balls.append(graded(ellipsoid(centre, [size] * 3, mu=contrast), BALL_FACE))
    return organ.together_with(Organ.of(*balls))


def build_jar(radius_um: float, *, wall: float = JAR_THICKNESS) -> Organ:
    """A jar around the axis, full of mounting medium, with its wall's faces graded.

    Parameters
    ----------
    radius_um : float
        Outer radius in um.
    wall : float
        Thickness of the wall relative to the radius.

    Raises
    ------
    InputError
        If the radius is not above 0, or the wall leaves no room for its graded faces.
    """
    if not JAR_FACE < wall < 0.5:
        raise InputError(f"The jar's wall is {wall} of its radius; allowed is {JAR_FACE} to 0.5.")
    whole = graded(cylinder((0, 0, 0), radius_um, mu=MEDIUM + JAR_WALL), 1 - JAR_FACE)
    inside = graded(cylinder((0, 0, 0), radius_um * (1 - wall), mu=-JAR_WALL), FACE)
    return Organ.of(whole, inside)


def _lobes(random: np.random.Generator, axes: Vector, turn: Vector) -> list[Quadrics]:
    """Lobes around the core, each with a thin membrane: a shell is a solid less a smaller one."""
    lobes = []
    count = 5
    for k in range(count):
        azimuth = 2 * np.pi * (k + random.uniform(-0.2, 0.2)) / count
        place = [0.5 * np.cos(azimuth), 0.5 * np.sin(azimuth), random.uniform(-0.35, 0.35)]
        size = axes * random.uniform(0.2, 0.3, 3)
        own = turn @ _about_z(random.uniform(-0.5, 0.5)) @ _about_x(random.uniform(-0.5, 0.5))
        centre = turn @ (axes * place)
        thin = 1 - MEMBRANE_THICKNESS * axes[0] / size.min()
        contrast = random.uniform(*LOBE) * random.choice([-1, 1])
        lobes.append(ellipsoid(centre, size, mu=MEMBRANE, rotation=own))
        lobes.append(ellipsoid(centre, size * thin, mu=contrast - MEMBRANE, rotation=own))
    return lobes


def _corpuscles(random: np.random.Generator, axes: Vector, turn: Vector) -> list[Quadrics]:
    """Glomerulus-like balls in the cortex, and a few small calcifications."""
    balls = []
    for k in range(160):
        direction = random.normal(size=3)
        direction /= np.linalg.norm(direction)
        centre = turn @ (axes * direction * random.uniform(0.8, 0.93))
        radius = axes[0] * random.uniform(0.006, 0.018)
        if k % 20 == 0:
            balls.append(ellipsoid(centre, [0.5 * radius] * 3, mu=CALCIFICATION))
        else:
            balls.append(ellipsoid(centre, [radius] * 3, mu=CORPUSCLE))
    return balls


def _vessels(random: np.random.Generator, axes: Vector, turn: Vector) -> _Tree:
    """A tree that enters at one pole and branches by Murray's law, r^3 = r1^3 + r2^3.

    The walls of large vessels are graded over 30 % of the radius, in layers. Each
    piece is a capsule. Where two pieces meet their common ball would count twice, so a ball of
    opposite contrast takes it out again.
    """
    tree = _Tree(turn)
    root = np.array([0.82, 0.0, 0.0]) * axes
    tips = [(root, np.array([-1.0, 0.0, 0.0]), LARGEST_VESSEL * axes[0], 0)]
    while tips:
        start, direction, radius, generation = tips.pop(0)
        grown = 0
        for _ in range(4):
            for _ in range(8):
                heading = _inward(random, start, direction, axes)
                end = start + heading * radius * random.uniform(1.8, 3.0)
                if tree.is_free(start, end, radius):
                    break
            else:
                break
            tree.grow(start, end, radius, joined=generation + grown > 0)
            start, direction, grown = end, heading, grown + 1
        if grown == 0 or radius < SMALLEST_VESSEL * axes[0] or generation == LARGEST_GENERATION:
            continue
        share = random.uniform(0.3, 0.5)
        side = np.cross(direction, random.normal(size=3))
        side /= np.linalg.norm(side)
        for part, sign in ((share, 1.0), (1 - share, -1.0)):
            # The thinner branch bends away more (Murray 1926).
            bend = np.deg2rad(25 + 60 * (1 - part) * random.uniform(0.6, 1.0))
            heading = np.cos(bend) * direction + sign * np.sin(bend) * side
            tips.append((start, heading, radius * part ** (1 / 3), generation + 1))
    return tree


class _Tree:
    """Pieces of vessels, and where there is room for more."""

    def __init__(self, turn: Vector) -> None:
        self.pieces: list[Capsules] = []
        self.joints: list[Quadrics] = []
        self._turn = turn
        self._occupied = np.zeros((0, 4))

    def is_free(self, start: Vector, end: Vector, radius: float) -> bool:
        """Whether a new piece keeps clear of all but those that it grows from."""
        distance = np.linalg.norm(self._occupied[:, :3] - end, axis=1)
        near_root = np.linalg.norm(self._occupied[:, :3] - start, axis=1)
        own = near_root < 3.5 * np.maximum(radius, self._occupied[:, 3])
        return bool(np.all(own | (distance > 1.2 * (radius + self._occupied[:, 3]))))

    def grow(self, start: Vector, end: Vector, radius: float, *, joined: bool) -> None:
        """Add a piece, and take the ball out that it shares with the piece before it."""
        first, last = self._turn @ start, self._turn @ end
        # A ray along a hard wall meets its whole length at once: an infinitely steep phase.
        layers = math.ceil(radius / LAYER_UM)
        for layer in range(layers):
            size = radius * (1 - WALL * layer / layers)
            self.pieces.append(capsule(first, last, size, mu=LUMEN / layers))
            if joined:
                self.joints.append(ellipsoid(first, [size] * 3, mu=-LUMEN / layers))
        new = [[*(start + t * (end - start)), radius] for t in (0.5, 1.0)]
        self._occupied = np.concatenate([self._occupied, new])


def _inward(
    random: np.random.Generator, position: Vector, direction: Vector, axes: Vector
) -> Vector:
    """The direction after a bend, turned back where the tree nears the surface.

    A vessel always bends somewhat: rays along a straight one would meet all its walls at once.
    """
    side = np.cross(direction, random.normal(size=3))
    side /= np.linalg.norm(side)
    direction = direction + np.tan(np.deg2rad(random.uniform(*BEND_DEG))) * side
    depth = np.linalg.norm(position / axes)
    if depth > 0.72:
        inwards = -position / np.linalg.norm(position)
        direction = direction / np.linalg.norm(direction) + 4 * (depth - 0.72) * inwards
    heading: Vector = direction / np.linalg.norm(direction)
    return heading


def _about_z(angle: float) -> Vector:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def _about_x(angle: float) -> Vector:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
