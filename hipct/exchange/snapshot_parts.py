"""What a picture needs of a volume: three slices and a small block, whatever the volume's size.

Of a pyramid the levels are read that are no finer than the picture. Where there is none that coarse
(a stack of slices, a file) the volume passes through once, thinned out along z and averaged within
the slices, in bands that fit into the memory. What cannot be read is marked, and named.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import product
from math import lcm
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError, PlanError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer
from hipct.exchange.export_level import LevelView, Slices3
from hipct.volume.layout import Shape3, Vector3
from hipct.volume.pyramid_source import VolumeSource
from hipct.volume.snapshot_panels import UNREAD

STAGE = "picture"
_WORKING_BYTES = 16
"""Of a voxel that is averaged, beside it."""

Image2 = NDArray[np.float32]


@dataclass
class Faults:
    """What could not be read, each sentence once."""

    errors: list[FormatError] = field(default_factory=list)

    def add(self, error: FormatError) -> None:
        """Note an error."""
        if str(error) not in {str(each) for each in self.errors}:
            self.errors.append(error)


class Layers(Protocol):
    """A volume as it passes through: bands of rows of some slices, UNREAD where it is broken.

    Attributes
    ----------
    shape : (int, int, int)
    itemsize : bytes of a voxel
    depth : slices that are stored together
    rows : rows that are stored together
    """

    shape: Shape3
    itemsize: int
    depth: int
    rows: int

    def read(self, z: slice, y: slice) -> NDArray[np.float32]:
        """Voxels (z, y, x)."""


class LevelLayers:
    """A level of an OME-Zarr volume."""

    def __init__(self, view: LevelView, faults: Faults) -> None:
        self._view, self._faults = view, faults
        self.shape, self.itemsize = view.shape, view.dtype.itemsize
        self.depth, self.rows = view.chunk[:2]

    def read(self, z: slice, y: slice) -> NDArray[np.float32]:
        """Voxels (z, y, x)."""
        return read_region(self._view, (z, y, slice(0, self.shape[2])), self._faults)


class SourceLayers:
    """A file or a folder of slices."""

    def __init__(self, source: VolumeSource, faults: Faults) -> None:
        self._source, self._faults = source, faults
        self.shape, self.itemsize = source.shape, source.dtype.itemsize
        self.rows = source.shape[1] if source.whole_planes else source.rows_together
        self.depth = 1 if source.whole_planes or source.rows_together == 1 else self.rows

    def read(self, z: slice, y: slice) -> NDArray[np.float32]:
        """Voxels (z, y, x)."""
        count = z.stop - z.start
        try:
            # Behind a fault of a compressed stream nothing can be read.
            if not (self._source.in_order and self._faults.errors):
                return _values(self._source.read(z, y))
        except FormatError as error:
            self._faults.add(error)
            if count > 1:
                parts = [slice(k, k + 1) for k in range(z.start, z.stop)]
                return np.concatenate([self.read(part, y) for part in parts])
        rows = len(range(*y.indices(self.shape[1])))
        return np.full((count, rows, self.shape[2]), UNREAD, np.float32)


def _values(stored: NDArray[Any]) -> NDArray[np.float32]:
    """Voxels as float32; what is not finite has no value."""
    values = stored.astype(np.float32)
    if stored.dtype.kind == "f":
        values[~np.isfinite(values)] = np.nan
    return values


def read_region(view: LevelView, region: Slices3, faults: Faults) -> NDArray[np.float32]:
    """Voxels of a region of a level; chunks that cannot be read are UNREAD and noted.

    Raises
    ------
    RemoteError
        If a server does not answer.
    """
    try:
        return _values(view.read(region))
    except FormatError:
        out = np.full([part.stop - part.start for part in region], UNREAD, np.float32)
    ranges = [
        range(part.start // chunk * chunk, part.stop, chunk)
        for part, chunk in zip(region, view.chunk)
    ]
    for corner in product(*ranges):
        z, y, x = (
            slice(max(first, part.start), min(first + chunk, part.stop))
            for first, chunk, part in zip(corner, view.chunk, region)
        )
        place = tuple(
            slice(part.start - whole.start, part.stop - whole.start)
            for part, whole in zip((z, y, x), region)
        )
        try:
            out[place] = _values(view.read((z, y, x)))
        except FormatError as error:
            faults.add(error)
    return out


def read_slices(view: LevelView, at: Shape3, faults: Faults) -> list[Image2]:
    """The slices across z, y and x through a voxel of a level."""
    slices = []
    for axis in range(3):
        region: list[slice] = [slice(0, n) for n in view.shape]
        region[axis] = slice(at[axis], at[axis] + 1)
        voxels = read_region(view, (region[0], region[1], region[2]), faults)
        slices.append(voxels.squeeze(axis=axis))
    return slices


@dataclass(frozen=True)
class Gathered:
    """What is left of a volume that has passed through.

    Attributes
    ----------
    slices : across z, y and x; no longer than asked for, the extent of the volume each
    block : the volume itself, no longer than asked for, its extent too
    every : one of so many slices was read
    """

    slices: list[Image2]
    block: NDArray[np.float32]
    every: int


def gather(
    layers: Layers,
    at: Shape3,
    *,
    longest: tuple[int, int],
    labels: bool,
    memory_bytes: int,
    observer: Observer,
) -> Gathered:
    """Slices and a block of a volume of any size, read once and in order.

    Parameters
    ----------
    layers : Layers
    at : (int, int, int)
        The voxel through which the slices go.
    longest : (int, int)
        Most pixels along an edge of a slice, and most voxels along one of the block.
    labels : bool
        Take voxels as they are instead of means.
    memory_bytes : int
    observer : Observer

    Raises
    ------
    PlanError
        If not even the rows that are stored together fit into the memory.
    """
    nz, ny, nx = layers.shape
    thin, factor = (-(-n // longest[0]) for n in (nz, max(ny, nx)))
    # The slice that is asked for is one of them.
    chosen = list(range(at[0] % thin, nz, thin))
    small = (len(chosen), -(-ny // factor), -(-nx // factor))
    coarse = -(-max(small) // longest[1])
    slices = [np.full(shape, np.nan, np.float32) for shape in (small[1:], small[::2], small[:2])]
    row, column = at[1] // factor, at[2] // factor
    sums = np.zeros([-(-n // coarse) for n in small], np.float32)
    counts = np.zeros(sums.shape, np.float32)
    rows = _rows_at_once(layers, factor * coarse, thin, memory_bytes)
    groups = _groups(chosen, layers.depth)
    observer.start(STAGE, len(chosen))
    for group in groups:
        for top in range(0, ny, rows):
            y = slice(top, min(top + rows, ny))
            band = layers.read(slice(chosen[group[0]], chosen[group[-1]] + 1), y)
            first = top // factor
            for number in group:
                plane = _smaller(band[chosen[number] - chosen[group[0]]], factor, labels)
                part = slice(first, first + plane.shape[0])
                if chosen[number] == at[0]:
                    slices[0][part] = plane
                if part.start <= row < part.stop:
                    slices[1][number] = plane[row - first]
                slices[2][number, part] = plane[:, column]
                _add(sums, counts, plane, (number // coarse, first // coarse, coarse), labels)
        observer.advance(STAGE, len(group))
    observer.finish(STAGE)
    with np.errstate(invalid="ignore"):
        return Gathered(slices, sums / counts, thin)


def _groups(chosen: list[int], depth: int) -> list[list[int]]:
    """Numbers of the chosen slices, those that are stored together at a time."""
    groups: dict[int, list[int]] = {}
    for number, k in enumerate(chosen):
        groups.setdefault(k // depth, []).append(number)
    return list(groups.values())


def _rows_at_once(layers: Layers, step: int, thin: int, memory_bytes: int) -> int:
    """Rows of a band: whole pixels of the block, and whole rows of chunks where they fit."""
    _, ny, nx = layers.shape
    depth = layers.depth if layers.depth > thin else 1
    row = nx * (depth * (2 * layers.itemsize + 4) + _WORKING_BYTES)
    least = min(ny, step if layers.rows < ny else ny)
    if least * row > memory_bytes:
        raise PlanError(
            f"{least} rows of {depth} slices, which are read together, need "
            f"{format_bytes(least * row)} and the picture may take {format_bytes(memory_bytes)}; "
            "give more (--memory), or make a pyramid of the volume first (hipct pyramid)."
        )
    fitting = memory_bytes // row
    if fitting >= ny:
        return -(-ny // step) * step
    together = lcm(step, layers.rows)
    unit = together if fitting >= together else step
    return max(step, int(fitting // unit * unit))


def _smaller(plane: Image2, factor: int, labels: bool) -> Image2:
    """Means of ``factor`` x ``factor`` pixels, of those that could be read; labels of one pixel."""
    if factor == 1:
        return plane
    if labels:
        return plane[::factor, ::factor]
    sums, counts = _sums(plane, factor)
    with np.errstate(invalid="ignore"):
        means: Image2 = (sums / counts).astype(np.float32)
    lost = plane == UNREAD
    if lost.any():
        means[(counts == 0) & (_blocks(lost, factor) > 0)] = UNREAD
    return means


def _sums(plane: Image2, factor: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sums of the pixels that have a value, and how many these are."""
    valid = np.isfinite(plane)
    if valid.all():
        rows, columns = (np.diff([*range(0, n, factor), n]).astype(np.float64) for n in plane.shape)
        return _blocks(plane, factor), np.outer(rows, columns)
    return _blocks(np.where(valid, plane, 0), factor), _blocks(valid, factor)


def _blocks(values: NDArray[Any], factor: int) -> NDArray[Any]:
    """Sums over squares of pixels, smaller ones at the end."""
    rows, columns = (np.arange(0, n, factor) for n in values.shape)
    # Rows first: they are added as wholes.
    down = np.add.reduceat(values, rows, axis=0, dtype=np.float64)
    total: NDArray[Any] = np.add.reduceat(down, columns, axis=1)
    return total


def _add(
    sums: NDArray[np.float32],
    counts: NDArray[np.float32],
    plane: Image2,
    place: tuple[int, int, int],
    labels: bool,
) -> None:
    """Add a part of a slice to the block; ``place``: layer, first row, pixels of a voxel's edge."""
    layer, row, factor = place
    if labels:
        part = plane[::factor, ::factor]
        sums[layer, row : row + part.shape[0]] = np.where(np.isfinite(part), part, 0)
        counts[layer, row : row + part.shape[0]] = np.isfinite(part)
        return
    more, number = _sums(plane, factor)
    sums[layer, row : row + more.shape[0]] += more
    counts[layer, row : row + more.shape[0]] += number


def voxel_at(shape: Shape3, voxel: Vector3, origin: Vector3, point: Vector3) -> Shape3:
    """The voxel of a level whose centre is nearest to a point; the last one beyond its end."""
    z, y, x = (
        int(np.clip(round((p - o) / v), 0, n - 1))
        for p, o, v, n in zip(point, origin, voxel, shape)
    )
    return (z, y, x)
