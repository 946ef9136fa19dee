"""What flats and darks show: the beam on the detector, and how many photons a view has counted.

Of two flats divided by their means, half the variance of the difference is that of one; of photon
noise alone it is 1/N. So

    N = 1 / (var(f1/m1 - f2/m2) / 2)

is the number of photons a pixel that would give this noise: the effective quanta, fewer than have
hit the detector, as no detector counts all, and more where its blur averages noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.pipeline.job import Job
from hipct.quality.shrink import shrunk

MAP_PX = 420
MOST_BYTES = 1 << 28
"""Flats that are read for the map; of more, every so many rows."""

MOST_FLATS = 8
STRIP_ROWS = 16


@dataclass(frozen=True, eq=False)
class References:
    """Flats of a scan.

    Attributes
    ----------
    flat : ndarray (rows, columns), float32
        Mean flat less the mean dark, in counts, shrunk.
    counts : float
        Its median.
    saturated : float
        Share of pixels of the flats that hold the largest number there is.
    quanta : float or None
        Effective photons a pixel of one flat; None of less than two flats.
    """

    flat: NDArray[np.float32]
    counts: float
    saturated: float
    quanta: float | None


def look_at_references(scan: Scan, job: Job) -> References | None:
    """Look at the flats of a scan; None if it has none."""
    info = job.info
    if not info.flats:
        return None
    step = max(scan.row_chunk, STRIP_ROWS)
    starts = range(0, info.rows, step)
    every = -(-info.flats * info.rows * info.columns * info.dtype.itemsize // MOST_BYTES)
    means, saturated, seen = [], 0, 0
    largest = np.iinfo(info.dtype).max if info.dtype.kind in "ui" else np.inf
    middle, quanta = starts[len(starts) // 2 // every * every], None
    for first in starts[::every]:
        rows = slice(first, min(first + step, info.rows))
        flats = scan.read_flats(rows)
        dark = scan.read_darks(rows).mean(axis=0, dtype=np.float32) if info.darks else 0
        means.append(flats.mean(axis=0, dtype=np.float32) - dark)
        saturated += int(np.count_nonzero(flats >= largest))
        seen += flats.size
        if first == middle:
            quanta = effective_quanta(flats[:MOST_FLATS] - np.float32(dark))
    flat = np.concatenate(means)
    return References(
        shrunk(flat, MAP_PX), float(np.median(flat)), saturated / max(seen, 1), quanta
    )


def effective_quanta(flats: NDArray[np.float32]) -> float | None:
    """Photons a pixel of one flat, by the noise of flats (flats, rows, columns) less their dark.

    What differs smoothly between two flats, as a beam that has moved, is no noise. None of less
    than two flats, or without noise.

    Examples
    --------
    >>> beam = np.linspace(0.5, 1, 400) * 4000
    >>> flats = np.random.default_rng(0).poisson(beam, (6, 32, 400)).astype(np.float32)
    >>> 2500 < effective_quanta(flats) < 3100
    True
    """
    variances = []
    for before, after in pairwise(flats):
        mean = (before + after) / 2
        lit = mean > 0.1 * np.median(mean)
        ratio = np.where(lit, (after - before) / np.where(lit, mean, 1), np.nan)
        # Neighbours along a row share what is smooth; each difference has the noise of two.
        fine = np.diff(ratio[:, ::2], axis=1) / np.sqrt(2)
        fine = fine[np.isfinite(fine)]
        if fine.size:
            # By the median: dead pixels and spots are no noise either.
            variances.append((1.4826 * np.median(np.abs(fine))) ** 2 / 2)
    if not variances or not np.median(variances) > 0:
        return None
    return float(1 / np.median(variances))
