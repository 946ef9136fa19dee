"""Opening a multiscale volume, ours or another's, in a folder or on a server.

Levels are lazy: where they lie and what they mean is read, no voxel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.core.errors import FormatError, InputError
from hipct.volume.group_storage import GroupStorage
from hipct.volume.layout import Vector3
from hipct.volume.lazy import as_dask
from hipct.volume.nodes import array_of, arrays_of, attributes_of, storage_of
from hipct.volume.storage import Folder, Patience, Storage, is_address
from hipct.volume.storage_zarr import chunkwise

MICROMETRES: Mapping[str, float] = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "micrometer": 1.0,
    "millimeter": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
"""Lengths of OME-Zarr (UDUNITS-2 names) in micrometres."""


@dataclass(frozen=True)
class VolumeLevel:
    """One level: a Zarr array that is read where it is sliced, and its place.

    Attributes
    ----------
    array : zarr.Array, shape (z, y, x), as it is stored
    scale : voxel size in micrometres
    translation : centre of voxel (0, 0, 0) in micrometres
    """

    path: str
    array: zarr.Array[Any]
    scale: Vector3
    translation: Vector3

    @cached_property
    def chunkwise(self) -> zarr.Array[Any]:
        """The same array for planes and small boxes: reads the chunks that they touch, each once.

        See :func:`hipct.volume.storage_zarr.chunkwise`.
        """
        return chunkwise(self.array)

    def dask(self, block: tuple[int, int, int] | None = None) -> Any:
        """The level as a Dask array whose tasks read whole shards (:func:`as_dask`)."""
        return as_dask(self.array, block)


@dataclass(frozen=True)
class Volume:
    """A multiscale volume; nothing is read before it is asked for.

    Attributes
    ----------
    address : its folder, or where it lies on a server
    levels : finest first
    axes : names of the array's axes, in order
    length_unit : ``"um"``, or ``"voxel"`` (of the finest level) where the voxel size is not known
    labels : whether the voxels are numbers of things and no grey values
    display : grey values shown black and white, if stored
    scale, offset, unit : ``value = stored * scale + offset`` in ``unit``, if stored
    provenance : what hipct noted about the making
    notes : what had to be assumed, as sentences
    """

    address: str
    name: str
    version: str
    axes: tuple[str, ...]
    length_unit: Literal["um", "voxel"]
    levels: tuple[VolumeLevel, ...]
    labels: bool
    display: tuple[float, float] | None
    scale: float | None
    offset: float | None
    unit: str | None
    provenance: Mapping[str, Any]
    notes: tuple[str, ...]

    @property
    def path(self) -> Path:
        """Its folder.

        Raises
        ------
        InputError
            If it lies on a server.
        """
        if is_address(self.address):
            raise InputError(
                f"{self.address} lies on a server, and this works on files of a folder; copy it "
                "to one."
            )
        return Path(self.address)

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels of the finest level."""
        return tuple(self.levels[0].array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored grey values."""
        return np.dtype(self.levels[0].array.dtype)

    @property
    def voxel_size_um(self) -> Vector3:
        """Voxel size of the finest level in micrometres (1 where ``length_unit`` is voxel)."""
        return self.levels[0].scale

    def physical(self, level: int = 0, region: Any = ...) -> NDArray[np.float32]:
        """Values of a region of a level in ``unit``.

        Parameters
        ----------
        level : int
            0 is the finest.
        region : index
            What NumPy takes as an index: slices, integers, ``...``.

        Returns
        -------
        ndarray, float32

        Raises
        ------
        InputError
            If the volume does not say what its grey values mean, or has no such level.
        """
        scale, offset = self._meaning()
        stored = np.asarray(self.level(level).chunkwise[region])
        return (stored * scale + offset).astype(np.float32)

    def dask(
        self,
        level: int = 0,
        *,
        block: tuple[int, int, int] | None = None,
        physical: bool = False,
    ) -> Any:
        """A level as a Dask array whose tasks read whole shards.

        Parameters
        ----------
        level : int
            0 is the finest.
        block : (int, int, int), optional
            Voxels of a task, see :func:`hipct.volume.lazy.as_dask`. Default: a shard.
        physical : bool
            Values in ``unit`` as float32, instead of the stored ones.

        Returns
        -------
        dask.array.Array

        Raises
        ------
        InputError
            If there is no such level, the block fits no shards, or ``physical`` is asked of a
            volume that does not say what its grey values mean.
        """
        stored = self.level(level).dask(block)
        if not physical:
            return stored
        scale, offset = self._meaning()
        return stored.map_blocks(
            lambda part: (part * scale + offset).astype(np.float32), dtype=np.float32
        )

    def _meaning(self) -> tuple[float, float]:
        if self.scale is None or self.offset is None:
            raise InputError(
                f"{self.address} does not store what its grey values mean (attribute "
                "hipct/window); read the grey values themselves from levels[...].array."
            )
        return self.scale, self.offset

    def level(self, number: int) -> VolumeLevel:
        """One level, or a sentence that says which there are."""
        if not 0 <= number < len(self.levels):
            raise InputError(
                f"{self.address} has no level {number}; it has 0 to {len(self.levels) - 1}."
            )
        return self.levels[number]


def open_volume(
    path: Path | str, *, patience: Patience | None = None, whole: bool = True
) -> Volume:
    """Open an OME-Zarr volume (0.4 or 0.5, three axes).

    Parameters
    ----------
    path : path or str
        A folder, or an address: ``s3://BUCKET/...``, ``gs://BUCKET/...``, ``http(s)://...``,
        ``file:///...`` (extra ``remote``).
    patience : Patience, optional
        How long a server is waited for.
    whole : bool
        Whether every level has to be there; otherwise those that cannot be opened are left out,
        and the notes say so.

    Raises
    ------
    InputError
        If the path does not exist, or the address cannot be one.
    FormatError
        If it is no OME-Zarr image of three axes, its metadata is broken, or no level is there.
    RemoteError
        If the server does not answer, or refuses.
    """
    storage = storage_of(path, patience)
    if not isinstance(storage, Folder):
        storage = GroupStorage(storage)
    attributes = attributes_of(storage)
    ome = attributes.get("ome", attributes)
    try:
        return _volume(storage, attributes, ome, whole)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"The OME-Zarr metadata of {storage.address} is broken ({type(error).__name__}: "
            f"{error}); hipct check names the fault."
        ) from error


def read_attributes(path: Path | str) -> dict[str, Any]:
    """Attributes of the group at ``path``, from ``zarr.json`` (v3) or ``.zattrs`` (v2).

    Raises
    ------
    InputError
        If the path does not exist.
    FormatError
        If there is no OME-Zarr image in it.
    RemoteError
        If it is an address and its server does not answer.
    """
    return attributes_of(storage_of(path))


def open_level(path: Path | str, name: str) -> zarr.Array[Any]:
    """Array of one level, read-only.

    Raises
    ------
    FormatError
        If it is missing or no Zarr array.
    RemoteError
        If it lies on a server that does not answer.
    """
    return array_of(storage_of(path), name)


def place_of_level(
    transformations: Sequence[Mapping[str, Any]], axes: int
) -> tuple[list[float], list[float]]:
    """Scale and translation that a list of transformations amounts to, applied in its order."""
    scale, translation = [1.0] * axes, [0.0] * axes
    for step in transformations:
        values = [float(v) for v in step.get(step["type"], [])]
        if step["type"] == "identity":
            continue
        if step["type"] not in ("scale", "translation") or len(values) != axes:
            raise ValueError(f"transformation {dict(step)}")
        if step["type"] == "scale":
            scale = [a * b for a, b in zip(scale, values)]
            translation = [a * b for a, b in zip(translation, values)]
        else:
            translation = [a + b for a, b in zip(translation, values)]
    return scale, translation


def _volume(
    storage: Storage, attributes: Mapping[str, Any], ome: Mapping[str, Any], whole: bool
) -> Volume:
    path = storage.address
    multiscale = ome["multiscales"][0]
    axes = multiscale["axes"]
    names = tuple(axis["name"] for axis in axes)
    if len(names) != 3 or set(names) != {"x", "y", "z"}:
        raise FormatError(f"{path} has the axes {names}; only volumes of z, y and x can be opened.")
    notes: list[str] = []
    # Our own writer leaves the unit out where it does not know it; others forget it.
    uncalibrated = "hipct" in attributes and not any("unit" in axis for axis in axes)
    factors = [1.0] * 3 if uncalibrated else [_micrometres(axis, notes) for axis in axes]
    levels = []
    datasets = multiscale["datasets"]
    paths = [str(dataset["path"]) for dataset in datasets]
    arrays = _arrays(storage, paths, notes, whole=whole)
    for dataset, array in zip(datasets, arrays):
        if array is None:
            continue
        steps = list(dataset["coordinateTransformations"])
        if [s["type"] for s in steps] == ["translation", "scale"]:
            notes.append(
                f"Level {dataset['path']} lists its translation before its scale; it is applied "
                "in that order."
            )
        steps += multiscale.get("coordinateTransformations", [])
        scale, translation = place_of_level(steps, 3)
        if any(not isfinite(s) or s <= 0 for s in scale):
            raise FormatError(f"Level {dataset['path']} of {path} has the scale {scale}; give > 0.")
        if array.ndim != 3:
            raise FormatError(f"Level {dataset['path']} of {path} has {array.ndim} axes, not 3.")
        levels.append(
            VolumeLevel(
                dataset["path"],
                array,
                _vector(s * f for s, f in zip(scale, factors)),
                _vector(t * f for t, f in zip(translation, factors)),
            )
        )
    if not levels:
        why = " ".join(notes)
        raise FormatError(why if datasets else f"{path} lists no level.")
    provenance = attributes.get("hipct", {})
    window = provenance.get("window", {})
    return Volume(
        address=path,
        name=str(multiscale.get("name") or path.rstrip("/").rpartition("/")[2]),
        version=str(ome.get("version") or multiscale.get("version") or "unknown"),
        axes=names,
        length_unit="voxel" if uncalibrated else "um",
        levels=tuple(levels),
        labels="image-label" in ome or provenance.get("reduction") == "mode",
        display=_display(ome),
        scale=_number(window.get("scale")),
        offset=_number(window.get("offset")),
        unit=None if window.get("unit") is None else str(window["unit"]),
        provenance=provenance,
        notes=tuple(notes),
    )


def _arrays(
    storage: Storage, paths: list[str], notes: list[str], *, whole: bool
) -> Sequence[zarr.Array[Any] | None]:
    """The arrays of the levels; unless ``whole``, None and a note where one cannot be opened."""
    try:
        return arrays_of(storage, paths)
    except FormatError:
        if whole:
            raise
    found: list[zarr.Array[Any] | None] = []
    for path in paths:
        try:
            found.append(array_of(storage, path))
        except FormatError as error:
            found.append(None)
            notes.append(f"{error} The other levels are shown.")
    return found


def _micrometres(axis: Mapping[str, Any], notes: list[str]) -> float:
    unit = axis.get("unit")
    if isinstance(unit, str) and unit in MICROMETRES:
        return MICROMETRES[unit]
    notes.append(f"Axis {axis['name']} has the unit {unit!r}; micrometer is assumed.")
    return 1.0


def _display(ome: Mapping[str, Any]) -> tuple[float, float] | None:
    channels = ome.get("omero", {}).get("channels", [])
    window = channels[0].get("window", {}) if channels else {}
    if "start" not in window or "end" not in window:
        return None
    start, end = float(window["start"]), float(window["end"])
    return (start, end) if start < end else None


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _vector(values: Any) -> Vector3:
    a, b, c = values
    return (float(a), float(b), float(c))
