"""Inner loops of the Fourier-wavelet ring removal: two products with thin matrices, and wavelets.

A library's product would do, but brings its own threads, which stand in each other's way when
several slabs are in work; and it needs one more sinogram for the stripes. Here a block of columns
stays in the first cache, and the first product takes four rows at a time, so that its sums are
loaded and stored once for four products. The wavelet transform goes tap by tap over even and odd
samples, each one contiguous run.
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


@njit(cache=True, nogil=True)
def keep_detail(
    found: Any, level: int, widths: Any, padding: int, low: Any, high: Any
) -> None:  # pragma: no cover - compiled
    """Keep of rows (vectors, columns) what the high-pass band of a level holds, in place.

    ``widths`` are the lengths of a row from level to level, ``low`` and ``high`` the filters of
    the synthesis.
    """
    columns = found.shape[1]
    taps = len(low)
    half = widths.max() + taps
    row = np.empty(2 * half, np.float32)
    even, odd = np.empty(half, np.float32), np.empty(half, np.float32)
    band = np.empty(half, np.float32)
    for k in range(len(found)):
        for i in range(widths[0]):
            row[i] = found[k, min(max(i - padding, 0), columns - 1)]
        for step in range(level + 1):
            _analyse(row, widths[step], high if step == level else low, even, odd, band)
            row[: widths[step + 1]] = band[: widths[step + 1]]
        for step in range(level, -1, -1):
            count = widths[step + 1]
            band[:count] = row[:count]
            _synthesise(band, count, high if step == level else low, even, odd)
            first = taps // 2 - 1
            for i in range((widths[step] + 1) // 2):
                row[2 * i] = even[first + i]
                row[2 * i + 1] = odd[first + i]
        found[k] = row[padding : padding + columns]


@njit(cache=True, nogil=True)
def _analyse(
    row: Any, samples: int, taps: Any, even: Any, odd: Any, band: Any
) -> None:  # pragma: no cover - compiled
    """Coefficients of a row, continued by half-sample symmetry, into ``band``."""
    count = (samples + len(taps) - 1) // 2
    for i in range(count + len(taps) // 2 - 1):
        place = (2 * i + 2 - len(taps)) % (2 * samples)
        even[i] = row[place if place < samples else 2 * samples - 1 - place]
        place = (place + 1) % (2 * samples)
        odd[i] = row[place if place < samples else 2 * samples - 1 - place]
    band[:count] = np.float32(0)
    for j in range(0, len(taps), 2):
        _add_two(band, even, odd, count, j // 2, taps[j], taps[j + 1])


@njit(cache=True, nogil=True)
def _synthesise(
    band: Any, count: int, taps: Any, even: Any, odd: Any
) -> None:  # pragma: no cover - compiled
    """Even and odd samples that a band spreads to, the first ``len(taps) - 2`` before the row."""
    even[: count + len(taps) // 2] = np.float32(0)
    odd[: count + len(taps) // 2] = np.float32(0)
    for j in range(0, len(taps), 2):
        _spread_two(band, even, odd, count, j // 2, taps[j], taps[j + 1])


@njit(cache=True, nogil=True, fastmath={"contract"})
def _add_two(
    band: Any, even: Any, odd: Any, count: int, start: int, a: Any, b: Any
) -> None:  # pragma: no cover - compiled
    for i in range(count):
        band[i] += a * even[start + i] + b * odd[start + i]


@njit(cache=True, nogil=True, fastmath={"contract"})
def _spread_two(
    band: Any, even: Any, odd: Any, count: int, start: int, a: Any, b: Any
) -> None:  # pragma: no cover - compiled
    for i in range(count):
        even[start + i] += a * band[i]
        odd[start + i] += b * band[i]


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
