"""Slices in polar coordinates about the rotation axis, and the detail that rings are looked for in.

A polar sample is the nearest pixel: along a circle the distance to its centre takes all values, so
that the mean over an arc is the ring averaged over a pixel, which dampens a frequency ``f`` along
the radius, in cycles a pixel, by ``sin(pi f) / (pi f)``. That is undone after averaging.
Interpolation would dampen fine rings more (by half at the highest frequency, whatever the kernel)
and cost more. Radii lie half a pixel apart, so that interpolating the way back loses little.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.preparation.rings_large import LANES, median_across
from hipct.preparation.stripe_score import PARTS

STEPS = 2
"""Radii in a pixel."""

SPACING_PX = 3.0
"""Arc between neighbouring samples at the rim."""

SMALLEST = 32
"""Pixels of the smallest slice that has radii to compare."""

ROWS_AT_A_TIME = 32


@dataclass(frozen=True)
class Polar:
    """Sampling of slices of ``size`` x ``size`` pixels: radii 0, 1/2, 1, ..., even angles.

    ``beside_px`` (y, x) is how far the rotation axis lies beside the middle of the slice.
    """

    size: int
    beside_px: tuple[float, float] = (0.0, 0.0)

    @property
    def pivot(self) -> tuple[float, float]:
        """The axis in rows and columns."""
        middle = (self.size - 1) / 2
        return middle + self.beside_px[0], middle + self.beside_px[1]

    @property
    def radii(self) -> int:
        """Number of radii; all of their circles lie in the slice."""
        aside = max(map(abs, self.beside_px))
        return STEPS * int((self.size - 1) / 2 - aside) + 1

    @property
    def radius_px(self) -> NDArray[np.float64]:
        """The radii in pixels."""
        return np.arange(self.radii, dtype=np.float64) * (1 / STEPS)

    @property
    def angles(self) -> int:
        """Number of angles, whole parts of the circle."""
        return PARTS * max(4, ceil(np.pi * self.size / (SPACING_PX * PARTS)))

    @property
    def turns(self) -> NDArray[np.float64]:
        """The angles in radians, half a step away from the borders of the parts."""
        return (np.arange(self.angles, dtype=np.float64) + 0.5) * (2 * np.pi / self.angles)

    @property
    def bytes_of_slice(self) -> int:
        """Polar values of one slice, float32, in whole runs of lanes."""
        return 4 * self.radii * -(-self.angles // LANES) * LANES


def check_slices(slices: Array, beside_px: tuple[float, float] = (0.0, 0.0)) -> Polar:
    """Sampling of slices (slices, n, n), or InputError if they are no such thing."""
    if slices.shape[1] != slices.shape[2] or slices.shape[1] < SMALLEST:
        raise InputError(
            f"slices have shape {slices.shape}; rings are looked for in square slices of "
            f"{SMALLEST} pixels or more, with the rotation axis near the middle."
        )
    if not all(abs(part) <= slices.shape[1] / 8 for part in beside_px):
        raise InputError(
            f"The rotation axis lies {beside_px} pixels (y, x) beside the middle of the slices; "
            f"rings are looked for up to {slices.shape[1] / 8:g} from it."
        )
    return Polar(slices.shape[1], beside_px)


def check_radial_width(width_px: int, polar: Polar) -> None:
    """Raise InputError unless a median along the radius can be that wide."""
    if width_px < 3 or width_px % 2 == 0 or width_px > polar.radii // STEPS:
        raise InputError(
            f"width_px is {width_px}; the median along the radius needs an odd width of 3 up to "
            f"{polar.radii // STEPS} pixels."
        )


def radial_detail(image: Array, polar: Polar, width_px: int) -> tuple[Array, Array]:
    """What lies above the median along the radius, and its median in each part of the circle.

    Parameters
    ----------
    image : array, shape (n, n), float
    polar : Polar
        For n.
    width_px : int
        Width of the median, odd.

    Returns
    -------
    detail : array, shape (radii, angles)
        The angle grows from x to y.
    parts : array, shape (radii, PARTS)
        With the resolution of the pixels restored.
    """
    xp = namespace(image)
    window = STEPS * width_px - 1
    fast = xp is np and has_numba() and image.dtype == np.float32
    detail = (_by_numba if fast else _plain)(image, polar, window)
    parts = xp.empty((polar.radii, PARTS), image.dtype)

    def work(start: int, stop: int) -> None:
        some = detail[start:stop].reshape(stop - start, PARTS, -1)
        parts[start:stop] = xp.median(some, axis=2)

    if xp is np:
        parallel_for(work, polar.radii, smallest=ROWS_AT_A_TIME)
    else:
        work(0, polar.radii)
    return detail, sharpened(parts)


def sharpened(parts: Array) -> Array:
    """Profiles along the radius (radii, parts) with the average over a pixel undone.

    Frequencies above half a cycle a pixel, which slices do not have, fade out.
    """
    xp = namespace(parts)
    radii = len(parts)
    mirrored = xp.concatenate((parts, parts[::-1]), axis=0)
    frequency = np.fft.rfftfreq(2 * radii, 1 / STEPS)
    fade = 0.5 + 0.5 * np.cos(2 * np.pi * np.clip(frequency - 0.5, 0, 0.5))
    gain = (fade / np.sinc(np.minimum(frequency, 0.5))).astype(parts.dtype)
    spectrum = fft_module(xp).rfft(mirrored, axis=0) * xp.asarray(gain)[:, None]
    return fft_module(xp).irfft(spectrum, n=2 * radii, axis=0)[:radii]


def _by_numba(image: Array, polar: Polar, window: int) -> Array:
    from hipct.preparation.rings_large_numba import smooth_band
    from hipct.volume.polar_numba import sample_radii

    cosines, sines = np.cos(polar.turns), np.sin(polar.turns)
    radius_px = polar.radius_px
    values = np.zeros((polar.radii, polar.bytes_of_slice // (4 * polar.radii)), np.float32)
    smooth = np.empty_like(values)

    def sample(first: int, last: int) -> None:
        sample_radii(image, *polar.pivot, radius_px, cosines, sines, first, last, values)

    def smoothen(first: int, last: int) -> None:
        smooth_band(values, window, first, last, smooth)
        np.subtract(values[first:last], smooth[first:last], out=smooth[first:last])

    parallel_for(sample, polar.radii, smallest=ROWS_AT_A_TIME)
    parallel_for(smoothen, polar.radii, smallest=4 * ROWS_AT_A_TIME)
    return np.ascontiguousarray(smooth[:, : polar.angles])


def _plain(image: Array, polar: Polar, window: int) -> Array:
    xp = namespace(image)
    radius, turns = xp.asarray(polar.radius_px)[:, None], xp.asarray(polar.turns)
    row = xp.floor(polar.pivot[0] + 0.5 + radius * xp.sin(turns)).astype(np.int64)
    column = xp.floor(polar.pivot[1] + 0.5 + radius * xp.cos(turns)).astype(np.int64)
    values = image[row, column]
    return values - median_across(values.T, window).T
