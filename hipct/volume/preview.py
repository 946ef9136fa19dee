"""A picture of a volume: three orthogonal slices through its centre, with a scale bar."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hipct.core.errors import InputError
from hipct.volume.open import Volume, VolumeLevel, open_volume
from hipct.volume.pictures import grey, write_png

_GAP, _TEXT, _INK, _PAPER = 14, 15, (235, 235, 235), (18, 18, 20)


@dataclass(frozen=True)
class _Panel:
    title: str
    image: Image.Image


def orthogonal_preview(path: Path | str, png: Path | str, *, max_px: int = 800) -> Path:
    """Write a PNG of three orthogonal slices through the centre of a volume.

    The slices come from the finest level that fits, drawn to scale (voxels that are no cubes
    included), with the stored display window, a scale bar, and the values of black and white.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume: its folder, or its address on a server.
    png : path
        The picture; an existing one is replaced.
    max_px : int
        Longest edge of a slice in pixels, at least 64.

    Returns
    -------
    Path
        ``png``.

    Raises
    ------
    InputError, FormatError, RemoteError
        If the volume cannot be opened or ``max_px`` is too small.
    OutputError
        If the picture cannot be written.
    """
    if max_px < 64:
        raise InputError(f"max_px is {max_px}; give at least 64.")
    volume = open_volume(path)
    level = _level_that_fits(volume, max_px)
    black, white = volume.display or _range_of(level)
    panels, um_per_px = _panels(volume, level, (black, white), max_px)
    picture = _compose(volume, panels, um_per_px, (black, white))
    write_png(Path(png), picture)
    return Path(png)


def _level_that_fits(volume: Volume, max_px: int) -> VolumeLevel:
    fitting = [level for level in volume.levels if max(level.array.shape) <= max_px]
    return fitting[0] if fitting else volume.levels[-1]


def _range_of(level: VolumeLevel) -> tuple[float, float]:
    middle = np.asarray(level.chunkwise[level.array.shape[0] // 2])
    return float(middle.min()), float(max(middle.max(), middle.min() + 1))


def _panels(
    volume: Volume, level: VolumeLevel, window: tuple[float, float], max_px: int
) -> tuple[list[_Panel], float]:
    size = dict(zip(volume.axes, level.array.shape))
    voxel = dict(zip(volume.axes, level.scale))
    start = dict(zip(volume.axes, level.translation))
    extent = {axis: size[axis] * voxel[axis] for axis in "zyx"}
    um_per_px = _pixel_um(extent, voxel, max_px)
    panels = []
    for across, rows, columns in (("z", "y", "x"), ("y", "z", "x"), ("x", "z", "y")):
        middle = size[across] // 2
        index = tuple(middle if axis == across else slice(None) for axis in volume.axes)
        plane = np.asarray(level.chunkwise[index])
        if volume.axes.index(rows) > volume.axes.index(columns):
            plane = plane.T
        shown = Image.fromarray(grey(plane, *window)).resize(
            (
                max(1, round(extent[columns] / um_per_px)),
                max(1, round(extent[rows] / um_per_px)),
            ),
            Image.Resampling.NEAREST,
        )
        place = start[across] + middle * voxel[across]
        where = f"{place / 1000:.3g} mm" if volume.length_unit == "um" else f"{place:g} voxels"
        panels.append(_Panel(f"{rows} down, {columns} right; {across} = {where}", shown))
    return panels, um_per_px


def _pixel_um(extent: dict[str, float], voxel: dict[str, float], max_px: int) -> float:
    """Size of a picture's pixel: the finest voxel, small volumes enlarged by a whole factor."""
    finest = max(min(voxel.values()), max(extent.values()) / max_px)
    longest = max(extent.values()) / finest
    return finest / max(1, int(min(max_px, 480) // longest))


def _compose(
    volume: Volume, panels: list[_Panel], um_per_px: float, window: tuple[float, float]
) -> Image.Image:
    """Slices beside each other: xy, then xz above yz when both are flat, else in a row."""
    font = ImageFont.load_default(_TEXT)
    head, line = 2 * _GAP + _TEXT, _TEXT + 8
    widths = [max(panel.image.width, int(font.getlength(panel.title))) for panel in panels]
    column = max(widths[1:])
    first, second, third = (panel.image.height + line for panel in panels)
    stacked = second + _GAP + third <= max(first, 2 * line + 160)
    if stacked:
        places = [
            (_GAP, head),
            (2 * _GAP + widths[0], head),
            (2 * _GAP + widths[0], head + second + _GAP),
        ]
        width = 3 * _GAP + widths[0] + column
        height = max(first, second + _GAP + third)
    else:
        lefts = np.cumsum([_GAP, widths[0] + _GAP, widths[1] + _GAP])
        places = [(int(left), head) for left in lefts]
        width = int(lefts[-1]) + widths[2] + _GAP
        height = max(first, second, third)
    title = (
        f"{volume.name}: {' x '.join(str(n) for n in volume.shape)} voxels "
        + (
            f"of {' x '.join(f'{v:g}' for v in volume.voxel_size_um)} um "
            if volume.length_unit == "um"
            else "of unknown size "
        )
        + f"({', '.join(volume.axes)})"
    )
    width = max(width, int(font.getlength(title)) + 2 * _GAP, 520)
    foot = 2 * _GAP + 2 * line
    picture = Image.new("RGB", (width, head + height + foot), _PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((_GAP, _GAP), title, _INK, font)
    for panel, (left, top) in zip(panels, places):
        draw.text((left, top), panel.title, _INK, font)
        picture.paste(panel.image.convert("RGB"), (left, top + line))
    bottom = head + height + _GAP
    _scale_bar(draw, (_GAP, bottom), um_per_px, volume.length_unit, font)
    _grey_bar(picture, draw, (width // 2, bottom), _range_text(volume, window), font)
    return picture


def _scale_bar(
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    um_per_px: float,
    unit: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    length_um = round_length_um(150 * um_per_px)
    left, top = corner
    draw.rectangle((left, top + 4, left + round(length_um / um_per_px) - 1, top + 10), _INK)
    millimetres = unit == "um" and length_um >= 1000
    text = f"{length_um / 1000:g} mm" if millimetres else f"{length_um:g} {unit}"
    draw.text((left, top + 16), text, _INK, font)


def round_length_um(longest: float) -> float:
    """Largest 1, 2 or 5 times a power of ten up to ``longest``.

    Examples
    --------
    >>> round_length_um(1700.0), round_length_um(0.7)
    (1000.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)))


def _grey_bar(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    text: str,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
) -> None:
    left, top = corner
    ramp = np.broadcast_to(np.linspace(0, 255, 200).astype(np.uint8), (10, 200))
    picture.paste(Image.fromarray(np.ascontiguousarray(ramp)).convert("RGB"), (left, top + 2))
    draw.text((left, top + 16), text, _INK, font)


def _range_text(volume: Volume, window: tuple[float, float]) -> str:
    """What black and white stand for."""
    if volume.scale is None or volume.offset is None:
        return f"grey {window[0]:g} to {window[1]:g}"
    black, white = (f"{grey * volume.scale + volume.offset:.4g}" for grey in window)
    return f"{black} to {white} {volume.unit or ''}"
