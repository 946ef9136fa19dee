"""Writes a scan store: frames as they come, every shard once, whole before it has its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.acquisition.frame_sink import FrameSink, plan_shard_frames
from hipct.acquisition.scan import FrameKind, ScanInfo
from hipct.acquisition.store_files import (
    PartialFolder,
    refuse_existing_store,
    refuse_full_disk,
    writing,
)
from hipct.acquisition.store_layout import ATTRIBUTE, FORMAT, VERSION, absent_files
from hipct.core.errors import InputError

DEFAULT_MEMORY_BYTES = 2 << 30

_KINDS: tuple[FrameKind, ...] = ("projections", "flats", "darks")
_OF_RETURNS = ("return_angles_rad", "return_index")
_OPTIONAL_KINDS: tuple[FrameKind, ...] = ("returns",)


class ScanStoreWriter:
    """A scan store while it is written; a context manager.

    Leaving the ``with`` block without an error makes the store whole (:meth:`close`); an error
    removes it (:meth:`abort`). Until then it lies at ``<path>.partial`` and carries no mark of
    a scan store, so that a killed job leaves nothing that looks whole; what such a job left is
    replaced by the next writer of the same store.

    Parameters
    ----------
    path : str or Path
        The store to make.
    info : ScanInfo
        Numbers of frames, geometry and everything else that is kept.
    overwrite : bool
        Replace an existing scan store, once the new one is whole.
    memory_bytes : int
        Bound for the frames held in memory. It decides how many angles a shard has.
    attributes : mapping, optional
        More attributes for the group, in JSON's types, e.g. the parameters of a simulation.

    Raises
    ------
    OutputError
        If the output exists, is being written by another job, or the disk is too small.
    PlanError
        If not even one row of chunks fits into ``memory_bytes``.
    """

    def __init__(
        self,
        path: str | Path,
        info: ScanInfo,
        *,
        overwrite: bool = False,
        memory_bytes: int = DEFAULT_MEMORY_BYTES,
        attributes: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.info = info
        self._attributes = json_attributes(attributes)
        if ATTRIBUTE in self._attributes:
            raise InputError(f"The attribute {ATTRIBUTE!r} belongs to the store itself; rename it.")
        refuse_existing_store(self.path, overwrite)
        shard_frames = plan_shard_frames(info, memory_bytes)
        refuse_full_disk(self.path, info.nbytes)
        self._sinks: dict[FrameKind, FrameSink] = {}
        self._folder = PartialFolder(self.path)
        self._open = True
        try:
            with writing(self.path):
                self._group = zarr.create_group(self._folder.path, zarr_format=3)
                optional = [kind for kind in _OPTIONAL_KINDS if getattr(info, kind)]
                for kind in (*_KINDS, *optional):
                    self._sinks[kind] = FrameSink(self._group, kind, info, shard_frames)
                self._write_vectors()
        except BaseException:
            self.abort()
            raise

    @property
    def angle_chunk(self) -> int:
        """Angles of a shard: blocks of a multiple of these are written without waiting."""
        return self._sinks["projections"].layout.shards[0]

    def write_projections(self, first: int, block: NDArray[Any]) -> None:
        """Append projections.

        Parameters
        ----------
        first : int
            Number of the block's first projection: blocks come in order, without gaps.
        block : numpy.ndarray
            (angles, rows, columns), ``info.dtype``; may be reused after the call.
        """
        self._write("projections", first, block)

    def write_flats(self, first: int, block: NDArray[Any]) -> None:
        """Append flats, as :meth:`write_projections` does projections."""
        self._write("flats", first, block)

    def write_darks(self, first: int, block: NDArray[Any]) -> None:
        """Append darks, as :meth:`write_projections` does projections."""
        self._write("darks", first, block)

    def write_frames(self, kind: FrameKind, first: int, block: NDArray[Any]) -> None:
        """Append frames of one kind."""
        self._write(kind, first, block)

    def write_truth(
        self, name: str, array: NDArray[Any], attributes: Mapping[str, Any] | None = None
    ) -> None:
        """Keep an array of what a simulated scan was made from, as ``truth/<name>``."""
        described = json_attributes(attributes)
        with writing(self.path):
            put_truth(self._group, name, array, described)

    def write_truth_attributes(self, attributes: Mapping[str, Any]) -> None:
        """Keep values that a simulated scan was made from, as attributes of ``truth``."""
        described = json_attributes(attributes)
        with writing(self.path):
            self._group.require_group("truth").attrs.update(described)

    def close(self) -> None:
        """Make the store whole: all frames on disk, marked, under its own name.

        Raises
        ------
        InputError
            If frames are missing (the store is removed).
        OutputError
            If the disk is full or fails (the store is removed).
        """
        if not self._open:
            return
        try:
            with writing(self.path):
                for sink in self._sinks.values():
                    sink.close()
                self._group.attrs.update({ATTRIBUTE: self._header(), **self._attributes})
                self._folder.commit()
        except BaseException:
            self.abort()
            raise
        self._open = False

    def abort(self) -> None:
        """Remove what was written."""
        if not self._open:
            return
        for sink in self._sinks.values():
            sink.stop()
        self._folder.discard()
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _write(self, kind: FrameKind, first: int, block: NDArray[Any]) -> None:
        if not self._open:
            raise InputError(f"{self.path} is closed already; open a new writer.")
        with writing(self.path):
            self._sinks[kind].write(first, block)

    def _write_vectors(self) -> None:
        info = self.info
        vectors = {
            "angles_rad": (info.angles_rad, "angle"),
            "projection_index": (info.projection_index, "angle"),
            "flat_index": (info.flat_index, "flat"),
            "dark_index": (info.dark_index, "dark"),
            "return_angles_rad": (info.return_angles_rad, "return"),
            "return_index": (info.return_index, "return"),
            "current": (info.current, "angle"),
            "flat_current": (info.flat_current, "flat"),
            "projection_z_um": (info.projection_z_um, "angle"),
        }
        for name, (vector, axis) in vectors.items():
            if vector is None or (name in _OF_RETURNS and not info.returns):
                continue
            array = self._group.create_array(
                name,
                shape=vector.shape,
                chunks=(max(vector.size, 1),),
                dtype=np.float64,
                dimension_names=[axis],
            )
            if vector.size:
                array[...] = vector

    def _header(self) -> dict[str, Any]:
        info = self.info
        return {
            "format": FORMAT,
            "version": VERSION,
            "acquisition": info.acquisition,
            "kind": info.kind,
            "pixel_size_um": info.pixel_size_um,
            "distance_m": info.distance_m,
            "energy_kev": info.energy_kev,
            "rotation_axis_px": info.rotation_axis_px,
            "subframes": info.subframes,
            "current_unit": info.current_unit,
            "name": info.name,
            "start_time": info.start_time,
            "z_um": info.z_um,
            "lateral_um": info.lateral_um,
            "source": info.source,
            "source_format": info.format,
            "notes": list(info.notes),
            # Of shards without a file, those that zeros stand for; others have been lost.
            "zeros": {
                kind: absent_files(self._folder.path / kind, sink.array)
                for kind, sink in self._sinks.items()
            },
        }


def put_truth(
    group: zarr.Group, name: str, array: NDArray[Any], attributes: Mapping[str, Any]
) -> None:
    """Keep an array of what a simulation was made from as ``truth/<name>`` of a group."""
    values = np.asarray(array)
    stored = group.require_group("truth").create_array(
        name,
        shape=values.shape,
        chunks=tuple(min(64, max(size, 1)) for size in values.shape),
        dtype=values.dtype,
        attributes=dict(attributes),
    )
    stored[...] = values


def json_attributes(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
    """The attributes, once it is sure that they can be stored.

    Raises
    ------
    InputError
        If JSON has no such values.
    """
    # Found out now rather than at the end of a long import.
    try:
        json.dumps(dict(attributes or {}), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"The attributes have to be numbers, texts, lists and mappings of JSON ({error})."
        ) from error
    return dict(attributes or {})
