"""Inner loop of the mode in :func:`hipct.volume.reduce.reduce_block`: one pass over the block."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mode_planes(block: Any, out: Any, start: int, stop: int) -> None:
    """Write the planes ``start .. stop`` of ``out``: the commonest, the smallest of equals."""
    depth, rows, columns = block.shape
    eight = np.empty(8, block.dtype)
    for z in range(start, stop):
        z0, z1 = 2 * z, min(2 * z + 1, depth - 1)
        for y in range(out.shape[1]):
            y0, y1 = 2 * y, min(2 * y + 1, rows - 1)
            for x in range(out.shape[2]):
                # A neighbour that does not exist repeats the one that does: all counts of the
                # group are multiplied alike.
                x0, x1 = 2 * x, min(2 * x + 1, columns - 1)
                eight[0], eight[1] = block[z0, y0, x0], block[z0, y0, x1]
                eight[2], eight[3] = block[z0, y1, x0], block[z0, y1, x1]
                eight[4], eight[5] = block[z1, y0, x0], block[z1, y0, x1]
                eight[6], eight[7] = block[z1, y1, x0], block[z1, y1, x1]
                best, most = eight[0], 0
                for i in range(8):
                    # Counted in full where it is met first; what is left cannot win any more.
                    if most > 8 - i:
                        break
                    count = 0
                    for j in range(i, 8):
                        if eight[j] == eight[i]:
                            count += 1
                    if count > most or (count == most and eight[i] < best):
                        best, most = eight[i], count
                out[z, y, x] = best
