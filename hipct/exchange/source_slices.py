"""Slices in files: folders of TIFF, JPEG2000 or PNG, and TIFF files of many pages.

Every header is looked at before anything is read, so that a slice that is missing, truncated or
of another size is named at once and not after hours.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.acquisition.tiff_frames import TiffFrames, is_tiff, natural_key
from hipct.core.errors import FormatError, InputError
from hipct.core.extras import require
from hipct.core.threads import parallel_for
from hipct.exchange.source_facts import apply_facts
from hipct.exchange.source_files import FileSource, fingerprint_of
from hipct.exchange.source_jpeg2000 import is_jpeg2000, jpeg2000_header
from hipct.exchange.source_options import SourceOptions
from hipct.exchange.source_png import is_png, png_header, read_png
from hipct.exchange.source_tiff import tiff_header, voxel_of_tiff
from hipct.volume.pyramid_source import WHOLE

__all__ = [
    "Jpeg2000Source",
    "PngSource",
    "TiffSource",
    "is_jpeg2000",
    "is_png",
    "is_tiff",
    "open_slices",
    "open_stack",
]

_NAMED = 5
Header = tuple[int, int, np.dtype[Any]]
"""Rows, columns and type of a slice."""


def open_slices(folder: Path, options: SourceOptions) -> FileSource:
    """The slices of a folder, in the order of their numbers.

    Raises
    ------
    FormatError
        If there are none, slices of two formats, gaps in the numbers, or slices that differ.
    """
    kinds: dict[str, list[Path]] = defaultdict(list)
    for file in folder.iterdir():
        if not file.is_file() or file.name.startswith("."):
            continue
        with reading(file, "an image"), open(file, "rb") as opened:
            head = opened.read(64)
        if is_tiff(head):
            kinds["TIFF"].append(file)
        elif is_jpeg2000(head):
            kinds["JPEG2000"].append(file)
        elif is_png(head):
            kinds["PNG"].append(file)
        elif file.suffix.lower() in (".tif", ".tiff", ".jp2", ".j2k", ".jph", ".jpx", ".png"):
            raise FormatError(
                f"{file} is empty or no image; copy it again from its source, or remove it."
            )
    if not kinds:
        raise FormatError(
            f"{folder} holds no volume that hipct knows: neither slices (TIFF, JPEG2000, PNG) nor "
            "the metadata of Zarr or N5."
        )
    if len(kinds) > 1:
        counts = " and ".join(f"{len(files)} slices of {kind}" for kind, files in kinds.items())
        raise FormatError(f"{folder} holds {counts}; put them into folders of their own.")
    kind, files = next(iter(kinds.items()))
    files = in_order(folder, files)
    if kind == "TIFF":
        return TiffSource(folder, files, options)
    return (Jpeg2000Source if kind == "JPEG2000" else PngSource)(folder, files, options)


def open_stack(file: Path, options: SourceOptions) -> FileSource:
    """One TIFF or BigTIFF of many pages."""
    return TiffSource(file, [file], options)


def in_order(folder: Path, files: Sequence[Path]) -> list[Path]:
    """Files by their numbers, which have to go on without gaps.

    Raises
    ------
    FormatError
        If names differ in more than one number, or numbers are missing or met twice.
    """
    ordered = sorted(files, key=lambda file: natural_key(file.name))
    if len(ordered) == 1:
        return ordered
    words: dict[tuple[str, ...], Path] = {}
    for file in ordered:
        words.setdefault(tuple(re.split(r"[0-9]+", file.stem)), file)
    if len(words) > 1:
        names = ", ".join(file.name for file in list(words.values())[:_NAMED])
        raise FormatError(
            f"{folder} holds slices of {len(words)} names ({names}); put the slices of one volume "
            "into a folder of their own."
        )
    numbers = np.array([[int(n) for n in re.findall(r"[0-9]+", file.stem)] for file in ordered])
    varying = np.flatnonzero((numbers != numbers[:1]).any(axis=0))
    if len(varying) != 1:
        raise FormatError(
            f"The names in {folder} ({ordered[0].name} to {ordered[-1].name}) do not count the "
            "slices by one number; rename them."
        )
    counted = numbers[:, varying[0]]
    steps = np.diff(counted)
    # Slices may be numbered by their height: the smallest step is the distance of two.
    step = int(steps.min())
    if step == 0:
        twice = int(counted[int(steps.argmin())])
        raise FormatError(f"{folder} holds two slices of the number {twice}; remove one of them.")
    if (steps != step).any():
        have = set(counted.tolist())
        missing = [n for n in range(int(counted[0]), int(counted[-1]), step) if n not in have]
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        listed = ", ".join(str(n) for n in missing[:_NAMED])
        what = f"the numbers {listed}{more} are missing" if missing else "the numbers jump"
        raise FormatError(
            f"The slices of {folder} have gaps: {what} between {ordered[0].name} and "
            f"{ordered[-1].name}; copy them again from their source, or renumber what is there."
        )
    return ordered


class _Slices(FileSource):
    """What all formats share: a list of files, and slices that are alike."""

    whole_planes = True

    def __init__(self, path: Path, files: Sequence[Path], options: SourceOptions) -> None:
        super().__init__(path, options)
        if options.dataset is not None:
            raise InputError(
                f"{path} holds slices and no datasets; leave --dataset {options.dataset} out."
            )
        if options.order() != (0, 1, 2):
            raise InputError(
                f"{path} holds slices, which are z, y, x; leave --axes {options.axes} out."
            )
        self._files = list(files)

    def words(self) -> tuple[Any, ...]:
        """What it was opened with."""
        return (self.path, self._files, self.options)

    def fingerprint(self) -> str:
        """Names, sizes and times of the slices."""
        return fingerprint_of(self._files)

    def headers(self, header: Callable[[Path], Any]) -> list[Any]:
        """What a function says of each file."""
        found: list[Any] = [None] * len(self._files)

        def look(start: int, stop: int) -> None:
            for number in range(start, stop):
                found[number] = header(self._files[number])

        parallel_for(look, len(found))
        return found

    def check_alike(self, headers: Sequence[Header]) -> None:
        """Refuse slices that differ from most of the others."""
        common = max(set(headers), key=headers.count)
        other = [number for number, header in enumerate(headers) if header != common]
        if other:
            rows, columns, dtype = headers[other[0]]
            more = f" and {len(other) - 1} more are not alike" if len(other) > 1 else ""
            raise FormatError(
                f"{self._files[other[0]]} has {rows} x {columns} pixels of {dtype} where the "
                f"others have {common[0]} x {common[1]} of {common[2]}{more}; all slices have to "
                "be alike: copy it again from its source."
            )


class TiffSource(_Slices):
    """Slices in TIFF files: one a file, or pages of a stack.

    Parameters
    ----------
    path : Path
        The folder, or the only file.
    files : sequence of Path
        In the order of z.
    options : SourceOptions
    """

    format = "TIFF"

    def __init__(self, path: Path, files: Sequence[Path], options: SourceOptions) -> None:
        super().__init__(path, files, options)
        found = self.headers(tiff_header)
        self.check_alike([header for header, _ in found])
        self._frames = TiffFrames(self._files)
        self.shape = (self._frames.count, *self._frames.shape)
        self.dtype = self._frames.dtype
        # Where each slice lies, if all of them are stored as they are.
        plain = [slices for _, slices in found if slices is not None]
        places = [(slices, number) for slices in plain for number in range(slices.count)]
        self._plain = places if len(places) == self.shape[0] and len(plain) == len(found) else []
        self.whole_planes = not self._plain
        self.voxel_size_um, states_z = voxel_of_tiff(self._files[0])
        if not apply_facts(self, path) and self.voxel_size_um is not None and not states_z:
            self.notes += (
                f"{self.name} does not say how far its slices are apart: as wide as a pixel, "
                f"{self.voxel_size_um[2]:g} um, is assumed; --voxel-um Z,Y,X says it.",
            )

    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Decode the slices, on all threads where each has its file."""
        rows = range(*y.indices(self.shape[1]))
        if not self._plain:
            out = np.empty((z.stop - z.start, len(rows), self.shape[2]), self.dtype)
            self._frames.read_into(z.start, z.stop, y, out)
            return out
        stored = self._plain[0][0].dtype
        out = np.empty((z.stop - z.start, len(rows), self.shape[2]), self.dtype)

        def fetch(start: int, stop: int) -> None:
            for place in range(start, stop):
                slices, number = self._plain[z.start + place]
                with reading(slices.path, "TIFF"):
                    slices.read_into(number, rows.start, out[place])
                if slices.dtype != stored.newbyteorder("="):
                    out[place].byteswap(inplace=True)

        parallel_for(fetch, len(out))
        return out

    def close(self) -> None:
        """Close the stack."""
        self._frames.close()


class _Images(_Slices):
    """Slices in files that are decoded whole, one on each thread."""

    _header: Callable[[Path], Header]

    def __init__(self, path: Path, files: Sequence[Path], options: SourceOptions) -> None:
        super().__init__(path, files, options)
        headers = self.headers(type(self)._header)
        self.check_alike(headers)
        rows, columns, self.dtype = headers[0]
        self.shape = (len(self._files), rows, columns)
        apply_facts(self, path)

    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Decode the slices, one on each thread."""
        rows = range(*y.indices(self.shape[1]))
        out = np.empty((z.stop - z.start, len(rows), self.shape[2]), self.dtype)

        def decode(start: int, stop: int) -> None:
            for number in range(start, stop):
                file = self._files[z.start + number]
                with reading(file, self.format):
                    out[number] = self._decode(file)[y]

        parallel_for(decode, len(out))
        return out

    @abstractmethod
    def _decode(self, file: Path) -> NDArray[Any]:
        """Pixels of a file."""


class Jpeg2000Source(_Images):
    """Slices in JPEG2000 or HTJ2K files, one a file.

    Parameters
    ----------
    path : Path
        The folder.
    files : sequence of Path
        In the order of z.
    options : SourceOptions
    """

    format = "JPEG2000"
    _header = staticmethod(jpeg2000_header)

    def __init__(self, path: Path, files: Sequence[Path], options: SourceOptions) -> None:
        self._codec = require("imagecodecs", "formats", "Reading JPEG2000")
        super().__init__(path, files, options)

    def _decode(self, file: Path) -> NDArray[Any]:
        return np.asarray(self._codec.jpeg2k_decode(file.read_bytes(), numthreads=1))


class PngSource(_Images):
    """Slices in PNG files of 8 or 16 bits, one a file.

    Parameters
    ----------
    path : Path
        The folder.
    files : sequence of Path
        In the order of z.
    options : SourceOptions
    """

    format = "PNG"
    _header = staticmethod(png_header)

    def _decode(self, file: Path) -> NDArray[Any]:
        return read_png(file)
