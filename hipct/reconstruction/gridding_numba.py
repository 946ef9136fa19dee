"""The inner loop of gridding, output-driven: tiles of the grid that stay in the cache.

A tile takes all samples whose taps reach into it, line by line and in the order of frequency, and
writes nothing outside of it: no atomics, and the same sum in the same order for any number of
threads, any tile and any block of lines. The samples of a line that reach a tile are one run of
frequencies, found by four divisions, so that no list of samples is kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.reconstruction.kernel import TABLE_NODES, WIDTH


@njit(cache=True, nogil=True)
def _run(step, offset, low, high, samples):  # type: ignore[no-untyped-def]
    """Frequencies whose taps along one direction touch cells low .. high - 1 (a superset)."""
    # The first tap of a sample is cell floor(step * m) + offset, the last is WIDTH - 1 further.
    first = low - offset - WIDTH
    last = high - offset + 1
    if abs(step) * samples < 0.5:
        inside = first <= 1 and last >= -1
        return (0, samples) if inside else (0, 0)
    a, b = first / step, last / step
    if a > b:
        a, b = b, a
    start, stop = max(np.floor(a), 0.0), min(np.ceil(b) + 1.0, float(samples))
    return int(start), max(int(start), int(stop))


@njit(cache=True, nogil=True)
def count_samples(step_u, step_v, samples, half, tile_rows, tile_columns, tile, counts):  # type: ignore[no-untyped-def]
    """Samples of some lines that reach each tile (a slight overestimate): for sharing the work."""
    for line in range(step_u.size):
        for r in range(tile_rows):
            first, last = _run(step_v[line], half, r * tile, (r + 1) * tile, samples)
            if first >= last:
                continue
            for c in range(tile_columns):
                low, high = _run(step_u[line], 0, c * tile, (c + 1) * tile, samples)
                low, high = max(low, first), min(high, last)
                if high > low:
                    counts[r * tile_columns + c] += high - low


@njit(cache=True, nogil=True, fastmath={"contract"})
def spread_tiles(  # type: ignore[no-untyped-def]
    grid, spectra, step_u, step_v, table, tiles, tile, tile_columns, half
):
    """Add the samples of a block of lines to some tiles of the grid.

    Parameters
    ----------
    grid : float32 (rows, columns * 2 * slices)
        The grid with its margins, real and imaginary parts as neighbours.
    spectra : float32 (lines, samples, 2 * slices)
    step_u, step_v : float64 (lines,)
    table : float32 (TABLE_NODES, 2 * WIDTH)
    tiles : int64
        Numbers of the tiles, row by row.
    tile : int
        Cells along the side of a tile.
    tile_columns : int
        Tiles in a row of tiles.
    half : int
        Row of v = 0, without the margin.
    """
    lines, samples, lanes = spectra.shape
    rows = grid.shape[0]
    columns = grid.shape[1] // lanes
    scaled = np.empty(WIDTH * lanes, np.float32)
    weight_u = np.empty(WIDTH, np.float32)
    for t in tiles:
        row0, column0 = (t // tile_columns) * tile, (t % tile_columns) * tile
        row1, column1 = min(row0 + tile, rows), min(column0 + tile, columns)
        for line in range(lines):
            su, sv = step_u[line], step_v[line]
            first, last = _run(sv, half, row0, row1, samples)
            low, high = _run(su, 0, column0, column1, samples)
            for m in range(max(first, low), min(last, high)):
                u, v = su * m, sv * m
                cell_u, cell_v = np.floor(u), np.floor(v)
                column, row = int(cell_u), int(cell_v) + half
                tap0, tap1 = max(column0 - column, 0), min(column1 - column, WIDTH)
                y0, y1 = max(row0 - row, 0), min(row1 - row, WIDTH)
                if tap0 >= tap1 or y0 >= y1:
                    continue
                place = (u - cell_u) * TABLE_NODES
                node = int(place)
                rest = np.float32(place - node)
                for k in range(WIDTH):
                    weight_u[k] = table[node, k] + rest * table[node, WIDTH + k]
                for k in range(WIDTH):
                    w = weight_u[k]
                    for i in range(lanes):
                        scaled[k * lanes + i] = w * spectra[line, m, i]
                place = (v - cell_v) * TABLE_NODES
                node = int(place)
                rest = np.float32(place - node)
                start, run = (column + tap0) * lanes, (tap1 - tap0) * lanes
                for k in range(y0, y1):
                    w = table[node, k] + rest * table[node, WIDTH + k]
                    target = grid[row + k, start : start + run]
                    values = scaled[tap0 * lanes : tap0 * lanes + run]
                    for i in range(run):
                        target[i] += w * values[i]
