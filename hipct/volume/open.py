"""Opening a multiscale volume, ours or another's: lazy levels, where they lie, what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.core.errors import FormatError, InputError
from hipct.volume.layout import Vector3

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
    array : zarr.Array, shape (z, y, x)
    scale : voxel size in micrometres
    translation : centre of voxel (0, 0, 0) in micrometres
    """

    path: str
    array: zarr.Array[Any]
    scale: Vector3
    translation: Vector3


@dataclass(frozen=True)
class Volume:
    """A multiscale volume on disk; nothing is read before it is asked for.

    Attributes
    ----------
    levels : finest first
    axes : names of the array's axes, in order
    length_unit : ``"um"``, or ``"voxel"`` (of the finest level) where the voxel size is not known
    display : grey values shown black and white, if stored
    scale, offset, unit : ``value = stored * scale + offset`` in ``unit``, if stored
    provenance : what hipct noted about the making
    notes : what had to be assumed, as sentences
    """

    path: Path
    name: str
    version: str
    axes: tuple[str, ...]
    length_unit: Literal["um", "voxel"]
    levels: tuple[VolumeLevel, ...]
    display: tuple[float, float] | None
    scale: float | None
    offset: float | None
    unit: str | None
    provenance: Mapping[str, Any]
    notes: tuple[str, ...]

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
        if self.scale is None or self.offset is None:
            raise InputError(
                f"{self.path} does not store what its grey values mean (attribute hipct/window); "
                "read the grey values themselves from levels[...].array."
            )
        stored = np.asarray(self.level(level).array[region])
        return (stored * self.scale + self.offset).astype(np.float32)

    def level(self, number: int) -> VolumeLevel:
        """One level, or a sentence that says which there are."""
        if not 0 <= number < len(self.levels):
            raise InputError(
                f"{self.path} has no level {number}; it has 0 to {len(self.levels) - 1}."
            )
        return self.levels[number]


def open_volume(path: Path | str) -> Volume:
    """Open an OME-Zarr volume (0.4 or 0.5, three axes).

    Raises
    ------
    InputError
        If the path does not exist.
    FormatError
        If it is no OME-Zarr image of three axes, or its metadata is broken.
    """
    path = Path(path)
    attributes = read_attributes(path)
    ome = attributes.get("ome", attributes)
    try:
        return _volume(path, attributes, ome)
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            f"The OME-Zarr metadata of {path} is broken ({type(error).__name__}: {error}); "
            "hipct check names the fault."
        ) from error


def read_attributes(path: Path) -> dict[str, Any]:
    """Attributes of the group at ``path``, from ``zarr.json`` (v3) or ``.zattrs`` (v2).

    Raises
    ------
    InputError
        If the path does not exist.
    FormatError
        If there is no OME-Zarr image in it.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist; give the folder of an OME-Zarr volume.")
    for name in ("zarr.json", ".zattrs"):
        file = path / name
        if not file.is_file():
            continue
        try:
            content = json.loads(file.read_bytes())
        except (OSError, ValueError) as error:
            raise FormatError(f"{file} cannot be read as JSON ({error}).") from error
        attributes = content
        if name == "zarr.json" and isinstance(content, dict):
            attributes = content.get("attributes")
        ome = attributes.get("ome", attributes) if isinstance(attributes, dict) else None
        if not isinstance(ome, dict) or not isinstance(ome.get("multiscales"), list):
            raise FormatError(
                f"{path} is a Zarr node but no OME-Zarr image: its attributes have no list "
                "'multiscales'."
            )
        return dict(attributes)
    raise FormatError(
        f"{path} is no OME-Zarr volume: it holds neither zarr.json nor .zattrs; give the folder "
        "that hipct reconstruct wrote."
    )


def open_level(path: Path, name: str) -> zarr.Array[Any]:
    """Array of one level, read-only.

    Raises
    ------
    FormatError
        If it is missing or no Zarr array.
    """
    try:
        return zarr.open_array(path / name, mode="r")
    except Exception as error:  # Zarr has no common class for what broken metadata raises.
        raise FormatError(
            f"Level {name!r} of {path} cannot be opened ({type(error).__name__}: {error})."
        ) from error


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


def _volume(path: Path, attributes: Mapping[str, Any], ome: Mapping[str, Any]) -> Volume:
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
    for dataset in multiscale["datasets"]:
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
        array = open_level(path, dataset["path"])
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
        raise FormatError(f"{path} lists no level.")
    provenance = attributes.get("hipct", {})
    window = provenance.get("window", {})
    return Volume(
        path=path,
        name=str(multiscale.get("name") or path.name),
        version=str(ome.get("version") or multiscale.get("version") or "unknown"),
        axes=names,
        length_unit="voxel" if uncalibrated else "um",
        levels=tuple(levels),
        display=_display(ome),
        scale=_number(window.get("scale")),
        offset=_number(window.get("offset")),
        unit=None if window.get("unit") is None else str(window["unit"]),
        provenance=provenance,
        notes=tuple(notes),
    )


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
