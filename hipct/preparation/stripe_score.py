"""How strong stripes and rings are: what distant parts of a ring have in common.

A stripe is the same at every angle; noise and the sample are not. Take what is finer than a median
of :data:`WIDTH_PX` across columns (or radii), its median over each of :data:`PARTS` equal parts of
the angle, and multiply parts that are not neighbours: noise averages to zero in the products, the
median within a part passes over edges that cross it, and the mean of the products is the variance
of the rings alone,

    ring_rms^2 = mean over columns c and parts p of q[p, c] q[p + 2, c].

The score is ``ring_rms`` in units of the noise of single values (1.4826 times the median of the
absolute fine detail): rings below some hundredths are lost in the noise, rings of 1 are all one
sees. What is concentric with the rotation axis, in every part of the angle and narrower than half
of the median, counts as a ring: nothing in one slice tells it from one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import floating, three_axes
from hipct.preparation.rings_large import check_width, median_across

PARTS = 24
"""Parts of the angle: 15 degrees of a slice each."""

APART = 2
"""Parts that are multiplied lie that many apart."""

WIDTH_PX = 21
"""Width of the median that the detail of a ring is finer than."""


@dataclass(frozen=True)
class RingScore:
    """Strength of the rings of some slices.

    Attributes
    ----------
    power : array, float64, shape (slices,)
        Variance of the rings, in the squared unit of the values; without rings it is noise about
        zero, and may be negative.
    noise : array, float64, shape (slices,)
        Standard deviation of the fine detail of single values.
    """

    power: Array
    noise: Array

    @property
    def ring_rms(self) -> Array:
        """Root mean square of the rings, in the unit of the values."""
        xp = namespace(self.power)
        return xp.sqrt(xp.maximum(self.power, 0))

    @property
    def score(self) -> Array:
        """``ring_rms`` over ``noise``; 0 where there is neither."""
        xp = namespace(self.power)
        known = self.noise > 0
        ratio = self.ring_rms / xp.where(known, self.noise, 1)
        return xp.where(known | (self.power <= 0), ratio, np.inf)


def stripe_score(sinograms: Array, *, width_px: int = WIDTH_PX) -> RingScore:
    """Score of the stripes of sinograms.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals or transmission, finite, 48 angles or more.
    width_px : int
        Width of the median across columns, odd: stripes up to half as wide count.

    Raises
    ------
    InputError
        If shape, dtype or a parameter is wrong.
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    slices, angles, columns = sinograms.shape
    check_width(width_px, "width_px", columns)
    if angles < 2 * PARTS:
        raise InputError(f"{angles} angles are too few to compare; give {2 * PARTS} or more.")
    xp = namespace(sinograms)
    scores = xp.empty((2, slices))
    each = angles // PARTS
    for place in range(slices):
        image = sinograms[place, : each * PARTS]
        detail = image - median_across(image, width_px)
        parts = xp.median(detail.reshape(PARTS, each, columns), axis=1)
        scores[0, place] = common_power(parts.T, around=False)
        scores[1, place] = spread(detail)
    return RingScore(scores[0], scores[1])


def common_power(parts: Array, *, around: bool) -> Array:
    """Mean product of parts (positions, parts) that lie :data:`APART` apart.

    ``around``: whether the last part is followed by the first.
    """
    xp = namespace(parts)
    parts = parts.astype(np.float64)
    products = parts * xp.roll(parts, -APART, axis=1)
    return (products if around else products[:, :-APART]).mean()


def spread(detail: Array) -> Array:
    """Standard deviation of normal values, by the median of their magnitudes."""
    xp = namespace(detail)
    return 1.4826 * xp.median(abs(detail)).astype(np.float64)
