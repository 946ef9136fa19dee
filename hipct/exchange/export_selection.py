"""What part of a level is exported: a crop, or an oblique plane, from words."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.exchange.export_level import LENGTHS_UM, LevelView, Slices3

_NUMBER = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(um|mm)?\s*")
_SLACK = 1e-6
"""Part of a voxel by which lengths given in decimals may miss a border."""


def choose_region(view: LevelView, crop: str | None) -> Slices3:
    """The voxels of a crop.

    Parameters
    ----------
    view : LevelView
    crop : str or None
        ``z0:z1,y0:y1,x0:x1``; a bound that is left out is the border of the volume. Without a
        unit, voxels of the level, the second bound exclusive. With ``um`` or ``mm`` after any of
        the numbers (it holds for all of them), positions in the coordinates of the volume: the
        voxels whose centres lie from the first bound up to, and without, the second.

    Raises
    ------
    InputError
        If these are no three ranges, or they reach beyond the volume, or hold no voxel.
    """
    if crop is None:
        z, y, x = (slice(0, n) for n in view.shape)
        return (z, y, x)
    ranges = [part.split(":") for part in crop.split(",")]
    if len(ranges) != 3 or any(len(bounds) != 2 for bounds in ranges):
        raise InputError(f"The crop is {crop!r}; give z0:z1,y0:y1,x0:x1, in voxels, um or mm.")
    words = [bound for bounds in ranges for bound in bounds]
    values, unit = read_lengths(words, f"crop is {crop!r}", optional=True)
    if unit is None:
        z, y, x = (_voxels(view, axis, values[2 * axis : 2 * axis + 2]) for axis in range(3))
        return (z, y, x)
    _need_lengths(view)
    factor = LENGTHS_UM[unit]
    lengths = [None if value is None else value * factor for value in values]
    z, y, x = (_centres(view, axis, lengths[2 * axis : 2 * axis + 2]) for axis in range(3))
    return (z, y, x)


@dataclass(frozen=True)
class Plane:
    """A picture across a level, in micrometres (or voxels of the finest level).

    Pixel (i, j) lies at ``first + i * down + j * right``.

    Attributes
    ----------
    first : centre of pixel (0, 0): z, y, x
    down, right : steps from a pixel to the next row and to the next column: z, y, x
    shape : rows, columns
    pixel : length of a step
    """

    first: NDArray[np.float64]
    down: NDArray[np.float64]
    right: NDArray[np.float64]
    shape: tuple[int, int]
    pixel: float


def choose_plane(view: LevelView, words: str) -> Plane:
    """A plane through a point, across a level.

    The pixels are squares with the edge of the smallest voxel edge of the level. Their columns
    run along x as far as the plane allows (along y where the normal lies within 26 degrees of x),
    their rows at a right angle to it, towards where the coordinate grows along which they run
    most: a normal along z gives the slice as it is, whichever way it points.

    Parameters
    ----------
    view : LevelView
    words : str
        ``cz,cy,cx:nz,ny,nx[:size]``: a point, which becomes the centre of the picture, the normal
        (of any length), and the edge of the square that is shown; without it the smallest
        rectangle around the point that holds all of the cut. The point and the size are voxels of
        the level (the size: pixels), or lengths with ``um`` or ``mm`` after any of them.

    Raises
    ------
    InputError
        If the words are none of that, or the plane misses the volume.
    """
    parts = words.split(":")
    groups = [part.split(",") for part in parts]
    if [len(group) for group in groups] not in ([3, 3], [3, 3, 1]):
        raise InputError(
            f"The plane is {words!r}; give cz,cy,cx:nz,ny,nx or cz,cy,cx:nz,ny,nx:size, the point "
            "and the size in voxels, um or mm."
        )
    what = f"plane is {words!r}"
    lengths, unit = read_lengths([*groups[0], *(groups[2] if len(groups) > 2 else [])], what)
    direction, no_unit = read_lengths(groups[1], what)
    normal = np.array(direction, float)
    if no_unit is not None or not np.linalg.norm(normal) > 0:
        raise InputError(f"The {what}; its normal has to be three numbers, not all of them 0.")
    normal /= np.linalg.norm(normal)
    voxel, origin = np.array(view.voxel), np.array(view.origin)
    pixel = float(voxel.min())
    given = np.array(lengths, float)
    if unit is None:
        centre, size = origin + given[:3] * voxel, given[3:] * pixel
    else:
        _need_lengths(view)
        centre, size = given[:3] * LENGTHS_UM[unit], given[3:] * LENGTHS_UM[unit]
    right = _along(normal)
    down = np.cross(normal, right)
    down *= np.sign(down[np.argmax(np.abs(down))])
    cut = _cut(view, centre, normal)
    if not len(cut):
        raise InputError(f"The {what}; it does not meet level {view.number} of the volume.")
    if size.size:
        halves = [float(size[0]) / 2] * 2
    else:
        halves = [float(np.abs((cut - centre) @ axis).max()) for axis in (down, right)]
    rows, columns = (max(1, round(2 * half / pixel)) for half in halves)
    first = centre - pixel * ((rows - 1) / 2 * down + (columns - 1) / 2 * right)
    return Plane(first, down * pixel, right * pixel, (rows, columns), pixel)


def _along(normal: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit vector in the plane that runs along x, or along y where the plane hardly does."""
    axis = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    along = axis - (axis @ normal) * normal
    unit: NDArray[np.float64] = along / np.linalg.norm(along)
    return unit


def _cut(
    view: LevelView, centre: NDArray[np.float64], normal: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Where the plane crosses the edges of the volume's box, (points, 3)."""
    low = np.array(view.origin) - 0.5 * np.array(view.voxel)
    high = low + np.array(view.shape) * np.array(view.voxel)
    points = []
    for axis in range(3):
        if abs(normal[axis]) < 1e-12:
            continue
        others = [other for other in range(3) if other != axis]
        for ends in product(*((low[other], high[other]) for other in others)):
            point = np.empty(3)
            point[others] = ends
            rest = sum(normal[other] * (point[other] - centre[other]) for other in others)
            point[axis] = centre[axis] - rest / normal[axis]
            slack = _SLACK * view.voxel[axis]
            if low[axis] - slack <= point[axis] <= high[axis] + slack:
                points.append(point)
    return np.array(points)


def read_lengths(
    words: list[str], what: str, *, optional: bool = False
) -> tuple[list[Any], str | None]:
    """Numbers of words such as ``12`` and ``3.5mm``, and the one unit that they have."""
    values: list[float | None] = []
    units = set()
    for word in words:
        if optional and not word.strip():
            values.append(None)
            continue
        match = _NUMBER.fullmatch(word)
        if match is None:
            raise InputError(f"The {what}; {word!r} is no number, with or without um or mm.")
        values.append(float(match[1]))
        units.add(match[2])
    units.discard(None)
    if len(units) > 1:
        raise InputError(f"The {what}; give all its lengths in one unit, um or mm.")
    return values, units.pop() if units else None


def _need_lengths(view: LevelView) -> None:
    if view.volume.length_unit != "um":
        raise InputError(
            f"{view.volume.address} does not say how large its voxels are; give voxels, not "
            "lengths."
        )


def _voxels(view: LevelView, axis: int, bounds: list[Any]) -> slice:
    count = view.shape[axis]
    start, stop = (n if b is None else b for b, n in zip(bounds, (0, count)))
    if start != int(start) or stop != int(stop) or not 0 <= start < stop <= count:
        raise InputError(
            f"The crop along {'zyx'[axis]} is {start:g}:{stop:g}; level {view.number} has the "
            f"voxels 0:{count} there: give whole numbers within, the second above the first."
        )
    return slice(int(start), int(stop))


def _centres(view: LevelView, axis: int, bounds: list[Any]) -> slice:
    count, voxel, origin = view.shape[axis], view.voxel[axis], view.origin[axis]
    low, high = origin - voxel / 2, origin + (count - 0.5) * voxel
    start, stop = (n if b is None else b for b, n in zip(bounds, (low, high)))
    first, last = (math.ceil((b - origin) / voxel - _SLACK) for b in (start, stop))
    inside = low - _SLACK * voxel <= start and stop <= high + _SLACK * voxel
    if not inside or first >= last:
        raise InputError(
            f"The crop along {'zyx'[axis]} is {start:g}:{stop:g} um; level {view.number} lies from "
            f"{low:g} to {high:g} um there with voxels of {voxel:g} um: give a range within that "
            "holds the centre of a voxel at least."
        )
    return slice(max(first, 0), min(last, count))
