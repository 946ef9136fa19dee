"""Small pictures for people: panels side by side, with words on them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from hipct.core.errors import InputError
from hipct.core.files import write_atomic

_GAP = 4
_CAPTION = 22


def grey(image: ArrayLike, low: float, high: float) -> NDArray[np.uint8]:
    """8-bit grey values of an image; ``low`` is black and ``high`` white."""
    if not low < high:
        high = low + 1
    scaled = (np.nan_to_num(np.asarray(image, np.float32)) - low) * (255 / (high - low))
    steps: NDArray[np.uint8] = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return steps


def panels(
    images: Sequence[NDArray[np.uint8]], captions: Sequence[str], *, columns: int
) -> Image.Image:
    """8-bit images in a grid, each with its caption above it.

    Parameters
    ----------
    images : sequence of (rows, columns) uint8
        Images; they may differ in size.
    captions : sequence of str
        As many as images.
    columns : int
        Images beside each other.
    """
    if not images or len(images) != len(captions):
        raise InputError(
            f"{len(images)} images and {len(captions)} captions were given; there have to be as "
            "many captions as images, and at least one."
        )
    width = max(image.shape[1] for image in images) + _GAP
    height = max(image.shape[0] for image in images) + _CAPTION + _GAP
    rows = math.ceil(len(images) / columns)
    sheet = Image.new("L", (min(columns, len(images)) * width + _GAP, rows * height + _GAP), 24)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for k, (image, caption) in enumerate(zip(images, captions)):
        left, top = _GAP + k % columns * width, _GAP + k // columns * height
        draw.text((left + 2, top + 2), caption, fill=255, font=font)
        sheet.paste(Image.fromarray(image), (left, top + _CAPTION))
    return sheet


def contact_sheet(images: Sequence[NDArray[np.float32]], captions: Sequence[str]) -> Image.Image:
    """Float images of one kind in a grid that is about square, on one common grey scale."""
    values = np.concatenate([image.ravel() for image in images])
    low, high = np.percentile(values[np.isfinite(values)], [0.5, 99.5])
    columns = math.ceil(math.sqrt(len(images)))
    return panels([grey(image, low, high) for image in images], captions, columns=columns)


def write_png(path: Path, picture: Image.Image) -> None:
    """Write a picture as PNG, whole or not at all."""
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    write_atomic(path, buffer.getvalue())
