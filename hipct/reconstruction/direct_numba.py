"""The inner loop of the direct engine: tiles of pixels, all slices of a pixel in one run.

A pixel's sums stay in registers while a chunk of angles passes by; the rows of the chunk that a
tile needs stay in the first cache.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.reconstruction.simd_numba import VECTOR, load, multiply_add, pairs, store

_ANGLES = 32
"""Angles of a chunk: 32 rows of some 20 samples of 64 bytes."""


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
                        a, b = load(sums, target + lane), load(sums, target + other)
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
                            near = pairs(np.float32(1.0) - rest, np.float32(1.0) - rest)
                            far = pairs(rest, rest)
                            a = multiply_add(near, load(filtered, p + lane), a)
                            a = multiply_add(far, load(filtered, q + lane), a)
                            if two:
                                b = multiply_add(near, load(filtered, p + other), b)
                                b = multiply_add(far, load(filtered, q + other), b)
                        store(sums, target + lane, a)
                        if two:
                            store(sums, target + other, b)
