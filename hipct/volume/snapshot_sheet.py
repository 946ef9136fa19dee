"""Panels drawn to one scale on one sheet: titles, a scale bar, what black and white stand for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

INK, PAPER, HOLE = (235, 235, 235), (18, 18, 20), (190, 40, 110)
"""Colours of text, of the sheet, and of what could not be read."""
BAR_PX = 150
"""Longest scale bar in pixels."""
_GAP, _TEXT, _NARROWEST = 14, 15, 520
_WIDEST = 2.5
"""Width over height of a sheet that people still like to look at."""

Size = tuple[int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


@dataclass(frozen=True)
class Panel:
    """A picture with a title above it; all panels of a sheet have one scale."""

    title: str
    image: Image.Image


def compose(
    title: str,
    panels: Sequence[Panel],
    *,
    unit_per_px: float,
    unit: str,
    legend: str,
    notes: Sequence[str] = (),
) -> Image.Image:
    """A sheet of panels.

    Parameters
    ----------
    title : str
        The line above all panels.
    panels : sequence of Panel
        At least one; they stand in columns, from top to bottom and then to the right, so that the
        sheet has little empty space.
    unit_per_px : float
        Edge of a pixel of every panel.
    unit : str
        Its unit; ``"um"`` becomes mm where the scale bar is long.
    legend : str
        What black and white stand for, below a grey wedge; empty for panels in colour.
    notes : sequence of str
        Lines at the foot; long ones are broken.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    font = ImageFont.load_default(_TEXT)
    line = _TEXT + 8
    sizes = [
        (max(panel.image.width, _width(panel.title, font)), panel.image.height + line)
        for panel in panels
    ]
    places, (width, height) = arrange(sizes)
    width = max(width + 2 * _GAP, _width(title, font) + 2 * _GAP, _NARROWEST)
    lines = [part for note in notes for part in _broken(note, width - 2 * _GAP, font)]
    head = 2 * _GAP + _TEXT
    foot = 2 * _GAP + 2 * line + len(lines) * line
    sheet = Image.new("RGB", (width, head + height + foot), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _GAP), title, INK, font)
    for panel, (left, top) in zip(panels, places):
        draw.text((_GAP + left, head + top), panel.title, INK, font)
        sheet.paste(panel.image.convert("RGB"), (_GAP + left, head + top + line))
    bottom = head + height + _GAP
    _scale_bar(draw, (_GAP, bottom), unit_per_px, unit, font)
    if legend:
        _grey_bar(sheet, draw, (width // 2, bottom), legend, font)
    for number, text in enumerate(lines):
        draw.text((_GAP, bottom + (2 + number) * line), text, INK, font)
    return sheet


def arrange(sizes: Sequence[Size], gap: int = _GAP) -> tuple[list[Size], Size]:
    """Places of boxes in columns, in their order, and the size of all of them together.

    Of all ways to cut the sequence into columns the one of the smallest area is taken, where a
    sheet that is higher than wide, or too wide, counts as larger.

    Parameters
    ----------
    sizes : sequence of (width, height)
    gap : int
        Pixels between boxes.

    Returns
    -------
    places : list of (left, top)
    size : (width, height)

    Examples
    --------
    >>> arrange([(100, 100), (100, 40), (100, 40)], gap=10)
    ([(0, 0), (110, 0), (110, 50)], (210, 100))
    """
    count = len(sizes)
    best: tuple[float, list[Size], Size] | None = None
    for cuts in (cut for n in range(count) for cut in combinations(range(1, count), n)):
        places, left, tallest = [], 0, 0
        for start, stop in zip((0, *cuts), (*cuts, count)):
            top = 0
            for _, height in sizes[start:stop]:
                places.append((left, top))
                top += height + gap
            tallest = max(tallest, top - gap)
            left += max(width for width, _ in sizes[start:stop]) + gap
        width, height = left - gap, tallest
        cost = width * height * max(1.0, height / width, width / (_WIDEST * height))
        if best is None or cost < best[0]:
            best = (cost, places, (width, height))
    assert best is not None
    return best[1], best[2]


def round_length_um(longest: float) -> float:
    """Largest 1, 2 or 5 times a power of ten up to ``longest``.

    Examples
    --------
    >>> round_length_um(1700.0), round_length_um(0.7)
    (1000.0, 0.5)
    """
    power = 10.0 ** np.floor(np.log10(longest))
    return float(max(step * power for step in (1, 2, 5) if step * power <= longest * (1 + 1e-9)))


def length_text(length: float, unit: str) -> str:
    """A length in words: micrometres from 1000 on become millimetres.

    Examples
    --------
    >>> length_text(2500.0, "um"), length_text(20.0, "um"), length_text(2000.0, "voxel")
    ('2.5 mm', '20 um', '2000 voxels')
    """
    if unit == "um" and abs(length) >= 1000:
        return f"{length / 1000:.4g} mm"
    return f"{length:g} um" if unit == "um" else f"{length:g} voxel{'s' if length != 1 else ''}"


def volume_title(
    name: str, shape: Sequence[int], voxel: Sequence[float], unit: str, axes: str
) -> str:
    """The line above a volume's picture: name, voxels, their size."""
    size = f"of {' x '.join(f'{v:g}' for v in voxel)} um" if unit == "um" else "of unknown size"
    return f"{name}: {' x '.join(map(str, shape))} voxels {size} ({', '.join(axes)})"


def _scale_bar(
    draw: ImageDraw.ImageDraw, corner: Size, unit_per_px: float, unit: str, font: Font
) -> None:
    length = round_length_um(BAR_PX * unit_per_px)
    left, top = corner
    draw.rectangle((left, top + 4, left + round(length / unit_per_px) - 1, top + 10), INK)
    draw.text((left, top + 16), length_text(length, unit), INK, font)


def _grey_bar(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: Size, text: str, font: Font
) -> None:
    left, top = corner
    ramp = np.broadcast_to(np.linspace(0, 255, 200).astype(np.uint8), (10, 200))
    sheet.paste(Image.fromarray(np.ascontiguousarray(ramp)).convert("RGB"), (left, top + 2))
    draw.text((left, top + 16), text, INK, font)


def _width(text: str, font: Font) -> int:
    return int(np.ceil(font.getlength(text)))


def _broken(text: str, width: int, font: Font) -> list[str]:
    """A text in lines that are not wider than this, where its words allow."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _width(longer, font) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
