"""The zoom cut into parts, and the regions of the overview around them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.register_levels import Levels
from hipct.atlas.similarity import Crop, Part, Similarity, make_part
from hipct.atlas.spline import (
    MARGIN,
    bends,
    blurred,
    slopes,
    spline_coefficients,
    spline_values,
)
from hipct.core.arrays import Array

Float = NDArray[np.float64]
Index = NDArray[np.int64]
Box = tuple[Index, Index]

INSIDE = 0.96
"""Part of the zoom's circle across z that is used: at its rim reconstructions are worst."""

REACH = 4
"""Voxels of the overview on all sides of a part that are read with it."""

_ALONG_EDGE = 3
_SHORTEST = 7
_LONGEST = 28
_TOGETHER = 2**21
_LEAST_INSIDE = 0.2


class Parts(NamedTuple):
    """Parts of the zoom, and the first and last voxel (not included) of each one's box."""

    parts: list[Part]
    boxes: list[Box]


def matched_blur(zoom_step: Float, overview_step: Float) -> tuple[float, float, float]:
    """Gaussian, in voxels of the zoom, that makes its voxels as wide as the overview's.

    A voxel of side v blurs like a Gaussian of variance v^2/12.
    """
    wider = np.sqrt(np.maximum(overview_step**2 - zoom_step**2, 0) / 12) / zoom_step
    return (float(wider[0]), float(wider[1]), float(wider[2]))


def in_circle(away_um: Array, extent_um: Float) -> Array:
    """Which points, (3, ...) from the zoom's centre, lie in its inscribed upright cylinder."""
    radius = INSIDE * min(extent_um[1], extent_um[2]) / 2
    return (away_um[1] ** 2 + away_um[2] ** 2 <= radius**2) & (abs(away_um[0]) <= extent_um[0] / 2)


class ZoomField:
    """The zoom at one level, blurred like voxels of the overview.

    Parameters
    ----------
    zoom : Levels
    level : int
    target_um : (3,)
        Voxel of the overview, in lengths of the zoom.
    xp : module
        Where arrays live.
    blur_px : float
        A Gaussian on top, in voxels of the overview, for both volumes.
    """

    def __init__(
        self, zoom: Levels, level: int, target_um: Float, xp: ModuleType, *, blur_px: float = 0.0
    ) -> None:
        self.zoom, self.level, self.xp, self.blur_px = zoom, level, xp, blur_px
        self.place = zoom.places[level]
        matched = np.array(matched_blur(self.place.step_um, target_um))
        sigma = np.hypot(matched, blur_px * target_um / self.place.step_um)
        self._sigma = (float(sigma[0]), float(sigma[1]), float(sigma[2]))
        self._whole: Array | None = None
        if np.prod(self.place.shape) <= _TOGETHER:
            self._whole = self._spline(np.zeros(3, int), np.array(self.place.shape))

    def box(self, low: Index, high: Index) -> tuple[Array, Array, Array]:
        """Values, slopes per um (first axis: z, y, x) and Laplacian per um^2 of a box."""
        if self._whole is not None:
            first, last = np.zeros(3, int), np.array(self.place.shape)
        else:
            rim = int(np.ceil(4 * max(self._sigma))) + 3
            first = np.maximum(low - rim, 0)
            last = np.minimum(high + rim, self.place.shape)
        smooth = self._whole if self._whole is not None else self._spline(first, last)
        # The filters behind the values reach one voxel.
        near, far = np.maximum(low - 2, first), np.minimum(high + 2, last)
        smooth = smooth[tuple(slice(a - f, b - f) for a, b, f in zip(near, far, first))]
        kept = tuple(slice(a - f, b - f) for a, b, f in zip(low, high, near))
        step = self.xp.asarray(self.place.step_um.astype(np.float32))[:, None, None, None]
        bend = (bends(smooth)[(slice(None), *kept)] / step**2).sum(axis=0)
        return spline_values(smooth)[kept], slopes(smooth)[(slice(None), *kept)] / step, bend

    def away_um(self, low: Index, high: Index) -> Array:
        """Voxels of a box, (3, z, y, x) float64, from the zoom's centre."""
        origin, step = self.place.origin_um - self.zoom.centre_um, self.place.step_um
        axes = [
            self.xp.asarray(origin[k] + step[k] * np.arange(a, b))
            for k, (a, b) in enumerate(zip(low, high))
        ]
        return self.xp.stack(self.xp.meshgrid(*axes, indexing="ij"))

    def _spline(self, first: Index, last: Index) -> Array:
        raw = np.nan_to_num(self.zoom.read(self.level, first, last))
        return spline_coefficients(blurred(self.xp.asarray(raw), self._sigma))


def cells(shape: Sequence[int]) -> list[Box]:
    """Boxes that a zoom is cut into: up to 3 along an axis, the middle of each at most 28 long."""
    ranges = []
    for size in shape:
        count = int(np.clip(size // _SHORTEST, 1, _ALONG_EDGE))
        edges = np.linspace(0, size, count + 1)
        axis = []
        for a, b in pairwise(edges):
            length = min(int(b - a), _LONGEST)
            low = int(np.floor((a + b - length) / 2 + 0.5))
            axis.append((low, low + length))
        ranges.append(axis)
    return [
        (np.array([r[0] for r in box]), np.array([r[1] for r in box])) for box in product(*ranges)
    ]


def zoom_parts(field: ZoomField) -> Parts:
    """Parts of the zoom; those with too little inside of its circle are left out."""
    parts, boxes = [], []
    for low, high in cells(field.place.shape):
        away = field.away_um(low, high)
        inside = in_circle(away, field.zoom.extent_um)
        if float(inside.mean()) < _LEAST_INSIDE:
            continue
        values, slope, bend = field.box(low, high)
        parts.append(make_part(away[:, inside], values[inside], slope[:, inside], bend[inside]))
        boxes.append((low, high))
    return Parts(parts, boxes)


def overview_crops(
    overview: Levels, level: int, field: ZoomField, boxes: Sequence[Box], place: Similarity
) -> list[Crop]:
    """The overview around each part; one region for all of them where it is small."""
    at, grid = overview.places[level], field.place
    bounds = []
    for low, high in boxes:
        ends = [
            (grid.origin_um[k] + grid.step_um[k] * np.array([low[k], high[k] - 1]))
            for k in range(3)
        ]
        corners = np.array(list(product(*ends)))
        index = (place.apply(corners) - at.origin_um) / at.step_um
        rim = MARGIN + REACH
        bounds.append((
            np.floor(index.min(axis=0)).astype(int) - rim,
            np.ceil(index.max(axis=0)).astype(int) + rim + 1,
        ))  # fmt: skip
    low = np.min([b[0] for b in bounds], axis=0)
    high = np.max([b[1] for b in bounds], axis=0)
    if np.prod(high - low) <= _TOGETHER:
        crop = _crop(overview, level, low, high, field)
        return [crop] * len(bounds)
    return [_crop(overview, level, a, b, field) for a, b in bounds]


def _crop(overview: Levels, level: int, low: Index, high: Index, field: ZoomField) -> Crop:
    place = overview.places[level]
    # Beyond the volume there is nothing; a point there has no value.
    first = np.clip(low, 0, np.array(place.shape) - 1).astype(int)
    last = np.clip(high, first + 1, place.shape).astype(int)
    values = np.nan_to_num(overview.read(level, first, last))
    smooth = blurred(field.xp.asarray(values), (field.blur_px,) * 3)
    return Crop(
        spline_coefficients(smooth),
        place.origin_um + first * place.step_um,
        place.step_um,
    )
