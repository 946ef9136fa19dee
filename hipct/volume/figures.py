"""What can be said of a slice in figures: noise, contrast, sharpness, halo.

Each has one definition, needs nothing but the finished slice, and may be compared between slices
of one place that were made in different ways.

noise
    Standard deviation of what changes within 16 pixels where the sample does not: over squares of
    16 pixels, less the plane that fits each of them best, the rms of those that are flattest (at
    most 1.25 times the deviation that a fifth of them stay below). In units of the voxels.
contrast
    How far apart the two classes are that Otsu's threshold makes of the means over squares of four
    pixels (Otsu, IEEE Trans. Syst. Man Cybern. 9 (1979) 62): of the tissues, or of tissue and
    medium. In units of the voxels; over the noise it is the contrast-to-noise ratio.
sharpness
    Full width at half maximum of the Gaussian by which the mean edge is blurred. In pixels, less
    is sharper.
halo
    Height of the rim beside the mean edge, in units of its step: above 0 fringes are left (a dark
    and a bright rim; delta/beta is too small), below 0 edges die out slowly (over-smoothing;
    delta/beta is too large), with the decay length of phase retrieval. See
    :mod:`hipct.volume.edges`, also for what counts as an edge.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError
from hipct.volume.edges import fit_edge, mean_edge

Float = NDArray[np.float64]

NOISE_TILE_PX = 16
CONTRAST_TILE_PX = 4
FWHM = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian of standard deviation 1."""

SHORTEST_PROFILE_PX, LONGEST_PROFILE_PX = 10.0, 32.0
RIM_PX = 3.0
"""Left out along the measured circle, whose end is no edge of the sample."""

SHORTEST_KERNEL_PX = 1.5
"""A rim that dies out within less cannot be told from a sharper edge."""

_FLATTEST = 0.2
_AS_FLAT = 1.25


class Figures(NamedTuple):
    """Figures of a slice, as the module defines them.

    Attributes
    ----------
    noise, contrast : float
        In units of the voxels.
    sharpness_px : float or None
        Width of an edge in pixels; None where too few edges stand out of the noise.
    halo : float or None
        Height of the rim, in units of the step; None without edges or without a kernel length.
    edges : int
        How many edges the mean one was made of.
    """

    noise: float
    contrast: float
    sharpness_px: float | None
    halo: float | None
    edges: int

    @property
    def contrast_to_noise(self) -> float:
        """Contrast in units of the noise; infinite without noise."""
        return self.contrast / self.noise if self.noise else math.inf


def figures(
    picture: ArrayLike,
    *,
    kernel_px: float | None = None,
    inside: NDArray[np.bool_] | None = None,
) -> Figures:
    """Noise, contrast, sharpness and halo of a slice or of a region of one.

    Parameters
    ----------
    picture : array_like, (rows, columns)
        Voxels in any unit.
    kernel_px : float, optional
        Decay length of the kernel of phase retrieval in pixels of the picture
        (:func:`hipct.phase.kernel_length_px`); without it no halo is told.
    inside : array of bool, (rows, columns), optional
        The pixels that count, e.g. the circle that all views have seen; all by default.

    Raises
    ------
    InputError
        If the picture is not two-dimensional, holds values that are not finite among those that
        count, or less than one square of 16 pixels of it counts.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(0.5, 0.01, (128, 128))
    >>> told = figures(noise)
    >>> round(told.noise, 3), told.edges
    (0.01, 0)
    """
    values, inside = _checked(picture, inside)
    noise = _noise(values, inside)
    contrast = _contrast(values, inside)
    length = None if kernel_px is None else max(kernel_px, SHORTEST_KERNEL_PX)
    reach = SHORTEST_PROFILE_PX if length is None else 3 * length
    profile = mean_edge(
        values,
        inside,
        reach_px=min(max(reach, SHORTEST_PROFILE_PX), LONGEST_PROFILE_PX),
        noise=noise,
    )
    if profile is None:
        return Figures(noise, contrast, None, None, 0)
    fit = fit_edge(profile, length or SHORTEST_PROFILE_PX)
    halo = None if length is None else fit.halo
    return Figures(noise, contrast, FWHM * fit.blur_px, halo, profile.edges)


def _checked(
    picture: ArrayLike, inside: NDArray[np.bool_] | None
) -> tuple[Float, NDArray[np.bool_]]:
    values = np.array(picture, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(f"The picture has the shape {values.shape}; give (rows, columns).")
    counts = np.ones(values.shape, bool) if inside is None else np.asarray(inside, bool)
    if counts.shape != values.shape:
        raise InputError(
            f"The mask has the shape {counts.shape} and the picture {values.shape}; they have to "
            "be the same."
        )
    wrong = int(np.count_nonzero(~np.isfinite(values[counts])))
    if wrong:
        raise InputError(f"{wrong} of the voxels that count are not finite; leave them out.")
    values[~counts] = 0
    return values, counts


def _squares(array: NDArray[np.generic], side: int) -> NDArray[np.generic]:
    """Whole squares (n, side, side) of a picture; what is left over at its ends is dropped."""
    rows, columns = (size // side for size in array.shape)
    cut = array[: rows * side, : columns * side]
    return cut.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side, side)


def _whole(values: Float, inside: NDArray[np.bool_], side: int) -> Float:
    """Squares of a picture that lie inside with every pixel."""
    keep = _squares(inside, side).all(axis=(1, 2))
    return np.asarray(_squares(values, side)[keep], np.float64)


def _noise(values: Float, inside: NDArray[np.bool_]) -> float:
    side = NOISE_TILE_PX
    squares = _whole(values, inside, side)
    if not len(squares):
        raise InputError(
            f"No square of {side} x {side} voxels of the picture counts; take a larger region."
        )
    place = np.arange(side) - (side - 1) / 2
    power = (place**2).sum() * side
    squares = squares - squares.mean(axis=(1, 2), keepdims=True)
    for along in (place[:, np.newaxis], place[np.newaxis, :]):
        slope = (squares * along).sum(axis=(1, 2), keepdims=True) / power
        squares = squares - slope * along
    # Three of the 256 degrees of freedom went into the plane.
    variance = (squares**2).sum(axis=(1, 2)) / (side * side - 3)
    flat = variance <= _AS_FLAT**2 * np.quantile(variance, _FLATTEST)
    return float(np.sqrt(variance[flat].mean()))


def _contrast(values: Float, inside: NDArray[np.bool_]) -> float:
    means = np.sort(_whole(values, inside, CONTRAST_TILE_PX).mean(axis=(1, 2)))
    count = np.arange(1, len(means))
    below = np.cumsum(means)[:-1]
    low, high = below / count, (means.sum() - below) / (len(means) - count)
    between = count * (len(means) - count) * (high - low) ** 2
    best = int(np.argmax(between))
    return float(high[best] - low[best])
