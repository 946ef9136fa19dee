"""Transmission to line integrals: ``-log(max(T, minimum))`` (Lambert and Beer's law).

NumPy's own float32 logarithm is SIMD code; in blocks that stay in the cache and on all threads it
runs at the speed of memory, so that no accelerator is needed.
"""

from __future__ import annotations

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, real_numbers
from hipct.preparation.counts import PixelCounts

MINIMUM = 1e-6
"""Smallest transmission by default: a line integral of 13.8, far beyond what a detector sees."""

BLOCK = 2**16
"""Values of a block: input and output of 512 KB lie in the second cache of a core."""


def line_integral(
    transmission: Array,
    *,
    minimum: float = MINIMUM,
    counts: PixelCounts | None = None,
    out: Array | None = None,
) -> Array:
    """Line integrals of the attenuation coefficient, ``-log(max(T, minimum))``.

    Parameters
    ----------
    transmission : array, any shape
        Transmission; integers become float32.
    minimum : float
        Smaller values, negative ones included, are raised to it. NaN and infinite values become a
        line integral of 0: nothing there is the only guess that draws no streak.
    counts : PixelCounts, optional
        Takes the number of raised or replaced values as ``clamped``.
    out : array, shape of the transmission, its dtype, optional
        May be the transmission itself.

    Returns
    -------
    array, shape of the transmission, float32 (float64 from float64)

    Raises
    ------
    InputError
        If ``minimum`` is not in (1e-37, 1) or the array holds no real numbers.

    Examples
    --------
    >>> import numpy as np
    >>> (line_integral(np.array([1.0, 0.0, np.nan]), minimum=np.exp(-5)) + 0).tolist()
    [0.0, 5.0, 0.0]
    """
    if not 1e-37 < minimum < 1:
        raise InputError(f"minimum is {minimum}; it has to be a transmission in (1e-37, 1).")
    transmission = floating(real_numbers(transmission, "transmission"))
    xp = namespace(transmission)
    out = output(out, transmission.shape, transmission.dtype, transmission)
    flat_in = transmission.reshape(-1)
    # An output with gaps between its rows cannot be seen as one run; it is filled at the end.
    whole = out.flags.c_contiguous
    flat_out = out.reshape(-1) if whole else xp.empty_like(flat_in)
    clamped: list[int] = []

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, BLOCK):
            part = slice(first, min(first + BLOCK, stop))
            clamped.append(_block(flat_in[part], minimum, flat_out[part]))

    parallel_for(work, flat_in.size, smallest=4 * BLOCK)
    if not whole:
        out[...] = flat_out.reshape(out.shape)
    if counts is not None:
        counts.add(clamped=sum(clamped))
    return out


def _block(transmission: Array, minimum: float, out: Array) -> int:
    """Logarithm of one run of values; returns how many were replaced."""
    xp = namespace(transmission)
    clamped = 0
    # A NaN fails the comparison, so that clean blocks cost two reductions and no copy.
    if not (transmission.min() >= minimum and transmission.max() < xp.inf):
        finite = xp.isfinite(transmission)
        clamped = int((~finite | (transmission < minimum)).sum())
        known = xp.where(finite, transmission, 1)
        transmission = xp.maximum(known, known.dtype.type(minimum))
    xp.log(transmission, out=out)
    xp.negative(out, out=out)
    return clamped
