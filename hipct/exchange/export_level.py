"""One level of a volume as an export sees it: axes z, y, x however it is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.core.errors import FormatError, InputError, RemoteError
from hipct.storage.chunk_reader import ChunkReader, open_chunks
from hipct.volume.layout import Vector3
from hipct.volume.nodes import OwnFiles, is_own
from hipct.volume.open import Volume, VolumeLevel, read_attributes
from hipct.volume.storage import is_address, open_storage

Slices3 = tuple[slice, slice, slice]
LENGTHS_UM = {"um": 1.0, "mm": 1e3}
_SIZE = re.compile(r"([0-9.eE+-]+)\s*(um|mm)")


@dataclass(frozen=True)
class LevelView:
    """A level with its axes in the order z, y, x.

    Attributes
    ----------
    volume : Volume
    number : 0 is the finest level
    whole : whether hipct wrote it: then every file is stored, those of zeros too
    planes : whether planes are read and not bands, so that parts of shards are asked for on servers
    """

    volume: Volume
    number: int
    whole: bool
    planes: bool = False

    @property
    def level(self) -> VolumeLevel:
        """The level itself, its axes in the order of the file."""
        return self.volume.level(self.number)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        return self._ordered(self.level.array.shape)

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Voxels of what is decoded at a time, along z, y, x."""
        return self._ordered(self.level.array.chunks)

    @property
    def voxel(self) -> Vector3:
        """Voxel size along z, y, x in micrometres (or voxels of the finest level)."""
        return self._ordered(self.level.scale)

    @property
    def origin(self) -> Vector3:
        """Centre of voxel (0, 0, 0) along z, y, x, in the unit of :attr:`voxel`."""
        return self._ordered(self.level.translation)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored grey values, in the byte order of this machine."""
        return np.dtype(self.level.array.dtype).newbyteorder("=")

    def read(self, region: Slices3) -> NDArray[Any]:
        """Stored grey values of a region (z, y, x).

        Raises
        ------
        FormatError
            If a file of the level is torn, or missing from a volume that stores every one.
        """
        # One place for each axis of the file: where it stands in z, y, x.
        stored = tuple(region["zyx".index(axis)] for axis in self.volume.axes)
        if self.whole:
            self._files.require(stored)
        try:
            block = np.asarray(self._array[stored])
        except (MemoryError, RemoteError):
            raise
        except FormatError as error:  # It names the file already.
            raise FormatError(f"{error} hipct check --deep names every fault.") from error
        except Exception as error:  # Codecs and stores have no common class of errors.
            words = ", ".join(f"{s.start}:{s.stop}" for s in region)
            raise FormatError(
                f"Voxels {words} of level {self.number} of {self.volume.address} cannot be read "
                f"({type(error).__name__}: {error}); hipct check --deep names the torn file."
            ) from error
        block = block.astype(self.dtype, copy=False)
        return block.transpose([self.volume.axes.index(axis) for axis in "zyx"])

    @cached_property
    def _array(self) -> ChunkReader | zarr.Array[Any]:
        """The level, decoded without Zarr where that can be: in half of the memory."""
        if is_address(self.volume.address):
            return self.level.chunkwise if self.planes else self.level.array
        return open_chunks(self.volume.path / self.level.path) or self.level.array

    @cached_property
    def _files(self) -> OwnFiles:
        return OwnFiles(open_storage(self.volume.address), self.level.path, self.level.array)

    def _ordered(self, values: Sequence[Any]) -> tuple[Any, Any, Any]:
        z, y, x = (values[self.volume.axes.index(axis)] for axis in "zyx")
        return (z, y, x)


def choose_level(volume: Volume, level: int | str) -> LevelView:
    """A level by its number, or the coarsest one that is not coarser than a voxel size.

    Parameters
    ----------
    volume : Volume
    level : int or str
        Number (0 is the finest), or a voxel size such as ``"25um"`` or ``"0.1mm"``; the longest
        edge of the voxel counts.

    Raises
    ------
    InputError
        If there is no such level.
    """
    whole = is_own(read_attributes(volume.address))
    text = str(level).strip()
    if re.fullmatch(r"[+-]?\d+", text):
        volume.level(int(text))
        return LevelView(volume, int(text), whole)
    match = _SIZE.fullmatch(text)
    try:
        wanted = float(match[1]) * LENGTHS_UM[match[2]] if match else float("nan")
    except ValueError:
        wanted = float("nan")
    if not wanted > 0:
        raise InputError(
            f"The level is {text!r}; give a number from 0 to {len(volume.levels) - 1}, or a voxel "
            "size such as 25um."
        )
    if volume.length_unit != "um":
        raise InputError(
            f"{volume.address} does not say how large its voxels are; choose the level by its "
            "number."
        )
    sizes = [max(each.scale) for each in volume.levels]
    fitting = [n for n, size in enumerate(sizes) if size <= wanted * (1 + 1e-6)]
    if not fitting:
        raise InputError(
            f"{volume.address} has no level with voxels of {text} or finer; its finest has "
            f"{sizes[0]:g} um."
        )
    return LevelView(volume, max(fitting, key=lambda n: sizes[n]), whole)
