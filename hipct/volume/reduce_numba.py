"""Inner loop of :func:`hipct.volume.reduce.reduce_block`: one pass over the block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def reduce_planes(block: Any, out: Any, start: int, stop: int) -> None:
    """Write the planes ``start .. stop`` of ``out``."""
    depth, rows, columns = block.shape
    pairs = columns // 2
    for z in range(start, stop):
        z0 = 2 * z
        z1 = min(z0 + 1, depth - 1)
        for y in range(out.shape[1]):
            y0 = 2 * y
            y1 = min(y0 + 1, rows - 1)
            # Rows that do not exist repeat the one that does: the sum is then a multiple of the
            # true one and the mean is the mean of the voxels that exist, exactly.
            a = block[z0, y0]
            b = block[z0, y1]
            c = block[z1, y0]
            d = block[z1, y1]
            target = out[z, y]
            for x in range(pairs):
                i = 2 * x
                total = (
                    np.uint32(a[i])
                    + np.uint32(a[i + 1])
                    + np.uint32(b[i])
                    + np.uint32(b[i + 1])
                    + np.uint32(c[i])
                    + np.uint32(c[i + 1])
                    + np.uint32(d[i])
                    + np.uint32(d[i + 1])
                )
                target[x] = (total + np.uint32(3) + ((total >> np.uint32(3)) & np.uint32(1))) >> (
                    np.uint32(3)
                )
            if columns & 1:
                i = columns - 1
                total = np.uint32(a[i]) + np.uint32(b[i]) + np.uint32(c[i]) + np.uint32(d[i])
                target[pairs] = (
                    total + np.uint32(1) + ((total >> np.uint32(2)) & np.uint32(1))
                ) >> np.uint32(2)
