"""Samples of two materials: each interface has a delta/beta of its own.

Paganin's filter for a material 2 embedded in a material 1 is that of one material with the ratio
of the differences (Beltran et al., Opt. Express 18 (2010) 6423; Gureyev et al., J. Phys. D 35
(2002) 1119),

    (delta_2 - delta_1) / (beta_2 - beta_1).

Bone in tissue has a few hundred where tissue in air has more than a thousand: filtered for tissue,
bone is smeared into what is around it; filtered for bone, tissue is left noisy and its edges keep
fringes. So both are reconstructed and spliced: what is bone in the slices, with its surroundings,
is taken from the one, all else from the other (Beltran et al., Phys. Med. Biol. 56 (2011) 7353).

The smear itself tells the surroundings. In the slices of material 1 a strong body fades over the
length of the kernel, so that values between those of both materials mark where it disturbs. That
makes the splice a function of one voxel, in all directions alike, without a mask to be stored.
"""

from __future__ import annotations

import math

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError


def interface_delta_beta(delta_1: float, beta_1: float, delta_2: float, beta_2: float) -> float:
    """delta/beta that retrieves the interface of material 2 in material 1.

    Parameters
    ----------
    delta_1, beta_1, delta_2, beta_2 : float
        Of the refractive indices 1 - delta + i beta.

    Raises
    ------
    InputError
        If the ratio of the differences is not above 0: no such filter exists.

    Examples
    --------
    >>> round(interface_delta_beta(3e-8, 2e-11, 6e-8, 9e-11))
    429
    """
    difference = beta_2 - beta_1
    ratio = (delta_2 - delta_1) / difference if difference else math.nan
    if not (math.isfinite(ratio) and ratio > 0):
        raise InputError(
            f"The materials differ by {delta_2 - delta_1:g} in delta and {difference:g} in beta; "
            "a filter needs one that refracts more and absorbs more than the other."
        )
    return ratio


def splice(first: Array, second: Array, low: float, high: float, out: Array | None = None) -> Array:
    """Join slices retrieved for two materials.

    Parameters
    ----------
    first : ndarray
        Slices retrieved for material 1, e.g. in 1/cm.
    second : ndarray
        The same slices retrieved for material 2 in material 1.
    low, high : float
        Values of ``first``: at ``low`` and below (or above, if ``high`` is less) it is kept, at
        ``high`` and beyond ``second`` takes its place, between them they are mixed, smoothly.
        ``low`` close to material 1 takes more of the surroundings of material 2 along.
    out : ndarray, optional
        Where the result goes; may be ``first``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``first``.

    Raises
    ------
    InputError
        If the shapes differ, or ``low`` equals ``high``.

    Examples
    --------
    >>> import numpy as np
    >>> splice(np.array([0.1, 0.5, 1.0]), np.array([0.2, 2.0, 2.0]), 0.2, 0.8)
    array([0.1 , 1.25, 2.  ])
    """
    xp = namespace(first, second, out)
    if first.shape != second.shape:
        raise InputError(
            f"The slices of the two materials have the shapes {first.shape} and {second.shape}; "
            "they have to be the same."
        )
    if not (math.isfinite(low) and math.isfinite(high) and low != high):
        raise InputError(
            f"The splice goes from {low} to {high}; give two finite numbers that differ."
        )
    share = xp.clip((first - first.dtype.type(low)) / first.dtype.type(high - low), 0, 1)
    share *= share * (3 - 2 * share)
    share *= second - first
    if out is None:
        return first + share
    xp.add(first, share, out=out)
    return out
