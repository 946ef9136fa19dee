"""What a flat field is made of: the dark level, groups of flats in time, dead pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import real_numbers, three_axes
from hipct.preparation.reduction import reduce_frames


def dark_frame(darks: Array | None, like: Array) -> Array:
    """Median of the darks, 0 where there are none; ``like`` has the same rows and columns."""
    rows_columns = like.shape[1:]
    if darks is not None:
        darks = real_numbers(darks, "darks")
    if darks is None or (darks.ndim == 3 and len(darks) == 0):
        return namespace(like).zeros(rows_columns, np.float32)
    darks = three_axes(darks, "darks", "darks, rows, columns")
    if darks.shape[1:] != rows_columns:
        raise InputError(
            f"darks have (rows, columns) {darks.shape[1:]} and the flats {rows_columns}; "
            "read both for the same rows."
        )
    return namespace(darks, like).nan_to_num(reduce_frames(darks, "median"), nan=0.0)


def groups_in_time(index: NDArray[np.float64]) -> list[NDArray[np.intp]]:
    """Members of each group of consecutive frame numbers, ordered in time."""
    order = np.argsort(index, kind="stable")
    gaps = np.flatnonzero(np.diff(index[order]) > 1)
    return np.split(order, gaps + 1)


def frames_of(members: NDArray[np.intp], frames: Array) -> Array:
    """The members among the frames; where they lie together a view, which spares a copy."""
    if (np.diff(members) == 1).all():
        return frames[int(members[0]) : int(members[-1]) + 1]
    return frames[namespace(frames).asarray(members)]


def mark_dead(references: Array, share: float) -> None:
    """NaN in all groups where a pixel is dead in one of them."""
    xp = namespace(references)
    level = xp.median(xp.where(xp.isfinite(references), references, 0), axis=2, keepdims=True)
    with np.errstate(invalid="ignore"):
        alive = xp.isfinite(references) & (references > 0) & (references > share * level)
    references[...] = xp.where(alive.all(axis=0), references, np.nan)
