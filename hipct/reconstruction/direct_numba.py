"""The inner loops of the direct engine: tiles of pixels, all slices of a pixel in one run.

A pixel's sums stay in registers while a chunk of angles passes by; the rows of the chunk that a
tile needs stay in the first cache. Points of a plane, of one value each, have a loop of their own.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.simd_numba import EIGHT, VECTOR, every, load, multiply_add, store

_ANGLES = 32
"""Angles of a chunk: 32 rows of some 20 samples of 64 bytes."""

_POINTS = 256
"""Points whose sums and places stay in the first cache while the angles pass by."""


@njit(cache=True, nogil=True)
def back_project_tiles(sums, filtered, shape, cos, sin, axis, y, x, reach, tile, start, stop):  # type: ignore[no-untyped-def]
    """Add the filtered rows of some angles to the sums of tiles start .. stop - 1.

    Parameters
    ----------
    sums : float32 (rows * columns * lanes,)
    filtered : float32 (angles * length * lanes,)
        Periodic rows, sample j at column j (or j - length).
    shape : (length, lanes)
        ``lanes`` are the slices, rounded up to whole vectors.
    cos, sin : float64 (angles,)
    axis : float
        In columns.
    y, x : float64 (rows,), (columns,)
        Pixels relative to the axis.
    reach : float
        Pixels further from the axis are left out.
    tile : int
        Side of a tile; tiles are counted row by row.
    """
    length, lanes = shape
    across = (x.size + tile - 1) // tile
    for t in range(start, stop):
        row0, column0 = (t // across) * tile, (t % across) * tile
        row1, column1 = min(row0 + tile, y.size), min(column0 + tile, x.size)
        for first in range(0, cos.size, _ANGLES):
            last = min(first + _ANGLES, cos.size)
            for i in range(row0, row1):
                for j in range(column0, column1):
                    if x[j] * x[j] + y[i] * y[i] > reach * reach:
                        continue
                    target = (i * x.size + j) * lanes
                    for lane in range(0, lanes, 2 * VECTOR):
                        two = lane + VECTOR < lanes
                        other = lane + VECTOR if two else lane
                        a, b = load(sums, target + lane, EIGHT), load(sums, target + other, EIGHT)
                        for k in range(first, last):
                            position = axis + y[i] * sin[k] + x[j] * cos[k]
                            cell = np.floor(position)
                            rest = np.float32(position - cell)
                            left = int(cell)
                            if left < 0:
                                left += length
                            right = left + 1 if left + 1 < length else 0
                            p = (k * length + left) * lanes
                            q = (k * length + right) * lanes
                            near = every(np.float32(1.0) - rest, EIGHT)
                            far = every(rest, EIGHT)
                            a = multiply_add(near, load(filtered, p + lane, EIGHT), a)
                            a = multiply_add(far, load(filtered, q + lane, EIGHT), a)
                            if two:
                                b = multiply_add(near, load(filtered, p + other, EIGHT), b)
                                b = multiply_add(far, load(filtered, q + other, EIGHT), b)
                        store(sums, target + lane, a)
                        if two:
                            store(sums, target + other, b)


@njit(cache=True, nogil=True)
def back_project_points(sums, filtered, cos, sin, axis, y, x, lower, up, last):  # type: ignore[no-untyped-def]
    """Add the filtered rows of some angles to the sums of single points.

    Parameters
    ----------
    sums : float32 (points,)
    filtered : float32 (angles, length, lanes)
        Periodic rows, sample j at column j (or j - length).
    cos, sin : float64 (angles,)
    axis : float
        In columns.
    y, x : float64 (points,)
        Relative to the axis, within its reach.
    lower : intp (points,)
        The slice at or below a point; the next one is above, but none comes after ``last``.
    up : float32 (points,)
        How far the point is from the slice below to the next one.
    """
    length = filtered.shape[1]
    for first in range(0, sums.size, _POINTS):
        stop = min(first + _POINTS, sums.size)
        for k in range(cos.size):
            rows = filtered[k]
            for i in range(first, stop):
                position = axis + y[i] * sin[k] + x[i] * cos[k]
                cell = np.floor(position)
                rest = np.float32(position - cell)
                left = int(cell)
                if left < 0:
                    left += length
                right = left + 1 if left + 1 < length else 0
                a = lower[i]
                b = a + 1 if a < last else a
                near = np.float32(1.0) - rest
                below = rows[left, a] * near + rows[right, a] * rest
                above = rows[left, b] * near + rows[right, b] * rest
                sums[i] += below * (np.float32(1.0) - up[i]) + above * up[i]
