"""What a TIFF says of its slices before they are read: sizes, pages, voxel size, truncation."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError
from hipct.volume.layout import Vector3

_CENTIMETRE = 3
_MICROMETRES = {
    "micron": 1.0,
    "um": 1.0,
    "µm": 1.0,
    "μm": 1.0,
    "\\u00B5m": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
    "cm": 1e4,
}


def tiff_header(path: Path) -> tuple[int, int, np.dtype[Any]]:
    """Rows, columns and type of the first page; the chain of pages and the data's end are checked.

    Raises
    ------
    FormatError
        If the file is truncated: a page, or the data of the first or last one, lies beyond its end.
    """
    with reading(path, "TIFF"):
        pages = _count_pages(path)
        with tifffile.TiffFile(path) as tif:
            page = tif.pages[0]
            size = tif.filehandle.size
            for looked_at in (page, tif.pages[pages - 1]):
                counts, offsets = looked_at.databytecounts, looked_at.dataoffsets
                if any(o + n > size for o, n in zip(offsets, counts)):
                    raise FormatError(
                        f"{path} is truncated: its data would end beyond its {size} bytes; copy it "
                        "again from its source."
                    )
            if len(page.shape) != 2 or page.dtype is None:
                raise FormatError(
                    f"{path} holds an image of shape {page.shape}; slices have to be plain grey "
                    "levels (rows, columns)."
                )
            rows, columns = page.shape
            return (int(rows), int(columns), page.dtype.newbyteorder("="))


def voxel_of_tiff(path: Path) -> Vector3 | None:
    """Voxel size (z, y, x) in micrometres, if the resolution has a metric unit.

    Dots per inch are left aside: they are what programs write that know nothing of the voxel.
    """
    with reading(path, "TIFF"), tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        imagej = tif.imagej_metadata or {}
        tags = {tag.name: tag.value for tag in page.tags}
    unit = _MICROMETRES.get(str(imagej.get("unit", "")))
    if unit is None and tags.get("ResolutionUnit") == _CENTIMETRE:
        unit = 1e4
    try:
        y, x = (1 / (n / d) for n, d in (tags["YResolution"], tags["XResolution"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if unit is None:
        return None
    z = float(imagej.get("spacing", 0)) or x
    found = (z * unit, y * unit, x * unit)
    return found if all(np.isfinite(v) and v > 0 for v in found) else None


def _count_pages(path: Path) -> int:
    """Pages by the chain of their headers; tifffile takes a broken chain for its end."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        head = file.read(16)
        order = "<" if head[:2] == b"II" else ">"
        big = struct.unpack(f"{order}H", head[2:4])[0] == 43
        count, entry, pointer = ("Q", 20, "Q") if big else ("H", 12, "I")
        (place,) = struct.unpack_from(f"{order}{pointer}", head, 8 if big else 4)
        pages, seen = 0, set[int]()
        while place:
            if place >= size or place in seen:
                raise FormatError(
                    f"{path} is truncated after {pages} pages: the next one would begin at byte "
                    f"{place} of {size}; copy it again from its source."
                )
            seen.add(place)
            file.seek(place)
            (tags,) = struct.unpack(f"{order}{count}", file.read(struct.calcsize(f"<{count}")))
            file.seek(tags * entry, 1)
            (place,) = struct.unpack(f"{order}{pointer}", file.read(struct.calcsize(f"<{pointer}")))
            pages += 1
    return pages
