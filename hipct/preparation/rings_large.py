"""Removal of large stripes, alone or followed by the sorting-based removal of fine ones.

Algorithm 5 of Vo, Atwood & Drakopoulos, "Superior techniques for eliminating ring artifacts in
X-ray micro-tomography", Optics Express 26 (2018) 28396: columns are sorted along the angles and
smoothed by a wide median across columns at every rank. A column whose mean, without the 5 % of
its values at either end, stands out from its smoothed mean (algorithm 4) is a stripe: it takes the
smoothed values at the angles where its own had the same rank. All other columns are brought to
the smoothed mean.

In transmission a stripe is a gain, and a column differs by a ratio, as in the paper. In line
integrals it is an offset, and a column differs by a difference: a ratio would have no meaning in
air, where line integrals are noise about zero.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for, thread_count
from hipct.preparation.checks import floating, output, three_axes
from hipct.preparation.rings_detect import SNR, check_snr, detect_stripes, widened
from hipct.preparation.rings_sorting import refuse_unsortable, slice_by_slice

Quantity = Literal["line_integral", "transmission"]
"""What sinograms hold: stripes are offsets of line integrals and factors of transmission."""

Mended = Callable[[int], tuple[NDArray[np.intp], NDArray[np.float32]]]

LARGE_PX = 51
"""Width of the wide median by default, as in the paper: stripes up to 25 columns wide go."""

DROPPED = 0.1
"""Share of a column's values that its mean leaves out: half at each end, as in the paper."""

NARROWEST_BAND = 128
RANKS_AT_A_TIME = 64
LANES = 256


@dataclass(frozen=True)
class Stripes:
    """What is taken for a stripe; checked by :func:`level_and_sort`."""

    large_px: int = LARGE_PX
    snr: float = SNR
    quantity: Quantity = "line_integral"
    size_px: int = 1
    """Width of the median for fine stripes; 1 leaves them."""

    @property
    def additive(self) -> bool:
        """Whether columns differ by offsets, not by factors."""
        return self.quantity == "line_integral"

    def check(self, columns: int) -> None:
        """Raise InputError unless all settings suit that many columns."""
        check_width(self.size_px, "size_px", columns)
        check_width(self.large_px, "large_px", columns)
        check_snr(self.snr)
        if self.quantity not in ("line_integral", "transmission"):
            raise InputError(
                f"quantity is {self.quantity!r}; sinograms hold 'line_integral' or 'transmission'."
            )


def remove_rings_large(
    sinograms: Array,
    *,
    large_px: int = LARGE_PX,
    snr: float = SNR,
    quantity: Quantity = "line_integral",
    out: Array | None = None,
) -> Array:
    """Remove large stripes from sinograms.

    Beyond input and output it needs what :func:`large_memory_bytes` says.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Finite. Integers become float32.
    large_px : int
        Width of the median across columns, odd, at most the number of columns; more than twice the
        widest stripe.
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
    stripes = Stripes(large_px=large_px, snr=snr, quantity=quantity)
    stripes.check(sinograms.shape[2])
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)
    return level_and_sort(sinograms, stripes, out)


def large_memory_bytes(slices: int, angles: int, columns: int, *, on_device: bool = False) -> int:
    """Bytes that :func:`remove_rings_large` takes beside input and output, float32.

    On the host that is 10 for each value of one slice and 600 for each angle and thread, on a
    device up to 40 for each value of as many slices as fit the work space of
    :mod:`hipct.preparation.rings_large_cuda`, one at least.
    """
    if on_device:
        from hipct.preparation.rings_large_cuda import work_bytes

        return work_bytes(slices, angles, columns)
    if has_numba():
        return columns * (8 * (angles + LANES) + 2 * angles + 32) + thread_count() * 600 * angles
    return 12 * 4 * angles * columns


def check_width(size_px: int, name: str, columns: int) -> None:
    """Raise InputError unless a median across columns can be that wide."""
    if size_px < 1 or size_px % 2 == 0 or size_px > columns:
        raise InputError(
            f"{name} is {size_px}; the median needs an odd width of 1 up to {columns} columns."
        )


def level_and_sort(
    sinograms: Array, stripes: Stripes, out: Array, mended: Mended | None = None
) -> Array:
    """Large stripes removed, then fine ones by sorting; settings and ``out`` are checked.

    ``mended`` says of a slice which columns take other values, and these (angles, columns); only
    where :func:`accelerated` is true.
    """
    xp = namespace(sinograms, out)
    if accelerated(sinograms):
        finite = _threaded(sinograms, stripes, out, mended)
    elif xp is not np and sinograms.dtype == np.float32:
        from hipct.preparation.rings_large_cuda import level_and_sort as on_device

        finite = on_device(sinograms, stripes, out)
    else:
        finite = slice_by_slice(partial(_plain, stripes=stripes), sinograms, out)
    if not finite:
        refuse_unsortable()
    return out


def accelerated(sinograms: Array) -> bool:
    """Whether compiled loops on the host take these."""
    return namespace(sinograms) is np and has_numba() and sinograms.dtype == np.float32


def dropped_ranks(angles: int) -> int:
    """Ranks at either end that the mean of a column leaves out."""
    return int(0.5 * DROPPED * angles)


def stripes_and_levels(means: Array, smooth_means: Array, stripes: Stripes) -> tuple[Array, Array]:
    """Columns that are stripes, and by what the others differ; all (slices, columns)."""
    xp = namespace(means)
    if stripes.additive:
        level = means - smooth_means
    else:
        known = smooth_means != 0
        level = xp.where(known, means / xp.where(known, smooth_means, 1), 1.0)
    stripe = widened(detect_stripes(level, stripes.snr))
    if not stripes.additive:  # no gain is negative or nothing: such a column holds no signal
        stripe |= level <= 0
    return stripe, level


def _threaded(
    sinograms: NDArray[np.float32],
    stripes: Stripes,
    out: NDArray[np.float32],
    mended: Mended | None,
) -> bool:
    """One slice after the other, all threads on bands of its columns."""
    from hipct.preparation import rings_large_numba as loops
    from hipct.preparation.networks_numba import STRIP
    from hipct.preparation.rings_sorting_numba import angle_type, networks, steps

    _, angles, columns = sinograms.shape
    if sinograms.strides[2] != sinograms.itemsize:
        sinograms = np.ascontiguousarray(sinograms)
    target = out if out.strides[2] == out.itemsize else np.empty_like(sinograms)
    runs = -(-angles // LANES) * LANES
    ranked = np.zeros((columns, runs), np.float32)
    smooth = np.empty((columns, runs), np.float32)
    origin = np.empty((columns, angles), angle_type(angles))
    means = np.empty((2, 1, columns))
    order, drop = steps(angles), dropped_ranks(angles)
    large_px, size_px = stripes.large_px, stripes.size_px
    large, fine = networks(large_px), networks(size_px)
    finite: list[bool] = []

    def on_bands(task: Callable[[int, int], None]) -> None:
        def work(start: int, stop: int) -> None:
            task(start * STRIP, min(stop * STRIP, columns))

        parallel_for(work, -(-columns // STRIP), smallest=NARROWEST_BAND // STRIP)

    for place in range(len(sinograms)):
        sinogram, result = sinograms[place], target[place]

        def sort(first: int, last: int, sinogram: NDArray[np.float32] = sinogram) -> None:
            finite.append(
                loops.sort_band(sinogram, first, last, ranked, origin, order, drop, means[0, 0])
            )

        def smoothen(first: int, last: int) -> None:
            loops.smooth_means_band(
                ranked, large_px, *large, first, last, smooth, drop, angles - drop, means[1, 0]
            )

        on_bands(sort)
        if not all(finite):
            return False
        if mended is not None:
            which, values = mended(place)
            some = np.zeros((len(which), runs), np.float32), origin[: len(which)].copy()
            averages = np.empty(len(which))
            loops.sort_band(values, 0, len(which), *some, order, drop, averages)
            ranked[which], origin[which], means[0, 0, which] = *some, averages
        on_bands(smoothen)
        stripe, level = stripes_and_levels(means[0], means[1], stripes)

        def even(first: int, last: int, stripe: Array = stripe, level: Array = level) -> None:
            loops.level_band(ranked, smooth, stripe[0], level[0], stripes.additive, first, last)

        def restore(first: int, last: int, result: NDArray[np.float32] = result) -> None:
            if fine[0] is not None:
                loops.smooth_and_restore_band(ranked, *fine, origin, first, last, result, order)
                return
            if size_px > 1:
                loops.smooth_band(ranked, size_px, first, last, smooth)
            values = smooth if size_px > 1 else ranked
            loops.restore_band(values, origin, first, last, result, order)

        on_bands(even)
        on_bands(restore)
    if target is not out:
        out[...] = target
    return True


def _plain(sinogram: Array, stripes: Stripes) -> Array:
    xp = namespace(sinogram)
    order = xp.argsort(sinogram, axis=0, kind="stable")
    ranked = xp.take_along_axis(sinogram, order, axis=0)
    smooth = median_across(ranked, stripes.large_px)
    drop = dropped_ranks(len(ranked))
    kept = slice(drop, len(ranked) - drop)
    means = [v[kept].mean(axis=0, dtype=np.float64)[None] for v in (ranked, smooth)]
    stripe, level = stripes_and_levels(means[0], means[1], stripes)
    even = ranked - level if stripes.additive else ranked / xp.where(stripe, 1.0, level)
    levelled = xp.where(stripe, smooth, even.astype(ranked.dtype))
    restored = xp.empty_like(ranked)
    xp.put_along_axis(restored, order, median_across(levelled, stripes.size_px), axis=0)
    return restored


def median_across(rows: Array, size: int) -> Array:
    """Medians of ``size`` columns in every row (rows, columns), borders mirrored."""
    if size == 1:
        return rows
    xp = namespace(rows)
    half = size // 2
    padded = xp.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    smooth = xp.empty_like(rows)
    for first in range(0, len(rows), RANKS_AT_A_TIME):
        part = slice(first, first + RANKS_AT_A_TIME)
        windows = xp.lib.stride_tricks.sliding_window_view(padded[part], size, axis=1)
        smooth[part] = xp.median(windows, axis=-1)
    return smooth
