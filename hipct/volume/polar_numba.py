"""Inner loops of the polar coordinates: samples of a slice, and rings taken from it."""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

HALF = np.float32(0.5)
TWO, THREE, FOUR, FIVE, ONE = (np.float32(k) for k in (2, 3, 4, 5, 1))


@njit(cache=True, nogil=True)
def _weights(share: Any) -> Any:  # pragma: no cover - compiled
    return (
        ((TWO - share) * share - ONE) * share * HALF,
        ((THREE * share - FIVE) * share * share + TWO) * HALF,
        ((FOUR - THREE * share) * share + ONE) * share * HALF,
        (share - ONE) * share * share * HALF,
    )


@njit(cache=True, nogil=True)
def sample_radii(
    image: Any,
    pivot_row: float,
    pivot_column: float,
    radius_px: Any,
    cosines: Any,
    sines: Any,
    first: int,
    last: int,
    values: Any,
) -> None:  # pragma: no cover - compiled
    """Fill ``values[first:last]`` (radii, angles) with the nearest pixels of an image (n, n)."""
    for k in range(first, last):
        radius = radius_px[k]
        for angle in range(len(cosines)):
            row = int(np.floor(pivot_row + 0.5 + radius * sines[angle]))
            column = int(np.floor(pivot_column + 0.5 + radius * cosines[angle]))
            values[k, angle] = image[row, column]


@njit(cache=True, nogil=True)
def subtract_rings(
    slices: Any,
    rings: Any,
    steps: int,
    pivot: tuple[float, float],
    first: int,
    last: int,
    out: Any,
) -> None:  # pragma: no cover - compiled
    """Rows ``first .. last`` of slices (slices, n, n) without their rings.

    ``rings`` (slices, radii, parts), ``steps`` radii a pixel, cubic along the radius (Catmull-Rom),
    linear around; 0 beyond both ends of the radii. ``out`` may be the slices.
    """
    count, radii, parts = rings.shape
    row, column = pivot
    n = slices.shape[2]
    inner = np.empty(n, np.int64)
    part = np.empty((2, n), np.int64)
    along = np.empty((4, n), np.float32)
    around = np.empty(n, np.float32)
    for y in range(first, last):
        for x in range(n):
            radius = steps * np.hypot(y - row, x - column)
            turn = np.arctan2(y - row, x - column) * (parts / (2 * np.pi)) - 0.5
            whole = int(np.floor(turn))
            inner[x] = int(radius)
            part[0, x] = (whole + parts) % parts
            part[1, x] = (whole + 1 + parts) % parts
            around[x] = np.float32(turn - whole)
            weights = _weights(np.float32(radius - inner[x]))
            for k in range(4):
                along[k, x] = weights[k]
        for s in range(count):
            for x in range(n):
                ring = np.float32(0)
                for k in range(4):
                    radius_k = inner[x] + k - 1
                    if 0 <= radius_k < radii:
                        here = rings[s, radius_k, part[0, x]]
                        there = rings[s, radius_k, part[1, x]]
                        ring += along[k, x] * (here + around[x] * (there - here))
                out[s, y, x] = slices[s, y, x] - ring
