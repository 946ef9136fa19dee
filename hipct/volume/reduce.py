"""The next coarser level of a block: means of 2 x 2 x 2 voxels.

Rounding is to nearest, ties to even. Truncation darkens every level by 0.44 grey values; rounding
ties upwards brightens it by 1/16 (one sum of eight in eight ends in a tie, each worth half a grey
value), which five levels add up. Ties to even leave no drift.

An axis of odd length ends in voxels that have no neighbour: the mean is taken over the voxels
that exist, never over padding. An axis of one voxel stays as it is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for


def reduced_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the next coarser level: half of each axis, rounded up."""
    return tuple(-(-size // 2) for size in shape)


def reduce_block(block: Array, *, out: Array | None = None) -> Array:
    """Mean of 2 x 2 x 2 voxels, rounded half to even.

    Parameters
    ----------
    block : ndarray, uint8 or uint16, shape (z, y, x)
        Starts at even voxel indices of its level; NumPy or CuPy.
    out : ndarray, same dtype, shape (ceil(z/2), ceil(y/2), ceil(x/2)), optional
        Where to write.

    Returns
    -------
    ndarray, same dtype, shape (ceil(z/2), ceil(y/2), ceil(x/2))

    Raises
    ------
    InputError
        If the block is not three-dimensional uint8 or uint16, or ``out`` does not fit.

    Examples
    --------
    >>> reduce_block(np.array([[[1, 2, 9]]], np.uint16))
    array([[[2, 9]]], dtype=uint16)
    """
    xp = namespace(block, out)
    if block.ndim != 3 or not block.size or block.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"The block to reduce is {block.dtype} of shape {block.shape}; "
            "give uint8 or uint16 of shape (z, y, x)."
        )
    shape = reduced_shape(block.shape)
    if out is None:
        out = xp.empty(shape, block.dtype)
    if out.shape != shape or out.dtype != block.dtype:
        raise InputError(f"out is {out.dtype} {out.shape}; it has to be {block.dtype} {shape}.")
    if xp is np and has_numba():
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


def _take(array: Array, axis: int, part: slice) -> Array:
    return array[(slice(None),) * axis + (part,)]


def _reduce_numba(block: NDArray[np.unsignedinteger], out: NDArray[np.unsignedinteger]) -> None:
    from hipct.volume.reduce_numba import reduce_planes

    if block.strides[2] != block.itemsize:
        block = np.ascontiguousarray(block)

    def task(start: int, stop: int) -> None:
        reduce_planes(block, out, start, stop)

    parallel_for(task, out.shape[0])
