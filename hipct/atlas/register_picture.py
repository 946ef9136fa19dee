"""A zoom in its overview, for people: three planes through its middle, side by side and mixed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.register_levels import Levels
from hipct.atlas.register_parts import in_circle
from hipct.atlas.similarity import Similarity
from hipct.atlas.spline import MARGIN, interpolate, spline_coefficients
from hipct.volume.open import Volume
from hipct.volume.pictures import grey, panels

if TYPE_CHECKING:
    from PIL import Image

Float = NDArray[np.float64]

_PIXELS = 300
_SPACE = 1.2
_LARGEST = 224
_TILES = 9
_CONTRAST = 2.5


def place_picture(zoom: Volume, overview: Volume, place: Similarity) -> Image.Image:
    """The overview, the zoom where it was put, and squares of both in turns.

    Parameters
    ----------
    zoom, overview : Volume
    place : Similarity

    Returns
    -------
    PIL.Image.Image
        A row for each plane of the overview: y x, z x and z y. Grey values of both are brought to
        one mean and one standard deviation where both have any. Structures that break off at the
        edges of the squares are in the wrong place.
    """
    fine, coarse = Levels(zoom, "zoom"), Levels(overview, "overview")
    spacing = float(max(fine.extent_um)) * place.scale * _SPACE / _PIXELS
    images, captions = [], []
    for fixed, name in enumerate(("y x", "z x", "z y")):
        points, shape = _plane(fine, place, fixed, spacing)
        around, there = _overview(coarse, points)
        inside, here = _zoom(fine, place, points)
        both = there & here
        first = _levelled(around, both if both.any() else there)
        second = _levelled(inside, both if both.any() else here)
        seen = np.where(here, second, 0.0)
        tile = _PIXELS / _TILES
        rows, columns = np.indices(shape)
        second_here = ((rows // tile + columns // tile) % 2 == 0).ravel() & here
        for picture, caption in (
            (np.where(there, first, 0.0), f"overview, {name}"),
            (seen, f"zoom, {name}"),
            (np.where(second_here, second, np.where(there, first, 0.0)), "both in turns"),
        ):
            images.append(grey(picture.reshape(shape), -_CONTRAST, _CONTRAST))
            captions.append(caption)
    return panels(images, captions, columns=3)


def _plane(
    zoom: Levels, place: Similarity, fixed: int, spacing: float
) -> tuple[Float, tuple[int, int]]:
    """Points (3, n) of a plane of the overview through the zoom's middle, and the picture's shape.

    Across z a zoom may be rotated, so that its longer side counts.
    """
    half = zoom.extent_um * place.scale * _SPACE / 2
    half[1:] = half[1:].max()
    axes = [np.arange(-h, h + spacing / 2, spacing) for h in half]
    axes[fixed] = np.zeros(1)
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    kept = [axis.size for k, axis in enumerate(axes) if k != fixed]
    return place.position[:, None] + grid.reshape(3, -1), (kept[0], kept[1])


def _overview(overview: Levels, points: Float) -> tuple[Float, NDArray[np.bool_]]:
    spread = float(np.ptp(points, axis=1).max())
    level = next(
        (k for k, at in enumerate(overview.places) if spread / at.voxel_um <= 2 * _LARGEST),
        len(overview.places) - 1,
    )
    at = overview.places[level]
    index = (points - at.origin_um[:, None]) / at.step_um[:, None]
    low = np.floor(index.min(axis=1)).astype(int) - MARGIN - 1
    high = np.ceil(index.max(axis=1)).astype(int) + MARGIN + 2
    return _values(overview.read(level, low, high), index - low[:, None])


def _zoom(zoom: Levels, place: Similarity, points: Float) -> tuple[Float, NDArray[np.bool_]]:
    level = next(
        (k for k, at in enumerate(zoom.places) if max(at.shape) <= _LARGEST), len(zoom.places) - 1
    )
    at = zoom.places[level]
    away = place.rotation.T @ (points - place.position[:, None]) / place.scale
    index = (away + (place.centre - at.origin_um)[:, None]) / at.step_um[:, None]
    values, measured = _values(zoom.read(level, (0, 0, 0), at.shape), index)
    return values, measured & in_circle(away, zoom.extent_um)


def _values(block: NDArray[np.float32], index: Float) -> tuple[Float, NDArray[np.bool_]]:
    """Splines through a block; where it holds NaN, there is nothing."""
    known = np.isfinite(block)
    values, inside = interpolate(spline_coefficients(np.where(known, block, 0)), index)
    nearest = [np.clip(np.rint(i).astype(int), 0, n - 1) for i, n in zip(index, block.shape)]
    return values.astype(np.float64), inside & known[tuple(nearest)]


def _levelled(values: Float, where: NDArray[np.bool_]) -> Float:
    if not where.any():
        return values
    spread = float(values[where].std())
    level: Float = (values - values[where].mean()) / (spread if spread > 0 else 1.0)
    return level
