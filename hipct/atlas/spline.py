"""Values of a volume between its voxels: cubic splines, and images blurred to one resolution."""

from __future__ import annotations

from itertools import product
from types import ModuleType

import numpy as np

from hipct.core.arrays import Array, namespace

MARGIN = 2
"""Voxels around a point that its value is made of; points nearer to the edge have none."""

_POLE = np.sqrt(3.0) - 2.0
_REACH = 12  # the pole's power is below 1e-6 there
_INVERSE = np.sqrt(3.0) * _POLE ** np.abs(np.arange(-_REACH, _REACH + 1))
_SMOOTH = np.array([1.0, 4.0, 1.0]) / 6
_SLOPE = np.array([-0.5, 0.0, 0.5])
_BEND = np.array([1.0, -2.0, 1.0])


def spline_coefficients(values: Array) -> Array:
    """Coefficients of the cubic B-splines that pass through voxels.

    The inverse of the filter (1, 4, 1)/6 is the two-sided exponential
    ``sqrt(3) p^|k|, p = sqrt(3) - 2`` (Unser, IEEE Signal Process. Mag. 16 (1999) 22, box 2),
    cut off where it is below 1e-6.

    Parameters
    ----------
    values : array of float32 or float64, (z, y, x)
        NumPy or CuPy.

    Returns
    -------
    array, shape and dtype of the values
    """
    return along_axes(values, (_INVERSE, _INVERSE, _INVERSE))


def spline_values(coefficients: Array) -> Array:
    """Values of a spline at its voxels."""
    return along_axes(coefficients, (_SMOOTH, _SMOOTH, _SMOOTH))


def slopes(coefficients: Array) -> Array:
    """Derivatives of a spline at its voxels, along z, y and x: (3, z, y, x), per voxel."""
    return _filtered(coefficients, _SLOPE)


def bends(coefficients: Array) -> Array:
    """Second derivatives of a spline at its voxels, as :func:`slopes`."""
    return _filtered(coefficients, _BEND)


def _filtered(coefficients: Array, weights: Array) -> Array:
    xp = namespace(coefficients)
    filters = [[weights if axis == k else _SMOOTH for axis in range(3)] for k in range(3)]
    return xp.stack([along_axes(coefficients, rows) for rows in filters])


def blurred(values: Array, sigma: tuple[float, float, float]) -> Array:
    """An image convolved with a Gaussian of so many voxels along z, y and x (0: as it is).

    The kernel is the discrete Gaussian ``exp(-s^2) I_k(s^2)`` (Lindeberg, IEEE Trans. Pattern Anal.
    12 (1990) 234, section IV), whose variance is exact: samples of a Gaussian of 0.3 voxels have a
    tenth of it.
    """
    from scipy.special import ive

    kernels = []
    for width in sigma:
        reach = int(np.ceil(4 * width)) + (1 if width > 0 else 0)
        kernel = ive(np.abs(np.arange(-reach, reach + 1)), width**2)
        kernels.append(kernel / kernel.sum())
    return along_axes(values, kernels)


def along_axes(values: Array, weights: list[Array] | tuple[Array, ...]) -> Array:
    """Correlation with a row of weights along each axis; edges are mirrored."""
    xp = namespace(values)
    for axis, row in enumerate(weights):
        if len(row) > 1:
            kernel = xp.asarray(row.astype(values.dtype))
            values = _ndimage(xp).correlate1d(values, kernel, axis=axis, mode="reflect")
    return values


def interpolate(coefficients: Array, points: Array) -> tuple[Array, Array]:
    """Values of a spline at points.

    Parameters
    ----------
    coefficients : array, (z, y, x)
        As :func:`spline_coefficients` gives them.
    points : array of float64, (3, points)
        In voxels.

    Returns
    -------
    values : array, dtype of the coefficients, (points,)
        0 where a point has none.
    inside : array of bool, (points,)
        Whether the point is :data:`MARGIN` voxels or more from the edges.
    """
    xp = namespace(coefficients, points)
    shape = coefficients.shape
    base = xp.floor(points).astype(np.int64)
    fraction = (points - base).astype(coefficients.dtype)
    inside = xp.ones(points.shape[1:], bool)
    for k in range(3):
        inside &= (base[k] >= MARGIN - 1) & (base[k] < shape[k] - MARGIN)
        base[k] = xp.clip(base[k], 1, max(shape[k] - 3, 1))
    weights = [_weights(fraction[k]) for k in range(3)]
    first = ((base[0] - 1) * shape[1] + base[1] - 1) * shape[2] + base[2] - 1
    flat = coefficients.reshape(-1)
    total = xp.zeros(points.shape[1:], coefficients.dtype)
    for j, k in product(range(4), range(4)):
        row = first + (j * shape[1] + k) * shape[2]
        along_x = weights[2][0] * flat[row]
        for m in range(1, 4):
            along_x += weights[2][m] * flat[row + m]
        total += weights[0][j] * weights[1][k] * along_x
    return xp.where(inside, total, coefficients.dtype.type(0)), inside


def _weights(t: Array) -> list[Array]:
    """Cubic B-splines at the four voxels around a point that lies ``t`` behind the second."""
    rest = 1 - t
    return [
        rest**3 / 6,
        (4 - 6 * t**2 + 3 * t**3) / 6,
        (4 - 6 * rest**2 + 3 * rest**3) / 6,
        t**3 / 6,
    ]


def _ndimage(xp: ModuleType) -> ModuleType:
    if xp is np:
        import scipy.ndimage

        return scipy.ndimage  # type: ignore[no-any-return]
    import cupyx.scipy.ndimage

    return cupyx.scipy.ndimage  # type: ignore[no-any-return]
