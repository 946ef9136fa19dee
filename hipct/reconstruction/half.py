"""Half-acquisition: weights that make two half rows one whole, before anything is filtered.

With the axis near one edge of the detector a projection covers little more than half of the
sample; the projection half a turn later covers the rest, mirrored. Near the axis both see the
same rays. Each ray must count once in total, so both are weighted there, by functions that add
up to 1 and have no corner. The weighted row is then a complete row in the sense of the ramp
filter: smooth towards the inner side, where zeros follow, and continued by its edge value on the
outer side alone. Filtering first and blending afterwards, the usual order, lets the filter see
the cut and leaves a few per cent of error.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def extended_width(columns: int, axis: float) -> int:
    """Columns that a half-acquisition covers: 2 max(axis, columns - 1 - axis) + 1, rounded up.

    Examples
    --------
    >>> extended_width(2048, 1920.25)
    3842
    """
    return math.ceil(2.0 * max(axis, columns - 1 - axis) + 1.0 - 1e-9)


def overlap_width(columns: int, axis: float) -> float:
    """Width in columns of the strip that opposite projections share (negative: of the hole)."""
    return 2.0 * min(axis, columns - 1 - axis) + 1.0


def lateral_weights(positions: ArrayLike, columns: int, axis: float) -> NDArray[np.float64]:
    """Weights across a row of a half-acquisition: w(t) + w(-t) = 1 at distance t from the axis.

    1 on the outer side, 0 beyond the strip that opposite projections share, and half a period of a
    sine between them. Where the axis lies outside of the detector, the strip is the hole that no
    projection measured; the weights then blend the inner edge values of both projections over it.

    Parameters
    ----------
    positions : array_like, shape (n,)
        Columns of the detector, also beyond its edges.
    columns : int
        Width of the detector.
    axis : float
        Rotation axis in columns.

    Returns
    -------
    ndarray, shape (n,), float64
    """
    distance = np.asarray(positions, dtype=np.float64) - axis
    outward = distance if axis <= (columns - 1) / 2 else -distance
    half_strip = max(abs(min(axis, columns - 1 - axis)), 0.5)
    return 0.5 + 0.5 * np.sin(0.5 * np.pi * np.clip(outward / half_strip, -1.0, 1.0))
