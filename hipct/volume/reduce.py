"""The next coarser level of a block: one voxel for 2 x 2 x 2.

Images take the mean (or, on demand, the smallest or the largest value), labels the value that is
met most often: the mean of labels 2 and 4 would be label 3, which is not there. Of labels met
equally often the smallest is taken, so that the result does not depend on the order of axes.

Means are rounded to nearest, ties to even. Truncation darkens every level by 0.44 grey values;
rounding ties upwards brightens it by 1/16 (one sum of eight in eight ends in a tie, each worth half
a grey value), which five levels add up. Ties to even leave no drift.

An axis of odd length ends in voxels that have no neighbour: only voxels that exist count, never
padding. An axis of one voxel stays as it is.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for

Reduction = Literal["mean", "mode", "min", "max"]
"""How one voxel is made of eight."""

REDUCED_DTYPES: dict[Reduction, tuple[type[np.unsignedinteger], ...]] = {
    "mean": (np.uint8, np.uint16),
    "mode": (np.uint8, np.uint16, np.uint32),
    "min": (np.uint8, np.uint16),
    "max": (np.uint8, np.uint16),
}
"""What each reduction takes: images have 8 or 16 bit, labels up to 32."""


def reduced_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the next coarser level: half of each axis, rounded up."""
    return tuple(-(-size // 2) for size in shape)


def reduce_block(block: Array, *, out: Array | None = None, how: Reduction = "mean") -> Array:
    """One voxel for 2 x 2 x 2: by default their mean, rounded half to even.

    Parameters
    ----------
    block : ndarray, uint8 or uint16 (labels: uint32 too), shape (z, y, x)
        Starts at even voxel indices of its level; NumPy or CuPy.
    out : ndarray, same dtype, shape (ceil(z/2), ceil(y/2), ceil(x/2)), optional
        Where to write.
    how : {"mean", "mode", "min", "max"}
        The mode is the value met most often, the smallest of several met equally often.

    Returns
    -------
    ndarray, same dtype, shape (ceil(z/2), ceil(y/2), ceil(x/2))

    Raises
    ------
    InputError
        If the block is not three-dimensional of a type that can be reduced so, or ``out`` does
        not fit.

    Examples
    --------
    >>> reduce_block(np.array([[[1, 2, 9]]], np.uint16))
    array([[[2, 9]]], dtype=uint16)
    >>> reduce_block(np.array([[[7, 3, 9]]], np.uint16), how="mode")
    array([[[3, 9]]], dtype=uint16)
    """
    xp = namespace(block, out)
    if how not in REDUCED_DTYPES:
        raise InputError(f"The reduction is {how!r}; allowed are {', '.join(REDUCED_DTYPES)}.")
    if block.ndim != 3 or not block.size or block.dtype not in REDUCED_DTYPES[how]:
        allowed = " or ".join(np.dtype(kind).name for kind in REDUCED_DTYPES[how])
        raise InputError(
            f"The block to reduce is {block.dtype} of shape {block.shape}; "
            f"give {allowed} of shape (z, y, x)."
        )
    shape = reduced_shape(block.shape)
    if out is None:
        out = xp.empty(shape, block.dtype)
    if out.shape != shape or out.dtype != block.dtype:
        raise InputError(f"out is {out.dtype} {out.shape}; it has to be {block.dtype} {shape}.")
    if how != "mean":
        reduce_ranked(block, out, how)
    elif xp is np and has_numba():
        _reduce_numba(block, out)
    elif xp is not np:
        from hipct.volume.reduce_cuda import reduce_planes

        target = out if out.flags.c_contiguous else xp.empty(shape, block.dtype)
        reduce_planes(xp.ascontiguousarray(block), target)
        if target is not out:
            out[...] = target
    else:
        out[...] = _reduce_array(block)
    return out


def reduce_ranked(block: Array, out: Array, how: Reduction) -> None:
    """Mode, smallest or largest of 2 x 2 x 2 voxels into ``out``: values that are there.

    Takes what :func:`reduce_block` has checked.
    """
    if how != "mode" or namespace(block, out) is not np or not has_numba():
        out[...] = _ranked_array(block, how)
        return
    from hipct.volume.reduce_mode_numba import mode_planes

    parallel_for(lambda start, stop: mode_planes(block, out, start, stop), out.shape[0])


def reduce_levels(block: Array, count: int) -> list[Array]:
    """The next ``count`` coarser levels of a block, each from the rounded one below it.

    Parameters
    ----------
    block : ndarray, uint8 or uint16, shape (z, y, x)
        Starts at voxel indices of its level that ``2**count`` divides; NumPy or CuPy.
    count : int
        How many levels.

    Returns
    -------
    list of ndarray, same dtype
        Equal to :func:`reduce_block` repeated, each of :func:`reduced_shape` of the one before.

    Raises
    ------
    InputError
        If the block is not three-dimensional uint8 or uint16.
    """
    levels: list[Array] = []
    for _ in range(count):
        levels.append(reduce_block(levels[-1] if levels else block))
    return levels


def _reduce_array(block: Array) -> Array:
    """Sums axis by axis, then one rounded division by the number of voxels (a power of two)."""
    xp = namespace(block)
    total = block.astype(xp.uint32)
    shift = xp.zeros((1, 1, 1), xp.uint32)
    for axis, size in enumerate(block.shape):
        pairs = size // 2
        even = _take(total, axis, slice(0, 2 * pairs, 2))
        odd = _take(total, axis, slice(1, 2 * pairs, 2))
        alone = _take(total, axis, slice(2 * pairs, size))
        total = xp.concatenate([even + odd, alone], axis=axis)
        halvings = xp.zeros(total.shape[axis], xp.uint32)
        halvings[:pairs] = 1
        shift = shift + halvings.reshape([-1 if a == axis else 1 for a in range(3)])
    # The bias is one short of half a step where the quotient is even, half a step where it is odd.
    half = xp.where(shift > 0, (xp.uint32(1) << shift) >> xp.uint32(1), xp.uint32(1))
    bias = half - xp.uint32(1) + ((total >> shift) & xp.uint32(1)) * (shift > 0)
    return ((total + bias) >> shift).astype(block.dtype)


def _ranked_array(block: Array, how: Reduction) -> Array:
    """Compares the eight views; a missing neighbour is the voxel itself once more.

    Repeating the last plane counts every voxel of a group equally often, which moves no mode.
    """
    xp = namespace(block)
    views = [block]
    for axis, size in enumerate(block.shape):
        halves = []
        for view in views:
            odd = _take(view, axis, slice(1, size, 2))
            if size % 2:
                odd = xp.concatenate([odd, _take(view, axis, slice(size - 1, size))], axis=axis)
            halves += [_take(view, axis, slice(0, size, 2)), odd]
        views = halves
    best = views[0]
    if how != "mode":
        extreme = xp.minimum if how == "min" else xp.maximum
        for view in views[1:]:
            best = extreme(best, view)
        return best
    most = xp.zeros(best.shape, xp.uint8)
    for view in views:
        count = xp.zeros(best.shape, xp.uint8)
        for other in views:
            count += view == other
        better = (count > most) | ((count == most) & (view < best))
        best = xp.where(better, view, best)
        most = xp.maximum(most, count)
    return best


def _take(array: Array, axis: int, part: slice) -> Array:
    return array[(slice(None),) * axis + (part,)]


def _reduce_numba(block: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]) -> None:
    from hipct.volume.reduce_numba import reduce_planes

    if block.strides[2] != block.itemsize:
        block = np.ascontiguousarray(block)

    def task(start: int, stop: int) -> None:
        reduce_planes(block, out, start, stop)

    parallel_for(task, out.shape[0])
