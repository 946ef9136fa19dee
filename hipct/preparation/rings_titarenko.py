"""Regularised ring removal: the cheapest.

Titarenko, Titarenko, Kyrieleis & Withers, "An analytical formula for ring artefact suppression in
X-ray tomography", Applied Mathematics Letters 23 (2010) 1489: the offsets ``q`` of the columns that
make the mean along the angle ``m`` smoothest, ``min |D (m - q)|^2 + alpha |q|^2`` with ``D`` the
difference of neighbouring columns. ``D' D`` has the cosines of the DCT-II for eigenvectors, so that

    q = sum_k l_k / (l_k + alpha) m_k cos(pi k (c + 1/2) / columns),

``l_k = 4 sin^2(pi k / (2 columns))``. The paper writes the same inverse as a matrix of hyperbolic
cosines, which costs a product for each mean and overflows for many columns.
"""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for, thread_count
from hipct.preparation.checks import floating, output, three_axes

ALPHA = 0.05
"""Regularisation by default: details of the mean finer than ``2 pi / sqrt(alpha)`` columns, here
28, are taken for stripes by half or more."""

BLOCKS = 1

ROWS = 16


def remove_rings_regularised(
    sinograms: Array, *, alpha: float = ALPHA, blocks: int = BLOCKS, out: Array | None = None
) -> Array:
    """Remove rings by subtracting what is rough in the mean along the angle.

    What the sample itself has rough in its mean (structure about the rotation axis, edges that
    stay parallel to the beam) goes too. Beyond input and output it needs what
    :func:`regularised_memory_bytes` says.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals; finite. Integers become float32.
    alpha : float
        Regularisation, above 0: smaller takes wider stripes, and more of the sample.
    blocks : int
        Parts of the angles, equal but for one angle, that have stripes of their own.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape, dtype or a parameter is wrong, or a value is not finite.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    angles = sinograms.shape[1]
    if not 0 < alpha < np.inf:
        raise InputError(f"alpha is {alpha}; it has to be above 0.")
    if not 1 <= blocks <= angles:
        raise InputError(f"blocks is {blocks}; the {angles} angles make 1 to {angles} blocks.")
    xp = namespace(sinograms)
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)
    bounds = _bounds(angles, blocks)
    finite = [xp.ones((), bool)]

    def work(start: int, stop: int) -> None:
        for part in bounds:
            some = sinograms[start:stop, part]
            stripes = rough_part(_means(some), alpha)
            finite.append(xp.isfinite(stripes).all())
            xp.subtract(some, stripes.astype(some.dtype)[:, None], out=out[start:stop, part])

    if xp is np:
        parallel_for(work, len(sinograms))
    else:
        work(0, len(sinograms))
    if not bool(xp.stack(finite).all()):
        raise InputError(
            "sinograms hold NaN or infinite values, which would spread over whole slices; mend "
            "the projections first (FlatField.apply and line_integral leave only finite values)."
        )
    return out


def regularised_memory_bytes(
    slices: int, angles: int, columns: int, *, on_device: bool = False
) -> int:
    """Bytes that :func:`remove_rings_regularised` takes beside input and output, float32."""
    some = slices if on_device else min(slices, 4 * thread_count())
    return some * columns * (128 + 4 * angles // ROWS)


def rough_part(profiles: Array, alpha: float) -> Array:
    """What is rough in profiles (slices, columns), by ``l / (l + alpha)`` for each cosine.

    Examples
    --------
    >>> profile = np.zeros((1, 64))
    >>> profile[0, 20] = 1
    >>> float(rough_part(profile, 1e-6)[0, 20].round(2))  # all but the mean
    0.98
    """
    xp = namespace(profiles)
    fft = fft_module(xp)
    columns = profiles.shape[1]
    mirrored = xp.concatenate((profiles, profiles[:, ::-1]), axis=1)
    value = 4 * np.sin(np.pi * np.arange(columns + 1) / (2 * columns)) ** 2
    spectrum = fft.rfft(mirrored, axis=1) * xp.asarray(value / (value + alpha))
    return fft.irfft(spectrum, n=2 * columns, axis=1)[:, :columns]


def _means(sinograms: Array) -> Array:
    """Means along the angle (slices, columns), float64.

    Sums of a few rows in the array's own precision, these in float64: float64 throughout would
    take three times as long.
    """
    xp = namespace(sinograms)
    slices, angles, columns = sinograms.shape
    whole = angles // ROWS * ROWS
    runs = sinograms[:, :whole].reshape(slices, whole // ROWS, ROWS, columns).sum(axis=2)
    total = xp.sum(runs, axis=1, dtype=np.float64)
    return (total + xp.sum(sinograms[:, whole:], axis=1, dtype=np.float64)) / angles


def _bounds(angles: int, blocks: int) -> list[slice]:
    """The angles of each block, the longer blocks first."""
    ends = np.cumsum([len(part) for part in np.array_split(np.arange(angles), blocks)])
    return [slice(int(a), int(b)) for a, b in zip([0, *ends[:-1]], ends)]
