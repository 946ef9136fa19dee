"""Samples of two materials: each interface has a delta/beta of its own.

Paganin's filter for a material 2 embedded in a material 1 is that of one material with the ratio
of the differences (Beltran et al., Opt. Express 18 (2010) 6423),

    (delta_2 - delta_1) / (beta_2 - beta_1).

A thickness t of material 2 takes the place of as much of material 1. Where the thickness of both
together is smooth, phase and logarithm of the transmission are therefore those of one material of
thickness t with the differences of delta and beta, but for that smooth part.

Bone in tissue has a few hundred where tissue in air has more than a thousand: filtered for tissue,
bone is smeared into what is around it; filtered for bone, tissue is left noisy and its edges keep
fringes. So both are reconstructed and spliced: what is bone in the slices, with its surroundings,
is taken from the one, all else from the other (Beltran et al., Phys. Med. Biol. 56 (2011) 7353).

The smear itself tells the surroundings. In the slices of material 1 a strong body fades over the
length of the kernel, so that values between those of both materials mark where it disturbs. That
makes a mask that is a function of one voxel, in all directions alike, and has not to be stored
(:func:`mask_by_value`); one from elsewhere serves as well (:func:`splice_by_mask`).
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
    """Join slices retrieved for two materials, by the values of the first.

    Parameters
    ----------
    first : ndarray
        Slices retrieved for material 1, e.g. in 1/cm.
    second : ndarray
        The same slices retrieved for material 2 in material 1.
    low, high : float
        Values of ``first`` as in :func:`mask_by_value`.
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
    _refuse_other_shapes(first=first, second=second)
    return _mixed(first, second, mask_by_value(first, low, high), out)


def splice_by_mask(first: Array, second: Array, mask: Array, out: Array | None = None) -> Array:
    """Join slices retrieved for two materials, by a mask of material 2.

    Parameters
    ----------
    first : ndarray
        Slices retrieved for material 1, e.g. in 1/cm.
    second : ndarray
        The same slices retrieved for material 2 in material 1.
    mask : ndarray, bool or real
        What ``second`` contributes: False or 0 for nothing, True or 1 for all. It has to take in
        what material 2 disturbs around itself, about three kernel lengths of material 1
        (:func:`hipct.phase.kernel_length_px`).
    out : ndarray, optional
        Where the result goes; may be ``first``.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``first``.

    Raises
    ------
    InputError
        If the shapes differ, or the mask is not finite or leaves 0 to 1.

    Examples
    --------
    >>> import numpy as np
    >>> splice_by_mask(np.array([0.1, 0.5]), np.array([0.2, 2.0]), np.array([False, True]))
    array([0.1, 2. ])
    """
    xp = namespace(first, second, mask, out)
    _refuse_other_shapes(first=first, second=second, mask=mask)
    share = mask.astype(first.dtype)
    if share.size and not (float(xp.min(share)) >= 0 and float(xp.max(share)) <= 1):
        raise InputError(
            f"The mask goes from {float(xp.min(share)):g} to {float(xp.max(share)):g}; it has to "
            "be True and False, or numbers from 0 to 1."
        )
    return _mixed(first, second, share, out)


def mask_by_value(first: Array, low: float, high: float) -> Array:
    """Mask of material 2 and of what it disturbs, from slices retrieved for material 1.

    Parameters
    ----------
    first : ndarray
        Slices retrieved for material 1, e.g. in 1/cm.
    low, high : float
        The mask is 0 at ``low`` and below (or above, if ``high`` is less), 1 at ``high`` and
        beyond, and rises smoothly between them. ``low`` close to material 1 takes more of the
        surroundings of material 2 along.

    Returns
    -------
    ndarray
        Of the shape and dtype of ``first``, from 0 to 1.

    Raises
    ------
    InputError
        If ``low`` equals ``high`` or one of them is not finite.

    Examples
    --------
    >>> import numpy as np
    >>> mask_by_value(np.array([0.1, 0.5, 1.0]), 0.2, 0.8)
    array([0. , 0.5, 1. ])
    """
    if not (math.isfinite(low) and math.isfinite(high) and low != high):
        raise InputError(
            f"The splice goes from {low} to {high}; give two finite numbers that differ."
        )
    number = first.dtype.type
    share = namespace(first).clip((first - number(low)) / number(high - low), 0, 1)
    share *= share * (3 - 2 * share)
    return share


def _mixed(first: Array, second: Array, share: Array, out: Array | None) -> Array:
    """First, and as much of second as its share; the share is overwritten."""
    share *= second - first
    if out is None:
        return first + share
    namespace(first, out).add(first, share, out=out)
    return out


def _refuse_other_shapes(**given: Array) -> None:
    shapes = {name: array.shape for name, array in given.items()}
    if len(set(shapes.values())) > 1:
        raise InputError(
            "The slices of the two materials and their mask have to have the same shape, and it is "
            f"{', '.join(f'{shape} of {name}' for name, shape in shapes.items())}."
        )
