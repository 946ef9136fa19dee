"""One slice before and after settings were changed: roughly first, then finely, with figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.live.cancel import Asked, stop_if
from hipct.live.scan import Region
from hipct.live.tuning import Tuning
from hipct.volume.figures import Figures

ROUGH_PX = 320
"""A rough picture has at most this many voxels along its longer side."""

PAUSE_S = 0.1
"""How long a fine picture waits for something newer: while a slider moves, the processor is left to
rough pictures and to the window that draws them."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Both pictures of a place.

    Attributes
    ----------
    before, after : ndarray of float32, (rows, columns)
        On the grid of level 0, whatever they were made from.
    level : int
        What they were made from: above 0 they are rough.
    z : int
    region : (slice, slice)
        Where they lie in the slice.
    tuned : Tuning
        The settings of ``after``.
    seconds : float
        Since the beginning.
    figures : (Figures, Figures) or None
        Once they are known; None also where the region is too small for them.
    """

    before: NDArray[np.float32]
    after: NDArray[np.float32]
    level: int
    z: int
    region: Region
    tuned: Tuning
    seconds: float
    figures: tuple[Figures, Figures] | None = None


def compare(
    before: Tuning,
    after: Tuning,
    z: int,
    *,
    region: Region | None = None,
    rough: bool = True,
    known: Figures | None = None,
    cancelled: Asked | None = None,
) -> Iterator[Comparison]:
    """Make a slice under two settings, and say what they are worth.

    Parameters
    ----------
    before, after : Tuning
        Of one scan.
    z : int
    region : (slice, slice), optional
        Rows and columns of level 0; all by default.
    rough : bool
        Whether a rough picture comes first. It is not given up for something newer, so that there
        is always one to be seen.
    known : Figures, optional
        Those of ``before``, where they have been told already.
    cancelled : callable, optional
        Asked before the fine picture is made, and while it is.

    Yields
    ------
    Comparison
        Rough, fine, and fine with figures.
    """
    begun = time.perf_counter()
    rows, columns = before.live.shape[1:]
    if region is None:
        region = slice(0, rows), slice(0, columns)
    longest = max(part.stop - part.start for part in region)
    level = 0
    while longest > ROUGH_PX << level:
        level += 1

    def made(level: int, asked: Asked | None) -> Comparison:
        pictures = [_enlarged(each, z, level, region, asked) for each in (before, after)]
        spent = time.perf_counter() - begun
        return Comparison(pictures[0], pictures[1], level, z, region, after, spent)

    if rough and level:
        yield made(level, None)
        pause = time.perf_counter() + PAUSE_S
        while cancelled is not None and time.perf_counter() < pause:
            stop_if(cancelled)
            time.sleep(PAUSE_S / 10)
    fine = made(0, cancelled)
    yield fine
    try:
        told = (
            known or before.figures_of(fine.before, region=region),
            after.figures_of(fine.after, region=region),
        )
    except InputError:  # too small a region for any figure: the pictures stay
        return
    spent = time.perf_counter() - begun
    yield Comparison(fine.before, fine.after, 0, z, region, after, spent, told)


def _enlarged(
    tuning: Tuning, z: int, level: int, region: Region, cancelled: Asked | None
) -> NDArray[np.float32]:
    """A picture of a level with its voxels repeated, on the grid of level 0."""
    if not level:
        return tuning.slice(z, region=region, cancelled=cancelled)
    step = 1 << level
    coarse: Region = (
        slice(region[0].start // step, -(-region[0].stop // step)),
        slice(region[1].start // step, -(-region[1].stop // step)),
    )
    picture = tuning.slice(z // step, level=level, region=coarse, cancelled=cancelled)
    large = np.repeat(np.repeat(picture, step, axis=0), step, axis=1)
    top, left = (whole.start - part.start * step for whole, part in zip(region, coarse))
    height, width = (part.stop - part.start for part in region)
    return np.ascontiguousarray(large[top : top + height, left : left + width])
