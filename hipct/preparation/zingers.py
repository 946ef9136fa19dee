"""Zingers: single bright spots of a projection, from photons that hit the camera itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.counts import PixelCounts

HALO_ROWS = 1
"""Rows above and below that the median of a row needs."""


def remove_zingers(
    transmission: Array,
    threshold: float,
    *,
    counts: PixelCounts | None = None,
    counted_rows: slice | None = None,
    out: Array | None = None,
) -> Array:
    """Replace bright outliers of projections by the median of their 3 x 3 neighbours.

    A value is a zinger where it exceeds that median by more than ``threshold``; all others stay
    as they are. A zinger deposits a number of counts that has nothing to do with the beam behind
    the object, so the threshold is a transmission, not a ratio. Spots of up to four pixels go;
    at the borders of the block the outermost pixels are repeated.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns)
        Integers become float32. Rows of a slab need a halo of :data:`HALO_ROWS`.
    threshold : float
        In units of the transmission, above 0; well above the noise and the phase fringes, e.g.
        0.2.
    counts : PixelCounts, optional
        Takes the number of replaced values as ``zinger``.
    counted_rows : slice, optional
        Rows of the block that are counted, where others are a halo; all by default.
    out : array, shape of the transmission, its dtype, optional
        Other memory than the transmission.

    Returns
    -------
    array, shape (angles, rows, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If the shape, the dtype, ``out`` or the threshold is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> frame = np.full((1, 3, 3), 0.5)
    >>> frame[0, 1, 1] = 2.0
    >>> remove_zingers(frame, 0.2)[0, 1].tolist()
    [0.5, 0.5, 0.5]
    """
    transmission = floating(three_axes(transmission, "transmission", "angles, rows, columns"))
    if not 0 < threshold < np.inf:
        raise InputError(f"threshold is {threshold}; it has to be a transmission above 0.")
    xp = namespace(transmission)
    out = output(out, transmission.shape, transmission.dtype, transmission)
    if xp.may_share_memory(out, transmission):
        raise InputError("out shares memory with the transmission; give another array.")
    if xp is np and has_numba() and transmission.dtype == np.float32:
        found = _fused(np.ascontiguousarray(transmission), threshold, out)
    elif xp is not np and transmission.dtype == np.float32:
        from hipct.preparation.zingers_cuda import replace_bright

        found = replace_bright(transmission, threshold, out)
    else:
        found = _plain(transmission, threshold, out)
    if counts is not None:
        rows = slice(None) if counted_rows is None else counted_rows
        counts.add(zinger=int(found[rows].sum()))
    return out


def _fused(
    transmission: NDArray[np.float32], threshold: float, out: NDArray[np.float32]
) -> NDArray[np.int64]:
    from hipct.preparation.zingers_numba import replace_bright

    angles, rows, columns = transmission.shape
    done: list[NDArray[np.int64]] = []

    def work(start: int, stop: int) -> None:
        found = np.zeros(rows, np.int64)
        replace_bright(transmission, np.float32(threshold), start, stop, out, found)
        done.append(found)

    parallel_for(work, angles * rows, smallest=max(1, 2**16 // columns))
    total: NDArray[np.int64] = np.sum(done, axis=0)
    return total


def _plain(transmission: Array, threshold: float, out: Array) -> Array:
    xp = namespace(transmission)
    _, rows, columns = transmission.shape
    found = xp.zeros(rows, np.int64)
    for angle, frame in enumerate(transmission):
        padded = xp.pad(frame, 1, mode="edge")
        neighbours = xp.stack(
            [padded[i : i + rows, j : j + columns] for i in range(3) for j in range(3)]
        )
        median = xp.median(neighbours, axis=0)
        bright = frame > median + frame.dtype.type(threshold)
        found += bright.sum(axis=1)
        out[angle] = xp.where(bright, median, frame)
    return found
