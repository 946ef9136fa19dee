"""Reads a scan store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import FrameKind, Scan, ScanInfo
from hipct.acquisition.store_layout import (
    ATTRIBUTE,
    FORMAT,
    SERIES_FORMAT,
    VERSION,
    absent_files,
    fast_codecs,
)
from hipct.core.errors import FormatError, InputError
from hipct.storage.chunk_reader import ChunkReader, open_chunks

_LARGEST_VECTOR = 100_000_000
_OPTIONAL = (
    "current", "flat_current", "projection_z_um", "return_angles_rad", "return_index",
)  # fmt: skip


class StoreScan(Scan):
    """A scan in a scan store.

    Reads fetch the inner chunks that they touch, each once, and compare their checksums: a range
    of rows aligned to ``row_chunk`` over all angles moves what was asked for.

    Parameters
    ----------
    path : str or Path
        The store, or the group of one scan inside a larger one.

    Attributes
    ----------
    path : Path
        The store.
    origin : str
        What the store was imported from, or how it was made.
    attributes : dict
        The group's other attributes, e.g. the parameters of a simulation.

    Raises
    ------
    FormatError
        If it is no scan store, or an array or a file of it is missing or has a wrong shape.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with reading(self.path, "scan store"):
            group = self._group()
            self.attributes = dict(group.attrs)
            header = self._checked_header(self.attributes.pop(ATTRIBUTE, None))
            self._frames: dict[FrameKind, zarr.Array[Any]] = {
                kind: self._array(group, kind, 3) for kind in ("projections", "flats", "darks")
            }
            if "returns" in group:
                self._frames["returns"] = self._array(group, "returns", 3)
            self._chunks = {kind: self._reader(kind) for kind in self._frames}
            self._check_shapes()
            self._check_files(header.get("zeros", {}))
            self.origin = str(header["source"])
            self.info = self._info(group, header)
            self.row_chunk = self._frames["projections"].chunks[1]
            self.angle_chunk = self._frames["projections"].chunks[0]
            self.has_truth = "truth" in group

    def truth(self) -> zarr.Group:
        """Group of what a simulated scan was made from.

        Raises
        ------
        InputError
            If the scan has none.
        """
        if not self.has_truth:
            raise InputError(f"{self.path} holds no truth; only simulated scans do.")
        with reading(self.path, "scan store"), fast_codecs():
            return zarr.open_group(self.path / "truth", mode="r")

    def _group(self) -> zarr.Group:
        try:
            return zarr.open_group(self.path, mode="r")
        except zarr.errors.ContainsArrayError as error:
            raise FormatError(
                f"{self.path} is a single zarr array; give the folder of the scan store, or of the "
                "OME-Zarr volume, that holds it."
            ) from error

    def _checked_header(self, header: object) -> dict[str, Any]:
        if isinstance(header, dict) and header.get("format") == SERIES_FORMAT:
            raise FormatError(
                f"{self.path} is a series of scans; open it as one (Python: open_series), or give "
                "the folder of a single scan inside it."
            )
        if "multiscales" in self.attributes or "ome" in self.attributes:
            raise FormatError(
                f"{self.path} is an OME-Zarr volume and no raw scan; give the scan that it was "
                "made of, or look at the volume with hipct view (without --live)."
            )
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise FormatError(
                f"{self.path} is a zarr group but no scan store: its attributes hold no "
                f"{ATTRIBUTE}.format = {FORMAT!r} (an import that was killed leaves such a group)."
            )
        if header.get("version") != VERSION:
            raise FormatError(
                f"{self.path} is a scan store of version {header.get('version')!r}; this hipct "
                f"reads version {VERSION}: import the source again."
            )
        return header

    def _array(self, group: zarr.Group, name: str, ndim: int) -> zarr.Array[Any]:
        array = group.get(name)
        if not isinstance(array, zarr.Array) or array.ndim != ndim:
            raise FormatError(
                f"The array {name} of {self.path} is missing or has not {ndim} dimensions; "
                "import the source again."
            )
        return array

    def _reader(self, name: str) -> ChunkReader:
        reader = open_chunks(self.path / name)
        if reader is None:
            raise FormatError(
                f"The array {name} of {self.path} is stored in another way than hipct stores "
                "frames; import the source again."
            )
        return reader

    def _check_shapes(self) -> None:
        projections = self._frames["projections"]
        for kind, array in self._frames.items():
            if array.shape[1:] != projections.shape[1:] or array.dtype != projections.dtype:
                raise FormatError(
                    f"The array {kind} of {self.path} has frames of {array.shape[1:]} {array.dtype}"
                    f" and projections of {projections.shape[1:]} {projections.dtype}; they have "
                    "to agree."
                )

    def _check_files(self, zeros: Mapping[str, Sequence[str]]) -> None:
        """All files of frames that are not zeros have to be there: zarr reads zeros without."""
        for kind, array in self._frames.items():
            absent = absent_files(self.path / kind, array)
            missing = sorted(set(absent).difference(zeros.get(kind, ())))
            if missing:
                raise FormatError(
                    f"{len(missing)} files of {kind} in {self.path} are missing, the first "
                    f"{kind}/{missing[0]}; what they held would be read as 0. Copy the store again "
                    "from its source."
                )

    def _info(self, group: zarr.Group, header: dict[str, Any]) -> ScanInfo:
        projections, rows, columns = self._frames["projections"].shape
        returns = self._frames["returns"].shape[0] if "returns" in self._frames else 0
        counts = {
            "angles_rad": projections,
            "projection_index": projections,
            "flat_index": self._frames["flats"].shape[0],
            "dark_index": self._frames["darks"].shape[0],
            "current": projections,
            "flat_current": self._frames["flats"].shape[0],
            "projection_z_um": projections,
            "return_angles_rad": returns,
            "return_index": returns,
        }
        vectors: dict[str, Any] = {}
        for name, count in counts.items():
            if name in _OPTIONAL and name not in group:
                continue
            array = self._array(group, name, 1)
            if array.shape[0] != count or count > _LARGEST_VECTOR or array.dtype.kind not in "uif":
                raise FormatError(
                    f"The array {name} of {self.path} has {array.shape[0]} values of "
                    f"{array.dtype}; it has to have {count} numbers."
                )
            vectors[name] = np.asarray(array[...], dtype=np.float64)
        return ScanInfo(
            projections=projections,
            rows=rows,
            columns=columns,
            dtype=self._frames["projections"].dtype,
            **vectors,
            acquisition=header["acquisition"],
            kind=header["kind"],
            pixel_size_um=header["pixel_size_um"],
            distance_m=header["distance_m"],
            energy_kev=header["energy_kev"],
            rotation_axis_px=header["rotation_axis_px"],
            subframes=header["subframes"],
            current_unit=header["current_unit"],
            # Stores written before series were known have no place in one.
            name=str(header.get("name", "")),
            start_time=header.get("start_time"),
            z_um=header.get("z_um"),
            lateral_um=header.get("lateral_um"),
            source=str(self.path),
            format="scan store",
            notes=tuple(str(note) for note in header["notes"]),
        )

    def _read_into(self, kind: FrameKind, frames: slice, rows: slice, out: NDArray[Any]) -> None:
        self._chunks[kind].read_into((frames, rows, slice(None)), out)
