"""The inner loops of the direct engine: tiles of pixels, all slices of a pixel in one run.

A pixel's sums stay in registers while a chunk of angles passes by; the rows of the chunk that a
tile needs stay in the first cache. Where a pixel lies in these rows is worked out before, for all
angles of the chunk in one loop over vectors: one by one it took three times as long as the sums.
The two neighbours of a place have sums of their own, so that neither waits for the other. Points of
a plane, of one value each, have a loop of their own.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.core.simd_numba import EIGHT, add, every, load, multiply_add, store

_ANGLES = 64
"""Angles of a chunk: 64 rows of some 20 samples of 64 bytes. With fewer, finding the places of a
pixel takes longer than what is done there."""

_SIXTEEN = (0,) * 16

_POINTS = 256
"""Points whose sums and places stay in the first cache while the angles pass by."""


@njit(cache=True, nogil=True)
def back_project_tiles(sums, filtered, shape, cos, sin, axis, y, x, reach, tile, start, stop):  # type: ignore[no-untyped-def]
    """Add the filtered rows of some angles to the sums of tiles start .. stop - 1.

    Parameters
    ----------
    sums : float32 (rows * columns * lanes,)
    filtered : float32 (angles * pitch * lanes,)
        Periodic rows, sample j at column j (or j - length).
    shape : (length, pitch, lanes)
        ``pitch`` is how many samples lie from row to row; ``lanes`` are the slices, rounded up to
        whole vectors.
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
    _, pitch, lanes = shape
    across = (x.size + tile - 1) // tile
    left, right = np.empty(_ANGLES, np.int32), np.empty(_ANGLES, np.int32)
    near, far = np.empty(_ANGLES, np.float32), np.empty(_ANGLES, np.float32)
    for t in range(start, stop):
        row0, column0 = (t // across) * tile, (t % across) * tile
        row1, column1 = min(row0 + tile, y.size), min(column0 + tile, x.size)
        for first in range(0, cos.size, _ANGLES):
            some = slice(first, min(first + _ANGLES, cos.size))
            rows = filtered[first * pitch * lanes :]
            for i in range(row0, row1):
                for j in range(column0, column1):
                    if x[j] * x[j] + y[i] * y[i] > reach * reach:
                        continue
                    _find_places(
                        cos[some], sin[some], axis, y[i], x[j], shape, left, right, near, far
                    )
                    target = (i * x.size + j) * lanes
                    places = (left, right, near, far, some.stop - first)
                    for lane in range(0, lanes - 8, 16):
                        _add_places(_SIXTEEN, sums, target + lane, rows, lane, places)
                    if lanes % 16:
                        _add_places(EIGHT, sums, target + lanes - 8, rows, lanes - 8, places)


@njit(cache=True, nogil=True)
def _find_places(cos, sin, axis, y, x, shape, left, right, near, far):  # type: ignore[no-untyped-def]
    """Where a pixel lies in each row: the floats of its two neighbours, and their weights."""
    # All in float64, which holds such numbers exactly: no vector changes its kind but once.
    length, pitch, lanes = float(shape[0]), float(shape[1]), float(shape[2])
    for k in range(cos.size):
        position = axis + y * sin[k] + x * cos[k]
        cell = np.floor(position)
        rest = np.float32(position - cell)
        a = cell + length if cell < 0.0 else cell
        b = a + 1.0 if a + 1.0 < length else 0.0
        left[k], right[k] = np.int32((k * pitch + a) * lanes), np.int32((k * pitch + b) * lanes)
        near[k], far[k] = np.float32(1.0) - rest, rest


@njit(cache=True, nogil=True)
def _add_places(like, sums, target, rows, lane, places):  # type: ignore[no-untyped-def]
    """Add the neighbours' values to as many slices of a pixel as ``like`` is long."""
    left, right, near, far, count = places
    a, b = load(sums, target, like), every(np.float32(0.0), like)
    for k in range(count):
        a = multiply_add(every(near[k], like), load(rows, left[k] + lane, like), a)
        b = multiply_add(every(far[k], like), load(rows, right[k] + lane, like), b)
    store(sums, target, add(a, b))


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
