"""The grey-value window: which values the ends of the 16-bit range stand for.

One window serves the whole volume (an organ with a window per slice cannot be measured). It is
found from a histogram of a few reconstructed slices, inside the reconstructed circle.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.volume.disc import circle, squared_reach

__all__ = ["GreyHistogram", "Window", "circle", "window_from_histogram", "window_from_samples"]

_DROPPED_BITS = 10
_BINS = 1 << (32 - _DROPPED_BITS)

HISTOGRAM_BYTES = 8 * _BINS
"""What a :class:`GreyHistogram` keeps on a device."""


@dataclass(frozen=True)
class Window:
    """Values that 0 and 65535 stand for: ``value = stored * scale + offset``.

    Parameters
    ----------
    low, high : float
        Values, in the unit of the volume, of the darkest and the brightest grey value;
        finite, ``low < high``.

    Raises
    ------
    InputError
        If an end is not finite or ``low`` is not below ``high``.

    Examples
    --------
    >>> window = Window(-1.0, 1.0)
    >>> window.offset, round(65535 * window.scale + window.offset, 12)
    (-1.0, 1.0)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not (isfinite(self.low) and isfinite(self.high) and self.low < self.high):
            raise InputError(
                f"The grey-value window is ({self.low}, {self.high}); give two finite values, "
                "the lower one first."
            )

    @property
    def scale(self) -> float:
        """Value of one 16-bit grey step."""
        return (self.high - self.low) / 65535

    @property
    def offset(self) -> float:
        """Value of grey 0."""
        return self.low


class GreyHistogram:
    """Histogram of float32 values over their whole range, merged exactly in any order.

    The bins are the leading 22 bits of the numbers themselves (sign, exponent, 13 bits of
    mantissa), so no range has to be known beforehand, the width of a bin is 2**-13 of its value,
    and histograms of several workers add up to the same result in any order. NaN and infinite
    values are left out.

    Values on a device are counted there, into 32 MB that are kept until the counts are asked for:
    adding never waits for the device.

    Examples
    --------
    >>> histogram = GreyHistogram()
    >>> histogram.add(np.arange(1001, dtype=np.float32))
    >>> abs(histogram.percentile(50.0) - 500.0) < 0.1
    True
    """

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)
        self._on_device: Array | None = None

    @property
    def counts(self) -> NDArray[np.int64]:
        """Values in each bin, int64, shape (4194304,)."""
        if self._on_device is not None:
            xp = namespace(self._on_device)
            self._counts += xp.asnumpy(self._on_device).astype(np.int64)
            self._on_device = None
        return self._counts

    @property
    def total(self) -> int:
        """Number of values counted."""
        return int(self.counts.sum())

    def add(self, values: ArrayLike | Array, *, radius_px: float | None = None) -> None:
        """Count the finite ones of ``values``.

        Parameters
        ----------
        values : array_like, any shape
            NumPy or CuPy; taken as float32.
        radius_px : float, optional
            Count only inside of this radius about the middle of the last two axes.

        Raises
        ------
        InputError
            If the radius is negative or not a number, or there are no two axes for it.
        """
        reach = squared_reach(radius_px)
        xp = namespace(values)
        array = xp.asarray(values, xp.float32)
        if radius_px is not None and array.ndim < 2:
            raise InputError(
                f"A disc was asked for in values of shape {array.shape}; give (..., rows, columns)."
            )
        if xp is not np:
            self._add_on_device(xp.ascontiguousarray(array), reach)
            return
        if radius_px is not None:
            rows, columns = array.shape[-2:]
            array = array[..., circle(rows, columns, radius_px)]
        self._counts += np.bincount(_bin(array[np.isfinite(array)]), minlength=_BINS)

    def _add_on_device(self, array: Array, reach: int) -> None:
        from hipct.volume.window_cuda import add_to_histogram

        xp = namespace(array)
        if self._on_device is None:
            self._on_device = xp.zeros(_BINS, xp.uint64)
        add_to_histogram(array, reach, self._on_device)

    def merge(self, other: GreyHistogram) -> None:
        """Add the counts of another histogram."""
        self._counts += other.counts

    def percentile(self, percent: float) -> float:
        """Value below which ``percent`` of the counted values lie.

        Raises
        ------
        InputError
            If nothing was counted, or ``percent`` is outside 0 .. 100.
        """
        if not 0 <= percent <= 100:
            raise InputError(f"The percentile is {percent}; it has to lie in 0 .. 100.")
        counts = self.counts
        filled = np.flatnonzero(counts)
        if not filled.size:
            raise InputError("No finite value was found to take the grey-value window from.")
        cumulative = np.cumsum(counts[filled])
        rank = percent / 100 * (cumulative[-1] - 1)
        place = int(np.searchsorted(cumulative, rank, side="right"))
        place = min(place, filled.size - 1)
        before = cumulative[place] - counts[filled[place]]
        low, high = _edges(int(filled[place]))
        inside = float((rank - before + 0.5) / counts[filled[place]])
        return low + (high - low) * inside


def window_from_samples(
    slices: ArrayLike | Array,
    *,
    percentiles: tuple[float, float] = (0.1, 99.9),
    radius_px: float | None = None,
) -> Window:
    """Grey-value window from a few slices, inside the reconstructed circle.

    Parameters
    ----------
    slices : array_like, float32, shape (slices, n, n)
        Reconstructed slices, NumPy or CuPy; NaN and infinite voxels are left out.
    percentiles : (float, float)
        Per cent of voxels below the lower and the upper end.
    radius_px : float, optional
        Radius of the circle about the slice's centre ``((n-1)/2, (n-1)/2)``; default ``n/2``.

    Raises
    ------
    InputError
        If the shape is wrong, no voxel is finite, or the percentiles do not rise.
    """
    array = namespace(slices).asarray(slices)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3 or not array.size:
        raise InputError(
            f"The sample slices have the shape {array.shape}; give (slices, rows, columns)."
        )
    histogram = GreyHistogram()
    radius = min(array.shape[1:]) / 2 if radius_px is None else radius_px
    for image in array:
        histogram.add(image, radius_px=radius)
    return window_from_histogram(histogram, percentiles)


def window_from_histogram(
    histogram: GreyHistogram, percentiles: tuple[float, float] = (0.1, 99.9)
) -> Window:
    """Window between two percentiles of a histogram; a constant volume gets a narrow one.

    Raises
    ------
    InputError
        If the histogram is empty or the percentiles do not rise.
    """
    lower, upper = percentiles
    if not lower < upper:
        raise InputError(f"The percentiles are {percentiles}; the first has to be the lower one.")
    low, high = histogram.percentile(lower), histogram.percentile(upper)
    # Ends in the same bin of the histogram cannot be told apart.
    if high - low > max(abs(low), abs(high)) * 2.0**-12:
        return Window(low, high)
    margin = max(abs(low) * 1e-3, 1e-6)
    return Window(low - margin, high + margin)


def _bin(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """Bins that rise with the value: IEEE bits, with the negative half turned round."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    ordered = np.where(bits >> 31, ~bits, bits | np.uint32(0x80000000))
    return (ordered >> _DROPPED_BITS).astype(np.int64)


def _edges(place: int) -> tuple[float, float]:
    """Smallest and largest float32 of a bin."""
    first = place << _DROPPED_BITS
    ends = np.array([first, first | ((1 << _DROPPED_BITS) - 1)], np.uint32)
    bits = np.where(ends >> 31, ends & np.uint32(0x7FFFFFFF), ~ends).astype(np.uint32)
    low, high = bits.view(np.float32).astype(np.float64)
    return float(low), float(high)
