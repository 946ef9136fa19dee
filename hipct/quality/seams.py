"""What the score of a seam is worth: short blends score by their noise alone.

Phase retrieval spreads noise over rows, so that neighbouring slices of one sub-scan share most of
theirs; those of two sub-scans share none. Where one goes over into the other within m steps, each
step brings 1/m of a whole new noise. Of noise with the correlation r from row to row, the rms step
of a perfect seam is at most

    sqrt(1 + 1 / (m^2 (1 - r)))

times that of its neighbours (what the sample does adds to the 1), which is 1 for the blends of
organs, over tens of rows, and 2 to 4 for those of small series.

r is that of white noise of the detector through Paganin's filter (decay length a) and the ramp, as
means over the tiles of the score: in slices the power at a frequency f grows with f, its ring with
f again, and

    r = integral f^2 t(f) H^2 cos(2 pi g) / integral f^2 t(f) H^2,
    H = 1 / (1 + (2 pi a)^2 (f^2 + g^2)),

over f in the slice and g across it, t the response of a tile, a mean over directions.
"""

from __future__ import annotations

import math

import numpy as np

from hipct.volume.seam import TILE_PX

_SAMPLES = 256
_DIRECTIONS = 16


def perfect_score(steps: int, kernel_px: float | None) -> float:
    """The largest score that noise makes of a perfect seam.

    Parameters
    ----------
    steps : int
        Steps from slice to slice in which one sub-scan goes over into the other, 1 or more.
    kernel_px : float or None
        Decay length of the kernel of phase retrieval; None without any.

    Examples
    --------
    >>> perfect_score(1, None), round(perfect_score(100, 5.0), 2)
    (1.0, 1.0)
    """
    if not kernel_px:
        return 1.0
    return math.sqrt(1 + 1 / (steps**2 * (1 - row_correlation(kernel_px))))


def row_correlation(kernel_px: float) -> float:
    """Correlation of the noise of neighbouring slices, from 0 to 1."""
    across = np.fft.fftfreq(_SAMPLES)[:, np.newaxis]
    inside = np.fft.rfftfreq(_SAMPLES)
    turns = (np.arange(_DIRECTIONS) + 0.5) * (np.pi / 2 / _DIRECTIONS)
    tile = np.mean(
        [
            (np.sinc(TILE_PX * inside * np.cos(turn)) * np.sinc(TILE_PX * inside * np.sin(turn)))
            ** 2
            for turn in turns
        ],
        axis=0,
    )
    filtered = 1 / (1 + (2 * np.pi * kernel_px) ** 2 * (across**2 + inside**2))
    power = (inside**2 * tile * filtered**2).sum(axis=1)
    return float((power * np.cos(2 * np.pi * across[:, 0])).sum() / power.sum())
