"""How far an axis of the image is continued before the transform.

A DCT-II sees the image mirrored at both ends, for ever. So mirror padding needs no samples at
all, and edge padding only as many as the kernel reaches: what the mirror does beyond them is too
far away to be felt.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np

from hipct.core.arrays import Array
from hipct.core.errors import InputError
from hipct.core.jit import has_numba

Padding = Literal["mirror", "edge"]

# Above this prime the transform falls back to slow passes: 2528 and 5056 columns, both common on
# HiP-CT detectors, hold the factor 79 and take twice as long as 2700 and 5120 on the host.
_LARGEST_FAST_PRIME = 11
LARGEST_DEVICE_PRIME = 7
"""The same of cuFFT, from its manual."""
LARGEST_PRIME_OF_LANES = 5
"""The same of :mod:`hipct.core.fft_numba`."""

# Growth that is worth a fast length: measured on the host. On a device it is reckoned: Bluestein's
# algorithm, cuFFT's for large primes, passes through transforms of more than twice the length, in
# up to eight times the work area, while a longer image costs all passes in proportion.
_WORTHWHILE_GROWTH = 1.3
_WORTHWHILE_GROWTH_ON_DEVICE = 1.45
_WORTHWHILE_GROWTH_IN_LANES = 1.95
"""Other lengths take the library's transform, which is more than twice as slow, four times with the
logarithm, which has to follow it as a pass of its own. Below 2 the continuation is one mirror."""


@dataclass(frozen=True)
class Extent:
    """Samples added before and after an axis of ``size`` samples."""

    before: int
    size: int
    after: int

    @property
    def total(self) -> int:
        """Length of the transform."""
        return self.before + self.size + self.after

    @property
    def inner(self) -> slice:
        """Where the image lies inside."""
        return slice(self.before, self.before + self.size)


def plan_extent(size: int, reach: int, padding: Padding, *, exact: bool, xp: Any = np) -> Extent:
    """Choose the samples to add to an axis, and with them a fast length of the transform.

    With ``exact`` a mirrored axis keeps its length even where that is slow. Which lengths are
    fast depends on the library that ``xp`` transforms with.
    """
    check_padding(padding)
    lanes = xp is np and not exact and has_numba()
    if padding == "edge":
        total = _fast_length(size + 2 * reach, xp, lanes)
        return Extent(reach, size, total - size - reach)
    longer = _fast_length(size + reach, xp, lanes)
    if lanes:
        slow, growth = not fits_lanes(size), _WORTHWHILE_GROWTH_IN_LANES
    elif xp is np:
        slow, growth = largest_prime(size) > _LARGEST_FAST_PRIME, _WORTHWHILE_GROWTH
    else:
        slow, growth = largest_prime(size) > LARGEST_DEVICE_PRIME, _WORTHWHILE_GROWTH_ON_DEVICE
    if slow and longer < growth * size and not exact:
        return Extent(0, size, longer - size)
    return Extent(0, size, 0)


def extend(xp: ModuleType, image: Array, rows: Extent, columns: Extent, padding: Padding) -> Array:
    """Copy of a 2-D image (or stack of them) continued as planned."""
    widths = [(0, 0)] * (image.ndim - 2)
    widths += [(rows.before, rows.after), (columns.before, columns.after)]
    return xp.pad(image, widths, mode="edge" if padding == "edge" else "symmetric")


def check_padding(padding: str) -> None:
    """Raise InputError unless ``padding`` names a way to continue the image."""
    if padding not in get_args(Padding):
        raise InputError(
            f"padding is {padding!r}; the image can be continued by "
            f"{' or '.join(get_args(Padding))}."
        )


def largest_prime(number: int) -> int:
    """Largest prime factor of a whole number above 0 (1 has none: 1)."""
    largest, factor = 1, 2
    while factor * factor <= number:
        if number % factor:
            factor += 1
        else:
            largest, number = factor, number // factor
    return max(largest, number)


def fits_lanes(length: int) -> bool:
    """Whether the transform in lanes takes a length: 4 or more, even, no prime factor above 5."""
    return length > 2 and length % 2 == 0 and largest_prime(length) <= LARGEST_PRIME_OF_LANES


@cache
def fast_rows(at_least: int) -> int:
    """Rows of a tile with its halos that every transform takes without continuing them.

    Examples
    --------
    >>> fast_rows(352)
    360
    """
    return _fast_length(at_least, None, lanes=True)


def _fast_length(at_least: int, xp: Any, lanes: bool) -> int:
    if xp is np and not lanes:
        import scipy.fft

        return int(scipy.fft.next_fast_len(at_least, real=True))
    # An odd length of real numbers costs cuFFT a transform of complex ones.
    length = at_least + at_least % 2
    while largest_prime(length) > (LARGEST_PRIME_OF_LANES if lanes else LARGEST_DEVICE_PRIME):
        length += 2
    return length
