"""Coefficients of eigen flats in projections: by total variation, or by pixels without sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for

_ROUNDS = 15
"""Reweighted least squares: the coefficients then move by less than 1e-3 of the first step."""

BIN = 4
"""Pixels on a side that are averaged before differences are taken.

Noise is large in differences of neighbours, and that of the eigen flats themselves, which come from
few flats, would pull the coefficients of weak ones towards 0.
"""

_FLOOR = 1e-3
"""Transmission that smaller values are taken for in the logarithm."""


def fit_variation(transmission: Array, eigen: Array) -> Array:
    """Coefficients that minimise the total variation of ``log T - log(1 + sum_k w_k e_k)``.

    Eq. 6 of Van Nieuwenhove et al. (2015), of the logarithm: that of T itself rewards any flat
    that is brighter, which they forbid by fixing the mean. The sum of absolute differences between
    neighbouring pixels is minimised by reweighted least squares around the last solution (Gauss &
    Newton); the edges of the sample are outliers that weigh little. Both are averaged over
    :data:`BIN` pixels squared first.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns), float32
    eigen : array, shape (components, rows, columns), float32

    Returns
    -------
    array, shape (angles, 1 + components), float32
        1, and the coefficients.
    """
    xp = namespace(transmission, eigen)
    components = len(eigen)
    result = xp.ones((len(transmission), 1 + components), np.float32)
    if components == 0:
        return result
    eigen = _binned(eigen)

    def work(start: int, stop: int) -> None:
        for angle in range(start, stop):
            result[angle, 1:] = _least_variation(transmission[angle], eigen)

    if xp is np:
        parallel_for(work, len(transmission))
    else:
        work(0, len(transmission))
    return result


def fit_background(transmission: Array, eigen: Array, background: ArrayLike | Array) -> Array:
    """Coefficients that bring the pixels without sample nearest to 1, least squares.

    ``T = s (1 + sum_k w_k e_k)`` is linear in s and s w_k.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns), float32
    eigen : array, shape (components, rows, columns), float32
    background : array of bool, shape (rows, columns)

    Returns
    -------
    array, shape (angles, 1 + components), float32
        Level s, and the coefficients w_k.

    Raises
    ------
    InputError
        If the shape of the background differs, or it has fewer pixels than unknowns.
    """
    xp = namespace(transmission, eigen)
    mask = xp.asarray(background)
    if mask.shape != eigen.shape[1:] or mask.dtype != bool:
        raise InputError(
            f"background has shape {mask.shape} and dtype {mask.dtype}; it needs a bool for each "
            f"of the (rows, columns) {eigen.shape[1:]}."
        )
    unknowns = 1 + len(eigen)
    pixels = xp.flatnonzero(mask)
    if pixels.size < unknowns:
        raise InputError(
            f"The background has {pixels.size} pixels, fewer than the {unknowns} unknowns; "
            "give more pixels without sample, or none to minimise the total variation."
        )
    picked = xp.take(eigen.reshape(len(eigen), mask.size), pixels, axis=1)
    design = xp.concatenate([xp.ones((1, pixels.size)), picked])
    result = xp.empty((len(transmission), unknowns), np.float32)
    normal = design @ design.T
    for angle, frame in enumerate(transmission):
        values = xp.take(frame.ravel(), pixels)
        found = solve(normal, design @ xp.where(xp.isfinite(values), values, 1).astype(np.float64))
        result[angle, 0] = found[0]
        result[angle, 1:] = found[1:] / found[0]
    return result


def solve(matrix: Array, values: Array) -> Array:
    """Solve a small symmetric positive definite system where it lives, without the host.

    Parameters
    ----------
    matrix : array, shape (n, n), float64
        A ridge of 1e-9 of its trace is added: a component that nothing tells of stays 0.
    values : array, shape (n,), float64
    """
    xp = namespace(matrix, values)
    count = matrix.shape[0]
    ridge = 1e-9 * xp.trace(matrix) + 1e-30
    system = xp.concatenate([matrix + ridge * xp.eye(count), values[:, None]], axis=1)
    for column in range(count):
        pivot = system[column] / system[column, column]
        system = system - xp.outer(system[:, column], pivot)
        system[column] = pivot
    return system[:, count]


def _least_variation(frame: Array, eigen: Array) -> Array:
    """Coefficients of one projection; the eigen flats are averaged already."""
    xp = namespace(frame, eigen)
    known = _binned(xp.where(xp.isfinite(frame), frame, 1))
    logarithm = xp.log(xp.maximum(known, _FLOOR))
    weights, pixels = xp.zeros(len(eigen), np.float32), eigen.reshape(len(eigen), -1)
    for number in range(_ROUNDS):
        flat = xp.maximum(1 + (weights @ pixels).reshape(eigen.shape[1:]), 0.05)
        weights = weights + _step(logarithm - xp.log(flat), eigen / flat, first=number == 0)
    return weights


def _binned(frames: Array) -> Array:
    """Means over squares of pixels, (..., rows, columns); what does not fill one is left out."""
    rows, columns = (max(1, size // BIN) for size in frames.shape[-2:])
    high, wide = (min(BIN, size) for size in frames.shape[-2:])
    squares = frames[..., : rows * high, : columns * wide].reshape(
        *frames.shape[:-2], rows, high, columns, wide
    )
    return squares.mean(axis=(-3, -1))


def _step(corrected: Array, change: Array, *, first: bool) -> Array:
    """Change of the coefficients that lowers the sum of absolute differences."""
    xp = namespace(corrected, change)
    count = len(change)
    normal, right = xp.zeros((count, count)), xp.zeros(count)
    for axis in (0, 1):
        difference = xp.diff(corrected, axis=axis).ravel()
        design = xp.diff(change, axis=1 + axis).reshape(count, -1)
        size = xp.abs(difference)
        if difference.size == 0:
            continue
        if first:
            # The edges of the sample must not lead the first step astray.
            floor = 2 * xp.median(size) + 1e-12
            weight = 1 / xp.maximum(size, floor)
        else:
            weight = 1 / xp.maximum(size, 0.1 * xp.median(size) + 1e-12)
        weighted = design * weight
        normal += (weighted @ design.T).astype(np.float64)
        right += (weighted @ difference).astype(np.float64)
    return solve(normal, right).astype(np.float32)
