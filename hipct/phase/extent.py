"""How far an axis of the image is continued before the transform.

A DCT-II sees the image mirrored at both ends, for ever. So mirror padding needs no samples at
all, and edge padding only as many as the kernel reaches: what the mirror does beyond them is too
far away to be felt.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Literal, get_args

import scipy.fft

from hipct.core.arrays import Array
from hipct.core.errors import InputError

Padding = Literal["mirror", "edge"]

# Above this prime the transform falls back to slow passes: 2528 and 5056 columns, both common on
# HiP-CT detectors, hold the factor 79 and take twice as long as 2700 and 5120.
_LARGEST_FAST_PRIME = 11
_WORTHWHILE_GROWTH = 1.3


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


def plan_extent(size: int, reach: int, padding: Padding, *, exact: bool) -> Extent:
    """Choose the samples to add to an axis, and with them a fast length of the transform.

    With ``exact`` a mirrored axis keeps its length even where that is slow.
    """
    check_padding(padding)
    if padding == "edge":
        total = scipy.fft.next_fast_len(size + 2 * reach, real=True)
        return Extent(reach, size, total - size - reach)
    longer = scipy.fft.next_fast_len(size + reach, real=True)
    slow = _largest_prime(size) > _LARGEST_FAST_PRIME
    if slow and longer < _WORTHWHILE_GROWTH * size and not exact:
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


def _largest_prime(number: int) -> int:
    largest, factor = 1, 2
    while factor * factor <= number:
        if number % factor:
            factor += 1
        else:
            largest, number = factor, number // factor
    return max(largest, number)
