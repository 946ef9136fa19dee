"""Slices in PNG: the header without decoding, and the pixels.

Specification: https://www.w3.org/TR/png-3/ (chunks ``IHDR`` and ``IEND``)
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_END = b"IEND\xaeB`\x82"
_GREY = 0


def is_png(head: bytes) -> bool:
    """Whether a file that begins so is a PNG."""
    return head.startswith(_SIGNATURE)


def png_header(path: Path) -> tuple[int, int, np.dtype[Any]]:
    """Rows, columns and type of an image; its end is looked at too.

    Raises
    ------
    FormatError
        If it is damaged or truncated, or anything but grey levels of 8 or 16 bits.
    """
    with reading(path, "PNG"), open(path, "rb") as file:
        head = file.read(26)
        if head[12:16] != b"IHDR":
            raise ValueError("it does not begin with its header")
        columns, rows, bits, colour = struct.unpack(">IIBB", head[16:26])
        file.seek(-len(_END), 2)
        ended = file.read() == _END
    if not ended:
        raise FormatError(f"{path} is truncated: it does not end; copy it again from its source.")
    if colour != _GREY:
        raise FormatError(f"{path} is in colour or transparent; slices have grey levels alone.")
    if bits not in (8, 16):
        raise FormatError(f"{path} has {bits} bits a pixel; PNG is read with 8 or 16.")
    return (rows, columns, np.dtype(f"u{bits // 8}"))


def read_png(path: Path) -> NDArray[Any]:
    """Pixels of an image, shape (rows, columns)."""
    from PIL import Image

    with reading(path, "PNG"), Image.open(path) as image:
        return np.asarray(image)
