"""Gaussian filters of lines for the search of the axis, by taps where numba is installed."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for

Reals = NDArray[np.floating[Any]]
Singles = NDArray[np.float32]

_REACH = 3.5
"""Standard deviations of a Gaussian that its taps cover."""
_SHARP_REACH = 8
_NODES = 32
_LEAST_SAMPLES = 1 << 17
"""Of a thread."""


def gaussian_taps(sigma: float, shift: float = 0.0) -> Singles:
    """Weights of columns that smooth a line and give it at ``shift`` columns further on.

    Parameters
    ----------
    sigma : float
        Standard deviation in columns.
    shift : float
        -0.5 to 0.5.

    Returns
    -------
    ndarray of float32, (4 k,)
        Their sum is 1; the column itself is number ``2 k``.
    """
    if sigma >= 1:
        half = 2 * math.ceil((_REACH * sigma + 1) / 2)
        places = np.arange(-half, half) - shift
        taps = np.exp(-0.5 * (places / sigma) ** 2)
    else:
        # Too narrow to be sampled: what lies below the Nyquist frequency of its spectrum, cut off
        # softly.
        half = _SHARP_REACH
        places = np.arange(-half, half) - shift
        omega, weights = _nodes()
        taps = np.cos(np.outer(places, omega)) @ (weights * np.exp(-0.5 * (sigma * omega) ** 2))
        taps *= np.cos(0.5 * np.pi * places / half) ** 2
    taps[0] = 0.0  # it has no counterpart on the other side
    taps /= taps.sum()
    result: Singles = taps.astype(np.float32)
    return result


@cache
def _nodes() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Places and weights of an integral from 0 to pi."""
    places, weights = np.polynomial.legendre.leggauss(_NODES)
    return np.pi / 2 * (places + 1), weights


def derivative_taps(sigma: float, reach: int) -> Singles:
    """Weights of columns that give the derivative of a smoothed line, cut off at ``reach``."""
    half = 2 * (reach // 2 + 1)
    places = np.arange(-half, half, dtype=np.float64)
    taps = np.exp(-0.5 * (places / sigma) ** 2)
    taps[np.abs(places) > reach] = 0
    taps *= places / (sigma**2 * taps.sum())
    return taps.astype(np.float32)


def filtered(
    lines: Reals,
    taps: Singles,
    stripes: Reals | None = None,
    some: NDArray[np.intp] | None = None,
    columns: slice = slice(None),
) -> Reals:
    """Convolve lines without their stripes, which go on beyond their ends as they end.

    Parameters
    ----------
    lines : ndarray of float, (lines, columns)
    taps : ndarray of float32, (4 k,)
        As of :func:`gaussian_taps`.
    stripes : ndarray of float, (rows, columns), optional
        Rows fastest among the lines.
    some : ndarray of int, optional
        Lines that are wanted; all without it.
    columns : slice, optional
        Columns that are wanted, every one, every other or every fourth.

    Returns
    -------
    ndarray of float, (lines, columns)
    """
    which = np.arange(len(lines)) if some is None else some
    if not has_numba():
        from scipy import ndimage

        chosen = lines if some is None else lines[some]
        if stripes is not None:
            chosen = chosen - stripes[which % len(stripes)]
        result: Reals = ndimage.correlate1d(chosen, taps, axis=1, mode="nearest")
        return result[:, columns]
    from hipct.reconstruction.axis_numba import filter_lines

    inside = range(lines.shape[1])[columns]
    out = np.empty((len(which), len(inside)), np.float32)
    place = (inside.start, inside.step)
    task = partial(filter_lines, single(lines), off_lines(stripes), which, *place, taps, out)
    parallel_for(task, len(out), smallest=max(1, _LEAST_SAMPLES // out.shape[1]))
    return out


def single(lines: Reals) -> Singles:
    """Contiguous and of single precision, as the compiled loops take them."""
    return np.ascontiguousarray(lines, dtype=np.float32)


def off_lines(stripes: Reals | None) -> Singles:
    """Stripes as the compiled loops take them; without columns where there are none."""
    return np.empty((1, 0), np.float32) if stripes is None else single(stripes)
