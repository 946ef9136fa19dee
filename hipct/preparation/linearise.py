"""Transmission to line integrals: ``-log(max(T, minimum))`` (Lambert and Beer's law).

In float32 the logarithm is a compiled loop where numba is there (:mod:`hipct.core.log_numba`,
within 1 unit in the last place), and NumPy's in blocks that stay in the cache where it is not; on a
device one kernel takes the logarithm and transposes. From counts, the flat field takes it in the
same pass (:meth:`hipct.preparation.flat.FlatField.sinograms`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.runs import run_of_rows
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, real_numbers, three_axes
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
    check_minimum(minimum)
    transmission = floating(real_numbers(transmission, "transmission"))
    xp = namespace(transmission)
    out = output(out, transmission.shape, transmission.dtype, transmission)
    flat_in = transmission.reshape(-1)
    # An output with gaps between its rows cannot be seen as one run; it is filled at the end.
    whole = out.flags.c_contiguous
    flat_out = out.reshape(-1) if whole else xp.empty_like(flat_in)
    if xp is np:
        clamped = _in_blocks(flat_in, minimum, flat_out)
    elif flat_in.dtype == np.float32:
        from hipct.preparation.linearise_cuda import sinogram_block

        as_row = flat_out.reshape(1, 1, -1)
        clamped = [sinogram_block(flat_in.reshape(1, 1, -1), range(1), minimum, as_row, 0)]
    else:
        clamped = [_logarithm(flat_in, minimum, flat_out)]
    if not whole:
        out[...] = flat_out.reshape(out.shape)
    if counts is not None:
        counts.add(clamped=sum(int(number) for number in clamped))
    return out


def sinograms(
    transmission: Array,
    out: Array,
    first: int = 0,
    *,
    rows: slice | None = None,
    minimum: float = MINIMUM,
    counts: PixelCounts | None = None,
) -> None:
    """Put the line integrals of a block of projections into sinograms.

    The logarithm (:func:`line_integral`) and the change from projections to sinograms in one pass.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns)
        Integers become float32.
    out : array, shape (wanted rows, at least first + angles, columns), float32
        Sinograms (float64 from float64); other angles than these stay as they are. Other memory
        than the transmission. On a device C-contiguous, so give it whole.
    first : int
        Index in ``out`` of the first of these angles.
    rows : slice, optional
        Rows of the transmission that are wanted, where others are a halo; all by default. On a
        device it spares the copy that a view of the transmission would cost.
    minimum : float
        Smallest transmission, see :func:`line_integral`.
    counts : PixelCounts, optional
        Takes the number of raised or replaced values of the wanted rows as ``clamped``.

    Raises
    ------
    InputError
        If shapes or dtypes do not fit, or ``minimum`` is not in (1e-37, 1).

    Examples
    --------
    >>> import numpy as np
    >>> lines = np.zeros((1, 3, 2), np.float32)
    >>> sinograms(np.exp(-np.ones((2, 1, 2), np.float32)), lines, 1)
    >>> lines.tolist()
    [[[0.0, 0.0], [1.0, 1.0], [1.0, 1.0]]]
    """
    check_minimum(minimum)
    transmission = floating(three_axes(transmission, "transmission", "angles, rows, columns"))
    xp = namespace(transmission, out)
    angles, height, _ = transmission.shape
    wanted = range(height)[slice(None) if rows is None else rows]
    check_sinograms(transmission.shape, transmission.dtype, wanted, out, first)
    part = slice(first, first + angles)
    if xp is np and transmission.dtype == np.float32 and has_numba():
        _compiled(transmission[:, wanted.start : wanted.stop], minimum, counts, out[:, part])
        return
    if xp is np:
        _frame_by_frame(transmission, wanted, minimum, counts, out[:, part])
        return
    if transmission.dtype == np.float32:
        from hipct.preparation.linearise_cuda import sinogram_block

        clamped = sinogram_block(transmission, wanted, minimum, out, first)
    else:
        frames = transmission[:, wanted.start : wanted.stop].swapaxes(0, 1)
        clamped = _logarithm(frames, minimum, out[:, part])
    if counts is not None:
        counts.add(clamped=int(clamped))


def check_minimum(minimum: float) -> None:
    """Raise InputError unless ``minimum`` is a transmission that float32 has."""
    if not 1e-37 < minimum < 1:
        raise InputError(f"minimum is {minimum}; it has to be a transmission in (1e-37, 1).")


def check_sinograms(
    shape: tuple[int, ...], dtype: np.dtype[Any], wanted: range, out: Array, first: int
) -> None:
    """Raise InputError unless sinograms of the wanted rows of such projections fit into ``out``."""
    angles, _, columns = shape
    fits = out.ndim == 3 and out.shape[::2] == (len(wanted), columns)
    if not fits or out.dtype != dtype or wanted.step != 1:
        raise InputError(
            f"out has shape {out.shape} and dtype {out.dtype}; for rows {wanted} of projections "
            f"of shape {shape} it needs shape ({len(wanted)}, angles, {columns}) and "
            f"dtype {dtype}, and the rows have to follow one another."
        )
    if not 0 <= first <= out.shape[1] - angles:
        raise InputError(
            f"first is {first} and there are {angles} angles; out has {out.shape[1]} angles, and "
            "all of them have to lie within."
        )


def _compiled(transmission: Array, minimum: float, counts: PixelCounts | None, out: Array) -> None:
    """Sinograms of (angles, rows, columns) in one pass, counted."""
    from hipct.preparation.linearise_numba import sinogram_rows

    clamped: list[int] = []
    angles, rows, columns = transmission.shape

    def work(start: int, stop: int) -> None:
        clamped.append(sinogram_rows(transmission, np.float32(minimum), start, stop, *run))

    if rows:
        with run_of_rows(out.swapaxes(0, 1)) as run:
            parallel_for(work, angles * rows, smallest=max(1, 4 * BLOCK // columns))
    if counts is not None:
        counts.add(clamped=sum(clamped))


def _frame_by_frame(
    transmission: Array, wanted: range, minimum: float, counts: PixelCounts | None, out: Array
) -> None:
    """Logarithm and transposition meet a warm cache."""

    def work(start: int, stop: int) -> None:
        frame = np.empty((len(wanted), transmission.shape[2]), transmission.dtype)
        for angle in range(start, stop):
            values = transmission[angle, wanted.start : wanted.stop]
            line_integral(values, minimum=minimum, counts=counts, out=frame)
            out[:, angle] = frame

    parallel_for(work, len(transmission))


def _in_blocks(transmission: Array, minimum: float, out: Array) -> list[int]:
    """Logarithm of a run of values; returns how many were replaced, in parts."""
    clamped: list[int] = []

    def work(start: int, stop: int) -> None:
        for first in range(start, stop, BLOCK):
            part = slice(first, min(first + BLOCK, stop))
            clamped.append(_block(transmission[part], minimum, out[part]))

    parallel_for(work, transmission.size, smallest=4 * BLOCK)
    return clamped


def _block(transmission: Array, minimum: float, out: Array) -> int:
    if transmission.dtype == np.float32 and has_numba():
        from hipct.core.log_numba import line_integrals

        return int(line_integrals(transmission, np.float32(minimum), out))
    # A NaN fails the comparison, so that clean blocks cost two reductions and no copy.
    if not (transmission.min() >= minimum and transmission.max() < np.inf):
        return int(_logarithm(transmission, minimum, out))
    np.log(transmission, out=out)
    np.negative(out, out=out)
    return 0


def _logarithm(transmission: Array, minimum: float, out: Array) -> Array:
    """Logarithm of any values; returns how many were replaced, an array of one number."""
    xp = namespace(transmission)
    finite = xp.isfinite(transmission)
    clamped = (~finite | (transmission < minimum)).sum()
    known = xp.where(finite, transmission, 1)
    xp.log(xp.maximum(known, known.dtype.type(minimum)), out=out)
    xp.negative(out, out=out)
    return clamped
