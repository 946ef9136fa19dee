"""From the correlation's values to a shift with its error and its odds: on the host."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]

Pixels = tuple[float, float]
"""Along rows (down) and along columns (right)."""

STEPS = 8
"""Fine steps per pixel at which the correlation's peak is evaluated."""

_RIVAL_PX = 3
"""Shifts closer to the best one belong to its peak."""


@dataclass(frozen=True)
class Shift:
    """Where the content of an image lies in another one.

    Attributes
    ----------
    rows, columns : float
        What lies at (row, column) of the reference lies at (row + rows, column + columns) of the
        moving image.
    confidence : float
        Probability, 0 to 1, that noise alone would not have put the best shift so far before all
        others of the search: about evenly spread over 0 to 1 where the images share nothing, 1
        where the shift is clear. 0 where the best shift is on the border of the search.
    error_px : tuple of float
        Standard errors of rows and columns from noise; they tell the weight of a shift, not
        whether it is the right one.
    """

    rows: float
    columns: float
    confidence: float
    error_px: Pixels


def shift_of(
    surface: Float,
    peak: Float,
    *,
    lags: tuple[range, range],
    base: tuple[int, int],
    samples: float,
    noise: Float,
) -> Shift:
    """The best shift.

    Parameters
    ----------
    surface : ndarray of float64, (shifts down, shifts right)
        Normalised correlation at whole shifts.
    peak : ndarray of float64, (2 STEPS + 1, 2 STEPS + 1)
        The same around its largest value, in steps of 1 / STEPS.
    lags : tuple of range
        The whole shifts of the surface.
    base : tuple of int
        What is added to them.
    samples : float
        Independent values that the images have in common at the best shift.
    noise : ndarray of float64, (2,)
        Variance of the correlation's slope along rows and columns (per pixel^2), for images that
        differ by white noise of their own power, band-passed as they are.

    Notes
    -----
    The best shift is where the slope of the correlation c is 0, so its error is that of the slope
    over the curvature. The images differ by the share ``1 - c^2`` of their power, noise on both
    sides and all that is not alike; this times ``noise`` is the variance of the slope.
    """
    place = np.unravel_index(int(np.argmax(surface)), surface.shape)
    centre, height, curvature = _summit(peak)
    rows, columns = (
        lag[int(k)] + rest + base for lag, k, rest, base in zip(lags, place, centre, base)
    )
    height = float(np.clip(height, 1e-6, 1 - 1e-6))
    error = np.full(2, np.inf)
    if np.linalg.eigvalsh(curvature)[1] < 0:
        inverse = np.linalg.inv(curvature)
        error = np.sqrt((1 - height**2) * np.diagonal(inverse @ np.diag(noise) @ inverse))
    border = any(len(lag) > 1 and k in (0, len(lag) - 1) for lag, k in zip(lags, place))
    down, right = np.ogrid[: surface.shape[0], : surface.shape[1]]
    rivals = np.hypot(down - place[0], right - place[1]) > _RIVAL_PX
    rival = max(float(surface[rivals].max()), 0.0) if rivals.any() else 0.0
    lead = 0.5 * samples * math.log((1 - min(rival, height) ** 2) / (1 - height**2))
    confidence = 0.0 if border else -math.expm1(-lead)
    return Shift(float(rows), float(columns), confidence, (float(error[0]), float(error[1])))


def _summit(
    peak: Float,
) -> tuple[Float, float, Float]:
    """Place (pixels from the middle), height and curvature (per pixel^2) of a sampled peak."""
    last = len(peak) - 1
    row, column = (
        int(np.clip(k, 1, last - 1)) for k in np.unravel_index(int(np.argmax(peak)), peak.shape)
    )
    around = peak[row - 1 : row + 2, column - 1 : column + 2]
    gradient = 0.5 * np.array([around[2, 1] - around[0, 1], around[1, 2] - around[1, 0]])
    middle = around[1, 1]
    cross = 0.25 * (around[2, 2] + around[0, 0] - around[2, 0] - around[0, 2])
    form = np.array([
        [around[2, 1] + around[0, 1] - 2 * middle, cross],
        [cross, around[1, 2] + around[1, 0] - 2 * middle],
    ])  # fmt: skip
    step = np.zeros(2)
    if np.linalg.eigvalsh(form)[1] < 0:
        step = np.clip(-np.linalg.solve(form, gradient), -1, 1)
    height = float(middle + gradient @ step + 0.5 * step @ form @ step)
    place = (np.array([row, column]) + step) / STEPS - 1.0
    return place, height, form * STEPS**2
