"""Sorting-based ring removal.

Algorithm 3 of Vo, Atwood & Drakopoulos, "Superior techniques for eliminating ring artifacts in
X-ray micro-tomography", Optics Express 26 (2018) 28396: every column of a sinogram is sorted along
the angles, so that pixels that see the same brightness stand beside each other whatever the angle;
a median across columns at every rank removes what one column has for itself; sorting is undone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for, thread_count
from hipct.preparation.checks import floating, output, three_axes

SIZE_PX = 21
"""Width of the median by default, as in the paper: rings up to 10 columns wide go."""

RANKS_AT_A_TIME = 64
NARROWEST_BAND = 256


def remove_rings_sorting(
    sinograms: Array, *, size_px: int = SIZE_PX, out: Array | None = None
) -> Array:
    """Remove rings from sinograms by sorting.

    Beyond input and output it needs what :func:`sorting_memory_bytes` says. On a device float32
    goes through kernels; float64 through the plain code, a slice at a time.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals or transmission; finite. Integers become float32.
    size_px : int
        Width of the median across columns, odd, at most the number of columns. Stripes wider than
        half of it stay.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape, dtype or ``size_px`` is wrong, or a value is not finite.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    columns = sinograms.shape[2]
    if size_px < 1 or size_px % 2 == 0 or size_px > columns:
        raise InputError(
            f"size_px is {size_px}; the median needs an odd width of 1 up to {columns} columns."
        )
    xp = namespace(sinograms)
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)
    if xp is np and has_numba() and sinograms.dtype == np.float32:
        finite = _streamed(sinograms, size_px, out)
    elif xp is not np and sinograms.dtype == np.float32:
        finite = _on_device(sinograms, size_px, out)
    else:
        finite = slice_by_slice(partial(_plain, size=size_px), sinograms, out)
    if not finite:
        refuse_unsortable()
    return out


def slice_by_slice(plain: Callable[[Array], Array], sinograms: Array, out: Array) -> bool:
    """Array code on one sinogram after the other, if all values are finite; whether they are."""
    finite = bool(namespace(sinograms).isfinite(sinograms).all())
    if finite:
        for place in range(len(sinograms)):
            out[place] = plain(sinograms[place])
    return finite


def refuse_unsortable() -> NoReturn:
    """Say that there are values without an order."""
    raise InputError(
        "sinograms hold NaN or infinite values, which cannot be sorted; mend the projections "
        "first (FlatField.apply and line_integral leave only finite values)."
    )


def sorting_memory_bytes(
    slices: int, angles: int, columns: int, size_px: int = SIZE_PX, *, on_device: bool = False
) -> int:
    """Bytes that :func:`remove_rings_sorting` takes beside input and output, float32.

    On the host that is ``angles * (10 size_px + 700)`` for each thread, whatever the number of
    slices and columns (eight sinograms without numba). On a device it is 6 bytes a value (12 above
    7168 angles) of as many slices as fit :data:`hipct.preparation.rings_sorting_cuda.WORK_BYTES`,
    one at least. Arrays that are not C-contiguous are copied on a device.
    """
    if on_device:
        from hipct.preparation.rings_sorting_cuda import work_bytes

        return work_bytes(slices, angles, columns)
    if has_numba():
        return thread_count() * angles * (10 * size_px + 700)
    return 8 * 4 * angles * columns


def _streamed(sinograms: NDArray[np.float32], size: int, out: NDArray[np.float32]) -> bool:
    from hipct.preparation.rings_sorting_numba import smooth_ranks

    slices, _, columns = sinograms.shape
    if sinograms.strides[2] != sinograms.itemsize:
        sinograms = np.ascontiguousarray(sinograms)
    target = out if out.strides[2] == out.itemsize else np.empty_like(sinograms)
    # A few slices are cut into bands of columns, so that all threads work on them; bands read
    # their neighbours' columns, which must not be overwritten meanwhile.
    bands = 1
    if slices < 2 * thread_count() and not np.may_share_memory(sinograms, target):
        bands = max(1, min(2 * thread_count() // slices, columns // NARROWEST_BAND))
    finite: list[bool] = []

    def work(start: int, stop: int) -> None:
        for unit in range(start, stop):
            place, band = divmod(unit, bands)
            first, last = columns * band // bands, columns * (band + 1) // bands
            finite.append(smooth_ranks(sinograms[place], size, first, last, target[place]))

    parallel_for(work, slices * bands)
    if target is not out:
        out[...] = target
    return all(finite)


def _on_device(sinograms: Array, size: int, out: Array) -> bool:
    from hipct.preparation.rings_sorting_cuda import smooth_ranks

    xp = namespace(sinograms)
    target = out if out.flags.c_contiguous else xp.empty(out.shape, out.dtype)
    finite = smooth_ranks(xp.ascontiguousarray(sinograms), size, target)
    if target is not out:
        out[...] = target
    return finite


def _plain(sinogram: Array, size: int) -> Array:
    xp = namespace(sinogram)
    half = size // 2
    order = xp.argsort(sinogram, axis=0, kind="stable")
    ranked = xp.take_along_axis(sinogram, order, axis=0)
    padded = xp.pad(ranked, ((0, 0), (half, half)), mode="symmetric")
    smooth = xp.empty_like(ranked)
    for first in range(0, len(ranked), RANKS_AT_A_TIME):
        ranks = slice(first, first + RANKS_AT_A_TIME)
        windows = xp.lib.stride_tricks.sliding_window_view(padded[ranks], size, axis=1)
        smooth[ranks] = xp.median(windows, axis=-1)
    restored = xp.empty_like(ranked)
    xp.put_along_axis(restored, order, smooth, axis=0)
    return restored
