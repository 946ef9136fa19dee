"""The header of a JPEG2000 file, without decoding it (ISO/IEC 15444-1, annexes A.5.1 and I)."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError

_BOXES = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_CODESTREAM = b"\xff\x4f\xff\x51"
_END = b"\xff\xd9"


def is_jpeg2000(head: bytes) -> bool:
    """Whether a file that begins so is a JPEG2000 file or a bare codestream."""
    return head.startswith((_BOXES, _CODESTREAM))


def jpeg2000_header(path: Path) -> tuple[int, int, np.dtype[np.integer]]:
    """Rows, columns and type of an image; its end is looked at too.

    Raises
    ------
    FormatError
        If it is damaged or truncated, or has several components.
    """
    with reading(path, "JPEG2000"), open(path, "rb") as file:
        start, stop = _codestream(file, path.stat().st_size)
        file.seek(start)
        head = file.read(43)
        _, xs, ys, x0, y0 = struct.unpack(">HIIII", head[6:24])
        components, precision = struct.unpack(">HB", head[40:43])
        file.seek(stop - 2)
        ended = file.read(2) == _END
    if not head.startswith(_CODESTREAM) or not ended:
        raise FormatError(
            f"{path} is truncated: its code stream does not end; copy it again from its source."
        )
    if components != 1:
        raise FormatError(f"{path} has {components} colours; slices have grey levels alone.")
    signed, bits = bool(precision & 0x80), (precision & 0x7F) + 1
    if bits > 16:
        raise FormatError(f"{path} has {bits} bits a pixel; up to 16 can be read.")
    kind = f"{'i' if signed else 'u'}{1 if bits <= 8 else 2}"
    return (ys - y0, xs - x0, np.dtype(kind))


def _codestream(file: BinaryIO, size: int) -> tuple[int, int]:
    """Where the code stream begins and ends: the box ``jp2c``, or all of a bare one."""
    if file.read(4) == _CODESTREAM:
        return 0, size
    place = 0
    while place + 8 <= size:
        file.seek(place)
        length, kind = struct.unpack(">I4s", file.read(8))
        header = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            header = 16
        stop = size if length == 0 else place + length
        if kind == b"jp2c":
            if stop > size:
                raise ValueError(f"{stop} bytes are announced and {size} are there")
            return place + header, stop
        if length and length < header:
            break
        place = stop
    raise ValueError("it holds no code stream")
