"""Line integrals of solids along parallel rays, and their mean density in voxels.

A ray of the view at angle ``a`` runs along ``e = (-sin a, cos a, 0)`` and meets the detector at
``u = x cos a + y sin a`` and ``z``. Along it ``q`` is a parabola, so the chord through a quadric
is ``2 sqrt(1 - Q(u, z)) / sqrt(e^T A e)``, where Q is the Schur complement of ``e^T A e`` in the
form: again a quadratic form, the outline of the shadow. A soft quadric of density ``1 - q``
integrates to ``4/3 (1 - Q)^(3/2) / sqrt(e^T A e)``. A capsule is convex, so its chord is the hull
of what the ray cuts from its two spheres and from its cylinder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.simulation.primitives import Capsules, Quadrics, Vector

Image = NDArray[np.float32]


@dataclass(frozen=True)
class Samples:
    """Evenly spaced positions ``first + step * index`` in um."""

    first: float
    step: float
    count: int

    @property
    def values(self) -> Vector:
        """The positions, (count,) float64 in um."""
        positions: Vector = self.first + self.step * np.arange(self.count, dtype=np.float64)
        return positions


def add_projection(
    image: Image,
    z: Samples,
    u: Samples,
    angle: float,
    *,
    quadrics: tuple[Quadrics, Vector],
    capsules: tuple[Capsules, Vector],
    accelerate: bool = True,
) -> None:
    """Add to ``image`` (rows, columns) float32 the line integrals of weighted solids.

    Parameters
    ----------
    image : (rows, columns) float32
        Changed in place.
    z, u : Samples
        Positions of rows and columns in um.
    angle : float
        Angle of the view in radians.
    quadrics, capsules : tuple of a table and (n,) float64
        Solids and their weights per um.
    accelerate : bool
        Use the compiled loops where numba is installed.
    """
    quadric_table = quadric_shadows(quadrics[0], quadrics[1], angle)
    capsule_table = capsule_shadows(capsules[0], capsules[1], angle)
    if accelerate and has_numba():
        from hipct.simulation import render_numba as fast

        fast.add_quadric_projections(image, z.first, z.step, u.first, u.step, quadric_table)
        fast.add_capsule_projections(image, z.first, z.step, u.first, u.step, capsule_table)
        return
    for shadow in quadric_table:
        _add_quadric_projection(image, z, u, shadow)
    for shadow in capsule_table:
        _add_capsule_projection(image, z, u, shadow)


def quadric_shadows(quadrics: Quadrics, weight: Vector, angle: float) -> Vector:
    """Shadows of quadrics at an angle, one row each.

    Returns
    -------
    (n, 8) float64
        Centre u and z, the outline's form s_uu, s_uz, s_zz (1/um^2), the factor before
        ``sqrt(1 - Q)`` or ``(1 - Q)^(3/2)``, half the height (um), and 1 where soft.
    """
    c, s = np.cos(angle), np.sin(angle)
    frame = np.array([[c, s, 0.0], [0.0, 0.0, 1.0], [-s, c, 0.0]])
    form = frame @ quadrics.form @ frame.T
    along = form[:, 2, 2]
    outline = form[:, :2, :2] - form[:, :2, 2, None] * form[:, None, 2, :2] / along[:, None, None]
    position = quadrics.centre @ frame.T
    factor = np.where(quadrics.soft, 4 / 3, 2.0) * weight / np.sqrt(along)
    return np.column_stack(
        [
            position[:, 0], position[:, 1], outline[:, 0, 0], outline[:, 0, 1], outline[:, 1, 1],
            factor, quadrics.half_extent[:, 2], quadrics.soft,
        ]
    )  # fmt: skip


def capsule_shadows(capsules: Capsules, weight: Vector, angle: float) -> Vector:
    """Capsules in the frame (u, z, depth) of a view, one row each.

    Returns
    -------
    (n, 9) float64
        Start (u, z, t), length, direction (u, z, t), radius, weight.
    """
    c, s = np.cos(angle), np.sin(angle)
    frame = np.array([[c, s, 0.0], [0.0, 0.0, 1.0], [-s, c, 0.0]])
    axis = capsules.end - capsules.start
    length = np.linalg.norm(axis, axis=1)
    # A capsule of no length is a sphere; any direction will do.
    direction = np.where(length[:, None] > 0, axis, [0.0, 0.0, 1.0])
    direction = direction / np.where(length > 0, length, 1.0)[:, None]
    return np.column_stack(
        [capsules.start @ frame.T, length, direction @ frame.T, capsules.radius, weight]
    )


def _add_quadric_projection(image: Image, z: Samples, u: Samples, shadow: Vector) -> None:
    uc, zc, s_uu, s_uz, s_zz, factor, _, soft = shadow
    v, w = z.values[:, None] - zc, u.values[None] - uc
    inside = np.maximum(1 - (s_uu * w * w + 2 * s_uz * w * v + s_zz * v * v), 0)
    image += factor * inside ** (1.5 if soft else 0.5)


def _add_capsule_projection(image: Image, z: Samples, u: Samples, shadow: Vector) -> None:
    start, length, direction, radius, weight = shadow[:3], shadow[3], shadow[4:7], *shadow[7:9]
    a, b = u.values[None] - start[0], z.values[:, None] - start[1]
    du, dz, dt = direction
    low = np.full(image.shape, np.inf)
    high = np.full(image.shape, -np.inf)
    gap = radius**2 - a * a - b * b
    for shift, square in (
        (0.0, gap),
        (length * dt, radius**2 - (a - length * du) ** 2 - (b - length * dz) ** 2),
    ):
        half = np.sqrt(np.maximum(square, 0))
        low = np.where(square >= 0, np.minimum(low, shift - half), low)
        high = np.where(square >= 0, np.maximum(high, shift + half), high)
    cross = 1 - dt * dt
    if cross > 1e-9:
        m = a * du + b * dz
        square = m * m + cross * gap
        half = np.sqrt(np.maximum(square, 0))
        near, far = (m * dt - half) / cross, (m * dt + half) / cross
        if abs(dt) > 1e-9:
            ends = -m / dt, (length - m) / dt
            near, far = np.maximum(near, np.minimum(*ends)), np.minimum(far, np.maximum(*ends))
            hit = (square > 0) & (far > near)
        else:
            hit = (square > 0) & (m >= 0) & (m <= length)
        low = np.where(hit, np.minimum(low, near), low)
        high = np.where(hit, np.maximum(high, far), high)
    image += weight * np.where(high > low, high - low, 0)


def add_voxels(
    volume: Image,
    grid: tuple[Vector, Vector, Vector],
    offsets: Vector,
    *,
    quadrics: tuple[Quadrics, Vector],
    capsules: tuple[Capsules, Vector],
    accelerate: bool = True,
) -> None:
    """Add to ``volume`` (z, y, x) float32 the mean weighted density of solids in each voxel.

    Parameters
    ----------
    volume : (nz, ny, nx) float32
        Changed in place.
    grid : tuple of (nz,), (ny,), (nx,) float64
        Ascending centres z, y, x of the voxels in um.
    offsets : (s,) float64
        Ascending positions of the s^3 points of a voxel relative to its centre, in um.
    quadrics, capsules : tuple of a table and (n,) float64
        Solids and their weights.
    accelerate : bool
        Use the compiled loops where numba is installed.
    """
    quadric_table, quadric_boxes = _quadric_voxels(*quadrics, grid, offsets)
    capsule_table, capsule_boxes = _capsule_voxels(*capsules, grid, offsets)
    if not (accelerate and has_numba()):
        for row, box in zip(quadric_table, quadric_boxes):
            _add_to_box(volume, grid, box, offsets, density=_quadric_density, row=row)
        for row, box in zip(capsule_table, capsule_boxes):
            _add_to_box(volume, grid, box, offsets, density=_capsule_density, row=row)
        return
    from hipct.simulation import render_numba as fast

    def slab(first: int, last: int) -> None:
        for loop, table, boxes in (
            (fast.add_quadric_voxels, quadric_table, quadric_boxes),
            (fast.add_capsule_voxels, capsule_table, capsule_boxes),
        ):
            mine = boxes.copy()
            mine[:, :2] = np.clip(mine[:, :2], first, last)
            loop(volume, *grid, mine, table, offsets)

    parallel_for(slab, grid[0].size)


def _quadric_voxels(
    quadrics: Quadrics, weight: Vector, grid: tuple[Vector, Vector, Vector], offsets: Vector
) -> tuple[Vector, NDArray[np.int64]]:
    form = quadrics.form
    largest = np.linalg.eigvalsh(form)[:, -1] if form.size else np.zeros(0)
    table = np.column_stack(
        [
            quadrics.centre, form[:, 0, 0], form[:, 1, 1], form[:, 2, 2], form[:, 0, 1],
            form[:, 0, 2], form[:, 1, 2], weight, largest, quadrics.soft,
        ]
    )  # fmt: skip
    extent = quadrics.half_extent
    return table, _boxes(quadrics.centre - extent, quadrics.centre + extent, grid, offsets)


def _capsule_voxels(
    capsules: Capsules, weight: Vector, grid: tuple[Vector, Vector, Vector], offsets: Vector
) -> tuple[Vector, NDArray[np.int64]]:
    frame_free = capsule_shadows(capsules, weight, 0.0)
    # At angle 0 the frame is (u, z, t) = (x, z, y).
    order = [0, 2, 1, 4, 6, 5, 3, 7, 8]
    radius = capsules.radius[:, None]
    low = np.minimum(capsules.start, capsules.end) - radius
    high = np.maximum(capsules.start, capsules.end) + radius
    return np.ascontiguousarray(frame_free[:, order]), _boxes(low, high, grid, offsets)


def _boxes(
    low: Vector, high: Vector, grid: tuple[Vector, Vector, Vector], offsets: Vector
) -> NDArray[np.int64]:
    """Voxel ranges (n, 6) = z, y, x first and end that may touch solids between low and high."""
    reach = offsets[-1]
    bounds = []
    for axis, centres in zip((2, 1, 0), grid):
        bounds.append(np.searchsorted(centres, low[:, axis] - reach, side="left"))
        bounds.append(np.searchsorted(centres, high[:, axis] + reach, side="right"))
    return np.column_stack(bounds).astype(np.int64)


def _add_to_box(
    volume: Image,
    grid: tuple[Vector, Vector, Vector],
    box: NDArray[np.int64],
    offsets: Vector,
    *,
    row: Vector,
    density: Callable[[Vector, Vector, Vector, Vector], Vector],
) -> None:
    z, y, x = grid
    z0, z1, y0, y1, x0, x1 = box
    if z1 <= z0 or y1 <= y0 or x1 <= x0:
        return
    total = np.zeros((z1 - z0, y1 - y0, x1 - x0))
    for dz in offsets:
        for dy in offsets:
            for dx in offsets:
                total += density(
                    row,
                    x[x0:x1] + dx - row[0],
                    (y[y0:y1] + dy - row[1])[:, None],
                    (z[z0:z1] + dz - row[2])[:, None, None],
                )
    volume[z0:z1, y0:y1, x0:x1] += total / offsets.size**3


def _quadric_density(row: Vector, x: Vector, y: Vector, z: Vector) -> Vector:
    axx, ayy, azz, axy, axz, ayz = row[3:9]
    q = axx * x * x + ayy * y * y + azz * z * z + 2 * (axy * x * y + axz * x * z + ayz * y * z)
    inside = q <= 1
    density: Vector = np.where(inside, row[9] * (1 - q if row[11] else 1.0), 0.0)
    return density


def _capsule_density(row: Vector, x: Vector, y: Vector, z: Vector) -> Vector:
    dx, dy, dz, length, radius, weight = row[3:9]
    s = np.clip(x * dx + y * dy + z * dz, 0, length)
    inside: Vector = (x - s * dx) ** 2 + (y - s * dy) ** 2 + (z - s * dz) ** 2 <= radius**2
    return np.where(inside, weight, 0.0)
