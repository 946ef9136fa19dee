"""Noise power: how the variance of noise is spread over spatial frequencies.

Of squares of N x N pixels of edge p that hold nothing but noise n, over the samples of a ring of
spatial frequency f,

    NPS(f) = p^2 / sum(w^2) < |DFT(w (n - mean n))|^2 >

(Siewerdsen, Cunningham & Jaffray, Med. Phys. 29 (2002) 2655), with Hann's window w, by which the
ends of a square do not leak into other frequencies; without a window sum(w^2) is N^2. White noise
of standard deviation s has s^2 p^2 at every frequency, and over the plane of frequencies the power
adds up to the variance.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError

SMALLEST_PX = 16
"""Side of the smallest square: seven rings."""


class NoisePower(NamedTuple):
    """Noise power by spatial frequency.

    Attributes
    ----------
    frequency : ndarray of float64, (rings,)
        Of each ring, in cycles a unit of ``pixel_size``, up to the highest of the grid; that of 0
        is left out.
    power : ndarray of float64, (rings,)
        In the squared unit of the values times that of the area of a pixel.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]


def noise_power(squares: ArrayLike, *, pixel_size: float = 1.0) -> NoisePower:
    """Noise power of squares that hold nothing but noise, as a mean over them and over rings.

    Half the difference of two images of one thing, with independent noise of equal power, has the
    noise of their mean and nothing of the thing.

    Parameters
    ----------
    squares : array_like, (n, side, side)
        16 pixels a side or more, finite.
    pixel_size : float
        Edge of a pixel, in any unit of length.

    Raises
    ------
    InputError
        If the squares are none, too small, or not finite, or the pixel size is not above 0.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0, 3, (50, 32, 32))
    >>> told = noise_power(noise, pixel_size=2)
    >>> bool(np.allclose(told.power, 9 * 2**2, rtol=0.2))
    True
    """
    values = np.asarray(squares, np.float64)
    side = values.shape[-1] if values.ndim == 3 else 0
    if side < SMALLEST_PX or values.shape[1:] != (side, side) or not values.size:
        raise InputError(
            f"The squares have the shape {values.shape}; give (n, side, side), with "
            f"{SMALLEST_PX} pixels a side or more."
        )
    if not np.isfinite(values).all():
        raise InputError("The squares hold values that are not finite; leave those squares out.")
    if not 0 < pixel_size < np.inf:
        raise InputError(f"The pixel size is {pixel_size}; it has to be above 0.")
    taper = np.hanning(side + 1)[:-1]
    window = np.multiply.outer(taper, taper)
    faded = (values - values.mean(axis=(1, 2), keepdims=True)) * window
    power = (np.abs(np.fft.fft2(faded)) ** 2).mean(axis=0) * pixel_size**2 / (window**2).sum()
    place = np.fft.fftfreq(side) * side
    ring = np.rint(np.hypot.outer(place, place)).astype(np.intp).ravel()
    last = side // 2
    mean = np.bincount(ring, power.ravel()) / np.bincount(ring)
    frequency = np.arange(1, last + 1) / (side * pixel_size)
    return NoisePower(frequency, mean[1 : last + 1])
