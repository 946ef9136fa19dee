"""Transforms between data sets: similarities of points (z, y, x) in micrometres, to be composed."""

from __future__ import annotations

from dataclasses import dataclass
from math import atan2, cos, degrees, isfinite, radians, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError

Point = tuple[float, float, float]
Rows3 = tuple[Point, Point, Point]


@dataclass(frozen=True)
class Transform:
    """``target = scale * rotation @ source + translation``, points (z, y, x) in micrometres.

    Attributes
    ----------
    scale : factor of all lengths, above 0
    rotation : 3 x 3 proper rotation (rows; given as any array-like)
    translation_um : where the origin of the source lies in the target
    """

    scale: float
    rotation: Rows3
    translation_um: Point

    def __post_init__(self) -> None:
        rotation = np.asarray(self.rotation, dtype=np.float64)
        if not isfinite(self.scale) or self.scale <= 0:
            raise InputError(f"The scale of a transform is {self.scale}; it has to be above 0.")
        proper = (
            rotation.shape == (3, 3)
            and np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-6)
            and np.linalg.det(rotation) > 0
        )
        if not proper:
            raise InputError(
                f"The matrix {rotation.tolist()} is no rotation; its rows have to be orthonormal "
                "and its determinant 1."
            )
        shift = np.asarray(self.translation_um, dtype=np.float64)
        if shift.shape != (3,) or not np.all(np.isfinite(shift)):
            raise InputError(
                f"The translation is {self.translation_um}; give three finite lengths in um."
            )
        # Products of rotations drift away from orthonormal; the nearest rotation is kept.
        left, _, right = np.linalg.svd(rotation)
        z, y, x = (_point(row) for row in left @ right)
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "rotation", (z, y, x))
        object.__setattr__(self, "translation_um", _point(shift))

    @classmethod
    def about_z(cls, scale: float, rotation_deg: float, translation_um: ArrayLike) -> Transform:
        """Rotation about z alone: ``y' = y cos a - x sin a``, ``x' = y sin a + x cos a``.

        Parameters
        ----------
        scale : float
            Factor of all lengths.
        rotation_deg : float
            Angle a in degrees, as the descriptions of the Human Organ Atlas count it.
        translation_um : array-like, shape (3,)
            Translation (z, y, x).
        """
        c, s = cos(radians(rotation_deg)), sin(radians(rotation_deg))
        rotation = ((1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c))
        return cls(scale, rotation, _point(translation_um))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Homogeneous 4 x 4 matrix on columns (z, y, x, 1)."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.scale * np.asarray(self.rotation)
        matrix[:3, 3] = self.translation_um
        return matrix

    @property
    def rotation_about_z_deg(self) -> float:
        """Angle of the rotation in the plane (y, x), in degrees, as :meth:`about_z` counts it."""
        _, (_, yy, yx), (_, xy, xx) = self.rotation
        return degrees(atan2(xy - yx, yy + xx))

    @property
    def tilt_deg(self) -> float:
        """Angle between the z axes of source and target, in degrees."""
        zz, yz, xz = (row[0] for row in self.rotation)
        return float(np.degrees(np.arctan2(np.hypot(yz, xz), zz)))

    def __call__(self, points_um: ArrayLike) -> NDArray[np.float64]:
        """Points of the target for points of the source.

        Parameters
        ----------
        points_um : array-like, shape (..., 3)
            Points (z, y, x) in micrometres.

        Returns
        -------
        ndarray, float64, same shape
        """
        points = np.asarray(points_um, dtype=np.float64)
        if points.shape[-1:] != (3,):
            raise InputError(
                f"Points of shape {points.shape} were given; the last axis has to be z, y, x."
            )
        rotated = points @ np.asarray(self.rotation).T
        moved: NDArray[np.float64] = self.scale * rotated + np.asarray(self.translation_um)
        return moved

    def after(self, first: Transform) -> Transform:
        """The transform that applies ``first`` and then this one."""
        rotation = np.asarray(self.rotation) @ np.asarray(first.rotation)
        shift = _point(self(first.translation_um))
        return Transform(self.scale * first.scale, _rows(rotation), shift)

    def recounted(self, source_um: ArrayLike, target_um: ArrayLike) -> Transform:
        """The same transform where points are counted from other ones.

        Parameters
        ----------
        source_um, target_um : array-like, shape (3,)
            Points (z, y, x) that become the origins of source and target.
        """
        shift = self(source_um) - np.asarray(target_um, dtype=np.float64)
        return Transform(self.scale, self.rotation, _point(shift))

    def inverse(self) -> Transform:
        """The way back."""
        back = np.asarray(self.rotation).T
        shift = -(back @ np.asarray(self.translation_um)) / self.scale
        return Transform(1.0 / self.scale, _rows(back), _point(shift))


def _rows(rotation: NDArray[np.float64]) -> Rows3:
    z, y, x = (_point(row) for row in rotation)
    return (z, y, x)


def _point(values: ArrayLike) -> Point:
    z, y, x = (float(v) for v in np.asarray(values))
    return (z, y, x)


IDENTITY = Transform(1.0, ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)), (0.0, 0.0, 0.0))
"""A volume in itself."""
