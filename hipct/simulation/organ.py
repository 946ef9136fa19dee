"""An organ of analytic solids: its projections and its true voxels, in physical units."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError
from hipct.simulation.primitives import (
    Capsules,
    Quadrics,
    Vector,
    join_capsules,
    join_quadrics,
    no_capsules,
    no_quadrics,
)
from hipct.simulation.render import Samples, add_projection, add_voxels

CM_PER_UM = 1e-4

Quantity = Literal["mu", "delta"]


@dataclass(frozen=True)
class Organ:
    """Solids that add up: ellipsoids, upright cylinders, capsules.

    Coordinates are (x, y, z) in um with x = y = 0 on the rotation axis: x to the right, y down,
    z along the detector's rows. A point projects at angle ``a`` to ``u = x cos a + y sin a``.

    Parameters
    ----------
    quadrics : Quadrics
        Ellipsoids and cylinders.
    capsules : Capsules
        Capsules.
    """

    quadrics: Quadrics
    capsules: Capsules

    @classmethod
    def of(cls, *solids: Quadrics | Capsules) -> Organ:
        """An organ of some tables of solids.

        Examples
        --------
        >>> from hipct.simulation.primitives import ellipsoid
        >>> ball = Organ.of(ellipsoid((0, 0, 0), (100, 100, 100), mu=0.5))
        >>> round(float(ball.projected_thickness(0.0, [0.0], [0.0])[0, 0]), 6)
        0.01
        """
        quadrics = [solid for solid in solids if isinstance(solid, Quadrics)]
        capsules = [solid for solid in solids if isinstance(solid, Capsules)]
        return cls(join_quadrics(no_quadrics(), *quadrics), join_capsules(no_capsules(), *capsules))

    def with_delta(self, delta_per_mu: float) -> Organ:
        """The same organ with delta = ``delta_per_mu`` (in cm) times mu everywhere."""
        return Organ(
            replace(self.quadrics, delta=self.quadrics.mu * delta_per_mu),
            replace(self.capsules, delta=self.capsules.mu * delta_per_mu),
        )

    def moved(self, x_um: float, y_um: float, z_um: float) -> Organ:
        """The same organ, its coordinates increased by a translation in um.

        Examples
        --------
        >>> from hipct.simulation.primitives import ellipsoid
        >>> ball = Organ.of(ellipsoid((0, 0, 0), (100, 100, 100), mu=0.5))
        >>> ball.moved(10, 0, -5).quadrics.centre.tolist()
        [[10.0, 0.0, -5.0]]
        """
        by = np.array([x_um, y_um, z_um], dtype=np.float64)
        return Organ(
            replace(self.quadrics, centre=self.quadrics.centre + by),
            replace(self.capsules, start=self.capsules.start + by, end=self.capsules.end + by),
        )

    def scaled(self, factor: float) -> Organ:
        """The same solids with ``factor`` times the contrast, in mu and in delta."""
        quadrics, capsules = self.quadrics, self.capsules
        return Organ(
            replace(quadrics, mu=quadrics.mu * factor, delta=quadrics.delta * factor),
            replace(capsules, mu=capsules.mu * factor, delta=capsules.delta * factor),
        )

    def together_with(self, other: Organ) -> Organ:
        """Both organs in one place: contrasts add up."""
        return Organ(
            join_quadrics(self.quadrics, other.quadrics),
            join_capsules(self.capsules, other.capsules),
        )

    @cached_property
    def delta_per_mu(self) -> float | None:
        """Ratio delta / mu in cm where it is the same for all solids, else None."""
        mu = np.concatenate([self.quadrics.mu, self.capsules.mu])
        delta = np.concatenate([self.quadrics.delta, self.capsules.delta])
        if mu.size == 0 or not np.any(mu):
            return None if np.any(delta) else 0.0
        ratio = float(np.sum(mu * delta) / np.sum(mu * mu))
        same = np.allclose(delta, ratio * mu, rtol=1e-9, atol=0)
        return ratio if same else None

    def projected_thickness(
        self,
        angle: float,
        z_um: ArrayLike,
        u_um: ArrayLike,
        *,
        weight: Quantity = "mu",
        accelerate: bool = True,
    ) -> NDArray[np.float32]:
        """Line integrals of one view.

        Parameters
        ----------
        angle : float
            Angle of the view in radians.
        z_um : (rows,) array_like
            Heights of the rays in um, evenly spaced and ascending.
        u_um : (columns,) array_like
            Distances of the rays from the axis along the detector in um, evenly spaced and
            ascending.
        weight : "mu" or "delta"
            What is integrated.
        accelerate : bool
            Use the compiled loops where numba is installed.

        Returns
        -------
        (rows, columns) float32
            For mu the attenuation ``mu t``, dimensionless; for delta the optical path
            difference in um.

        Raises
        ------
        InputError
            If the positions are not evenly spaced or the angle is not finite.
        """
        z, u = _samples("z_um", z_um), _samples("u_um", u_um)
        if not np.isfinite(angle):
            raise InputError(f"The angle is {angle}; give a finite angle in radians.")
        image = np.zeros((z.count, u.count), dtype=np.float32)
        self.add_projection(image, z, u, angle, weight=weight, accelerate=accelerate)
        return image

    def add_projection(
        self,
        image: NDArray[np.float32],
        z: Samples,
        u: Samples,
        angle: float,
        *,
        weight: Quantity = "mu",
        accelerate: bool = True,
    ) -> None:
        """Add one view to ``image`` (rows, columns) in place; see :meth:`projected_thickness`."""
        scale = CM_PER_UM if weight == "mu" else 1.0
        add_projection(
            image,
            z,
            u,
            angle,
            quadrics=(self.quadrics, scale * self._contrast(self.quadrics, weight)),
            capsules=(self.capsules, scale * self._contrast(self.capsules, weight)),
            accelerate=accelerate,
        )

    def volume(
        self,
        z_um: ArrayLike,
        y_um: ArrayLike,
        x_um: ArrayLike,
        *,
        voxel_um: float,
        supersampling: int = 4,
        weight: Quantity = "mu",
        accelerate: bool = True,
    ) -> NDArray[np.float32]:
        """True mean values of voxels.

        Parameters
        ----------
        z_um, y_um, x_um : (nz,), (ny,), (nx,) array_like
            Centres of the voxels in um, ascending.
        voxel_um : float
            Edge of a voxel in um.
        supersampling : int
            Points along each edge at which a voxel that a face crosses is sampled.
        weight : "mu" or "delta"
            What is wanted.
        accelerate : bool
            Use the compiled loops where numba is installed.

        Returns
        -------
        (nz, ny, nx) float32
            mu in 1/cm, or delta.

        Raises
        ------
        InputError
            If the positions do not ascend, or the voxel or the supersampling is not above 0.
        """
        if not voxel_um > 0:
            raise InputError(f"voxel_um is {voxel_um}; the voxel's edge has to be above 0 um.")
        if supersampling < 1:
            raise InputError(f"supersampling is {supersampling}; give 1 or more points an edge.")
        z, y, x = _ascending("z_um", z_um), _ascending("y_um", y_um), _ascending("x_um", x_um)
        offsets = ((np.arange(supersampling) + 0.5) / supersampling - 0.5) * voxel_um
        volume = np.zeros((z.size, y.size, x.size), dtype=np.float32)
        add_voxels(
            volume,
            (z, y, x),
            offsets,
            quadrics=(self.quadrics, self._contrast(self.quadrics, weight)),
            capsules=(self.capsules, self._contrast(self.capsules, weight)),
            accelerate=accelerate,
        )
        return volume

    @staticmethod
    def _contrast(solids: Quadrics | Capsules, weight: Quantity) -> Vector:
        if weight not in ("mu", "delta"):
            raise InputError(f"The weight is {weight!r}; it has to be 'mu' or 'delta'.")
        return solids.mu if weight == "mu" else solids.delta


def _samples(name: str, positions: ArrayLike) -> Samples:
    values = _ascending(name, positions)
    if values.size == 1:
        return Samples(float(values[0]), 1.0, 1)
    step = float(values[-1] - values[0]) / (values.size - 1)
    if not np.allclose(np.diff(values), step, rtol=1e-6, atol=0):
        raise InputError(f"{name} is not evenly spaced; give positions with one step.")
    return Samples(float(values[0]), step, values.size)


def _ascending(name: str, positions: ArrayLike) -> Vector:
    values = np.asarray(positions, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)):
        raise InputError(
            f"{name} has shape {values.shape}; give a row of one or more finite positions in um."
        )
    if np.any(np.diff(values) <= 0):
        raise InputError(f"{name} does not ascend; give ascending positions in um.")
    return values
