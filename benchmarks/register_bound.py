"""What no registration of two noisy volumes can do better: the Cramer-Rao bound of the scale.

Both volumes show a stationary random texture of power spectrum S, as the overview's voxels see it,
with white noise of spectra N and M in it, all as functions of spatial frequency k. What two such
signals tell of a shift along an axis is, per voxel (Carter, Proc. IEEE 75 (1987) 236, eq. 20, for a
volume in place of a length of time),

    sum over k of k^2 C / (1 - C),    C = S^2 / ((S + N)(S + M)).

It is that of slopes of the tissue whose spectrum is weighted by ``S / (S (N + M) + N M)``. A scale
moves each voxel by its distance from the centre, so that its information is the sum of products of
these slopes and distances over the zoom; rotations and the position have to be found too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from benchmarks.register_data import OVERVIEW_UM, Hierarchy

Float = NDArray[np.float64]

_TURNS = ((1, 2), (0, 2), (0, 1))


def bound(made: Hierarchy) -> tuple[float, float]:
    """Least standard errors of the scale (relative) and of the centre (in voxels of the overview).

    For the upright cylinder inscribed in the zoom: what lies outside of the field of view of a
    local tomography is no measurement.
    """
    away, inside = _away(made)
    slopes = _slopes(made, inside)[:, inside]
    changes = [(away * slopes).sum(axis=0), *slopes]
    for a, b in _TURNS:
        changes.append(away[a] * slopes[b] - away[b] * slopes[a])
    rows = np.stack(changes)
    covariance = np.linalg.inv(rows @ rows.T)
    return float(np.sqrt(covariance[0, 0])), float(np.sqrt(np.trace(covariance[1:4, 1:4])))


def _away(made: Hierarchy) -> tuple[Float, NDArray[np.bool_]]:
    """Voxels of the overview from the zoom's centre, (3, voxels), and which lie in the zoom."""
    middle = made.truth.position / OVERVIEW_UM
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in made.clean.shape), indexing="ij"))
    away = (grid - middle[:, None, None, None]).astype(np.float64)
    turned = np.tensordot(made.truth.rotation.T, away, 1) / made.truth.scale
    height, width = made.extent[0] / 2, made.extent[1] / 2
    inside = (np.abs(turned[0]) <= height) & (np.hypot(turned[1], turned[2]) <= width)
    return away[:, inside], inside


def _slopes(made: Hierarchy, inside: NDArray[np.bool_]) -> Float:
    """Slopes of the tissue, weighted so that their square is information."""
    shape = made.clean.shape
    waves = np.meshgrid(
        np.fft.fftfreq(shape[0]), np.fft.fftfreq(shape[1]), np.fft.rfftfreq(shape[2]), indexing="ij"
    )
    seen = np.where(inside, made.clean - made.clean[inside].mean(), 0)
    power = np.abs(np.fft.rfftn(seen)) ** 2 / inside.sum()
    length = np.sqrt(sum(k**2 for k in waves))
    ring = np.rint(length * max(shape)).astype(int)
    count = np.bincount(ring.ravel())
    signal = (np.bincount(ring.ravel(), power.ravel()) / np.maximum(count, 1))[ring]
    of_zoom, voxel = made.noise[1], made.zoom.levels[0].scale[0]
    pixel = np.prod([np.sinc(k) for k in waves], axis=0)
    first = made.noise[0] ** 2
    second = of_zoom**2 * (voxel / OVERVIEW_UM) ** 3 * pixel**2
    weight = np.sqrt(signal / (signal * (first + second) + first * second))
    spectrum = np.fft.rfftn(made.clean) * weight
    return np.stack(
        [np.fft.irfftn(2j * np.pi * k * spectrum, s=shape, axes=(0, 1, 2)) for k in waves]
    )
