"""Inner loops of the Fourier-wavelet ring removal: two products with thin matrices.

A library's product would do, but brings its own threads, which stand in each other's way when
several slabs are in work; and it needs one more sinogram for the stripes. Here a block of columns
stays in the first cache, and the first product takes four rows at a time, so that its sums are
loaded and stored once for four products.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

BLOCK = 128


@njit(cache=True, nogil=True)
def project_columns(
    vectors: Any, sinogram: Any, first: int, last: int, found: Any
) -> None:  # pragma: no cover - compiled
    """``found = vectors.T @ sinogram`` for columns ``first .. last``.

    ``vectors`` (angles, vectors) and ``found`` (vectors, columns).
    """
    angles, count = vectors.shape
    sums = np.empty(count * BLOCK, np.float32)
    rows = np.zeros(4 * BLOCK, np.float32)
    shares = np.zeros((4, count), np.float32)
    for left in range(first, last, BLOCK):
        width = min(BLOCK, last - left)
        sums[:] = np.float32(0)
        for angle in range(0, angles, 4):
            shares[:] = np.float32(0)
            for k in range(min(4, angles - angle)):
                rows[k * BLOCK : k * BLOCK + width] = sinogram[angle + k, left : left + width]
                shares[k] = vectors[angle + k]
            for v in range(count):
                _add_four(
                    sums, v * BLOCK, rows, shares[0, v], shares[1, v], shares[2, v], shares[3, v]
                )
        for v in range(count):
            found[v, left : left + width] = sums[v * BLOCK : v * BLOCK + width]


@njit(cache=True, nogil=True)
def subtract_stripes(
    vectors: Any, kept: Any, sinogram: Any, first: int, last: int, out: Any
) -> None:  # pragma: no cover - compiled
    """``out = sinogram - vectors @ kept`` for columns ``first .. last``.

    ``vectors`` (angles, vectors) and ``kept`` (vectors, columns).
    """
    angles, count = vectors.shape
    stripes = np.zeros((count, BLOCK), np.float32)
    row = np.zeros(BLOCK, np.float32)
    for left in range(first, last, BLOCK):
        width = min(BLOCK, last - left)
        stripes[:, :width] = kept[:, left : left + width]
        for angle in range(angles):
            row[:width] = sinogram[angle, left : left + width]
            for v in range(count):
                _subtract(row, stripes[v], vectors[angle, v])
            out[angle, left : left + width] = row[:width]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _subtract(row: Any, stripe: Any, share: Any) -> None:  # pragma: no cover - compiled
    for i in range(BLOCK):
        row[i] -= share * stripe[i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_four(
    sums: Any, place: int, rows: Any, a: Any, b: Any, c: Any, d: Any
) -> None:  # pragma: no cover - compiled
    for i in range(BLOCK):
        sums[place + i] += (
            a * rows[i] + b * rows[BLOCK + i] + c * rows[2 * BLOCK + i] + d * rows[3 * BLOCK + i]
        )
