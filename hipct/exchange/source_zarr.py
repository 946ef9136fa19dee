"""Zarr arrays, version 2 and 3, and OME-Zarr volumes (their finest level) as sources."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.acquisition.store_layout import fast_codecs
from hipct.core.errors import FormatError, InputError
from hipct.exchange.source_files import AxesSource, fingerprint_of
from hipct.exchange.source_options import SourceOptions
from hipct.storage.chunk_reader import ChunkReader, open_chunks
from hipct.volume.nodes import is_own
from hipct.volume.open import open_volume, read_attributes

_NAMED = 6
_UNFINISHED = (".partial", ".run")


class ZarrSource(AxesSource):
    """An array of Zarr, or the finest level of an OME-Zarr volume.

    Parameters
    ----------
    path : Path
        The folder of an array, of an OME-Zarr volume, or of a group of arrays.
    options : SourceOptions
        Which array of a group of several, and the order of its axes.

    Raises
    ------
    InputError
        If there is no such array, or several, or the axes are known already.
    FormatError
        If the metadata is broken, or the store is being written.
    """

    format = "Zarr"
    _array: zarr.Array[Any] | ChunkReader
    _folder: Path

    def __init__(self, path: Path, options: SourceOptions) -> None:
        super().__init__(path, options)
        refuse_unfinished(path)
        is_volume = options.dataset is None and _is_volume(path)
        array = self._open_volume() if is_volume else self._open_array()
        # Zarr gives zeros for a missing file, and hipct itself leaves none out.
        whole = is_volume and is_own(read_attributes(path))
        # Chunks of the usual kinds are decoded here, others by Zarr.
        self._array = open_chunks(self._folder, whole=whole) or _faster(array, self._folder)
        self.dtype = np.dtype(self._array.dtype).newbyteorder("=")
        if self.dtype.kind not in "uifb":
            raise FormatError(f"{self.name} holds {self.dtype}; a volume has numbers.")

    def fingerprint(self) -> str:
        """Names, sizes and times of the files of the array."""
        return fingerprint_of([self._folder])

    def _read_stored(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        with reading(self._folder, "Zarr"):
            return np.asarray(self._array[region])

    def _open_volume(self) -> zarr.Array[Any]:
        if self.options.axes is not None:
            raise InputError(
                f"{self.name} is OME-Zarr, which says its axes; leave --axes {self.options.axes} "
                "out."
            )
        volume = open_volume(self.name)
        level = volume.levels[0]
        self.format = f"OME-Zarr {volume.version}"
        self._folder = self.path / level.path
        order = SourceOptions(axes="".join(volume.axes)).order()
        self.place_axes(tuple(level.array.shape), order, level.array.chunks)
        if volume.length_unit == "um":
            z, y, x = (level.scale[axis] for axis in order)
            self.voxel_size_um = (z, y, x)
        z, y, x = (level.translation[axis] for axis in order)
        self.origin_um = (z, y, x)
        if volume.scale is not None and volume.offset is not None:
            self.value = (volume.scale, volume.offset)
            self.unit = volume.unit or "1"
        self.notes = volume.notes
        if volume.labels:
            self.notes += (f"{self.name} holds labels; --labels reduces them as such.",)
        if order != (0, 1, 2):
            stored = ", ".join(volume.axes)
            self.notes += (f"{self.name} is stored as {stored}; the pyramid is z, y, x.",)
        return level.array

    def _open_array(self) -> zarr.Array[Any]:
        name = self.options.dataset or ""
        with reading(self.path, "Zarr"):
            node = zarr.open(self.path, mode="r")
            if isinstance(node, zarr.Group):
                node = _array_of(node, name, self.path)
                name = node.path
            elif name:
                raise InputError(f"{self.path} is an array; leave --dataset {name} out.")
        self._folder = self.path / name if name else self.path
        self.place_axes(tuple(node.shape), self.options.order(), node.chunks)
        return node


def _faster(array: zarr.Array[Any], folder: Path) -> zarr.Array[Any]:
    """The array with the Rust codecs, where they can read it.

    They refuse another byte order and Fortran order only when it comes to reading; codecs that they
    do not know they warn of, and leave to Python's.
    """
    metadata = array.metadata
    if np.dtype(array.dtype).newbyteorder("=") != array.dtype or (
        getattr(metadata, "order", "C") != "C"
    ):
        return array
    with fast_codecs(), warnings.catch_warnings(), reading(folder, "Zarr"):
        warnings.filterwarnings("ignore", message=".*unsupported by ZarrsCodecPipeline")
        return zarr.open_array(folder, mode="r")


def _array_of(group: zarr.Group, name: str, path: Path) -> zarr.Array[Any]:
    """The array that was named, or the only one of three axes."""
    arrays = {key: array for key, array in group.members(None) if isinstance(array, zarr.Array)}
    if name:
        if name in arrays:
            return arrays[name]
        raise InputError(f"{path} has no array {name}; it has {_listed(list(arrays))}.")
    volumes = {key: array for key, array in arrays.items() if array.ndim == 3}
    if len(volumes) != 1:
        raise InputError(
            f"{path} has {len(volumes)} arrays of three axes"
            + (f" ({_listed(list(volumes))}); say which by " if volumes else "; name another by ")
            + "--dataset NAME (Python: dataset=...)."
        )
    return next(iter(volumes.values()))


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(sorted(names)[:_NAMED]) or "none") + more


def _is_volume(path: Path) -> bool:
    """Whether the attributes list multiscales, whatever else may be wrong with them."""
    for name in ("zarr.json", ".zattrs"):
        file = path / name
        if file.is_file():
            with reading(file, "JSON"):
                content = json.loads(file.read_bytes())
            if name == "zarr.json" and isinstance(content, dict):
                content = content.get("attributes")
            ome = content.get("ome", content) if isinstance(content, dict) else None
            return isinstance(ome, dict) and "multiscales" in ome
    return False


def refuse_unfinished(path: Path) -> None:
    """Raise if a run lies beside a volume that writes it, or was broken off.

    Raises
    ------
    FormatError
        If there is one.
    """
    for suffix in _UNFINISHED:
        sibling = path.with_name(path.name + suffix)
        if sibling.exists():
            raise FormatError(
                f"{path} is being written, or a run was broken off: {sibling} lies beside it; let "
                "it end or remove it."
            )
