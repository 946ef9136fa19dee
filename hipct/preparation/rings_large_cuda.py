"""The removal of large stripes on a device, by the kernels of the sorting-based removal.

Keys are sorted once; the median across columns is written by rank, then levels are compared in
array code; the fine median goes over the levelled columns, whose order is the same.
"""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant
from hipct.preparation.rings_large import Stripes, dropped_ranks, stripes_and_levels
from hipct.preparation.rings_sorting_cuda import (
    MOST_SLICES,
    Geometry,
    median_of_ranks,
    rank_columns,
)

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (
    ("median_ranks", {"SIZE": 51, "ANGLE": "unsigned short"}),
)
"""Of the shared kernels what this module alone compiles: the wide median across columns."""

WORK_BYTES = 1024 * 2**20
"""Work space that batches of slices share; one slice may need more."""

BYTES_OF_VALUE = 40
"""Keys and origins (two of each where columns are merged), ranks, smoothed and levelled values."""

SIGN = np.uint32(0x80000000)
ALL = np.uint32(0xFFFFFFFF)


def work_bytes(slices: int, angles: int, columns: int) -> int:
    """Bytes of device memory that :func:`level_and_sort` takes at most beside its arguments."""
    return _batch(slices, angles, columns) * BYTES_OF_VALUE * angles * columns


def level_and_sort(sinograms: Array, stripes: Stripes, out: Array) -> bool:
    """Large stripes removed, then fine ones by sorting; whether all values were finite.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns), float32
    stripes : Stripes
    out : array, the same
        May be the sinograms themselves.
    """
    xp = namespace(sinograms, out)
    slices, angles, columns = sinograms.shape
    geometry = Geometry(angles)
    batch = _batch(slices, angles, columns)
    broken = xp.zeros(1, np.uint32)
    shape = (batch, columns, angles)
    tiles = 2 if geometry.tiles > 1 else 1
    keys = [xp.empty(shape, np.uint32) for _ in range(tiles)]
    origin = [xp.empty(shape, geometry.angle_type) for _ in range(tiles)]
    by_rank = xp.ascontiguousarray(
        xp.broadcast_to(xp.arange(angles, dtype=geometry.angle_type), shape)
    )
    smooth = xp.empty((batch, angles, columns), np.float32)
    drop = dropped_ranks(angles)
    kept = slice(drop, angles - drop)
    for first in range(0, slices, batch):
        count = min(batch, slices - first)
        some = xp.ascontiguousarray(sinograms[first : first + count])
        rank_columns(
            some.view(np.uint32), [a[:count] for a in keys], [a[:count] for a in origin], broken
        )
        median_of_ranks(
            keys[-1][:count], by_rank[:count], stripes.large_px, smooth[:count].view(np.uint32)
        )
        ranked = _floats(keys[-1][:count])
        stripe, level = stripes_and_levels(
            ranked[:, :, kept].mean(axis=2, dtype=np.float64),
            smooth[:count, kept].mean(axis=1, dtype=np.float64),
            stripes,
        )
        level = level[:, :, None]
        if stripes.additive:
            ranked = (ranked - level).astype(np.float32)
        else:
            ranked = (ranked / xp.where(stripe[:, :, None], 1.0, level)).astype(np.float32)
        ranked = xp.where(stripe[:, :, None], smooth[:count].transpose(0, 2, 1), ranked)
        keys[-1][:count] = _keys(ranked)
        median_of_ranks(
            keys[-1][:count], origin[-1][:count], stripes.size_px, smooth[:count].view(np.uint32)
        )
        out[first : first + count] = smooth[:count]
    return not int(broken[0])


def _batch(slices: int, angles: int, columns: int) -> int:
    """Slices in work at a time."""
    return max(1, min(slices, MOST_SLICES, WORK_BYTES // (BYTES_OF_VALUE * angles * columns)))


def _floats(keys: Array) -> Array:
    """Values whose order the keys have."""
    xp = namespace(keys)
    return (keys ^ xp.where(keys >= SIGN, SIGN, ALL)).view(np.float32)


def _keys(values: Array) -> Array:
    """Keys that rise with the values; both zeros have the same."""
    xp = namespace(values)
    bits = (values + np.float32(0)).view(np.uint32)
    return bits ^ xp.where(bits >= SIGN, ALL, SIGN)
