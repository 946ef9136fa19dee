"""Slices as panels of a sheet: their scale, their orientation, their colours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipct.volume.pictures import grey
from hipct.volume.snapshot_sheet import HOLE, Panel

ORIENTATIONS = (("z", "y", "x"), ("y", "z", "x"), ("x", "z", "y"))
"""Of the three slices: the axis across, the one downwards, the one to the right."""
UNREAD = np.float32(np.inf)
"""Stands for what could not be read; NaN is a voxel that has no value."""
_SMALL_PX = 480
_GOLDEN = 0.61803398875


def pixel_size(extent: Mapping[str, float], finest: float, longest_px: int) -> float:
    """Edge of a pixel of a volume's panels: its finest voxel, or a whole part of it if it is small.

    Parameters
    ----------
    extent : mapping of axis to length
    finest : float
        Shortest edge of a voxel, in the same unit.
    longest_px : int
        Pixels that the longest extent may take.
    """
    edge = max(finest, max(extent.values()) / longest_px)
    return edge / max(1, int(min(longest_px, _SMALL_PX) // (max(extent.values()) / edge)))


def slice_panel(
    image: Image.Image,
    orientation: tuple[str, str, str],
    extent: Mapping[str, float],
    *,
    unit_per_px: float,
    place: float,
    unit: str,
) -> Panel:
    """A slice at the scale of its sheet, every voxel a box of one colour.

    Parameters
    ----------
    image : PIL.Image.Image
        One pixel a voxel.
    orientation : (str, str, str)
        One of :data:`ORIENTATIONS`.
    extent : mapping of axis to length
    unit_per_px : float
    place : float
        Where the slice lies along the axis across.
    unit : {"um", "voxel"}
        Of all lengths.
    """
    across, rows, columns = orientation
    shown = image.resize(
        (
            max(1, round(extent[columns] / unit_per_px)),
            max(1, round(extent[rows] / unit_per_px)),
        ),
        Image.Resampling.NEAREST,
    )
    where = f"{place / 1000:.3g} mm" if unit == "um" else f"{place:g} voxels"
    return Panel(f"{rows} down, {columns} right; {across} = {where}", shown)


def grey_image(values: NDArray[np.floating], window: tuple[float, float]) -> Image.Image:
    """Values as RGB: NaN black, :data:`UNREAD` in the colour of holes."""
    known = np.where(np.isfinite(values), values, window[0])
    rgb = np.repeat(grey(known, *window)[..., None], 3, axis=-1)
    rgb[values == UNREAD] = HOLE
    return Image.fromarray(rgb)


def label_colours(
    labels: NDArray[np.floating], brightness: NDArray[np.floating] | None = None
) -> Image.Image:
    """Labels as RGB: each number a hue of its own, 0 black, UNREAD in the colour of holes.

    Hues follow one another by the golden ratio, so that neighbouring numbers differ much.
    """
    holes = labels == UNREAD
    number = np.where(np.isfinite(labels), labels, 0)
    hue = np.modf(number * _GOLDEN)[0][..., None]
    # HSV with saturation 0.65 and value 0.95, as a smooth function of the hue.
    wheel = np.clip(np.abs((hue + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1, 0, 1)
    rgb = 0.95 * (1 - 0.65 * (1 - wheel))
    if brightness is not None:
        rgb = rgb * brightness[..., None]
    rgb[number == 0] = 0
    steps = np.rint(255 * rgb).astype(np.uint8)
    steps[holes] = HOLE
    return Image.fromarray(steps)


def range_text(window: tuple[float, float], value: tuple[float, float, str] | None) -> str:
    """What black and white stand for.

    Parameters
    ----------
    window : (float, float)
        Stored grey values shown black and white.
    value : (float, float, str) or None
        Scale, offset and unit of ``value = stored * scale + offset``.
    """
    if value is None:
        return f"grey {window[0]:g} to {window[1]:g}"
    scale, offset, unit = value
    low, high = (grey * scale + offset for grey in window)
    # Three figures of the width: more of either end says nothing.
    decimals = 2 - int(np.floor(np.log10(abs(high - low)))) if low != high else 3
    return f"{round(low, decimals):g} to {round(high, decimals):g} {unit}".strip()
