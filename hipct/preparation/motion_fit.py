"""Which smooth path, of several, explains measured shifts: on the host, few numbers.

Shifts are linear in the coefficients of a path. A fit counts a shift that is further off than four
of its errors as one that is exactly so, and is tried without each shift in turn, so that a wrong
one among few has no say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.preparation.motion_pairs import Pair

Float = NDArray[np.float64]

TRUSTED_PX = 0.25
"""A path whose standard error is larger than this somewhere is not told from the shifts."""

POWERS = (1.0, 0.5)
_LIMIT = 4.0
_SPARE = 3
"""More shifts than coefficients have to agree before another one is left out."""
_ROUNDS = 10
_GRID = np.linspace(0, 1, 33)


@dataclass(frozen=True)
class Model:
    """What a fit has coefficients for.

    Attributes
    ----------
    names : tuple of str
        Directions that move: of "x", "y" and "z".
    power : float
        Paths are polynomials in time to this power.
    degree : int
        Coefficients of each path.
    axis : bool
        Whether the axis has an error.
    """

    names: tuple[str, ...]
    power: float
    degree: int
    axis: bool

    def matrix(self, pairs: Sequence[Pair]) -> Float:
        """Shifts of pairs for each coefficient, (pairs, coefficients); that of the axis last."""
        angles = np.array([pair.angle_rad for pair in pairs])
        first, second = np.array([pair.times for pair in pairs]).T
        gone = powers(second, self.power, self.degree) - powers(first, self.power, self.degree)
        seen = {"x": np.cos(angles), "y": np.sin(angles), "z": np.ones(angles.size)}
        columns = [seen[name][:, None] * gone for name in self.names]
        if self.axis:
            columns.append(-2.0 * np.array([[pair.mirrored] for pair in pairs]))
        return np.hstack([np.empty((angles.size, 0)), *columns])


@dataclass(frozen=True)
class Fit:
    """Coefficients of a model, their covariance, which shifts it used, and what it costs."""

    model: Model
    coefficients: Float
    covariance: Float
    used: NDArray[np.bool_]
    cost: float

    def path(self, name: str) -> tuple[float, ...]:
        """Coefficients of a direction."""
        return tuple(float(value) for value in self.coefficients[self._part(name)])

    def error_px(self, name: str) -> float:
        """Largest standard error of a path over the scan."""
        part = self._part(name)
        basis = powers(_GRID, self.model.power, self.model.degree)
        variance = np.einsum("tk,kl,tl->t", basis, self.covariance[part, part], basis)
        return float(np.sqrt(max(variance.max(), 0.0)))

    def _part(self, name: str) -> slice:
        first = self.model.names.index(name) * self.model.degree
        return slice(first, first + self.model.degree)


def powers(times: Float, power: float, degree: int) -> Float:
    """``t**power``, ``t**(2 power)``..., (times, degree)."""
    exponents = power * np.arange(1, degree + 1)
    raised: Float = np.maximum(times, 0.0)[:, None] ** exponents
    return raised


def best_fits(
    pairs: Sequence[Pair], values: Float, errors: Float, degrees: Sequence[int]
) -> tuple[tuple[Fit, Fit], dict[str, float]]:
    """The smooth path that explains shifts with the fewest coefficients.

    All directions have the same power and degree: what moves the sample settles in all of them at
    once. A direction may stand still, and so may all.

    Parameters
    ----------
    pairs : sequence of Pair
    values, errors : ndarray, shape (pairs, 2)
        Shifts of the pairs along rows and columns in pixels, and their standard errors.
    degrees : sequence of int
        Degrees to choose from; with 0 among them, the sample may stand still.

    Returns
    -------
    fits : (Fit, Fit)
        Along the rows ("z") and along the columns ("x" and "y", as far as they are told).
    errors_px : dict
        Standard error of each direction, moving or not; infinite where the shifts do not tell.
    """
    groups = [
        _Group.of(pairs, values[:, k], errors[:, k], choices, degrees)
        for k, choices in enumerate(((("z",),), (("x", "y"), ("x",), ("y",))))
    ]
    may_rest = 0 in degrees
    moving = [group for group in groups if group.told]
    common = set.intersection(*(set(group.told) for group in moving)) if moving else set()
    # Of two that explain as much, an even drift.
    shapes = sorted(common, key=lambda shape: (shape[0], -shape[1]))
    if not may_rest:
        most = max((degree for degree, _ in shapes), default=0)
        shapes = [shape for shape in shapes if shape[0] == most]
    choices = [tuple(group.fit(shape, may_rest) for group in groups) for shape in shapes]
    choices = choices or [tuple(group.rest for group in groups)]
    along, across = min(
        choices, key=lambda fits: sum(group.price(fit) for group, fit in zip(groups, fits))
    )
    errors_px = {
        name: group.error_px(name, fit)
        for group, fit, names in zip(groups, (along, across), ("z", "xy"))
        for name in names
    }
    return (along, across), errors_px


Shape = tuple[int, float]
"""Degree and power of a path."""


@dataclass(frozen=True)
class _Group:
    """Directions that are fitted together: the sample at rest, and moving in paths of any shape."""

    rest: Fit
    told: dict[Shape, Fit]
    scale: float
    each: float

    @classmethod
    def of(
        cls,
        pairs: Sequence[Pair],
        values: Float,
        errors: Float,
        choices: Sequence[tuple[str, ...]],
        degrees: Sequence[int],
    ) -> _Group:
        """Of the directions to choose from, those of the first choice that the shifts tell."""
        axis = ("z",) not in choices and any(pair.mirrored for pair in pairs)
        rest = _fit(Model((), 1.0, 0, axis), pairs, values, errors)
        told: dict[Shape, Fit] = {}
        for names in choices:
            for degree in sorted({*degrees} - {0}):
                for power in POWERS:
                    model = Model(names, power, degree, axis)
                    if _told_apart(model.matrix(pairs) / errors[:, None]):
                        fit = _fit(model, pairs, values, errors)
                        if all(fit.error_px(name) <= TRUSTED_PX for name in names):
                            told[degree, power] = fit
            if told:
                break
        count = len(pairs)
        spread = [
            fit.cost / max(count - fit.coefficients.size, 1) for fit in (rest, *told.values())
        ]
        scale = max(1.0, min(spread))
        most = TRUSTED_PX / math.sqrt(scale)
        sure = {
            shape: fit
            for shape, fit in told.items()
            if all(fit.error_px(name) <= most for name in fit.model.names)
        }
        return cls(rest, sure or told, scale, max(math.log(count), 4.0))

    def price(self, fit: Fit) -> float:
        """What a fit leaves, and its coefficients."""
        return fit.cost / self.scale + self.each * fit.coefficients.size

    def fit(self, shape: Shape, may_rest: bool) -> Fit:
        """The better one: a path of a shape, or none."""
        moving = self.told.get(shape, self.rest)
        return min(moving, self.rest, key=self.price) if may_rest else moving

    def error_px(self, name: str, fit: Fit) -> float:
        """Standard error of a direction in a fit; if that rests, in the simplest that moves."""
        fits = [one for one in (fit, *self.told.values()) if name in one.model.names]
        return math.sqrt(self.scale) * fits[0].error_px(name) if fits else math.inf


def _told_apart(matrix: Float) -> bool:
    """Whether the shifts tell the coefficients from one another."""
    count, size = matrix.shape
    return count >= size and bool(np.linalg.matrix_rank(matrix, tol=1e-6) == size)


def _fit(model: Model, pairs: Sequence[Pair], values: Float, errors: Float) -> Fit:
    """The fit of a model that leaves least."""
    matrix = model.matrix(pairs)
    count, size = matrix.shape
    starts = [np.ones(count, dtype=bool)]
    if count - 1 >= size + _SPARE:
        starts += [np.arange(count) != k for k in range(count)]
    return min(
        (_settled(model, matrix, values, errors, start) for start in starts),
        key=lambda fit: fit.cost,
    )


def _settled(
    model: Model, matrix: Float, values: Float, errors: Float, used: NDArray[np.bool_]
) -> Fit:
    """Least squares over the shifts that agree with it, found in rounds."""
    count, size = matrix.shape
    fewest = max(size + _SPARE, math.ceil(0.75 * count))
    weighted, aim = matrix / errors[:, None], values / errors
    coefficients: Float
    for _ in range(_ROUNDS):
        coefficients = np.linalg.lstsq(weighted[used], aim[used], rcond=None)[0].astype(float)
        off = np.abs(aim - weighted @ coefficients)
        agree = off < _LIMIT
        if (agree == used).all() or agree.sum() < fewest:
            break
        used = agree
    normal = weighted[used].T @ weighted[used]
    covariance = np.linalg.pinv(normal).astype(float) if size else np.zeros((0, 0))
    cost = float(np.minimum(off, _LIMIT).dot(np.minimum(off, _LIMIT)))
    return Fit(model, coefficients, covariance, used, cost)
