"""How strong the rings of slices are, before and after their removal.

The measure of :mod:`hipct.preparation.stripe_score` in polar coordinates about the rotation axis:
what 15-degree parts of a ring have in common that are not neighbours, in units of the noise.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from hipct.core.arrays import Array, namespace
from hipct.preparation.checks import floating, three_axes
from hipct.preparation.stripe_score import WIDTH_PX, RingScore, common_power, spread
from hipct.volume.polar import STEPS, Polar, check_radial_width, check_slices, radial_detail

CENTRE_PX = 20
"""Radius that is left out: too few pixels to tell a ring from the sample. So is half of the median
at the other end."""


def ring_score(slices: Array, *, width_px: int = WIDTH_PX) -> RingScore:
    """Score of the rings of slices.

    Compare ``ring_rms`` before and after a removal, which has the unit of the voxels; the
    ``score``, in units of the noise, says whether rings can be seen. Both grow in proportion to
    the rings. Off-centre objects, edges and texture do not count; what is concentric with the
    axis all around, and narrower than half of ``width_px``, does.

    Parameters
    ----------
    slices : array, shape (slices, n, n)
        Voxels with the rotation axis in the middle, finite; integers become float32.
    width_px : int
        Width of the median along the radius, odd: rings up to half as wide count.

    Returns
    -------
    RingScore
        Its arrays lie where the slices are.

    Raises
    ------
    InputError
        If shape, dtype or the width is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> place = np.arange(128) - 63.5
    >>> radius = np.hypot(place, place[:, None])
    >>> noise = np.random.default_rng(0).standard_normal((1, 128, 128))
    >>> rings = 0.5 * np.cos(radius)
    >>> bool(ring_score(noise).score[0] < 0.1 < 0.25 < ring_score(noise + rings).score[0])
    True
    """
    slices = floating(three_axes(slices, "slices", "slices, rows, columns"))
    polar = check_slices(slices)
    check_radial_width(width_px, polar)
    xp = namespace(slices)
    scores = xp.empty((2, len(slices)))
    for place in range(len(slices)):
        found = _profile(slices[place], polar, width_px)
        scores[0, place], scores[1, place] = found.power, found.noise
    return RingScore(scores[0], scores[1])


class RingProfile(NamedTuple):
    """Rings of one slice.

    Attributes
    ----------
    power, noise : float
        As of :class:`RingScore`.
    parts : array, (radii, 24)
        Median of what is finer than the width, in each 15 degrees of the circle; the radii lie half
        a pixel apart.
    """

    power: float
    noise: float
    parts: Array

    @property
    def score(self) -> float:
        """Rings in units of the noise; infinite without any."""
        return math.sqrt(max(float(self.power), 0)) / float(self.noise) if self.noise else math.inf


def ring_profile(image: Array, *, width_px: int = WIDTH_PX) -> RingProfile:
    """Score of the rings of one slice, and where they are.

    Parameters
    ----------
    image : array, shape (n, n)
    width_px : int
        As of :func:`ring_score`.

    Raises
    ------
    InputError
        If shape, dtype or the width is wrong.
    """
    slices = floating(three_axes(image[None], "slices", "slices, rows, columns"))
    polar = check_slices(slices)
    check_radial_width(width_px, polar)
    return _profile(slices[0], polar, width_px)


def _profile(image: Array, polar: Polar, width_px: int) -> RingProfile:
    detail, parts = radial_detail(image, polar, width_px)
    # Where the median ends, it sees one side: an edge of the sample there is no ring.
    last = polar.radii - min(STEPS * (width_px // 2), polar.radii // 4)
    first = min(STEPS * CENTRE_PX, polar.radii // 4)
    power, noise = common_power(parts[first:last], around=True), spread(detail[first:last])
    return RingProfile(float(power), float(noise), parts)
