"""What a TIFF says of its slices before they are read: sizes, pages, voxel size, truncation.

Slices that are stored as they are need no decoder: their rows are read straight into place.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

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


@dataclass(frozen=True)
class PlainSlices:
    """Slices of a file that lie in it one after the other as they are.

    Attributes
    ----------
    path : Path
    count : int
        Slices.
    offset : int
        Byte where the first one begins.
    dtype : dtype
        In the byte order of the file.
    shape : (int, int)
        Rows and columns of a slice.
    """

    path: Path
    count: int
    offset: int
    dtype: np.dtype[Any]
    shape: tuple[int, int]

    def read_into(self, number: int, first: int, out: NDArray[Any]) -> None:
        """Read rows of slice ``number`` from row ``first`` on, in the byte order of the file."""
        rows, columns = self.shape
        place = self.offset + (number * rows + first) * columns * self.dtype.itemsize
        opened = os.open(self.path, os.O_RDONLY)
        try:
            rest = out.reshape(-1).view(np.uint8).data
            while rest:
                got = os.preadv(opened, [rest], place)
                if not got:
                    raise FormatError(
                        f"{self.path} is truncated: it ends at byte {place}; copy it again from "
                        "its source."
                    )
                rest, place = rest[got:], place + got
        finally:
            os.close(opened)


def tiff_header(path: Path) -> tuple[tuple[int, int, np.dtype[Any]], PlainSlices | None]:
    """Rows, columns and type of the first page, and how slices lie that are stored as they are.

    The chain of pages and the end of the data are checked.

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
            rows, columns = (int(n) for n in page.shape)
            stored = page.dtype.newbyteorder(tif.byteorder)
            plain = None
            offset = _plain_offset(tif, pages)
            if offset is not None:
                count = pages if pages > 1 or not tif.is_imagej else int(tif.series[0].shape[0])
                plain = PlainSlices(path, count, offset, stored, (rows, columns))
            return (rows, columns, page.dtype.newbyteorder("=")), plain


def _plain_offset(tif: tifffile.TiffFile, pages: int) -> int | None:
    """Where the slices of a file begin, if they lie in it as they are and without gaps."""
    page = tif.pages[0]
    if page.compression != 1 or page.fillorder != 1 or page.samplesperpixel != 1:
        return None
    if page.bitspersample != 8 * page.dtype.itemsize or page.is_tiled:
        return None
    if pages == 1 and not tif.is_imagej:
        return int(page.dataoffsets[0]) if page.is_contiguous else None
    series = tif.series[0]
    wanted = (pages, *page.shape)
    if len(tif.series) > 1 or series.dataoffset is None or tuple(series.shape[-2:]) != page.shape:
        return None
    return int(series.dataoffset) if tuple(series.shape) == wanted else None


def voxel_of_tiff(path: Path) -> tuple[Vector3 | None, bool]:
    """Voxel size (z, y, x) in micrometres, if the file says it, and whether it says that of z.

    Of OME-TIFF the physical sizes, of ImageJ the resolution in its unit and the spacing, otherwise
    the resolution in centimetres. Dots per inch are left aside: they are what programs write that
    know nothing of the voxel. Where nothing tells how far the slices are apart, it is taken to be
    the width of a pixel.
    """
    with reading(path, "TIFF"), tifffile.TiffFile(path) as tif:
        page = tif.pages[0]
        imagej = tif.imagej_metadata or {}
        tags = {tag.name: tag.value for tag in page.tags}
        sizes = _ome_sizes(tif.ome_metadata) if tif.is_ome and tif.ome_metadata else None
    if sizes is None:
        sizes = _resolution(imagej, tags)
    if sizes is None:
        return None, False
    z, y, x = sizes
    found = (x if z is None else z, y, x)
    if not all(np.isfinite(v) and v > 0 for v in found):
        return None, False
    return found, z is not None


def _resolution(
    imagej: dict[str, Any], tags: dict[str, Any]
) -> tuple[float | None, float, float] | None:
    unit = _MICROMETRES.get(str(imagej.get("unit", "")))
    if unit is None and tags.get("ResolutionUnit") == _CENTIMETRE:
        unit = 1e4
    try:
        y, x = (1 / (n / d) for n, d in (tags["YResolution"], tags["XResolution"]))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    if unit is None:
        return None
    # ImageJ writes a spacing of one pixel where none was given.
    spacing = float(imagej.get("spacing", 0)) * unit
    return (spacing or None, y * unit, x * unit)


def _ome_sizes(xml: str) -> tuple[float | None, float, float] | None:
    """Physical sizes of the pixels of OME-XML; their unit is the micrometre unless it is named."""
    pixels = ElementTree.fromstring(xml).find(".//{*}Pixels")
    if pixels is None:
        return None
    sizes = []
    for axis in "ZYX":
        value = pixels.get(f"PhysicalSize{axis}")
        unit = _MICROMETRES.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        sizes.append(None if value is None or unit is None else float(value) * unit)
    z, y, x = sizes
    return None if y is None or x is None else (z, y, x)


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
