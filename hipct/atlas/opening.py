"""Opening a data set where it lies: lazy levels, their places, and what was assumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from hipct.atlas.blocks import BlockArray, Order, n5_array, zarr_array
from hipct.atlas.dataset import AtlasSet
from hipct.atlas.graph import level_voxels_to_um
from hipct.atlas.grid import BlockGrid
from hipct.atlas.own import cubic_voxel_um
from hipct.atlas.remote import open_store, split_format
from hipct.atlas.stored import stored_levels
from hipct.core.errors import FormatError, InputError
from hipct.volume.open import MICROMETRES, Volume, open_volume, place_of_level
from hipct.volume.reduce import REDUCED_DTYPES, Reduction
from hipct.volume.storage import ObjectStore, Patience
from hipct.volume.window import Window

Vector3 = tuple[float, float, float]
_MOST_LEVELS = 24


@dataclass(frozen=True)
class AtlasLevel:
    """One level of a data set.

    Attributes
    ----------
    array : (z, y, x), read where it is sliced
    voxel_size_um : edge of a voxel
    origin_um : centre of voxel (0, 0, 0), from that of the finest level; of a volume of one's own
        in its own coordinates
    """

    number: int
    array: BlockGrid
    voxel_size_um: float
    origin_um: Vector3


@dataclass(frozen=True)
class AtlasVolume:
    """A data set, opened; no voxel is read before it is asked for.

    Attributes
    ----------
    address : where it is read from
    format : ``"N5"``, ``"OME-Zarr 0.4"``, ``"OME-Zarr 0.5"``
    levels : finest first, each half as fine as the one before
    notes : what had to be assumed, as sentences
    window, unit : values that the ends of the 16-bit range stand for, if the volume tells
    reduction : how coarser voxels were made of finer ones
    """

    dataset: AtlasSet
    address: str
    format: str
    levels: tuple[AtlasLevel, ...]
    notes: tuple[str, ...]
    window: Window | None = None
    unit: str = "1/cm"
    reduction: Reduction = "mean"

    def level(self, number: int) -> AtlasLevel:
        """One level, or a sentence that says which there are."""
        if not 0 <= number < len(self.levels):
            raise InputError(
                f"{self.dataset.name} has no level {number}; it has 0 to {len(self.levels) - 1}."
            )
        return self.levels[number]


def open_set(
    dataset: AtlasSet, *, mirror: str | None = None, patience: Patience | None = None
) -> AtlasVolume:
    """Open a data set lazily: its metadata is read, no voxel.

    Levels are means of 2 x 2 x 2 voxels of the level before, so that they lie half a voxel of the
    difference behind it; where ``.zattrs`` says otherwise, a note says so.

    Parameters
    ----------
    dataset : AtlasSet
        From :func:`hipct.atlas.catalogue.find_set`; a volume of one's own too.
    mirror : str, optional
        Address or folder of a copy of the buckets, instead of Google's server.
    patience : Patience, optional
        How long a server is waited for.

    Returns
    -------
    AtlasVolume

    Raises
    ------
    RemoteError
        If the server does not answer.
    FormatError
        If what lies there is no N5 or OME-Zarr of three axes, or of another size than described.
    InputError
        If the address cannot be used, or its folder does not exist.
    """
    if dataset.address is not None:
        return _own(open_volume(dataset.address, patience=patience), dataset)
    kind, address = split_format(dataset.url)
    store = open_store(address, mirror=mirror, patience=patience)
    notes: list[str] = []
    if kind == "n5":
        opened = _n5_levels(store, notes)
    elif store.get(".zattrs") is None and store.get("zarr.json") is not None:
        return _own(open_volume(store.address, patience=patience), dataset)
    else:
        opened = _zarr_levels(store, dataset, notes)
    if not opened:
        raise FormatError(f"{store.address} holds no level of a {kind} pyramid.")
    levels = tuple(_level(number, array, dataset) for number, array in enumerate(opened))
    _compare(levels, dataset, notes)
    name = "N5" if kind == "n5" else "OME-Zarr 0.4"
    return AtlasVolume(dataset, store.address, name, levels, tuple(notes))


def _own(volume: Volume, dataset: AtlasSet) -> AtlasVolume:
    """A volume that tells its own levels, in its own coordinates."""
    notes = list(volume.notes)
    size = cubic_voxel_um(volume)
    if not np.isclose(size, dataset.voxel_size_um, rtol=1e-3):
        notes.append(
            f"{volume.address} has voxels of {size:g} um and is described with "
            f"{dataset.voxel_size_um:g} um; the former are taken."
        )
    axes = [volume.axes.index(axis) for axis in "zyx"]
    levels = []
    for number, (level, array) in enumerate(zip(volume.levels, stored_levels(volume))):
        z, y, x = (level.translation[axis] for axis in axes)
        levels.append(AtlasLevel(number, array, level.scale[0], (z, y, x)))
    _compare(tuple(levels), dataset, notes)
    told = volume.provenance.get("window", {})
    noted = "mode" if volume.labels else volume.provenance.get("reduction", "mean")
    return AtlasVolume(
        dataset,
        volume.address,
        f"OME-Zarr {volume.version}",
        tuple(levels),
        tuple(notes),
        window=Window(told["low"], told["high"]) if {"low", "high"} <= told.keys() else None,
        unit=volume.unit or "1/cm",
        reduction=noted if noted in REDUCED_DTYPES else "mean",
    )


def _level(number: int, array: BlockArray, dataset: AtlasSet) -> AtlasLevel:
    size = dataset.voxel_size_um
    z, y, x = (float(v) for v in level_voxels_to_um((0, 0, 0), size, number))
    return AtlasLevel(number, array, size * 2**number, (z, y, x))


def _n5_levels(store: ObjectStore, notes: list[str]) -> list[BlockArray]:
    arrays: list[BlockArray] = []
    while len(arrays) < _MOST_LEVELS:
        path = f"s{len(arrays)}"
        attributes = _read_json(store, f"{path}/attributes.json")
        if attributes is None or "dimensions" not in attributes:
            break
        arrays.append(n5_array(store, path, attributes))
    notes.append("N5 lists axes as x, y, z with x running fastest; they are given as z, y, x.")
    return arrays


def _zarr_levels(store: ObjectStore, dataset: AtlasSet, notes: list[str]) -> list[BlockArray]:
    attributes = _read_json(store, ".zattrs")
    where = f"{store.address.rstrip('/')}/.zattrs"
    if attributes is None:
        raise FormatError(f"{where} does not exist; no OME-Zarr 0.4 lies there.")
    try:
        multiscale, *others = attributes["multiscales"]
        if others:
            notes.append(f"{where} lists {len(others) + 1} images; the first is taken.")
        axes = multiscale.get("axes")
        order = _order(axes, where, notes)
        datasets = [(str(one["path"]), one) for one in multiscale["datasets"]]
        arrays = []
        for path, _ in datasets:
            metadata = _read_json(store, f"{path}/.zarray")
            if metadata is None:
                raise FormatError(f"{where} lists the level {path!r}, which has no .zarray.")
            arrays.append(zarr_array(store, path, metadata, order))
        _compare_places([one for _, one in datasets], axes, dataset, notes)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{where} is broken ({type(error).__name__}: {error}).") from error
    return arrays


def _order(axes: Any, where: str, notes: list[str]) -> Order:
    names = [axis["name"] if isinstance(axis, Mapping) else axis for axis in axes or ()]
    if names == ["z", "y", "x"]:
        return "zyx"
    if names == ["x", "y", "z"]:
        notes.append("The axes are stored x, y, z; they are given as z, y, x.")
        return "xyz"
    if not names:
        notes.append(
            f"{where} names no axes; they are taken for x, y, z, as the atlas stores them."
        )
        return "xyz"
    raise FormatError(f"{where} has the axes {', '.join(names)}; known are x, y, z and z, y, x.")


def _compare_places(
    datasets: list[Mapping[str, Any]], axes: Any, dataset: AtlasSet, notes: list[str]
) -> None:
    """Notes on transformations that do not say what the levels are."""
    units = [axis.get("unit") for axis in axes or () if isinstance(axis, Mapping)]
    to_um = MICROMETRES.get(units[0], 1.0) if units and units[0] else 1.0
    swapped, first = [], None
    for number, one in enumerate(datasets):
        steps = one.get("coordinateTransformations", [])
        if [step["type"] for step in steps] == ["translation", "scale"]:
            swapped.append(str(one["path"]))
        scale, translation = place_of_level(steps, 3)
        first = first or translation
        size = dataset.voxel_size_um
        off = [(t - t0) * to_um - 0.5 * (2**number - 1) * size for t, t0 in zip(translation, first)]
        if not np.allclose([s * to_um for s in scale], size * 2**number, rtol=1e-3):
            notes.append(
                f"Level {one['path']} has the voxel size {max(scale) * to_um:g} um in .zattrs; "
                f"{size * 2**number:g} um is taken, from the description."
            )
        elif np.abs(off).max() > 0.01 * size:
            worst = max(off, key=abs)
            notes.append(
                f"Level {one['path']} lies {worst:+.1f} um beside its voxels by .zattrs; it is "
                "placed as the means of 2 x 2 x 2 voxels that it holds."
            )
    if swapped:
        notes.append(
            f"Level {', '.join(swapped)} list{'s' if len(swapped) == 1 else ''} the translation "
            "before the scale, which is not valid; they are read in the order listed."
        )


def _compare(levels: tuple[AtlasLevel, ...], dataset: AtlasSet, notes: list[str]) -> None:
    """Sizes against the description and against one another."""
    finest = levels[0].array
    if finest.shape != dataset.shape:
        raise FormatError(
            f"{dataset.name} is described with {_shape(dataset.shape)} voxels (z, y, x) and "
            f"stored with {_shape(finest.shape)}; one of the two is of another data set."
        )
    if finest.dtype != np.uint16 and dataset.address is None:
        notes.append(f"The voxels are {finest.dtype}; the atlas has uint16 elsewhere.")
    for level in levels[1:]:
        factor = 2**level.number
        up = tuple(-(-n // factor) for n in finest.shape)
        down = finest.shape
        for _ in range(level.number):
            down = (down[0] // 2, down[1] // 2, down[2] // 2)
        if any(not low <= n <= high for low, n, high in zip(down, level.array.shape, up)):
            raise FormatError(
                f"Level {level.number} of {dataset.name} has {_shape(level.array.shape)} voxels "
                f"(z, y, x); {_shape(up)} are {factor} times coarser than the finest."
            )
        if level.array.shape != up:
            lost = 1 - prod(level.array.shape) / prod(up)
            notes.append(
                f"Level {level.number} has {_shape(level.array.shape)} voxels of {_shape(up)}: "
                f"odd ends were dropped ({lost:.2%})."
            )


def _read_json(store: ObjectStore, key: str) -> dict[str, Any] | None:
    data = store.get(key)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except ValueError as error:
        raise FormatError(f"{store.address.rstrip('/')}/{key} is no JSON ({error}).") from error
    if not isinstance(value, dict):
        raise FormatError(f"{store.address.rstrip('/')}/{key} holds no JSON object.")
    return value


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape)
