"""Curves and pictures as parts of a page that needs no other file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from hipct.quality.lights import number
from hipct.volume.pictures import grey

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 14, 40
_TICKS = 5


@dataclass(frozen=True, eq=False)
class Curve:
    """A line of a chart.

    Attributes
    ----------
    label : str
    x, y : array_like
        As long as each other.
    style : str
        Class of the page's style: ``"main"``, ``"aside"`` or ``"area"``, which is filled.
    """

    label: str
    x: ArrayLike
    y: ArrayLike
    style: str = "main"


def chart(
    curves: Sequence[Curve],
    *,
    x: str,
    y: str,
    y_range: tuple[float, float] | None = None,
    marks: Sequence[tuple[float, str]] = (),
) -> str:
    """Curves in a frame, as SVG.

    Parameters
    ----------
    curves : sequence of Curve
        With finite values.
    x, y : str
        What the axes are.
    y_range : (float, float), optional
        From the values by default.
    marks : sequence of (float, str)
        Upright lines at places of the axis x, with words.
    """
    data = [(np.asarray(each.x, float), np.asarray(each.y, float)) for each in curves]
    low_x, high_x = _range([values for values, _ in data])
    low_y, high_y = _range([values for _, values in data]) if y_range is None else y_range

    def place(values: NDArray[np.float64], others: NDArray[np.float64]) -> str:
        right = LEFT + (values - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - (others - low_y) / (high_y - low_y) * (HEIGHT - TOP - BOTTOM)
        return " ".join(
            f"{a:.1f},{b:.1f}" for a, b in zip(right, np.clip(down, TOP - 2, HEIGHT - BOTTOM))
        )

    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(y)}">']
    for share in np.linspace(0, 1, _TICKS):
        down = HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
        right = LEFT + share * (WIDTH - LEFT - RIGHT)
        # A number that is centred at the end of the frame would be cut.
        anchor = "end" if share == 1 else "middle"
        at_y, at_x = low_y + share * (high_y - low_y), low_x + share * (high_x - low_x)
        parts += [
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{down:.1f}" '
            f'y2="{down:.1f}"/>',
            f'<text x="{LEFT - 6}" y="{down + 4:.1f}" text-anchor="end">'
            f"{_tick(at_y, high_y - low_y)}</text>",
            f'<text x="{right:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="{anchor}">'
            f"{_tick(at_x, high_x - low_x)}</text>",
        ]
    for each, (across, up) in zip(curves, data):
        points = place(across, up)
        if each.style == "area":
            ends = place(across[[-1, 0]], np.full(2, low_y))
            parts.append(f'<polygon class="area" points="{points} {ends}"/>')
        else:
            parts.append(f'<polyline class="{each.style}" points="{points}"/>')
    for at, words in marks:
        spot = LEFT + (at - low_x) / (high_x - low_x) * (WIDTH - LEFT - RIGHT)
        anchor = "end" if spot > WIDTH / 2 else "start"
        aside = -4 if anchor == "end" else 4
        parts += [
            f'<line class="mark" x1="{spot:.1f}" x2="{spot:.1f}" y1="{TOP}" '
            f'y2="{HEIGHT - BOTTOM}"/>',
            f'<text x="{spot + aside:.1f}" y="{TOP + 10}" text-anchor="{anchor}">'
            f"{escape(words)}</text>",
        ]
    parts += [
        f'<text x="{(LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x)}</text>',
        f'<text transform="translate(12 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">'
        f"{escape(y)}</text>",
    ]
    named = [each for each in curves if each.label]
    if named:
        # Over the lines of marks.
        parts.append(
            f'<rect class="legend" x="{WIDTH - 154}" y="{TOP + 12}" width="140" '
            f'height="{16 * len(named) + 2}"/>'
        )
    for k, each in enumerate(named):
        top = TOP + 26 + 16 * k
        parts += [
            f'<line class="{each.style}" x1="{WIDTH - 150}" x2="{WIDTH - 130}" y1="{top - 4}" '
            f'y2="{top - 4}"/>',
            f'<text x="{WIDTH - 124}" y="{top}">{escape(each.label)}</text>',
        ]
    return "".join([*parts, "</svg>"])


def picture(image: ArrayLike, *, percentiles: tuple[float, float] = (0.5, 99.5)) -> Image.Image:
    """A float image in grey, with its extremes clipped."""
    values = np.asarray(image, np.float32)
    low, high = np.percentile(values[np.isfinite(values)], percentiles)
    return Image.fromarray(grey(values, float(low), float(high)))


def data_uri(image: Image.Image) -> str:
    """A picture as PNG inside of an address."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return uri_of(buffer.getvalue())


def uri_of(png: bytes) -> str:
    """A PNG inside of an address."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _range(arrays: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    low = min(float(each.min()) for each in arrays)
    high = max(float(each.max()) for each in arrays)
    return low, high if high > low else low + 1


def _tick(value: float, length: float) -> str:
    """A number on an axis; what is nothing beside its length is 0."""
    return number(0.0 if abs(value) < 1e-3 * length else value)
