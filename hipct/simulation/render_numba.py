"""Inner loops of :mod:`hipct.simulation.render`.

The array code evaluates each solid on whole boxes with temporaries; here only the samples inside
the solid are touched, and the innermost loop runs along a row of contiguous float32.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

Array = Any


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_quadric_projections(
    image: Array, z0: float, dz: float, u0: float, du: float, shadow: Array
) -> None:
    """Add the shadows of quadrics; see :func:`hipct.simulation.render.quadric_shadows`."""
    rows, columns = image.shape
    for i in range(shadow.shape[0]):
        uc, zc, s_uu, s_uz, s_zz, gain, extent = shadow[i, :7]
        soft = shadow[i, 7] != 0
        first = max(0, math.ceil(max((zc - extent - z0) / dz, -1.0)))
        last = min(rows - 1, math.floor(min((zc + extent - z0) / dz, float(rows))))
        shift = s_uz / s_uu
        rest = s_zz - s_uz * shift
        for row in range(first, last + 1):
            z = z0 + row * dz - zc
            square = (1.0 - rest * z * z) / s_uu
            if square <= 0.0:
                continue
            width = math.sqrt(square)
            middle = uc - shift * z
            left = max(0, math.ceil(max((middle - width - u0) / du, -1.0)))
            right = min(columns, math.floor(min((middle + width - u0) / du, float(columns))) + 1)
            w = np.float32(width)
            start = np.float32(u0 + left * du - middle)
            step = np.float32(du)
            line = image[row, left:right]
            if soft:
                g = np.float32(gain * s_uu * math.sqrt(s_uu))
                for k in range(line.size):
                    t = start + np.float32(k) * step
                    v = max((w - t) * (w + t), np.float32(0.0))
                    line[k] += g * v * math.sqrt(v)
            else:
                g = np.float32(gain * math.sqrt(s_uu))
                for k in range(line.size):
                    t = start + np.float32(k) * step
                    v = max((w - t) * (w + t), np.float32(0.0))
                    line[k] += g * math.sqrt(v)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_capsule_projections(
    image: Array, z0: float, dz: float, u0: float, du: float, shadow: Array
) -> None:
    """Add the shadows of capsules; see :func:`hipct.simulation.render.capsule_shadows`.

    The inner loop has no branches, so that it becomes vector code: directions along or across
    the ray are kept from 0 by 1e-6, which moves a chord by a millionth of itself.
    """
    rows, columns = image.shape
    zero = np.float32(0.0)
    far_away = np.float32(1e30)
    for i in range(shadow.shape[0]):
        ua, za, ta, length, d_u, d_z, d_t, radius, gain = shadow[i, :9]
        ub, zb, tb = ua + length * d_u, za + length * d_z, ta + length * d_t
        first = max(0, math.ceil((min(za, zb) - radius - z0) / dz))
        last = min(rows - 1, math.floor((max(za, zb) + radius - z0) / dz))
        left = max(0, math.ceil((min(ua, ub) - radius - u0) / du))
        right = min(columns - 1, math.floor((max(ua, ub) + radius - u0) / du)) + 1
        cross = np.float32(max(1.0 - d_t * d_t, 1e-6))
        per_cross = np.float32(1.0 / cross)
        along = np.float32(d_t)
        per_along = np.float32(1.0 / math.copysign(max(abs(d_t), 1e-6), d_t))
        across = np.float32(d_u)
        reach = np.float32(length)
        end_depth = np.float32(tb - ta)
        weight = np.float32(gain)
        start = np.float32(u0 + left * du - ua)
        step = np.float32(du)
        shift = np.float32(ua - ub)
        for row in range(first, last + 1):
            b = z0 + row * dz - za
            b1 = b + za - zb
            square = np.float32(radius * radius - b * b)
            square1 = np.float32(radius * radius - b1 * b1)
            lift = np.float32(b * d_z)
            line = image[row, left:right]
            for k in range(line.size):
                a = start + np.float32(k) * step
                a1 = a + shift
                v = square - a * a
                v1 = square1 - a1 * a1
                h = math.sqrt(max(v, zero))
                h1 = math.sqrt(max(v1, zero))
                low = -h if v > zero else far_away
                high = h if v > zero else -far_away
                low = min(low, end_depth - h1 if v1 > zero else far_away)
                high = max(high, end_depth + h1 if v1 > zero else -far_away)
                m = a * across + lift
                v2 = m * m + cross * v
                h2 = math.sqrt(max(v2, zero))
                p = -m * per_along
                q = (reach - m) * per_along
                near = max((m * along - h2) * per_cross, min(p, q))
                far = min((m * along + h2) * per_cross, max(p, q))
                hit = (v2 > zero) and (far > near)
                low = min(low, near if hit else far_away)
                high = max(high, far if hit else -far_away)
                line[k] += weight * max(high - low, zero)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_quadric_voxels(
    volume: Array, zs: Array, ys: Array, xs: Array, boxes: Array, table: Array, offsets: Array
) -> None:
    """Add quadrics to voxels; see :func:`hipct.simulation.render.add_voxels`.

    Only voxels that the face may cross are supersampled: the root of q is a norm, so it changes
    by at most ``reach`` inside of a voxel.
    """
    n = offsets.size
    spread = 0.0
    for k in range(n):
        spread += offsets[k] * offsets[k] / n
    half_diagonal = math.sqrt(3.0) * offsets[n - 1]
    for i in range(table.shape[0]):
        cx, cy, cz, axx, ayy, azz, axy, axz, ayz, weight, largest = table[i, :11]
        soft = table[i, 11] != 0
        reach = half_diagonal * math.sqrt(largest)
        mean_shift = (axx + ayy + azz) * spread
        for iz in range(boxes[i, 0], boxes[i, 1]):
            z = zs[iz] - cz
            for iy in range(boxes[i, 2], boxes[i, 3]):
                y = ys[iy] - cy
                for ix in range(boxes[i, 4], boxes[i, 5]):
                    x = xs[ix] - cx
                    q = axx * x * x + ayy * y * y + azz * z * z
                    q += 2.0 * (axy * x * y + axz * x * z + ayz * y * z)
                    root = math.sqrt(max(q, 0.0))
                    if root >= 1.0 + reach:
                        continue
                    if root <= 1.0 - reach:
                        density = 1.0 - q - mean_shift if soft else 1.0
                    else:
                        total = 0.0
                        for kz in range(n):
                            dz = z + offsets[kz]
                            for ky in range(n):
                                dy = y + offsets[ky]
                                for kx in range(n):
                                    dx = x + offsets[kx]
                                    p = axx * dx * dx + ayy * dy * dy + azz * dz * dz
                                    p += 2.0 * (axy * dx * dy + axz * dx * dz + ayz * dy * dz)
                                    if p <= 1.0:
                                        total += 1.0 - p if soft else 1.0
                        density = total / (n * n * n)
                    volume[iz, iy, ix] += np.float32(weight * density)


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _distance_squared(
    x: float, y: float, z: float, dx: float, dy: float, dz: float, length: float
) -> float:
    s = min(max(x * dx + y * dy + z * dz, 0.0), length)
    return (x - s * dx) ** 2 + (y - s * dy) ** 2 + (z - s * dz) ** 2


@njit(cache=True, nogil=True, error_model="numpy")  # type: ignore[untyped-decorator]
def add_capsule_voxels(
    volume: Array, zs: Array, ys: Array, xs: Array, boxes: Array, table: Array, offsets: Array
) -> None:
    """Add capsules to voxels; see :func:`hipct.simulation.render.add_voxels`."""
    n = offsets.size
    reach = math.sqrt(3.0) * offsets[n - 1]
    for i in range(table.shape[0]):
        ax, ay, az, dx, dy, dz, length, radius, weight = table[i, :9]
        for iz in range(boxes[i, 0], boxes[i, 1]):
            z = zs[iz] - az
            for iy in range(boxes[i, 2], boxes[i, 3]):
                y = ys[iy] - ay
                for ix in range(boxes[i, 4], boxes[i, 5]):
                    x = xs[ix] - ax
                    distance = math.sqrt(_distance_squared(x, y, z, dx, dy, dz, length))
                    if distance >= radius + reach:
                        continue
                    density = 1.0
                    if distance > radius - reach:
                        inside = 0
                        for kz in range(n):
                            for ky in range(n):
                                for kx in range(n):
                                    square = _distance_squared(
                                        x + offsets[kx], y + offsets[ky], z + offsets[kz],
                                        dx, dy, dz, length,
                                    )  # fmt: skip
                                    inside += square <= radius * radius
                        density = inside / (n * n * n)
                    volume[iz, iy, ix] += np.float32(weight * density)
