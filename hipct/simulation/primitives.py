"""The solids that an organ is made of, as tables: ellipsoids, upright cylinders and capsules.

Ellipsoids and cylinders are both quadrics, ``q(r) = (r - c)^T A (r - c) <= 1`` with a symmetric
3 x 3 form ``A``: a cylinder along z is the one whose form has no z part. A *soft* quadric has the
density ``1 - q`` instead of 1, which too has an analytic line integral; the difference of two of
them is a solid whose face is graded over a chosen width (see :func:`graded`), as no sampled wave
can carry the infinitely steep phase at the rim of a hard one.

Coordinates are (x, y, z) in micrometres, x to the right, y down, z along the rotation axis and
the detector's rows. The model is additive: every solid adds its contrast in attenuation (1/cm)
and in refractive decrement delta to what lies there already.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Quadrics:
    """A table of ellipsoids and upright cylinders.

    Attributes
    ----------
    centre : (n, 3) float64
        Centres (x, y, z) in um.
    form : (n, 3, 3) float64
        Symmetric forms A in 1/um^2.
    soft : (n,) bool
        Density ``1 - q`` where true, 1 where false.
    mu : (n,) float64
        Contrast of the attenuation coefficient in 1/cm.
    delta : (n,) float64
        Contrast of the refractive decrement.
    """

    centre: Vector
    form: Vector
    soft: NDArray[np.bool_]
    mu: Vector
    delta: Vector

    @cached_property
    def half_extent(self) -> Vector:
        """Half the bounding box, (n, 3) in um; infinite along z for cylinders."""
        extent = np.full(self.centre.shape, np.inf)
        upright = self.form[:, 2, 2] == 0
        extent[upright, :2] = _box(self.form[upright, :2, :2])
        extent[~upright] = _box(self.form[~upright])
        return extent


@dataclass(frozen=True)
class Capsules:
    """A table of capsules: all points closer than ``radius`` to a segment.

    Attributes
    ----------
    start, end : (n, 3) float64
        Ends of the segments (x, y, z) in um.
    radius : (n,) float64
        Radii in um.
    mu, delta : (n,) float64
        Contrasts as in :class:`Quadrics`.
    """

    start: Vector
    end: Vector
    radius: Vector
    mu: Vector
    delta: Vector


def ellipsoid(
    centre: ArrayLike,
    semi_axes: ArrayLike,
    *,
    mu: float,
    delta: float = 0.0,
    rotation: ArrayLike | None = None,
    soft: bool = False,
) -> Quadrics:
    """One ellipsoid.

    Parameters
    ----------
    centre : (3,) array_like
        Centre (x, y, z) in um.
    semi_axes : (3,) array_like
        Semi-axes in um, above 0.
    mu, delta : float
        Contrasts (1/cm and dimensionless).
    rotation : (3, 3) array_like, optional
        Orthogonal matrix whose columns are the directions of the semi-axes.
    soft : bool
        Density ``1 - q`` instead of 1.

    Raises
    ------
    InputError
        If a semi-axis is not above 0 or the rotation is not orthogonal.
    """
    axes = np.asarray(semi_axes, dtype=float)
    if axes.shape != (3,) or not np.all(axes > 0):
        raise InputError(f"The semi-axes are {semi_axes!r}; give three lengths in um above 0.")
    turn = np.eye(3) if rotation is None else np.asarray(rotation, dtype=float)
    if turn.shape != (3, 3) or not np.allclose(turn @ turn.T, np.eye(3), atol=1e-9):
        raise InputError(f"The rotation {rotation!r} is not orthogonal; give a 3 x 3 rotation.")
    form = (turn / axes**2) @ turn.T
    return _one_quadric(centre, form, mu=mu, delta=delta, soft=soft)


def cylinder(
    centre: ArrayLike, radius: float, *, mu: float, delta: float = 0.0, soft: bool = False
) -> Quadrics:
    """One endless cylinder along z around ``centre`` (x, y, any z), radius in um.

    Raises
    ------
    InputError
        If the radius is not above 0.
    """
    if not radius > 0:
        raise InputError(f"The radius of a cylinder is {radius} um; it has to be above 0.")
    return _one_quadric(
        centre, np.diag([radius**-2, radius**-2, 0.0]), mu=mu, delta=delta, soft=soft
    )


def graded(solid: Quadrics, inner: float) -> Quadrics:
    """The same solids with their faces graded from ``inner`` times their size to full size.

    The density is 1 inside the shrunken solid, 0 outside of the solid, and falls linearly in
    ``q`` between: the difference of two soft quadrics.

    Parameters
    ----------
    solid : Quadrics
        Hard solids.
    inner : float
        Size of the part of full density, relative to the whole, between 0 and 1.

    Raises
    ------
    InputError
        If ``inner`` does not lie between 0 and 1.

    Examples
    --------
    >>> ball = graded(ellipsoid((0, 0, 0), (2, 2, 2), mu=1.0), 0.5)
    >>> ball.mu.round(3).tolist()
    [1.333, -0.333]
    """
    if not 0 < inner < 1:
        raise InputError(f"The inner size is {inner}; it has to lie between 0 and 1.")
    scale = 1 / (1 - inner**2)
    soft = np.ones(solid.soft.shape, dtype=bool)
    outside = Quadrics(solid.centre, solid.form, soft, solid.mu * scale, solid.delta * scale)
    cut = -(inner**2) * scale
    inside = Quadrics(solid.centre, solid.form / inner**2, soft, solid.mu * cut, solid.delta * cut)
    return join_quadrics(outside, inside)


def capsule(
    start: ArrayLike, end: ArrayLike, radius: float, *, mu: float, delta: float = 0.0
) -> Capsules:
    """One capsule from ``start`` to ``end`` (x, y, z) with a radius, all in um.

    Raises
    ------
    InputError
        If the radius is not above 0.
    """
    if not radius > 0:
        raise InputError(f"The radius of a capsule is {radius} um; it has to be above 0.")
    return Capsules(
        _point(start), _point(end), np.array([radius], float), np.array([mu], float),
        np.array([delta], float),
    )  # fmt: skip


def join_quadrics(*tables: Quadrics) -> Quadrics:
    """Tables one after the other."""
    return Quadrics(
        np.concatenate([table.centre for table in tables]),
        np.concatenate([table.form for table in tables]),
        np.concatenate([table.soft for table in tables]),
        np.concatenate([table.mu for table in tables]),
        np.concatenate([table.delta for table in tables]),
    )


def join_capsules(*tables: Capsules) -> Capsules:
    """Tables one after the other."""
    return Capsules(
        np.concatenate([table.start for table in tables]),
        np.concatenate([table.end for table in tables]),
        np.concatenate([table.radius for table in tables]),
        np.concatenate([table.mu for table in tables]),
        np.concatenate([table.delta for table in tables]),
    )


def no_quadrics() -> Quadrics:
    """An empty table."""
    none = np.zeros(0)
    return Quadrics(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0, bool), none, none)


def no_capsules() -> Capsules:
    """An empty table."""
    none = np.zeros(0)
    return Capsules(np.zeros((0, 3)), np.zeros((0, 3)), none, none, none)


def _one_quadric(
    centre: ArrayLike, form: Vector, *, mu: float, delta: float, soft: bool
) -> Quadrics:
    return Quadrics(
        _point(centre), form[None], np.array([soft]), np.array([mu], float),
        np.array([delta], float),
    )  # fmt: skip


def _point(position: ArrayLike) -> Vector:
    point = np.asarray(position, dtype=float)
    if point.shape != (3,) or not np.all(np.isfinite(point)):
        raise InputError(f"The position {position!r} is not a point; give x, y, z in um.")
    return point[None]


def _box(form: Vector) -> Vector:
    return np.sqrt(np.diagonal(np.linalg.inv(form), axis1=-2, axis2=-1))
