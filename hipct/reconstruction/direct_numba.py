"""The inner loop of the direct engine: tiles of pixels, all slices of a pixel in one run."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True, fastmath={"contract"})
def back_project_tiles(sums, filtered, cos, sin, axis, y, x, tile, start, stop):  # type: ignore[no-untyped-def]
    """Add the filtered rows of some angles to the sums of tiles start .. stop - 1.

    Parameters
    ----------
    sums : float32 (rows, columns, slices)
    filtered : float32 (angles, length, slices)
        Periodic rows, sample j at column j.
    cos, sin : float64 (angles,)
    axis : float
        In columns.
    y, x : float64 (rows,), (columns,)
        Pixels relative to the axis.
    tile : int
        Side of a tile; tiles are counted row by row.
    """
    across = (x.size + tile - 1) // tile
    angles, length, slices = filtered.shape
    for t in range(start, stop):
        row0, column0 = (t // across) * tile, (t % across) * tile
        row1, column1 = min(row0 + tile, y.size), min(column0 + tile, x.size)
        for k in range(angles):
            for i in range(row0, row1):
                base = axis + y[i] * sin[k]
                for j in range(column0, column1):
                    position = base + x[j] * cos[k]
                    cell = np.floor(position)
                    right_part = np.float32(position - cell)
                    left_part = np.float32(1.0) - right_part
                    left = int(cell) % length
                    right = left + 1
                    if right == length:
                        right = 0
                    a, b, target = filtered[k, left], filtered[k, right], sums[i, j]
                    for s in range(slices):
                        target[s] += left_part * a[s] + right_part * b[s]
