"""How much the seams between the sub-scans of a series stand out, measured in the volume itself."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from hipct.pipeline.organ import Organ
from hipct.volume.open import open_volume
from hipct.volume.seam import NEIGHBOURS, row_differences, seam_score
from hipct.volume.window import circle

LOOKED_AT_PX = 512
"""Side of the middle of the slices that is looked at: a seam goes through all of a slice."""

SMALLEST_PX = 16
"""Side of slices below which there is nothing to score."""

DEPTH = 32
"""Slices read at a time."""


def score_seams(volume: Path, organ: Organ) -> list[dict[str, Any]]:
    """The seam score of every overlap (:mod:`hipct.volume.seam`).

    Returns
    -------
    list of dict
        ``between`` two names, the ``rows`` of the volume over which one goes over into the other,
        and the ``score``: 1 where they are like the rows around them; ``None`` where these do not
        differ at all, but those of the seam do. Empty of slices that are cropped to less than 16
        pixels.
    """
    level = open_volume(volume).levels[0].array
    depth, height, width = level.shape
    side = min(LOOKED_AT_PX, height, width)
    if side < SMALLEST_PX:
        return []
    y, x = (height - side) // 2, (width - side) // 2
    inside = circle(side, side, side / 2)
    found = []
    for (lower, below), (upper, above) in zip(
        zip(organ.parts, organ.shares), zip(organ.parts[1:], organ.shares[1:])
    ):
        first = above.start - organ.rows.start
        last = below.stop - organ.rows.start
        if not below or not above or last < first:
            continue
        # The steps into the rows of the overlap and into the first one after it.
        begin, end = max(first - 1 - NEIGHBOURS, 0), min(last + 1 + NEIGHBOURS, depth)
        if first <= begin or last >= end:
            continue
        steps = []
        for start in range(begin, end - 1, DEPTH):
            stop = min(start + DEPTH, end - 1) + 1
            slab = np.asarray(level[start:stop, y : y + side, x : x + side])
            steps.append(row_differences(slab, inside=inside))
        score = seam_score(np.concatenate(steps), first - begin, last - begin)
        found.append({
            "between": [lower.name, upper.name],
            "rows": [first, last],
            "score": score if math.isfinite(score) else None,
        })  # fmt: skip
    return found
