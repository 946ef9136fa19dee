"""The layout of a pyramid: levels, chunks, shards, write layers, and where each level lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite, prod
from typing import Any, Literal, get_args

import numpy as np

from hipct.core.errors import InputError
from hipct.volume.reduce import REDUCED_DTYPES, Reduction, reduced_shape
from hipct.volume.window import Window

Shape3 = tuple[int, int, int]
Vector3 = tuple[float, float, float]
OmeZarr = Literal["0.5", "0.4"]
"""Versions of OME-Zarr that are written: on Zarr v3 with shards, and on v2 with a file a chunk."""


@dataclass(frozen=True)
class Level:
    """One level of a pyramid (all triples in the order z, y, x).

    Attributes
    ----------
    shape : voxels
    chunk : voxels of a chunk
    shard : voxels of a shard, a multiple of the chunk: one file, or (0.4) the chunks, each a file
        of its own, that are encoded and written together
    scale : voxel size in micrometres (or voxels of the finest level)
    translation : centre of voxel (0, 0, 0) in micrometres
    """

    shape: Shape3
    chunk: Shape3
    shard: Shape3
    scale: Vector3
    translation: Vector3

    @property
    def layers(self) -> int:
        """Number of write layers: rows of shards along z."""
        return -(-self.shape[0] // self.shard[0])

    @property
    def shard_grid(self) -> Shape3:
        """Number of shards along z, y, x."""
        z, y, x = (-(-n // s) for n, s in zip(self.shape, self.shard))
        return (z, y, x)

    def rows(self, index: int) -> slice:
        """Rows (z) of write layer ``index``."""
        if not 0 <= index < self.layers:
            raise InputError(f"Write layer {index} does not exist; there are {self.layers}.")
        start = index * self.shard[0]
        return slice(start, min(start + self.shard[0], self.shape[0]))

    def layer_shape(self, index: int) -> Shape3:
        """Shape of write layer ``index``."""
        rows = self.rows(index)
        return (rows.stop - rows.start, *self.shape[1:])


@dataclass(frozen=True, kw_only=True)
class PyramidSpec:
    """Everything that fixes the files of a pyramid, apart from the voxels.

    Parameters
    ----------
    shape : (int, int, int)
        Voxels of the finest level along z, y, x.
    voxel_size_um : float, (float, float, float) or None
        Voxel size of the finest level in micrometres; ``None`` where it is not known: lengths
        are then voxels of the finest level, and the axes carry no unit.
    dtype : dtype
        uint16 or uint8; for the reduction ``"mode"`` (labels) uint32 too.
    chunk : int
        Edge of an inner chunk; even.
    layer : int
        Rows (z) of a write layer, which is the depth of a shard; even, a multiple of the
        chunk's depth ``min(chunk, layer)``.
    shard_plane : int
        Edge of a shard in y and x; rounded down to whole chunks.
    window : Window or (float, float), optional
        Values that the ends of the integer range stand for.
    unit : str
        Unit of these values.
    name : str
        Name shown by viewers.
    reduction : {"mean", "mode", "min", "max"}
        How a voxel of a coarser level is made of the eight below it.
    version : {"0.5", "0.4"}
        Version of OME-Zarr.
    consolidated : bool
        Whether the metadata of all levels stand in the group's too, so that a volume far away is
        opened by one request (:mod:`hipct.volume.consolidate` says what that costs).
    origin_um : (float, float, float)
        Where the centre of the first voxel lies along z, y, x, in micrometres (in voxels of the
        finest level where the voxel size is not known): a crop stays in its place.

    Raises
    ------
    InputError
        If a value is outside of what is said above.
    """

    shape: Shape3
    voxel_size_um: float | Vector3 | None
    dtype: np.dtype[Any] = field(default_factory=lambda: np.dtype(np.uint16))
    chunk: int = 128
    layer: int = 128
    shard_plane: int = 1024
    window: Window | None = None
    unit: str = "1/cm"
    name: str = "volume"
    reduction: Reduction = "mean"
    version: OmeZarr = "0.5"
    consolidated: bool = False
    origin_um: Vector3 = (0.0, 0.0, 0.0)

    def __post_init__(self) -> None:
        _set = object.__setattr__
        _set(self, "shape", _triple(self.shape, "shape"))
        if self.voxel_size_um is not None:
            _set(self, "voxel_size_um", as_voxel_size(self.voxel_size_um))
        _set(self, "dtype", np.dtype(self.dtype).newbyteorder("="))
        window: Any = self.window
        if window is not None and not isinstance(window, Window):
            _set(self, "window", Window(*window))
        z, y, x = (float(v) for v in self.origin_um)
        _set(self, "origin_um", (z, y, x))
        if not all(isfinite(v) for v in (z, y, x)):
            raise InputError(f"The origin is {self.origin_um} um; give three finite numbers.")
        if self.version not in get_args(OmeZarr):
            raise InputError(
                f"The version of OME-Zarr is {self.version}; "
                f"{' and '.join(get_args(OmeZarr))} are written."
            )
        if self.dtype not in REDUCED_DTYPES[self.reduction]:
            allowed = " or ".join(np.dtype(kind).name for kind in REDUCED_DTYPES[self.reduction])
            raise InputError(f"The volume's dtype is {self.dtype}; it has to be {allowed}.")
        for key in ("chunk", "layer", "shard_plane"):
            value = getattr(self, key)
            if int(value) != value or value < 2 or value % 2:
                raise InputError(f"{key} is {value}; it has to be an even number of at least 2.")
        if self.layer % min(self.chunk, self.layer):
            raise InputError(
                f"The write layer of {self.layer} rows is no multiple of the chunk of {self.chunk}."
            )
        if self.shard_plane < self.chunk:
            raise InputError(
                f"shard_plane is {self.shard_plane}; it has to be at least the chunk, {self.chunk}."
            )

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """All levels, the finest first, until one fits into a single chunk."""
        largest = (min(self.chunk, self.layer), self.chunk, self.chunk)
        shape, factor = self.shape, (1, 1, 1)
        levels = [self._level(shape, factor)]
        while any(n > c for n, c in zip(shape, largest)):
            # An axis of one voxel has nothing to average: it keeps its voxel size and its place.
            factor = _shape3(f * (2 if n > 1 else 1) for f, n in zip(factor, shape))
            shape = _shape3(reduced_shape(shape))
            levels.append(self._level(shape, factor))
        return tuple(levels)

    def layers(self, level: int) -> int:
        """Number of write layers of a level."""
        return self.levels[level].layers

    @property
    def nbytes(self) -> int:
        """Bytes of all levels without compression."""
        return sum(prod(level.shape) for level in self.levels) * self.dtype.itemsize

    @property
    def value_scale(self) -> float | None:
        """Value of one grey step, None without a window."""
        if self.window is None:
            return None
        return (self.window.high - self.window.low) / int(np.iinfo(self.dtype).max)

    def _level(self, shape: Shape3, factor: Shape3) -> Level:
        depth = min(self.chunk, self.layer)
        chunk = _shape3(min(c, n) for c, n in zip((depth, self.chunk, self.chunk), shape))
        bounds = (self.layer, self.shard_plane, self.shard_plane)
        shard = _shape3(c * min(b // c, -(-n // c)) for c, b, n in zip(chunk, bounds, shape))
        voxel = as_voxel_size(1.0 if self.voxel_size_um is None else self.voxel_size_um)
        z, y, x = (v * f for v, f in zip(voxel, factor))
        # A voxel that is made of f along an axis begins half a voxel before the first one's centre.
        tz, ty, tx = (o + 0.5 * (f - 1) * v for o, v, f in zip(self.origin_um, voxel, factor))
        return Level(shape, chunk, shard, (z, y, x), (tz, ty, tx))


def _shape3(values: Any) -> Shape3:
    z, y, x = values
    return (int(z), int(y), int(x))


def _triple(shape: Any, what: str) -> Shape3:
    values = tuple(shape)
    if len(values) != 3 or any(int(n) != n or n < 1 for n in values):
        raise InputError(f"The {what} is {values}; give three whole numbers (z, y, x) above 0.")
    return _shape3(values)


def as_voxel_size(size: Any) -> Vector3:
    """Voxel size (z, y, x) in micrometres from one number or three, checked."""
    values = tuple(float(v) for v in (size if np.ndim(size) else (size,) * 3))
    if len(values) != 3 or any(not isfinite(v) or v <= 0 for v in values):
        raise InputError(
            f"The voxel size is {size} um; give one number or three (z, y, x), finite and above 0."
        )
    return (values[0], values[1], values[2])
