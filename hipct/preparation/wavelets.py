"""Daubechies wavelets and one level of their transform, along the last axis of an array.

Signals are continued by half-sample symmetry. Conventions (phase, lengths) are those of most
wavelet libraries: n samples become ``(n + taps - 1) // 2`` coefficients.
"""

from __future__ import annotations

from functools import cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError

HIGHEST_ORDER = 15


@cache
def daubechies(order: int) -> NDArray[np.float64]:
    """Scaling filter of the Daubechies wavelet with ``order`` vanishing moments.

    By spectral factorisation: the roots inside the unit circle (minimum phase) of the polynomial
    ``sum_k C(order - 1 + k, k) y^k`` with ``y = (2 - z - 1/z)/4``, times ``order`` zeros at -1
    (Daubechies, Comm. Pure Appl. Math. 41 (1988) 909, section 4).

    Parameters
    ----------
    order : int
        1 (Haar) to 15.

    Returns
    -------
    ndarray, shape (2 * order,), float64
        Sum sqrt(2), orthonormal under shifts by two.

    Raises
    ------
    InputError
        If ``order`` is outside of its range.

    Examples
    --------
    >>> daubechies(2).round(6).tolist()
    [0.482963, 0.836516, 0.224144, -0.12941]
    """
    if not 1 <= order <= HIGHEST_ORDER:
        raise InputError(f"The wavelet is db{order}; db1 to db{HIGHEST_ORDER} are available.")
    roots_y = np.roots([comb(order - 1 + k, k) for k in reversed(range(order))])
    half_sum = 1 - 2 * roots_y  # (z + 1/z) / 2
    inside = half_sum - np.sqrt(half_sum - 1) * np.sqrt(half_sum + 1)
    inside = np.where(abs(inside) < 1, inside, 1 / inside)
    taps = np.real(np.poly(np.concatenate([np.full(order, -1.0), inside])))
    return np.asarray(taps * np.sqrt(2) / taps.sum())


def coefficients(samples: int, order: int) -> int:
    """Number of low-pass (and of high-pass) coefficients of ``samples`` samples."""
    return (samples + 2 * order - 1) // 2


def synthesis_filter(order: int, *, high: bool) -> NDArray[np.float64]:
    """Filter that :func:`synthesis` spreads with; :func:`analysis` takes it backwards.

    The scaling filter (low-pass), or it backwards with alternating signs (high-pass).
    """
    scaling = daubechies(order)
    if not high:
        return scaling
    return np.asarray(scaling[::-1] * (-1.0) ** np.arange(2 * order))


def analysis(signal: Array, order: int, *, high: bool) -> Array:
    """One level of the transform.

    Coefficient i is ``sum_j f_j x[2 i + 1 - j]``, f being the synthesis filter backwards and x
    the signal, continued by half-sample symmetry.

    Parameters
    ----------
    signal : array, shape (..., samples), float32 or float64
    order : int
        Vanishing moments, 1 to 15.
    high : bool
        Detail instead of approximation.

    Returns
    -------
    array, shape (..., coefficients(samples, order)), dtype of the signal
    """
    xp = namespace(signal)
    samples = signal.shape[-1]
    rows = coefficients(samples, order)
    extended = signal[..., xp.asarray(continuation(samples, order))]
    taps = [float(tap) for tap in synthesis_filter(order, high=high)]
    # The filter backwards on a signal that runs backwards: both run forwards.
    found = taps[0] * extended[..., 0 : 2 * rows : 2]
    for j in range(1, 2 * order):
        found += taps[j] * extended[..., j : j + 2 * rows : 2]
    return found


def synthesis(bands: Array, samples: int, order: int, *, high: bool) -> Array:
    """One level of the inverse: what a band contributes to the samples.

    The contributions of the low-pass and of the high-pass band add up to the signal.

    Parameters
    ----------
    bands : array, shape (..., coefficients(samples, order)), float32 or float64
    samples : int
        Length of the signal.
    order : int
        Vanishing moments, 1 to 15.
    high : bool
        Whether the band is the detail.

    Returns
    -------
    array, shape (..., samples), dtype of the bands
    """
    spread = _spread(bands, synthesis_filter(order, high=high))
    return spread[..., 2 * order - 2 : 2 * order - 2 + samples]


def analysis_adjoint(bands: NDArray[Any], samples: int, order: int) -> NDArray[Any]:
    """Adjoint of the low-pass :func:`analysis`: ``<analysis(x), y> = <x, adjoint(y)>``.

    Parameters
    ----------
    bands : ndarray, shape (..., coefficients(samples, order))
    samples : int
        Length of the signals that were analysed.
    order : int
        Vanishing moments, 1 to 15.

    Returns
    -------
    ndarray, shape (..., samples), dtype of the bands
    """
    spread = _spread(bands, synthesis_filter(order, high=False))
    folded = np.zeros((samples, *bands.shape[:-1]), bands.dtype)
    np.add.at(folded, continuation(samples, order), np.moveaxis(spread, -1, 0))
    return np.moveaxis(folded, 0, -1)


def continuation(samples: int, order: int) -> NDArray[np.intp]:
    """Sample at each place that the filter reaches, from ``2 - taps`` on."""
    place = np.arange(2 - 2 * order, 2 * coefficients(samples, order)) % (2 * samples)
    return np.where(place < samples, place, 2 * samples - 1 - place)


def _spread(bands: Array, filter_: NDArray[np.float64]) -> Array:
    """Bands with a zero between any two, convolved with a filter."""
    xp = namespace(bands)
    columns, taps = bands.shape[-1], len(filter_)
    out = xp.zeros((*bands.shape[:-1], 2 * (columns - 1) + taps), bands.dtype)
    for j in range(taps):
        out[..., j : j + 2 * columns - 1 : 2] += float(filter_[j]) * bands
    return out
