"""Removal of stripes of pixels that do not respond, or fluctuate.

Algorithm 6 of Vo, Atwood & Drakopoulos, "Superior techniques for eliminating ring artifacts in
X-ray micro-tomography", Optics Express 26 (2018) 28396: the sum along the angle of how far a column
lies from its own running mean is far smaller for a pixel that never changes than for its
neighbours, and far larger for one that fluctuates (algorithm 4 finds both). Such columns are
interpolated linearly from the columns beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.rings_detect import SNR, check_snr, detect_stripes, widened
from hipct.preparation.rings_large import (
    LANES,
    LARGE_PX,
    NARROWEST_BAND,
    Quantity,
    Stripes,
    accelerated,
    check_width,
    large_memory_bytes,
    level_and_sort,
    median_across,
)
from hipct.preparation.rings_sorting import SIZE_PX

RUN = 10
"""Angles of the running mean, as in the paper's code."""

BORDER = 2
"""Columns at either border that are never interpolated, as in the paper's code."""


def remove_rings_dead(
    sinograms: Array, *, large_px: int = LARGE_PX, snr: float = SNR, out: Array | None = None
) -> Array:
    """Interpolate columns of sinograms whose pixels do not respond or fluctuate.

    Where a third of the columns or more stand out, none is touched: there is nothing left to
    interpolate from. Beyond input and output it needs what :func:`dead_memory_bytes` says.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals or transmission; finite. Integers become float32.
    large_px : int
        Columns that a column's fluctuation is compared with (their median), odd, at most the
        number of columns.
    snr : float
        How far a column stands out that is taken for a stripe; larger finds fewer.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape, dtype or a parameter is wrong, or a value is not finite.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    check_width(large_px, "large_px", sinograms.shape[2])
    check_snr(snr)
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)
    dead = dead_columns(sinograms, large_px, snr)
    if out is not sinograms:
        out[...] = sinograms
    _interpolate(out, dead)
    return out


def remove_rings_all(
    sinograms: Array,
    *,
    size_px: int = SIZE_PX,
    large_px: int = LARGE_PX,
    snr: float = SNR,
    quantity: Quantity = "line_integral",
    out: Array | None = None,
) -> Array:
    """Remove all kinds of stripes: dead and fluctuating, then large, then fine ones.

    Algorithms 6, 5 and 3 of the paper one after the other. The last two share one sort: levelling
    a column changes no order.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Finite. Integers become float32.
    size_px : int
        Width of the median for fine stripes, odd, at most the number of columns.
    large_px : int
        Width of the median for large stripes, odd, at most the number of columns.
    snr : float
        How far a column stands out that is taken for a stripe; larger finds fewer.
    quantity : {"line_integral", "transmission"}
        What the sinograms hold.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If shape, dtype or a parameter is wrong, or a value is not finite.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    stripes = Stripes(large_px=large_px, snr=snr, quantity=quantity, size_px=size_px)
    stripes.check(sinograms.shape[2])
    if accelerated(sinograms):  # no copy that only these columns are changed in
        out = output(out, sinograms.shape, sinograms.dtype, sinograms)
        dead = dead_columns(sinograms, large_px, snr)
        return level_and_sort(sinograms, stripes, out, partial(_mended, sinograms, _beside(dead)))
    out = remove_rings_dead(sinograms, large_px=large_px, snr=snr, out=out)
    return level_and_sort(out, stripes, out)


def dead_memory_bytes(slices: int, angles: int, columns: int, *, on_device: bool = False) -> int:
    """Bytes that :func:`remove_rings_dead` takes beside input and output, float32.

    Two slices of values at most on the host, four on a device (or without numba).
    """
    if on_device or not has_numba():
        return 4 * 4 * (angles + RUN) * columns + 64 * slices * columns
    return 2 * 4 * angles * columns + 64 * slices * columns


def all_memory_bytes(slices: int, angles: int, columns: int, *, on_device: bool = False) -> int:
    """Bytes that :func:`remove_rings_all` takes beside input and output, float32."""
    return max(
        dead_memory_bytes(slices, angles, columns, on_device=on_device),
        large_memory_bytes(slices, angles, columns, on_device=on_device),
    )


def dead_columns(sinograms: Array, large_px: int, snr: float) -> Array:
    """Columns (slices, columns) that do not respond or fluctuate, and those beside them."""
    xp = namespace(sinograms)
    columns = sinograms.shape[2]
    roughness = _roughness(sinograms)
    if not bool(xp.isfinite(roughness).all()):
        raise InputError(
            "sinograms hold NaN or infinite values, which cannot be compared; mend the "
            "projections first (FlatField.apply and line_integral leave only finite values)."
        )
    if xp is np and has_numba():
        usual = _medians_by_rank(roughness, large_px)
    else:
        usual = median_across(roughness, large_px)
    usual = xp.where(usual == 0, usual.mean(axis=1, keepdims=True), usual)
    ratio = xp.where(usual > 0, roughness / xp.where(usual > 0, usual, 1), 1.0)
    dead = widened(detect_stripes(ratio, snr))
    dead[:, :BORDER] = False
    dead[:, -BORDER:] = False
    return dead & (dead.sum(axis=1, keepdims=True) < columns // 3)


def _medians_by_rank(rows: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """The same as by ``median_across``, by loops for float32, which holds ranks exactly."""
    from hipct.preparation.rings_large_numba import smooth_band

    slices, columns = rows.shape
    order = np.argsort(rows, axis=1)
    ranks = np.zeros((columns, -(-slices // LANES) * LANES), np.float32)
    place = np.empty(rows.shape, np.float32)
    np.put_along_axis(place, order, np.arange(columns, dtype=np.float32)[None], axis=1)
    ranks[:, :slices] = place.T
    medians = np.empty_like(ranks)
    smooth_band(ranks, size, 0, columns, medians)
    found = np.take_along_axis(order, medians[:, :slices].T.astype(np.intp), axis=1)
    return np.take_along_axis(rows, found, axis=1)


def _roughness(sinograms: Array) -> Array:
    """Sums along the angle of ``|s - running mean of s|``, float64 (slices, columns)."""
    xp = namespace(sinograms)
    slices, angles, columns = sinograms.shape
    before = RUN // 2
    found = xp.zeros((slices, columns))
    if xp is np and has_numba():
        from hipct.preparation.rings_large_numba import roughness_band

        near = np.pad(np.arange(angles), (before, RUN - before - 1), mode="symmetric")
        parts = -(-columns // NARROWEST_BAND)

        def work(start: int, stop: int) -> None:
            for unit in range(start, stop):
                place, part = divmod(unit, parts)
                first, last = columns * part // parts, columns * (part + 1) // parts
                roughness_band(sinograms[place], near, RUN, first, last, found[place])

        parallel_for(work, slices * parts)
        return found
    for place in range(slices):
        padded = xp.pad(sinograms[place], ((before, RUN - before - 1), (0, 0)), mode="symmetric")
        mean = xp.zeros((angles, columns), sinograms.dtype)
        for k in range(RUN):
            mean += padded[k : k + angles]
        mean /= RUN
        mean -= sinograms[place]
        found[place] = xp.sum(abs(mean), axis=0, dtype=np.float64)
    return found


@dataclass(frozen=True)
class _Beside:
    """Dead columns, and the nearest good ones on either side of each column, (slices, columns)."""

    dead: Array
    left: Array
    right: Array
    share: Array
    """How far the column is on the way from the left one to the right one."""


def _beside(dead: Array) -> _Beside:
    xp = namespace(dead)
    columns = dead.shape[1]
    place = xp.arange(columns)
    # Good columns first, in order: the k-th of them is the last one at or before a column that
    # has k good ones up to itself.
    good = xp.argsort(dead, axis=1, kind="stable")
    upto = xp.cumsum(~dead, axis=1) - 1
    left = xp.take_along_axis(good, xp.maximum(upto, 0), axis=1)
    right = xp.where(
        dead, xp.take_along_axis(good, xp.minimum(upto + 1, columns - 1), axis=1), place
    )
    return _Beside(dead, left, right, (place - left) / xp.maximum(right - left, 1))


def _mended(sinograms: Array, beside: _Beside, k: int) -> tuple[Array, Array]:
    """Dead columns of one slice, and what takes their place, (angles, columns)."""
    mine = np.flatnonzero(beside.dead[k])
    near, far = sinograms[k][:, beside.left[k, mine]], sinograms[k][:, beside.right[k, mine]]
    weight = beside.share[k, mine].astype(sinograms.dtype)
    return mine, np.ascontiguousarray(near + weight * (far - near))


def _interpolate(sinograms: Array, dead: Array) -> None:
    """Dead columns from the nearest good ones on either side, in place."""
    beside = _beside(dead)
    for k in range(len(sinograms)):
        if namespace(sinograms) is np:
            mine, values = _mended(sinograms, beside, k)
            sinograms[k][:, mine] = values
        else:
            # Which columns are dead is not known to the host: all are gathered.
            near = sinograms[k][:, beside.left[k]]
            share = beside.share[k].astype(sinograms.dtype)
            sinograms[k] = near + share * (sinograms[k][:, beside.right[k]] - near)
