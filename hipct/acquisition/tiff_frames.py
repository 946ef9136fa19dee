"""Frames in TIFF files: one a file, or stacks of many pages."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError
from hipct.core.threads import parallel_for

# What tifffile logs about damaged files is said by the errors raised here; without a handler
# Python would print it to stderr beside them.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# zlib, the strongest lossless codec that is met, cannot shrink below a thousandth.
_STRONGEST_COMPRESSION = 1100


def is_tiff(head: bytes) -> bool:
    """Whether a file that begins so is a TIFF or BigTIFF."""
    return head[:4] in _MAGIC


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Key that sorts ``a2`` before ``a10``.

    Examples
    --------
    >>> sorted(["a10.tif", "a2.tif", "a1.tif"], key=natural_key)
    ['a1.tif', 'a2.tif', 'a10.tif']
    """
    return tuple(
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
        for part in re.split(r"([0-9]+)", name)
        if part
    )


class TiffFrames:
    """A sequence of equal grey-level images.

    Parameters
    ----------
    files : sequence of Path
        In the order of the frames. If the first file has one page, every file has to.

    Attributes
    ----------
    count : int
        Number of frames.
    shape : tuple of int
        (rows, columns).
    dtype : numpy.dtype
        Native.

    Raises
    ------
    FormatError
        If a file is damaged, or holds colours.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._lock = threading.Lock()
        self._stack: tuple[Path, tifffile.TiffFile] | None = None
        with reading(files[0], "TIFF"), tifffile.TiffFile(files[0]) as tif:
            pages = _page_count(tif)
            page = tif.pages[0]
            _check_page(files[0], page, tif.filehandle.size)
            self.shape = (int(page.shape[0]), int(page.shape[1]))
            self.dtype = page.dtype.newbyteorder("=")
        self._stacked = pages > 1
        self._where: list[tuple[Path, int]] = []
        if not self._stacked:
            self._where = [(file, 0) for file in files]
        else:
            for file in files:
                with reading(file, "TIFF"), tifffile.TiffFile(file) as tif:
                    self._where += [(file, number) for number in range(_page_count(tif))]
        self.count = len(self._where)

    def read_into(self, first: int, last: int, rows: slice, out: NDArray[Any]) -> None:
        """Fill ``out`` with the given rows of frames ``first`` to ``last``."""
        if self._stacked:
            with self._lock:
                for number in range(first, last):
                    file, page = self._where[number]
                    with reading(file, "TIFF"):
                        tif = self._opened(file)
                        out[number - first] = self._image(file, tif, page)[rows]
            return

        def read(start: int, stop: int) -> None:
            for number in range(start, stop):
                file, _ = self._where[first + number]
                with reading(file, "TIFF"), tifffile.TiffFile(file) as tif:
                    if _page_count(tif) != 1:
                        raise FormatError(
                            f"{file} holds {_page_count(tif)} images and the first file of its "
                            "series one; keep single images and stacks apart."
                        )
                    out[number] = self._image(file, tif, 0)[rows]

        parallel_for(read, last - first)

    def close(self) -> None:
        """Close the stack that is open."""
        with self._lock:
            if self._stack is not None:
                self._stack[1].close()
                self._stack = None

    def _opened(self, file: Path) -> tifffile.TiffFile:
        # Finding page k walks k headers: the stack at work stays open.
        if self._stack is None or self._stack[0] != file:
            if self._stack is not None:
                self._stack[1].close()
                self._stack = None
            self._stack = (file, tifffile.TiffFile(file))
        return self._stack[1]

    def _image(self, file: Path, tif: tifffile.TiffFile, number: int) -> NDArray[Any]:
        contiguous = _imagej_volume(tif)
        if contiguous is not None:
            volume = np.memmap(
                file,
                dtype=contiguous.dtype,
                mode="r",
                offset=contiguous.dataoffset,
                shape=contiguous.shape,
            )
            image: NDArray[Any] = volume[number]
        else:
            page = tif.pages[number]
            _check_page(file, page, tif.filehandle.size)
            if page.shape != self.shape or page.dtype.newbyteorder("=") != self.dtype:
                raise FormatError(
                    f"{file} (image {number}) is {page.shape} {page.dtype} where the first one is "
                    f"{self.shape} {self.dtype}; all frames have to be alike."
                )
            image = page.asarray(maxworkers=1)
        return image


def _page_count(tif: tifffile.TiffFile) -> int:
    contiguous = _imagej_volume(tif)
    return len(tif.pages) if contiguous is None else int(contiguous.shape[0])


def _imagej_volume(tif: tifffile.TiffFile) -> Any | None:
    """Series of an ImageJ stack that has one header for all of its images, as above 4 GB."""
    if not tif.is_imagej or len(tif.pages) != 1:
        return None
    series = tif.series[0]
    if len(series.shape) != 3 or series.shape[0] < 2 or series.dataoffset is None:
        return None
    if series.dataoffset + series.nbytes > tif.filehandle.size:
        raise FormatError(f"{tif.filename} is truncated: its images do not fit into the file.")
    return series


def _check_page(file: Path, page: Any, file_size: int) -> None:
    if len(page.shape) != 2 or 0 in page.shape or page.samplesperpixel != 1:
        raise FormatError(
            f"{file} holds an image of shape {page.shape}; frames have to be plain grey levels "
            "(rows, columns)."
        )
    if page.dtype is None or page.dtype.kind not in "uif":
        raise FormatError(f"{file} holds {page.dtype}; frames have to be integers or floats.")
    limit = file_size if page.compression == 1 else _STRONGEST_COMPRESSION * file_size
    if page.size * page.dtype.itemsize > limit:
        raise FormatError(
            f"{file} claims an image of {page.shape} {page.dtype}, more than its {file_size} bytes "
            "can hold; it is truncated or damaged: copy it again from its source."
        )
    if page.compression != 1 and not _can_decode(page):
        raise FormatError(
            f"{file} is compressed with {getattr(page.compression, 'name', page.compression)}, "
            "which needs the package imagecodecs; install it with: pip install imagecodecs."
        )


def _can_decode(page: Any) -> bool:
    try:
        return tifffile.TIFF.DECOMPRESSORS[page.compression] is not None
    except KeyError:
        return False
