"""A volume small, and which part of it a window shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.viewing.reads import PyramidReads
from hipct.viewing.reads_lazy import Bounds

LONGEST = 512
"""Voxels along the longer edge of what is shown small."""

Box = tuple[float, float, float, float]
"""Top, left, bottom, right."""


@dataclass(frozen=True)
class Overview:
    """A slice of a coarse level, and where its corners lie.

    Attributes
    ----------
    picture : ndarray of uint8, (rows, columns)
    box : Box
        Outer edges of its pixels, in the unit of the volume's places.
    """

    picture: NDArray[np.uint8]
    box: Box

    def place_of(self, row: float, column: float) -> tuple[float, float]:
        """Place of a point of the picture, whose upper left corner is (0, 0)."""
        top, left, bottom, right = self.box
        rows, columns = self.picture.shape
        return top + (bottom - top) * row / rows, left + (right - left) * column / columns

    def pixels_of(self, box: Box) -> Box:
        """Rows and columns of a part, cut off where the picture ends."""
        top, left, bottom, right = self.box
        rows, columns = self.picture.shape

        def scaled(place: float, first: float, last: float, pixels: int) -> float:
            return min(max((place - first) / (last - first), 0.0), 1.0) * pixels

        return (
            scaled(box[0], top, bottom, rows),
            scaled(box[1], left, right, columns),
            scaled(box[2], top, bottom, rows),
            scaled(box[3], left, right, columns),
        )


def overview(
    reads: PyramidReads, shown: tuple[int, int], place: float, limits: tuple[float, float]
) -> Overview:
    """The slice that a window shows, from the coarsest level, as far as that has come.

    Parameters
    ----------
    reads : PyramidReads
        A volume of three axes.
    shown : (int, int)
        Axes along the rows' and the columns' number: 0, 1, 2 for z, y, x.
    place : float
        Where the slice lies along the third one, in the unit of the volume's places.
    limits : (float, float)
        Stored values to be black and white.
    """
    number, (along,) = len(reads.levels) - 1, {0, 1, 2} - set(shown)
    level, (scale, first) = reads.levels[number], reads.places[number]
    index = min(max(round((place - first[along]) / scale[along]), 0), level.shape[along] - 1)
    bounds: Bounds = tuple(
        (index, index + 1) if axis == along else (0, n) for axis, n in enumerate(level.shape)
    )
    values = reads.given(number, bounds).squeeze(along)
    if shown[0] > shown[1]:
        values = values.T
    step = -(-max(values.shape) // LONGEST)
    picture = grey(values[::step, ::step], limits)
    ends = [
        (first[axis] - scale[axis] / 2, first[axis] + (level.shape[axis] - 0.5) * scale[axis])
        for axis in shown
    ]
    return Overview(picture, (ends[0][0], ends[1][0], ends[0][1], ends[1][1]))


def grey(values: NDArray[Any], limits: tuple[float, float]) -> NDArray[np.uint8]:
    """Values as grey levels, ``limits`` black and white; NaN is black."""
    low, high = limits
    scaled = (np.nan_to_num(values.astype(np.float32)) - low) * (255 / max(high - low, 1e-30))
    return np.ascontiguousarray(scaled.clip(0, 255).astype(np.uint8))
