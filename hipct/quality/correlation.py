"""Resolution from two images of the same thing with independent noise: the Fourier correlation.

Of the transforms F and G of two images, over the samples of a ring (a shell in three dimensions)
of spatial frequency f,

    FRC(f) = Re sum F conj(G) / sqrt(sum |F|^2 sum |G|^2)

(Saxton & Baumeister, J. Microsc. 127 (1982) 127; Harauz & van Heel, Optik 73 (1986) 146). Where
both hold the same signal of power S and independent noise of power N, its mean is S / (S + N).
Resolution is where it falls below the half-bit curve of van Heel & Schatz, "Fourier shell
correlation threshold criteria", J. Struct. Biol. 151 (2005) 250: with n samples in a ring,

    T(n) = (0.2071 + 1.9102 / sqrt(n)) / (1.2071 + 0.9102 / sqrt(n)),

at which the mean of both images holds half a bit of information a sample.

Crops fade out to their ends (Hann's window), as a cut would correlate with itself. Neighbouring
samples of their transforms are not independent then; n is what is left along a ring.
"""

from __future__ import annotations

from functools import reduce
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError

SMALLEST_PX = 32
"""Side of the smallest crop: 16 rings."""

FIRST_RING = 2
"""Rings below are the mean of the crop and its window."""

_INDEPENDENT = (3 / 8) ** 2 / (35 / 128)
"""Of samples along an axis, under Hann's window: (sum w^2)^2 / (n sum w^4)."""

Float = NDArray[np.float64]


class Resolution(NamedTuple):
    """Correlation of two images, and the detail up to which they agree.

    Attributes
    ----------
    frequency : ndarray of float64, (rings,)
        Of each ring, in cycles a pixel; the last is the highest of the grid, 0.5.
    correlation : ndarray of float64, (rings,)
        From -1 to 1.
    threshold : ndarray of float64, (rings,)
        The half-bit curve.
    pixels : float or None
        Period of the first frequency at which the correlation, as a mean over three rings, falls
        below the threshold; 2 where it never does, None where it is below from the first ring on.
    """

    frequency: Float
    correlation: Float
    threshold: Float
    pixels: float | None

    @property
    def at_the_limit(self) -> bool:
        """Whether all that the pixels can hold is resolved."""
        return self.pixels == 1 / float(self.frequency[-1])


class FourierCorrelation:
    """Sums over crops of two images, one after another, so that nothing whole is in memory.

    Parameters
    ----------
    side : int
        Of the crops, along each axis, 32 or more.
    axes : int
        2 for rings of slices, 3 for shells of volumes.

    Raises
    ------
    InputError
        If a crop cannot be so small, or have so many axes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> both = FourierCorrelation(64)
    >>> for _ in range(8):
    ...     signal = rng.standard_normal((64, 64))
    ...     both.add(signal + rng.standard_normal((64, 64)), signal + rng.standard_normal((64, 64)))
    >>> bool(abs(both.resolution().correlation[4:].mean() - 0.5) < 0.03)
    True
    """

    def __init__(self, side: int, axes: int = 2) -> None:
        if side < SMALLEST_PX or axes not in (2, 3):
            raise InputError(
                f"Crops of {side} pixels along {axes} axes were asked for; a correlation needs "
                f"{SMALLEST_PX} pixels or more along 2 or 3 axes."
            )
        self._shape = (side,) * axes
        full, last = np.fft.fftfreq(side), np.fft.rfftfreq(side)
        squares = [place**2 for place in (full,) * (axes - 1)] + [last**2]
        radius = side * np.sqrt(reduce(np.add.outer, squares))
        self._rings = side // 2 + 1
        self._ring = np.minimum(np.rint(radius).astype(np.intp), self._rings).ravel()
        # All but the first and the last of half a transform stand for two samples.
        twice = np.where((last == 0) | (last == 0.5), 1.0, 2.0)
        self._weight = np.broadcast_to(twice, radius.shape).ravel()
        taper = np.hanning(side + 1)[:-1]
        self._window = reduce(np.multiply.outer, [taper] * axes)
        self._samples = np.bincount(self._ring, self._weight)[: self._rings]
        self._cross, self._first, self._second = np.zeros((3, self._rings))
        self._crops = 0

    @property
    def crops(self) -> int:
        """Crops that were added."""
        return self._crops

    def add(self, first: ArrayLike, second: ArrayLike) -> None:
        """Add a crop of both images.

        Raises
        ------
        InputError
            If they have another shape than the crops, or hold what is not finite.
        """
        one, other = (self._transform(image) for image in (first, second))
        self._cross += self._sum((one * other.conj()).real)
        self._first += self._sum(np.abs(one) ** 2)
        self._second += self._sum(np.abs(other) ** 2)
        self._crops += 1

    def resolution(self) -> Resolution:
        """What the crops so far tell.

        Raises
        ------
        InputError
            If there are none.
        """
        if not self._crops:
            raise InputError("No crop was added; a correlation needs one at least.")
        both = np.sqrt(self._first * self._second)
        correlation = self._cross / np.where(both > 0, both, 1)
        independent = self._samples * self._crops * _INDEPENDENT ** (len(self._shape) - 1)
        threshold = half_bit(np.maximum(independent, 1))
        frequency = np.arange(self._rings) / self._shape[0]
        return Resolution(
            frequency, correlation, threshold, _crossing(frequency, correlation, threshold)
        )

    def _transform(self, image: ArrayLike) -> NDArray[np.complex128]:
        values = np.asarray(image, np.float64)
        if values.shape != self._shape or not np.isfinite(values).all():
            raise InputError(
                f"A crop has the shape {values.shape}; give finite values of the shape "
                f"{self._shape}."
            )
        spectrum: NDArray[np.complex128] = np.fft.rfftn((values - values.mean()) * self._window)
        return spectrum

    def _sum(self, power: Float) -> Float:
        """Sums over rings, of half a transform."""
        sums = np.bincount(self._ring, self._weight * power.ravel(), self._rings)
        return np.asarray(sums[: self._rings], np.float64)


def half_bit(samples: ArrayLike) -> Float:
    """The half-bit threshold of rings with so many independent samples.

    Examples
    --------
    >>> half_bit([1e12]).round(4).tolist()
    [0.1716]
    """
    root = np.sqrt(np.asarray(samples, np.float64))
    return np.asarray((0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root), np.float64)


def _crossing(frequency: Float, correlation: Float, threshold: Float) -> float | None:
    """Period at which the correlation falls below the threshold, between two rings.

    Of means over three rings: a single one of a small crop may fall below by chance.
    """
    above = correlation - threshold
    above = np.convolve(np.pad(above, 1, mode="edge"), np.full(3, 1 / 3), "valid")
    below = np.flatnonzero(above[FIRST_RING:] < 0)
    if not below.size:
        return 1 / float(frequency[-1])
    ring = FIRST_RING + int(below[0])
    if ring == FIRST_RING:
        return None
    share = above[ring - 1] / (above[ring - 1] - above[ring])
    step = frequency[ring] - frequency[ring - 1]
    return 1 / float(frequency[ring - 1] + share * step)
