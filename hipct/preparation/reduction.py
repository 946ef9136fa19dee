"""A group of flats or darks reduced to one frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for


def reduce_frames(
    frames: Array,
    reduction: Literal["median", "mean"],
    *,
    dark: Array | None = None,
    scale: NDArray[np.float64] | None = None,
) -> Array:
    """Median or mean over frames of ``(frame - dark) * scale``.

    Parameters
    ----------
    frames : array, shape (frames, rows, columns)
        Any real dtype. NaN and infinite values are left out.
    reduction : {"median", "mean"}
        One or two frames are averaged in any case.
    dark : array, shape (rows, columns), float32, optional
    scale : ndarray, shape (frames,), optional

    Returns
    -------
    array, shape (rows, columns), float32
        NaN where no frame has a finite value.
    """
    xp = namespace(frames)
    rows, columns = frames.shape[1:]
    dark = xp.zeros((rows, columns), np.float32) if dark is None else dark
    factors = xp.ones(len(frames), np.float32) if scale is None else xp.asarray(scale, np.float32)
    out = xp.empty((rows, columns), np.float32)
    median = reduction == "median" and len(frames) > 2
    if median and xp is np and has_numba():
        from hipct.preparation.reduction_numba import median_rows

        native = frames.astype(frames.dtype.newbyteorder("="), copy=False)

        def work(start: int, stop: int) -> None:
            median_rows(native, dark, factors, start, stop, out)

        parallel_for(work, rows)
        unsettled = np.flatnonzero(~np.isfinite(out).all(axis=1))
    else:
        unsettled = np.arange(rows)
    for row in unsettled:
        values = (frames[:, row].astype(np.float32) - dark[row]) * factors[:, None]
        values = xp.where(xp.isfinite(values), values, np.nan)
        known = ~xp.isnan(values).all(axis=0)
        # NumPy warns about columns of nothing but NaN; they stay NaN without being asked.
        out[row] = np.nan
        reduced = (xp.nanmedian if median else xp.nanmean)(values[:, known], axis=0)
        out[row, known] = reduced
    return out
