"""A group of flats or darks reduced to one frame."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for

PART = 2**22
"""Values that the array code reduces at a time."""


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
    if median and xp is not np:
        from hipct.preparation import reduction_cuda

        reduction_cuda.median_rows(frames, dark, factors, out)
        return out
    if median and has_numba():
        from hipct.preparation.reduction_numba import median_rows

        native = frames.astype(frames.dtype.newbyteorder("="), copy=False)

        def work(start: int, stop: int) -> None:
            median_rows(native, dark, factors, start, stop, out)

        parallel_for(work, rows)
        unsettled = np.flatnonzero(~np.isfinite(out).all(axis=1))
        parts: list[slice | NDArray[np.intp]] = [
            unsettled[k : k + 1] for k in range(unsettled.size)
        ]
    else:
        step = max(1, PART // (len(frames) * columns))
        parts = [slice(first, first + step) for first in range(0, rows, step)]
    for part in parts:
        values = (frames[:, part].astype(np.float32) - dark[part]) * factors[:, None, None]
        out[part] = (_median if median else _mean)(xp.where(xp.isfinite(values), values, np.nan))
    return out


def _median(values: Array) -> Array:
    """Median over the first axis without NaN; NaN where there is nothing else.

    NumPy's own warns of such places.
    """
    known = (~np.isnan(values)).sum(axis=0, keepdims=True)
    in_order = np.sort(values, axis=0)  # NaN last
    below = np.take_along_axis(in_order, np.maximum(known - 1, 0) // 2, axis=0)
    above = np.take_along_axis(in_order, known // 2, axis=0)
    return ((below + above) * np.float32(0.5))[0]


def _mean(values: Array) -> Array:
    """Mean over the first axis without NaN; NaN where there is nothing else."""
    xp = namespace(values)
    known = ~xp.isnan(values)
    number = known.sum(axis=0)
    total = xp.where(known, values, 0).sum(axis=0)
    return xp.where(number > 0, total / xp.maximum(number, 1), np.nan)
