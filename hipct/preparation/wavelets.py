"""Daubechies wavelets and their transform as sparse matrices.

The transform of a signal with half-sample symmetric extension is linear, so one level is two
matrices, low-pass and high-pass, each with as many entries a row as the filter has taps.
Conventions (phase, lengths) are those of most wavelet libraries: n samples become
``(n + taps - 1) // 2`` coefficients.
"""

from __future__ import annotations

from functools import cache
from math import comb
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

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


def analysis(samples: int, order: int, *, high: bool) -> Any:
    """One level of the transform: sparse matrix (coefficients, samples).

    Row i holds ``sum_j f_j x[2 i + 1 - j]`` with f the reversed scaling filter (low-pass) or the
    alternating one (high-pass), and x continued by half-sample symmetry.
    """
    taps = 2 * order
    rows = coefficients(samples, order)
    tap = np.arange(taps)
    place = 2 * np.arange(rows)[:, None] + 1 - tap
    place = np.mod(place, 2 * samples)
    place = np.where(place < samples, place, 2 * samples - 1 - place)
    filter_ = _filter(order, high)[::-1]
    values = np.broadcast_to(filter_, place.shape)
    row = np.broadcast_to(np.arange(rows)[:, None], place.shape)
    entries = (values.ravel(), (row.ravel(), place.ravel()))
    return scipy.sparse.csr_array(entries, shape=(rows, samples))


def synthesis(samples: int, order: int, *, high: bool) -> Any:
    """One level of the inverse: sparse matrix (samples, coefficients).

    ``x = synthesis(low) @ c_low + synthesis(high) @ c_high`` gives the samples back.
    """
    taps = 2 * order
    columns = coefficients(samples, order)
    tap = np.arange(taps)
    place = tap + 2 * np.arange(columns)[:, None] - (taps - 2)
    values = np.broadcast_to(_filter(order, high), place.shape)
    column = np.broadcast_to(np.arange(columns)[:, None], place.shape)
    inside = (place >= 0) & (place < samples)
    entries = (values[inside], (place[inside], column[inside]))
    return scipy.sparse.csr_array(entries, shape=(samples, columns))


def _filter(order: int, high: bool) -> NDArray[np.float64]:
    scaling = daubechies(order)
    if not high:
        return scaling
    return scaling[::-1] * (-1.0) ** np.arange(2 * order)
