"""Whether parts of a zoom, each on its own, find themselves where the whole was put.

A similarity has seven parameters; the parts of a zoom, up to 27, have three coordinates each. In a
wrong place some parts may have been made to fit, but most find a better place elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.matching import Matcher
from hipct.atlas.register_parts import REACH, Box, ZoomField, in_circle
from hipct.atlas.similarity import Crop, Similarity
from hipct.atlas.spline import interpolate

Float = NDArray[np.float64]

WINDOW_PX = REACH - 1
"""Voxels of the overview in all directions that a part looks around for itself."""

NEAR_PX = 1.25
"""Farthest that a part may find itself and agree; by chance one in about 40 does."""


class Agreement(NamedTuple):
    """What the parts found.

    Attributes
    ----------
    offsets_px : (parts, 3)
        Where each part fits best, along the zoom's z, y and x, in voxels of the overview.
    ncc : (parts,)
        How well it fits there.
    """

    offsets_px: Float
    ncc: Float

    @property
    def share(self) -> float:
        """Part of the parts that agree."""
        near = np.linalg.norm(self.offsets_px, axis=1) <= NEAR_PX
        return float(near.mean())


def agreement(
    field: ZoomField, boxes: Sequence[Box], crops: Sequence[Crop], place: Similarity
) -> Agreement:
    """Look for each part of the zoom around the place that the whole has.

    Parameters
    ----------
    field : ZoomField
        The zoom at the level that is looked at.
    boxes, crops
        Of the parts, with the overview around each.
    place : Similarity
    """
    xp = field.xp
    unit = field.place.step_um / crops[0].step_um * place.scale
    reach = np.maximum(np.floor(WINDOW_PX / unit), 1).astype(int)
    maps = []
    for (low, box_end), crop in zip(boxes, crops):
        # Odd, so that there is a voxel in the middle.
        high = box_end - 1 + (box_end - low) % 2
        values = field.box(low, high)[0]
        inside = in_circle(field.away_um(low, high), field.zoom.extent_um)
        around = field.away_um(low - reach, high + reach)
        matrix = xp.asarray(place.scale * place.rotation / crop.step_um[:, None])
        shift = xp.asarray((place.position - crop.origin_um) / crop.step_um)
        points = matrix @ around.reshape(3, -1) + shift[:, None]
        seen, measured = interpolate(crop.coefficients, points)
        image = xp.where(measured, seen, np.float32(np.nan)).reshape(around.shape[1:])
        maps.append(Matcher(image, inside, 0.5).ncc(values))
    stacked = xp.stack(maps)
    ncc: NDArray[np.float32] = stacked if xp is np else stacked.get()
    flat = ncc.reshape(len(maps), -1)
    best = flat.argmax(axis=1)
    index = np.stack(np.unravel_index(best, ncc.shape[1:]), axis=1)
    offsets = (index - reach) * unit
    return Agreement(offsets, flat[np.arange(len(best)), best].astype(np.float64))
