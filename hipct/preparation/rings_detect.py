"""Which columns of a sinogram hold a stripe.

Algorithm 4 of Vo, Atwood & Drakopoulos, "Superior techniques for eliminating ring artifacts in
X-ray micro-tomography", Optics Express 26 (2018) 28396: a number for each column is sorted; a line
fitted to the middle half of the sorted values stands for columns without stripes, and what lies
far beyond its ends is a stripe.
"""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError

SNR = 3.0
"""How far a stripe stands out by default, as in the paper."""

LEAST_NOISE = 1e-6
"""Where columns differ by less than this, their differences are rounding: no noise is assumed to
be smaller, so that simulated and empty sinograms are taken as well."""

LEAST_COLUMNS = 8
"""With fewer columns there is no line to fit, and no stripe is found."""


def check_snr(snr: float) -> None:
    """Raise InputError unless the ratio can tell stripes."""
    if not 1 <= snr < np.inf:
        raise InputError(
            f"snr is {snr}; a stripe has to stand out by 1 times the noise or more (3 is usual)."
        )


def detect_stripes(profiles: Array, snr: float = SNR) -> Array:
    """Columns that stand out from the others.

    Parameters
    ----------
    profiles : array, float64, shape (slices, columns)
        A number for each column that is about the same for all columns without a stripe.
    snr : float
        How many times the noise (the height of the fitted line) the largest or smallest value has
        to lie beyond the line; columns beyond half of that are stripes. Larger finds fewer.

    Returns
    -------
    array of bool, shape (slices, columns)

    Examples
    --------
    >>> profile = np.linspace(0.99, 1.01, 20)[None].copy()
    >>> profile[0, 7] = 1.2
    >>> np.flatnonzero(detect_stripes(profile))
    array([7])
    """
    xp = namespace(profiles)
    columns = profiles.shape[1]
    if columns < LEAST_COLUMNS:
        return xp.zeros(profiles.shape, bool)
    ranked = xp.sort(profiles, axis=1)
    drop = columns // 4
    place = np.arange(drop, columns - drop - 1, dtype=np.float64)
    weights = (place - place.mean()) / ((place - place.mean()) ** 2).sum()
    middle = ranked[:, drop : columns - drop - 1]
    slope = (middle * xp.asarray(weights)).sum(axis=1, keepdims=True)
    lower = middle.mean(axis=1, keepdims=True) - slope * place.mean()
    upper = lower + slope * (columns - 1)
    noise = xp.maximum(abs(upper - lower), LEAST_NOISE)
    above = abs(ranked[:, -1:] - upper) >= snr * noise
    below = abs(lower - ranked[:, :1]) >= snr * noise
    reach = 0.5 * snr * noise
    return (above & (profiles > upper + reach)) | (below & (profiles <= lower - reach))


def widened(mask: Array) -> Array:
    """The mask (slices, columns) and the columns beside it."""
    wide = mask.copy()
    wide[:, 1:] |= mask[:, :-1]
    wide[:, :-1] |= mask[:, 1:]
    return wide
