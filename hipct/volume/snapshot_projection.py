"""A small volume seen from outside: rays in one direction, the largest value or the first label.

The picture is orthographic, so that one scale holds all over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hipct.core.threads import parallel_for
from hipct.volume.layout import Vector3

_STRIP = 16
"""Rows of a picture that a thread makes at a time."""
_MOST_PX = 512
"""Pixels along the longest edge of the volume, however flat its voxels are."""
_SLACK = 1e-6
"""Part of a voxel by which rounding may miss a face."""


@dataclass(frozen=True)
class Camera:
    """Where a volume is seen from.

    With both angles 0 x runs to the right and z down, as in the slice across y, and y points to
    whoever looks.

    Attributes
    ----------
    azimuth_deg : the camera goes round the axis z, from y towards x for positive angles
    elevation_deg : it looks down from above, that is from low z
    """

    azimuth_deg: float = 30.0
    elevation_deg: float = 20.0

    def axes(self) -> NDArray[np.float64]:
        """Unit vectors right, down and away from the camera, each as (z, y, x); shape (3, 3)."""
        turn, tilt = np.deg2rad([self.azimuth_deg, self.elevation_deg])
        right = np.array([0.0, -np.sin(turn), np.cos(turn)])
        level = np.array([0.0, -np.cos(turn), -np.sin(turn)])
        away = level * np.cos(tilt) + np.array([np.sin(tilt), 0.0, 0.0])
        down = np.array([np.cos(tilt), 0.0, 0.0]) - level * np.sin(tilt)
        return np.stack([right, down, away])


@dataclass(frozen=True)
class Projection:
    """What a camera sees.

    Attributes
    ----------
    values : float32 (rows, columns); NaN where a ray misses the volume
    depth : float32 (rows, columns), of labels: way of the ray to what it met, in pixels from the
        nearest corner of the volume; NaN where it met nothing
    pixel : edge of a pixel, in the unit of the voxel sizes
    corners : float64 (8, 2), column and row of the corners of the volume's box, z slowest
    """

    values: NDArray[np.float32]
    depth: NDArray[np.float32]
    pixel: float
    corners: NDArray[np.float64]


def project(
    block: NDArray[np.float32], voxel: Vector3, camera: Camera, *, labels: bool = False
) -> Projection:
    """See a volume from outside.

    Rays are sampled every pixel (the shortest edge of a voxel), trilinearly between the centres of
    voxels and constant from the outermost centres to the faces. With both angles 0 and cubes as
    voxels the samples are the voxels themselves.

    Parameters
    ----------
    block : ndarray of float32, (z, y, x)
        Finite.
    voxel : (float, float, float)
        Edges of a voxel along z, y, x.
    camera : Camera
    labels : bool
        Take the first value of a ray that is not 0, of the nearest voxel, instead of the largest.
    """
    edges = np.array(voxel, float)
    pixel = max(float(edges.min()), float((edges * block.shape).max()) / _MOST_PX)
    axes = camera.axes()
    box = np.array(list(product((-0.5, 0.5), repeat=3))) * edges * block.shape
    seen = box @ axes.T
    columns, rows, depth = (
        max(1, int(np.ceil(2 * abs(seen[:, k]).max() / pixel - 1e-6))) for k in range(3)
    )
    values = np.full((rows, columns), np.nan, np.float32)
    depths = np.full((rows, columns), np.nan, np.float32)
    # Steps of a pixel to the right, a row down, a sample away, in voxels along z, y, x.
    steps = axes * pixel / edges
    middle = (np.array(block.shape) - 1) / 2
    first = middle - steps.T @ (np.array([columns, rows, depth]) - 1) / 2

    def strip(start: int, stop: int) -> None:
        for top in range(start * _STRIP, min(stop * _STRIP, rows), _STRIP):
            part = slice(top, min(top + _STRIP, rows))
            rays = _Rays(block.shape, first + top * steps[1], steps, depth)
            if labels:
                _first_label(block, rays, values[part], depths[part])
            else:
                _largest(block, rays, values[part])

    parallel_for(strip, -(-rows // _STRIP))
    shown = np.array([columns - 1, rows - 1]) / 2 + seen[:, :2] / pixel
    return Projection(values, depths, pixel, shown)


@dataclass(frozen=True)
class _Rays:
    """Samples of the rays of some rows.

    Attributes
    ----------
    box : voxels of the volume
    corner : place of the nearest sample of the first pixel, in voxels
    steps : a pixel to the right, a row down, a sample away, in voxels; (3, 3)
    count : samples of a ray
    """

    box: tuple[int, ...]
    corner: NDArray[np.float64]
    steps: NDArray[np.float64]
    count: int

    def planes(
        self, shape: tuple[int, ...]
    ) -> Iterator[tuple[NDArray[np.bool_], NDArray[np.float64], int]]:
        """Plane after plane away from the camera: pixels in the volume, where there, how far."""
        down, right = np.indices(shape)
        to_right, to_down, away = self.steps[..., None, None]
        start = self.corner[:, None, None] + to_down * down + to_right * right
        last = np.array(self.box)[:, None, None] - 1
        for number in range(self.count):
            places = start + number * away
            inside = ((places >= -0.5 - _SLACK) & (places <= last + 0.5 + _SLACK)).all(axis=0)
            if inside.any():
                yield inside, places[:, inside].clip(0, last[:, 0]), number


def _largest(block: NDArray[np.float32], rays: _Rays, values: NDArray[np.float32]) -> None:
    from scipy.ndimage import map_coordinates

    largest = np.full(values.shape, -np.inf, np.float32)
    for inside, places, _ in rays.planes(values.shape):
        sampled = map_coordinates(block, places, np.float32, order=1, mode="nearest")
        largest[inside] = np.maximum(largest[inside], sampled)
    met = np.isfinite(largest)
    values[met] = largest[met]


def _first_label(
    block: NDArray[np.float32],
    rays: _Rays,
    values: NDArray[np.float32],
    depths: NDArray[np.float32],
) -> None:
    for inside, places, number in rays.planes(values.shape):
        z, y, x = np.rint(places).astype(np.intp)
        sampled, before = block[z, y, x], values[inside]
        new = (sampled != 0) & ~(before > 0)
        values[inside] = np.where(np.isnan(before) | new, sampled, before)
        depths[inside] = np.where(new, number, depths[inside])
