"""How much a seam between two parts of a volume stands out: the seam score.

From slice to slice a volume changes by what the sample does and by noise. At a seam the levels,
the positions or the noise of two sub-scans change as well. With

    d(z) = rms over the slice of (mean over a tile of v[z + 1] - v[z])

the score of a seam is the rms of d over the steps that belong to it, divided by the median of d
over neighbouring steps on both sides: 1 where it is like its neighbours. Means over small tiles
leave a step of the level, or a shift of structures larger than a tile, and take noise out that
would hide it: a score is as strict as its tiles are large. What the sample does from slice to slice
is in the score too; with noise it scatters little, without any by some per cent.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError

NEIGHBOURS = 8
"""Steps on either side that a seam is compared with."""

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


def seam_score(
    differences: Float, first: int, last: int | None = None, *, neighbours: int = NEIGHBOURS
) -> float:
    """The score of one seam.

    Parameters
    ----------
    differences : ndarray, (steps,)
        As :func:`row_differences` gives them; those of slabs that share a slice follow each other.
    first : int
        The slice after the seam: the step from slice first - 1 to first belongs to it.
    last : int, optional
        Of a seam that is blended from slice ``first`` to slice ``last``: all steps into these
        slices belong to it.
    neighbours : int
        Steps on either side; fewer at the ends of the volume, but one at least in all.

    Returns
    -------
    float
        1: no seam; also where nothing changes at all. Infinite if it does at the seam alone.

    Raises
    ------
    InputError
        If there are no such slices, or no neighbours.

    Examples
    --------
    >>> steps = np.array([1.0, 1.0, 1.1, 1.5, 0.9, 1.0])
    >>> seam_score(steps, 4), seam_score(steps, 2)
    (1.5, 1.0)
    """
    last = first if last is None else last
    if not 1 <= first <= last <= len(differences) or neighbours < 1:
        raise InputError(
            f"The seam lies at the slices {first} to {last} of {len(differences) + 1}, to be "
            f"compared with {neighbours} steps on either side; give slices from 1 to the last, in "
            "ascending order, and 1 step or more."
        )
    around = np.concatenate([
        differences[max(first - 1 - neighbours, 0) : first - 1],
        differences[last : last + neighbours],
    ])  # fmt: skip
    if not around.size:
        raise InputError(
            "All steps between the slices belong to the seam; give a volume that reaches beyond."
        )
    seam = float(np.sqrt(np.mean(np.square(differences[first - 1 : last]))))
    usual = float(np.median(around))
    if usual == 0:
        return 1.0 if seam == 0 else float("inf")
    return seam / usual


def _tiles(slices: Array, side: int) -> Array:
    """Means over tiles of some slices."""
    count, rows, columns = slices.shape
    rows, columns = rows // side, columns // side
    cropped = slices[:, : rows * side, : columns * side]
    return cropped.reshape(count, rows, side, columns, side).mean(axis=(2, 4))
