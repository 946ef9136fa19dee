"""Slices of a region, with every chunk decoded once and the memory bounded.

A band is a row of chunks along z. It is read in strips, one row of chunks along y each, over the
width of the region or as many chunks of it as fit into the memory. Where the band itself does not
fit, the strips go to a nameless file beside the output, and its slices are read from there: an
organ has slices of 100 MB and bands of 10 GB.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import OutputError, PlanError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer
from hipct.core.threads import parallel_for, thread_count
from hipct.exchange.export_grey import Grey
from hipct.exchange.export_level import LevelView, Slices3

STAGE = "export"
_SLICES = 32
"""Slices worth a band where chunks are flatter: all threads have some to encode."""


@dataclass(frozen=True)
class Source:
    """What is exported: a region of a level, and its grey values.

    Attributes
    ----------
    view : the level
    region : voxels of it, z, y, x
    grey : what the exported values are
    memory_bytes : bytes that reading and encoding may take together
    """

    view: LevelView
    region: Slices3
    grey: Grey
    memory_bytes: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """Exported voxels along z, y, x."""
        z, y, x = (s.stop - s.start for s in self.region)
        return (z, y, x)

    @property
    def slice_bytes(self) -> int:
        """Bytes of an exported slice."""
        return prod(self.shape[1:]) * self.grey.dtype.itemsize

    @property
    def origin(self) -> tuple[float, float, float]:
        """Centre of the first exported voxel along z, y, x, in the unit of the level."""
        z, y, x = (
            origin + s.start * voxel
            for origin, s, voxel in zip(self.view.origin, self.region, self.view.voxel)
        )
        return (z, y, x)


class Band:
    """Successive exported slices, in memory or in a file.

    Attributes
    ----------
    start, stop : numbers of the slices, 0 is the first exported one
    """

    def __init__(self, start: int, stop: int, values: NDArray[Any] | _Spilled) -> None:
        self.start, self.stop = start, stop
        self._values = values

    def slice(self, number: int) -> NDArray[Any]:
        """One slice (y, x); may be asked for from several threads."""
        plane: NDArray[Any] = self._values[number - self.start]
        return plane


def read_bands(
    source: Source, folder: Path, working_bytes: int, observer: Observer
) -> Iterator[Band]:
    """Bands of a region from its first slice to its last; each is valid until the next comes.

    Parameters
    ----------
    source : Source
    folder : path
        Where a band that does not fit into the memory may lie.
    working_bytes : int
        What the writer takes on top of the band at a time, in bytes.
    observer : Observer
        Told of every slice that the writer is done with.

    Raises
    ------
    PlanError
        If the memory does not hold one strip, or what the writer takes.
    FormatError
        If a file of the volume is torn.
    OutputError
        If the disk refuses.
    """
    depth, width, in_memory = _plan(source, working_bytes)
    region, grey = source.region, source.grey
    observer.start(STAGE, source.shape[0])
    largest = (min(depth, source.shape[0]), *source.shape[1:])
    with tempfile.TemporaryFile(dir=folder) as file:
        # One place for all bands: the writer is done with one when it asks for the next.
        place = np.empty(largest if in_memory else 0, grey.dtype)
        for planes in cells(region[0], depth):
            shape = (planes.stop - planes.start, *source.shape[1:])
            values: NDArray[Any] | _Spilled
            values = place[: shape[0]] if in_memory else _Spilled(file, shape, grey.dtype)
            for rows in cells(region[1], source.view.chunk[1]):
                for columns in cells(region[2], width):
                    strip = source.view.read((planes, rows, columns))
                    corner = rows.start - region[1].start, columns.start - region[2].start
                    _fill(values, corner, strip, grey)
                    del strip
            start = planes.start - region[0].start
            yield Band(start, start + shape[0], values)
            observer.advance(STAGE, shape[0])
    observer.finish(STAGE)


def for_each_slice(
    source: Source, band: Band, slice_bytes: int, task: Callable[[int, NDArray[Any]], None]
) -> None:
    """Call ``task(number, plane)`` for the slices of a band on all threads that the memory allows.

    Parameters
    ----------
    source : Source
    band : Band
    slice_bytes : int
        What the task takes for one slice, in bytes.
    task : callable
        Has to write to nothing that another slice writes to.
    """
    gate = threading.BoundedSemaphore(_at_a_time(source, slice_bytes))

    def some(start: int, stop: int) -> None:
        for number in range(band.start + start, band.start + stop):
            with gate:
                task(number, band.slice(number))

    parallel_for(some, band.stop - band.start)


def working_bytes(source: Source, slice_bytes: int) -> int:
    """What :func:`for_each_slice` takes at a time."""
    return _at_a_time(source, slice_bytes) * slice_bytes


class _Spilled:
    """A band in a file: written by rows of all slices, read by slices."""

    def __init__(self, file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self.shape, self.dtype = shape, dtype
        self._file = file.fileno()
        self._row = shape[2] * dtype.itemsize
        self._plane = shape[1] * self._row

    def write(self, number: int, corner: tuple[int, int], values: NDArray[Any]) -> None:
        row, column = corner
        if values.shape[1] != self.shape[2] and len(values) > 1:
            # Parts of rows do not follow one another in the file.
            for part in range(len(values)):
                self.write(number, (row + part, column), values[part : part + 1])
            return
        left = np.ascontiguousarray(values, self.dtype).data.cast("B")
        offset = number * self._plane + row * self._row + column * self.dtype.itemsize
        try:
            while left:
                written = os.pwrite(self._file, left, offset)
                left, offset = left[written:], offset + written
        except OSError as error:
            raise OutputError(
                f"Slices that do not fit into the memory could not be laid beside the output: "
                f"{error.strerror or error}; free space there, or give more memory."
            ) from error

    def __getitem__(self, number: int) -> NDArray[Any]:
        plane = np.empty(self.shape[1:], self.dtype)
        left, offset = plane.data.cast("B"), number * self._plane
        while left:
            read = os.preadv(self._file, [left], offset)
            if not read:
                raise OutputError("Slices laid beside the output were cut off; export again.")
            left, offset = left[read:], offset + read
        return plane


def _fill(
    values: NDArray[Any] | _Spilled, corner: tuple[int, int], strip: NDArray[Any], grey: Grey
) -> None:
    """Convert a strip into its rows of a band, plane by plane: the temporary arrays stay small."""
    (row, column), (rows, columns) = corner, strip.shape[1:]

    def task(start: int, stop: int) -> None:
        for number in range(start, stop):
            plane = grey.convert(strip[number])
            if isinstance(values, _Spilled):
                values.write(number, corner, plane)
            else:
                values[number, row : row + rows, column : column + columns] = plane

    parallel_for(task, len(strip))


def _plan(source: Source, working: int) -> tuple[int, int, bool]:
    """Slices of a band and columns of a strip, multiples of the chunk; whether it is in memory."""
    (depth, _, step), across = source.view.chunk, source.shape[2]
    memory, slices = source.memory_bytes, source.shape[0]
    for times in range(max(1, -(-min(_SLICES, slices) // depth)), 0, -1):
        band = min(depth * times, slices) * source.slice_bytes
        strip = _strip_bytes(source, depth * times, across)
        if strip + working + band <= memory:
            return depth * times, (-(-across // step) + 1) * step, True
    band = min(depth, slices) * source.slice_bytes
    kept = working + band if working + band <= memory // 2 else 0
    for columns in range(-(-across // step) + 1, 0, -1):
        if max(_strip_bytes(source, depth, columns * step) + kept, working) <= memory:
            return depth, columns * step, kept > 0
    needed = max(_strip_bytes(source, depth, step), working)
    raise PlanError(
        f"The export needs {format_bytes(needed)} of memory and may take {format_bytes(memory)}; "
        "give more (--memory), a smaller crop or a coarser level."
    )


def _strip_bytes(source: Source, depth: int, width: int) -> int:
    """What reading a strip takes.

    Zarr holds the chunks as they are stored, decoded, put together by shards, and put together;
    planes are converted through float64.
    """
    height, step = source.view.chunk[1:]
    width = min(width, source.shape[2])
    stored = depth * height * (4 * width + 2 * step) * source.view.dtype.itemsize
    return stored + thread_count() * height * width * 24


def _at_a_time(source: Source, slice_bytes: int) -> int:
    return max(1, min(thread_count(), source.memory_bytes // (2 * max(1, slice_bytes))))


def cells(extent: slice, size: int) -> Iterator[slice]:
    """Parts of a range that end where chunks of a size end."""
    start = extent.start
    while start < extent.stop:
        stop = min((start // size + 1) * size, extent.stop)
        yield slice(start, stop)
        start = stop
