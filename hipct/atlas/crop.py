"""Regions of a level of a data set, given in voxels or in lengths."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import ceil, isfinite, prod
from typing import Literal

import numpy as np

from hipct.atlas.grid import Box, Place
from hipct.atlas.opening import AtlasLevel, AtlasVolume
from hipct.core.errors import InputError

Unit = Literal["voxel", "um", "mm"]
Ends = tuple[float | None, float | None]
_AXES = ("z", "y", "x")
# A length that was computed to be on a voxel's centre may lie a rounding error behind it.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Crop:
    """A region of one level.

    Attributes
    ----------
    level : AtlasLevel
    box : voxels of the level along z, y, x, inside of it
    """

    level: AtlasLevel
    box: Box

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along z, y, x."""
        z, y, x = (part.stop - part.start for part in self.box)
        return (z, y, x)

    @property
    def origin_um(self) -> tuple[float, float, float]:
        """Centre of the first voxel, from that of the finest level's first voxel (z, y, x)."""
        z, y, x = (
            origin + part.start * self.level.voxel_size_um
            for origin, part in zip(self.level.origin_um, self.box)
        )
        return (z, y, x)

    @property
    def nbytes(self) -> int:
        """Bytes of its voxels without compression."""
        return prod(self.shape) * self.level.array.dtype.itemsize

    @property
    def blocks(self) -> int:
        """Stored blocks that it touches: what has to be fetched."""
        return sum(1 for _ in self.level.array.places(self.box))


def make_crop(
    volume: AtlasVolume,
    level: int,
    ends: Sequence[Ends] = ((None, None),) * 3,
    unit: Unit = "voxel",
) -> Crop:
    """A region of a level.

    Parameters
    ----------
    volume : AtlasVolume
    level : int
        0 is the finest.
    ends : three pairs
        First and last end along z, y, x; ``None`` is the end of the volume. In voxels the last
        one does not belong to it, as in a slice of Python. In lengths, counted from the centre of
        the first voxel of the finest level, it takes the voxels whose centres lie in
        ``first <= centre < last``, so that regions that share an end share no voxel.
    unit : {"voxel", "um", "mm"}
        Unit of the ends; voxels are those of the level.

    Returns
    -------
    Crop

    Raises
    ------
    InputError
        If there is no such level, or the region holds no voxel of it or reaches out of it.
    """
    at = volume.level(level)
    parts = []
    for axis, (first, last), n, origin in zip(_AXES, ends, at.array.shape, at.origin_um):
        start = _index(first, 0, unit, origin, at.voxel_size_um)
        stop = _index(last, n, unit, origin, at.voxel_size_um)
        if not 0 <= start < stop <= n:
            length = n * at.voxel_size_um / 1e3
            raise InputError(
                f"Along {axis} the region is {_told(first)}:{_told(last)} {unit}, voxels {start} "
                f"to {stop} of level {level}, which has 0 to {n} ({length:.3f} mm); give a region "
                "inside of it."
            )
        parts.append(slice(start, stop))
    return Crop(at, (parts[0], parts[1], parts[2]))


def absent_blocks(crop: Crop, absent: Collection[Place]) -> list[str]:
    """Sentences on blocks of a region that are not stored, whole slabs named.

    Zero background is not stored by N5 and Zarr, so that some are absent of most data sets. A slab
    across the whole region more likely was lost, or is not in a copy.

    Parameters
    ----------
    crop : Crop
    absent : collection of (int, int, int)
        Numbers of the blocks along z, y, x.
    """
    array = crop.level.array
    if not absent:
        return []
    told = [f"{len(absent)} of {crop.blocks} blocks are not stored; their voxels are {array.fill}."]
    if len(absent) == crop.blocks:
        return [*told, "Nothing is stored of the region: it is empty, or the copy is not complete."]
    for axis, chunk, part in zip(range(3), array.chunks, crop.box):
        first, last = part.start // chunk, -(-part.stop // chunk)
        count = np.bincount([p[axis] - first for p in absent], minlength=last - first)
        whole = np.concatenate([[False], count == crop.blocks // (last - first), [False]])
        ends = np.flatnonzero(np.diff(whole.astype(np.int8)))
        for start, stop in zip(ends[::2] + first, ends[1::2] + first):
            told.append(
                f"Nothing is stored of {_AXES[axis]} {max(start * chunk, part.start)}:"
                f"{min(stop * chunk, part.stop)} of the region (voxels of level "
                f"{crop.level.number}): it is empty there, or the copy is not complete."
            )
    return told


def parse_ends(words: str) -> tuple[Ends, Ends, Ends]:
    """Ends of ``z0:z1,y0:y1,x0:x1``; what is left out is the end of the volume.

    Raises
    ------
    InputError
        If these are not three ranges.

    Examples
    --------
    >>> parse_ends("1.5:2,:,4:")
    ((1.5, 2.0), (None, None), (4.0, None))
    """
    pairs: list[Ends] = []
    try:
        for part in words.split(","):
            first, last = (float(word) if word.strip() else None for word in part.split(":"))
            if any(end is not None and not isfinite(end) for end in (first, last)):
                raise ValueError(part)
            pairs.append((first, last))
        z, y, x = pairs
    except ValueError as error:
        raise InputError(
            f"The region is {words!r}; give three ranges z0:z1,y0:y1,x0:x1, whose ends may be "
            "left out."
        ) from error
    return (z, y, x)


def _index(end: float | None, default: int, unit: Unit, origin: float, size_um: float) -> int:
    if end is None:
        return default
    if unit == "voxel":
        if end != int(end):
            raise InputError(
                f"The voxel {end:g} is no whole number; lengths need a unit, um or mm."
            )
        return int(end)
    um = end * (1e3 if unit == "mm" else 1.0)
    return ceil((um - origin) / size_um - _ROUNDING)


def _told(end: float | None) -> str:
    return "" if end is None else f"{end:g}"
