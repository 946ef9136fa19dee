"""Inner loops of the Fourier engine that move and multiply: padding, factors, unpacking."""

from __future__ import annotations

import numpy as np
from numba import njit

from hipct.reconstruction.simd_numba import VECTOR, add, load, multiply, pairs, store, swapped

_LINE = 16
"""Floats of a cache line: what is read of one slice before the next one's turn."""


@njit(cache=True, nogil=True)
def pad_rows(sinograms, order, source, lateral, out):  # type: ignore[no-untyped-def]
    """out[k, j, s] = sinograms[s, order[k], source[j]] * lateral[j]: what ``Geometry.pad`` does."""
    slices = sinograms.shape[0]
    for k in range(order.size):
        j = 0
        while j < source.size:
            if j > 0 and source[j] == source[j - 1] and lateral[j] == lateral[j - 1]:
                out[k, j] = out[k, j - 1]
                j += 1
                continue
            stop = j + 1
            while stop < source.size and stop - j < _LINE and source[stop] == source[stop - 1] + 1:
                stop += 1
            for s in range(slices):
                run = sinograms[s, order[k], source[j] : source[j] + stop - j]
                for i in range(run.size):
                    out[k, j + i, s] = run[i] * lateral[j + i]
            j = stop


@njit(cache=True, nogil=True)
def apply_factors(raw, response, weight, shift, turned, out):  # type: ignore[no-untyped-def]
    """Multiply spectra by filter, weight and phase ramp; conjugate lines that were turned.

    What ``GridPlan.factors`` times the spectra is. Nothing is fused, so that vectors and the rest
    of a row that fills no vector give the same bits.

    Parameters
    ----------
    raw : float32 (lines, samples * 2 * slices)
        Real and imaginary parts as neighbours.
    response : float64 (samples,)
    weight, shift, turned : (lines,)
        Angular weight, phase ramp in turns per sample, and whether the line was turned.
    out : float32 (lines, samples * lanes)
        ``lanes`` may exceed 2 * slices.
    """
    samples = response.size
    width, lanes = raw.shape[1] // samples, out.shape[1] // samples
    for k in range(weight.size):
        angle = 2.0 * np.pi * shift[k]
        step_re, step_im = np.cos(angle), np.sin(angle)
        re, im = weight[k], 0.0
        sign = np.float32(-1.0 if turned[k] else 1.0)
        x, y = raw[k], out[k]
        for m in range(samples):
            a, b = np.float32(re * response[m]), np.float32(im * response[m])
            c, d = sign * a, sign * b
            straight, crossed = pairs(a, c), pairs(-b, d)
            source, target = m * width, m * lanes
            full = width - width % VECTOR
            for i in range(0, full, VECTOR):
                value = load(x, source + i)
                value = add(multiply(straight, value), multiply(crossed, swapped(value)))
                store(y, target + i, value)
            for i in range(full, width, 2):
                p, q = x[source + i], x[source + i + 1]
                y[target + i] = a * p + -b * q
                y[target + i + 1] = c * q + d * p
            re, im = re * step_re - im * step_im, re * step_im + im * step_re


@njit(cache=True, nogil=True)
def keep_rows(block, level, grid, first):  # type: ignore[no-untyped-def]
    """grid[y, first + u] = block[(y - n // 2) mod size, u] * level[y] for the n rows of a slice."""
    size, columns, slices = block.shape
    n = level.size
    for y in range(n):
        row = block[(y - n // 2) % size]
        for u in range(columns):
            source, target = row[u], grid[y, first + u]
            for s in range(slices):
                target[s] = source[s] * level[y]


@njit(cache=True, nogil=True)
def unpack(rows, level, pivot, reach_squared, first, out):  # type: ignore[no-untyped-def]
    """Crop, de-apodise and cut the circle of some rows; slices first.

    out[s, first + k, x] = rows[k, (x - n // 2) mod grid, s] * level[x] inside the circle around
    ``pivot`` (row, column), else 0.
    """
    count, grid, slices = rows.shape
    n = level.size
    row, column = pivot
    for k in range(count):
        y = first + k - row
        width = reach_squared - y * y
        half = np.sqrt(width) if width >= 0.0 else -1.0
        begin = min(max(int(np.ceil(column - half)), 0), n)
        end = max(min(int(np.floor(column + half)) + 1, n), begin) if half >= 0.0 else begin
        out[:, first + k, :begin] = 0.0
        out[:, first + k, end:] = 0.0
        for start in range(begin, end, _LINE):
            stop = min(start + _LINE, end)
            for s in range(slices):
                target = out[s, first + k]
                for x in range(start, stop):
                    place = x - n // 2
                    if place < 0:
                        place += grid
                    target[x] = rows[k, place, s] * level[x]
