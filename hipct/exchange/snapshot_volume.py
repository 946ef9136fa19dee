"""Any volume that the library opens, as a picture shows it: its slices, its block, what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError, InputError
from hipct.core.progress import Observer
from hipct.exchange.export_level import LENGTHS_UM, LevelView, choose_level
from hipct.exchange.export_selection import read_lengths
from hipct.exchange.snapshot_parts import (
    Faults,
    Gathered,
    Image2,
    LevelLayers,
    SourceLayers,
    gather,
    read_slices,
    voxel_at,
)
from hipct.exchange.source import open_volume_source
from hipct.exchange.source_zarr import refuse_unfinished
from hipct.volume.layout import Shape3, Vector3
from hipct.volume.open import Volume, open_volume, read_attributes
from hipct.volume.pyramid_source import VolumeSource
from hipct.volume.storage import is_address

_FLATTEST = 1e5
"""Longest side of a volume over its shortest one; a single slice is flat, but not that flat."""


@dataclass(frozen=True)
class Seen:
    """What a picture shows of a volume; axes z, y, x, whatever their order in the file.

    Attributes
    ----------
    name, shape, voxel, unit, axes : of the volume; ``unit`` "um" or "voxel" of all lengths
    labels : whether the voxels are numbers of things
    display : stored grey values shown black and white, if the volume says so
    value : scale, offset and unit of what the grey values mean, if the volume says so
    slices : across z, y and x; UNREAD where nothing could be read
    places : where they lie along their axes
    block : the volume with few voxels, of the same extent; None if not asked for
    extent : lengths along z, y, x
    read : what was read, in words
    faults : what could not be read, as sentences
    notes : what had to be assumed, and which levels are missing, as sentences
    point : the place through which the slices go
    volume : the OME-Zarr volume, None for other formats
    """

    name: str
    shape: Shape3
    voxel: Vector3
    unit: str
    axes: str
    labels: bool
    display: tuple[float, float] | None
    value: tuple[float, float, str] | None
    slices: list[Image2]
    places: Vector3
    block: NDArray[np.float32] | None
    extent: Vector3
    read: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    point: Vector3
    volume: Volume | None


@dataclass(frozen=True)
class Wanted:
    """What a picture asks of a volume.

    Attributes
    ----------
    at : point of the slices in words, ``z,y,x`` in voxels, um or mm; None for the middle
    slice_px : most pixels along an edge of a slice
    block_px : most voxels along an edge of the block, 0 for none
    memory_bytes : of a band
    """

    at: str | None
    slice_px: int
    block_px: int
    memory_bytes: int


def see(
    path: Path | str,
    wanted: Wanted,
    observer: Observer,
    *,
    dataset: str | None = None,
    axes: str | None = None,
    voxel_um: float | Vector3 | None = None,
) -> Seen:
    """Read what a picture shows of a volume.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume here or on a server, or what
        :func:`hipct.exchange.source.open_volume_source` opens.
    wanted : Wanted
    observer : Observer
    dataset, axes, voxel_um
        As of ``open_volume_source``; an OME-Zarr volume says all of it.

    Raises
    ------
    InputError, FormatError
        If it is no volume, is being written, or nothing of it can be read.
    RemoteError
        If a server does not answer.
    PlanError
        If the memory is too small.
    MissingExtra
        If a package for the format is not installed.
    """
    if (dataset, axes, voxel_um) == (None, None, None) and _is_omezarr(path):
        return _see_pyramid(open_volume(path, whole=False), wanted, observer)
    with open_volume_source(path, dataset=dataset, axes=axes, voxel_um=voxel_um) as source:
        return _see_source(source, wanted, observer)


def _is_omezarr(path: Path | str) -> bool:
    if is_address(path):
        return True
    if not Path(path).is_dir():
        return False
    refuse_unfinished(Path(path))
    try:
        read_attributes(path)
    except FormatError:
        return False
    return True


def _see_pyramid(volume: Volume, wanted: Wanted, observer: Observer) -> Seen:
    whole = choose_level(volume, 0)
    faults = Faults()
    shape, voxel, origin = whole.shape, whole.voxel, whole.origin
    _require_lengths(volume)
    point = _point(wanted.at, shape, voxel, origin, volume.length_unit)
    views = [
        LevelView(volume, number, whole.whole, planes=True) for number in range(len(volume.levels))
    ]
    fine = _fitting(views, wanted.slice_px)
    small = _fitting(views, wanted.block_px)
    slices: list[Image2] = []
    if fine is not None:
        at = voxel_at(fine.shape, fine.voxel, fine.origin, point)
        slices = read_slices(fine, at, faults)
    block = None
    if fine is None or wanted.block_px:
        # Of a level that fits there is nothing to average.
        through = small or views[-1]
        gathered = gather(
            LevelLayers(LevelView(volume, through.number, whole.whole), faults),
            voxel_at(through.shape, through.voxel, through.origin, point),
            longest=(wanted.slice_px, wanted.block_px or wanted.slice_px),
            labels=volume.labels,
            memory_bytes=wanted.memory_bytes,
            observer=observer,
        )
        block = gathered.block if wanted.block_px else None
        if fine is None:
            fine, slices = through, gathered.slices
    assert fine is not None
    at = voxel_at(fine.shape, fine.voxel, fine.origin, point)
    return Seen(
        name=volume.name,
        shape=shape,
        voxel=voxel,
        unit=volume.length_unit,
        axes="".join(volume.axes),
        labels=volume.labels,
        display=volume.display,
        value=_value(volume.scale, volume.offset, volume.unit),
        slices=_some(slices, faults),
        places=_vector(o + k * v for o, k, v in zip(fine.origin, at, fine.voxel)),
        block=block,
        extent=_vector(n * v for n, v in zip(fine.shape, fine.voxel)),
        read=_levels_read(
            fine, (small or views[-1]) if wanted.block_px else None, volume.length_unit
        ),
        faults=tuple(map(str, faults.errors)),
        notes=volume.notes,
        point=point,
        volume=volume,
    )


def _see_source(source: VolumeSource, wanted: Wanted, observer: Observer) -> Seen:
    unit = "voxel" if source.voxel_size_um is None else "um"
    voxel = source.voxel_size_um or (1.0, 1.0, 1.0)
    origin = source.origin_um if unit == "um" else (0.0, 0.0, 0.0)
    point = _point(wanted.at, source.shape, voxel, origin, unit)
    at = voxel_at(source.shape, voxel, origin, point)
    faults = Faults()
    gathered = gather(
        SourceLayers(source, faults),
        at,
        longest=(wanted.slice_px, wanted.block_px or wanted.slice_px),
        labels=False,
        memory_bytes=wanted.memory_bytes,
        observer=observer,
    )
    return Seen(
        name=Path(source.name).name,
        shape=source.shape,
        voxel=voxel,
        unit=unit,
        axes="zyx",
        labels=False,
        display=None,
        value=None if source.value is None else (*source.value, source.unit.strip("1")),
        slices=_some(gathered.slices, faults),
        places=_vector(o + k * v for o, k, v in zip(origin, at, voxel)),
        block=gathered.block if wanted.block_px else None,
        extent=_vector(n * v for n, v in zip(source.shape, voxel)),
        read=_source_read(source, gathered),
        faults=tuple(map(str, faults.errors)),
        notes=source.notes,
        point=point,
        volume=None,
    )


def _require_lengths(volume: Volume) -> None:
    """Raise where lengths are such that nothing can be drawn to scale."""
    for level in volume.levels:
        sides = [n * edge for n, edge in zip(level.array.shape, level.scale)]
        known = np.isfinite([*sides, *level.translation]).all()
        if not known or max(sides) > _FLATTEST * min(sides):
            raise FormatError(
                f"Level {level.path} of {volume.address} has voxels of {level.scale} at "
                f"{level.translation}, which cannot be drawn to scale; hipct check names the fault."
            )


def _fitting(views: list[LevelView], longest: int) -> LevelView | None:
    """The finest level that is no longer than this along any axis."""
    return next((view for view in views if max(view.shape) <= longest), None)


def _some(slices: list[Image2], faults: Faults) -> list[Image2]:
    """The slices, unless there is nothing on them."""
    if faults.errors and not any(np.isfinite(each).any() for each in slices):
        raise faults.errors[0]
    return slices


def _levels_read(fine: LevelView, small: LevelView | None, unit: str) -> str:
    def words(view: LevelView) -> str:
        size = " x ".join(f"{edge:g}" for edge in dict.fromkeys(view.voxel))
        return f"level {view.level.path} ({size} {unit})"

    text = f"slices of {words(fine)}"
    return text if small is None else f"{text}, projection of {words(small)}"


def _source_read(source: VolumeSource, gathered: Gathered) -> str:
    if gathered.every == 1:
        return f"all slices of {source.format}"
    return f"every {gathered.every}. slice of {source.format}"


def _point(words: str | None, shape: Shape3, voxel: Vector3, origin: Vector3, unit: str) -> Vector3:
    """A point in the coordinates of the volume, the middle by default."""
    if words is None:
        return _vector(o + n // 2 * v for o, n, v in zip(origin, shape, voxel))
    values, given = read_lengths(words.split(","), f"point is {words!r}")
    if len(values) != 3:
        raise InputError(f"The point is {words!r}; give z,y,x in voxels, um or mm.")
    if given is not None and unit != "um":
        raise InputError(
            f"The point is {words!r}, and nothing says how large the voxels are; give voxels."
        )
    point = _vector(
        o + value * v if given is None else value * LENGTHS_UM[given]
        for o, value, v in zip(origin, values, voxel)
    )
    for axis, p, o, n, v in zip("zyx", point, origin, shape, voxel):
        if not o - v / 2 <= p <= o + (n - 0.5) * v:
            raise InputError(
                f"The point is {words!r}, outside of the volume, whose {axis} goes from "
                f"{o - v / 2:g} to {o + (n - 0.5) * v:g} {unit}."
            )
    return point


def _value(
    scale: float | None, offset: float | None, unit: str | None
) -> tuple[float, float, str] | None:
    return None if scale is None or offset is None else (scale, offset, unit or "")


def _vector(values: Iterable[float]) -> Vector3:
    z, y, x = (float(value) for value in values)
    return (z, y, x)
