"""Inner loops of the Fourier engine that move and multiply: padding, factors, unpacking."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def pad_rows(sinograms, order, source, lateral, out):  # type: ignore[no-untyped-def]
    """out[k, j, s] = sinograms[s, order[k], source[j]] * lateral[j]: what ``Geometry.pad`` does."""
    slices = sinograms.shape[0]
    for k in range(order.size):
        for s in range(slices):
            row = sinograms[s, order[k]]
            for j in range(source.size):
                out[k, j, s] = row[source[j]] * lateral[j]


@njit(cache=True, nogil=True, fastmath={"contract"})
def apply_factors(raw, response, weight, shift, turned, out):  # type: ignore[no-untyped-def]
    """Multiply spectra by filter, weight and phase ramp; conjugate lines that were turned.

    ``raw`` and ``out`` hold real and imaginary parts as neighbours: (lines, samples, 2 * slices);
    ``shift`` is the phase ramp in turns per sample. Equals ``GridPlan.factors`` times the spectra.
    """
    lines, samples, lanes = raw.shape
    for k in range(lines):
        angle = 2.0 * np.pi * shift[k]
        step_re, step_im = np.cos(angle), np.sin(angle)
        re, im = weight[k], 0.0
        sign = np.float32(-1.0 if turned[k] else 1.0)
        for m in range(samples):
            a, b = np.float32(re * response[m]), np.float32(im * response[m])
            for i in range(0, lanes, 2):
                x, y = raw[k, m, i], raw[k, m, i + 1]
                out[k, m, i] = x * a - y * b
                out[k, m, i + 1] = sign * (x * b + y * a)
            re, im = re * step_re - im * step_im, re * step_im + im * step_re


@njit(cache=True, nogil=True)
def unpack(rows, level, reach_squared, first, out):  # type: ignore[no-untyped-def]
    """Crop, de-apodise and cut the circle of some rows; slices first.

    out[s, first + k, x] = rows[k, (x - n // 2) mod grid, s] * level[x] inside the circle, else 0.
    """
    count, grid, slices = rows.shape
    n = level.size
    centre = (n - 1) / 2
    for k in range(count):
        y = first + k - centre
        width = reach_squared - y * y
        half = np.sqrt(width) if width >= 0.0 else -1.0
        begin = min(max(int(np.ceil(centre - half)), 0), n)
        end = max(min(int(np.floor(centre + half)) + 1, n), begin) if half >= 0.0 else begin
        for s in range(slices):
            target = out[s, first + k]
            target[:begin] = 0.0
            target[end:] = 0.0
            for x in range(begin, min(end, n // 2)):
                target[x] = rows[k, x - n // 2 + grid, s] * level[x]
            for x in range(max(begin, n // 2), end):
                target[x] = rows[k, x - n // 2, s] * level[x]
