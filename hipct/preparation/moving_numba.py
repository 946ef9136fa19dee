"""Inner loop of moving frames: both directions in one pass over the memory, at the speed of one."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def moved_rows(
    frames: Any,
    table: Any,
    row_whole: Any,
    row_fraction: Any,
    column_whole: Any,
    column_fraction: Any,
    first: int,
    start: int,
    stop: int,
    out: Any,
) -> None:  # pragma: no cover - compiled
    """Rows ``start .. stop`` of those wanted, of all frames; row 0 is the row ``first``.

    A frame is moved by whole pixels and by the fraction whose 10 taps stand in the table.
    """
    count, height, columns = frames.shape
    total = np.empty(columns, np.float32)
    wide = np.empty(columns + 9, np.float32)
    for n in range(count):
        down, w = table[row_fraction[n]], table[column_fraction[n]]
        w0, w1, w2, w3, w4 = w[0], w[1], w[2], w[3], w[4]
        w5, w6, w7, w8, w9 = w[5], w[6], w[7], w[8], w[9]
        sideways = column_whole[n] != 0 or column_fraction[n] != 0
        for row in range(start, stop):
            target = out[n, row]
            line = total if sideways else target
            place = first + row + row_whole[n]
            if row_fraction[n] == 0:
                line[:] = frames[n, min(max(place, 0), height - 1)]
            else:
                line[:] = np.float32(0)
                for k in range(10):
                    source = frames[n, min(max(place - 4 + k, 0), height - 1)]
                    weight = down[k]
                    for c in range(columns):
                        line[c] += weight * source[c]
            if not sideways:
                continue
            shift = column_whole[n] - 4
            left = min(max(-shift, 0), columns + 9)
            right = max(min(columns - shift, columns + 9), left)
            wide[:left] = line[0]
            wide[left:right] = line[left + shift : right + shift]
            wide[right:] = line[columns - 1]
            if column_fraction[n] == 0:
                target[:] = wide[4 : 4 + columns]
                continue
            for c in range(columns):
                s = w0 * wide[c] + w1 * wide[c + 1] + w2 * wide[c + 2] + w3 * wide[c + 3]
                s = s + w4 * wide[c + 4] + w5 * wide[c + 5] + w6 * wide[c + 6]
                target[c] = s + w7 * wide[c + 7] + w8 * wide[c + 8] + w9 * wide[c + 9]
