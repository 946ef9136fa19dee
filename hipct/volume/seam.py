"""How much a seam between two parts of a volume stands out: the seam score.

From slice to slice a volume changes by what the sample does and by noise. At a seam the levels,
the positions or the noise of two sub-scans change as well. The score of the step from slice z to
z + 1 is

    d(z) / median of d(z') over its neighbours,    d(z) = rms of (mean over tiles of v[z+1] - v[z])

1 where the step is like its neighbours. Means over small tiles of the slice come first: they leave
a step of the level, or a shift of structures larger than a tile, and take noise out that would
hide it. So a score is as strict as its tiles are large.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError

NEIGHBOURS = 8
"""Steps on either side that a step is compared with."""

TILE_PX = 4
"""Side of the tiles over which differences are averaged."""

Float = NDArray[np.float64]


def row_differences(slab: Array, *, inside: Array | None = None, tile_px: int = TILE_PX) -> Float:
    """The rms difference of each slice to the next one.

    Parameters
    ----------
    slab : array, shape (slices, rows, columns)
        Neighbouring slices of any real dtype; NumPy or CuPy.
    inside : array of bool, (rows, columns), optional
        The pixels that count, e.g. the disc that all sub-scans have reconstructed; tiles with any
        other pixel are left out. All by default.
    tile_px : int
        Side of the tiles, 1 for single pixels; what is left at the right and lower edge is
        dropped.

    Returns
    -------
    ndarray of float64, (slices - 1,)

    Raises
    ------
    InputError
        If the slab has less than 2 slices, a tile does not fit, or no tile is inside.
    """
    xp = namespace(slab, inside)
    if slab.ndim != 3 or len(slab) < 2 or min(slab.shape[1:]) < tile_px or tile_px < 1:
        raise InputError(
            f"The slab has shape {slab.shape} and its tiles a side of {tile_px}; give (slices, "
            "rows, columns) with 2 slices or more, and tiles that fit into a slice."
        )
    if inside is None:
        inside = xp.ones(slab.shape[1:], bool)
    counts = _tiles(inside[None].astype(np.float32), tile_px)[0] > 1 - 1e-6
    means = [_tiles(part[None].astype(np.float64), tile_px)[0] for part in slab]
    squares = xp.stack([
        xp.where(counts, (after - before) ** 2, 0).sum()
        for before, after in pairwise(means)
    ])  # fmt: skip
    flat = xp.concatenate([squares, counts.sum().astype(np.float64).reshape(1)])
    values: Float = flat if xp is np else flat.get()
    if values[-1] == 0:
        raise InputError(
            "No tile of the slices lies inside of what counts; give a larger region or smaller "
            "tiles."
        )
    differences: Float = np.sqrt(values[:-1] / values[-1])
    return differences


def seam_scores(differences: Float, *, neighbours: int = NEIGHBOURS) -> Float:
    """Each difference in relation to the median of its neighbours on both sides.

    Parameters
    ----------
    differences : ndarray, (steps,)
        As :func:`row_differences` gives them.
    neighbours : int
        Steps on either side; fewer at the ends, but one at least in all.

    Returns
    -------
    ndarray of float64, (steps,)
        1 where nothing stands out; 1 where all is 0, infinite where the neighbours alone are.

    Examples
    --------
    >>> seam_scores(np.array([1.0, 1.0, 1.5, 1.0, 1.0])).tolist()
    [1.0, 1.0, 1.5, 1.0, 1.0]
    """
    count = len(differences)
    if count < 2 or neighbours < 1:
        raise InputError(
            f"There are {count} differences between slices and {neighbours} neighbours to compare "
            "with; give 2 differences or more and 1 neighbour or more."
        )
    scores = np.ones(count)
    for k in range(count):
        around = np.concatenate([
            differences[max(k - neighbours, 0) : k], differences[k + 1 : k + 1 + neighbours]
        ])  # fmt: skip
        usual = float(np.median(around))
        if usual > 0:
            scores[k] = differences[k] / usual
        elif differences[k] > 0:
            scores[k] = np.inf
    return scores


def seam_score(
    slab: Array,
    first: int,
    last: int | None = None,
    *,
    inside: Array | None = None,
    tile_px: int = TILE_PX,
    neighbours: int = NEIGHBOURS,
) -> float:
    """The seam score of a slab.

    Parameters
    ----------
    slab, inside, tile_px, neighbours
        As of :func:`row_differences` and :func:`seam_scores`; the slab should reach some
        ``neighbours`` slices beyond the seam on both sides.
    first : int
        The slice after the seam: the step from slice first - 1 to first is looked at.
    last : int, optional
        Of a seam that is blended over the slices ``first`` to ``last``; the step that stands out
        most counts.

    Returns
    -------
    float
        1: no seam.

    Raises
    ------
    InputError
        If the slab has no such slices.

    Examples
    --------
    >>> noise = np.random.default_rng(0).normal(size=(20, 64, 64))
    >>> noise[10:] += 0.5
    >>> round(seam_score(noise, 10), 1), round(seam_score(noise, 5), 1)
    (1.7, 1.0)
    """
    last = first if last is None else last
    if not 1 <= first <= last < len(slab):
        raise InputError(
            f"The seam lies at the slices {first} to {last} of a slab of {len(slab)}; give slices "
            "from 1 to the last, in ascending order."
        )
    differences = row_differences(slab, inside=inside, tile_px=tile_px)
    return float(seam_scores(differences, neighbours=neighbours)[first - 1 : last].max())


def _tiles(slices: Array, side: int) -> Array:
    """Means over tiles of some slices."""
    count, rows, columns = slices.shape
    rows, columns = rows // side, columns // side
    cropped = slices[:, : rows * side, : columns * side]
    return cropped.reshape(count, rows, side, columns, side).mean(axis=(2, 4))
