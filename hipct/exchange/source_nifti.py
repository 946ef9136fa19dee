"""A NIfTI volume as a source: ``.nii`` by regions, ``.nii.gz`` as the stream that it is.

Voxels are stored with x fastest, which is z, y, x for the rest of hipct. Their order is kept; where
they lie in a patient (the affine) is not what a pyramid of HiP-CT says, and a note says so.
"""

from __future__ import annotations

import gzip
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError, InputError
from hipct.core.extras import require
from hipct.exchange.source_files import FileSource
from hipct.exchange.source_options import SourceOptions
from hipct.volume.layout import as_voxel_size
from hipct.volume.pyramid_source import WHOLE

_MICROMETRES = {"meter": 1e6, "mm": 1e3, "micron": 1.0}


class NiftiSource(FileSource):
    """A NIfTI file of one volume.

    Parameters
    ----------
    path : Path
        ``.nii`` or ``.nii.gz``.
    options : SourceOptions
        NIfTI knows its axes and has no datasets: both have to be left out.

    Raises
    ------
    FormatError
        If it is damaged or truncated, or holds more than one volume.
    MissingExtra
        If nibabel is not installed.
    """

    format = "NIfTI"
    header: Any
    """Of nibabel: what the file says beside shape and type."""
    mapped: NDArray[Any] | None = None
    """Voxels (z, y, x) as they are stored, mapped and not read; None of a compressed file."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        super().__init__(path, options)
        if options.dataset is not None or options.axes is not None:
            raise InputError(
                f"{path} is NIfTI, which holds one volume and says its axes; leave --dataset and "
                "--axes out."
            )
        nibabel = require("nibabel", "formats", "Reading NIfTI")
        with reading(path, "NIfTI"), open(path, "rb") as file:
            self._compressed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            stream: Any = gzip.GzipFile(fileobj=file) if self._compressed else file
            start = stream.read(4)
            newer = 540 in (int.from_bytes(start, order) for order in ("little", "big"))
            rest = stream.read((540 if newer else 348) - 4)
            header = (nibabel.Nifti2Header if newer else nibabel.Nifti1Header)(start + rest)
            shape, dtype = tuple(int(n) for n in header.get_data_shape()), header.get_data_dtype()
            self.header = header
            scale, offset = header.get_slope_inter()
            self._offset = int(header.get_data_offset())
            zooms, (unit, _) = header.get_zooms(), header.get_xyzt_units()
        if len(shape) < 3 or any(n != 1 for n in shape[3:]) or 0 in shape:
            raise FormatError(f"{path} has the shape {shape} (x, y, z, ...); one volume is needed.")
        if dtype.kind not in "uif":
            raise FormatError(f"{path} holds {dtype}; a volume has integers or floats.")
        self.shape = (shape[2], shape[1], shape[0])
        self._stored = dtype
        self.dtype = dtype.newbyteorder("=")
        if dtype.kind == "f" and scale not in (None, 1.0):
            raise FormatError(
                f"{path} scales floating values by {scale}, which nothing needs; store the values."
            )
        if scale is not None and (scale, offset) != (1.0, 0.0):
            self.value = (float(scale), float(offset))
        self.whole_planes = self.in_order = self._compressed
        self._place(zooms, unit)
        self._lock = threading.Lock()
        self._stream: gzip.GzipFile | None = None
        if not self._compressed:
            self._map()

    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Read a region; slices of a compressed file have to be asked for in their order."""
        if self.mapped is not None:
            return np.ascontiguousarray(self.mapped[z, y], self.dtype)
        plane = self.shape[1] * self.shape[2] * self._stored.itemsize
        with self._lock, reading(self.path, "NIfTI"):
            if self._stream is None:
                self._stream = gzip.GzipFile(self.path)
            self._stream.seek(self._offset + z.start * plane)
            wanted = (z.stop - z.start) * plane
            data = self._stream.read(wanted)
        if len(data) < wanted:
            raise FormatError(
                f"{self.path} is truncated: slice {z.start + len(data) // plane} of "
                f"{self.shape[0]} is not all there; copy it again from its source."
            )
        voxels = np.frombuffer(data, self._stored).reshape(-1, *self.shape[1:])
        return np.ascontiguousarray(voxels[:, y], self.dtype)

    def close(self) -> None:
        """Close the stream."""
        with self._lock:
            if self._stream is not None:
                self._stream.close()
                self._stream = None

    def _map(self) -> None:
        size, needed = self.path.stat().st_size, int(np.prod(self.shape)) * self._stored.itemsize
        if size < self._offset + needed:
            raise FormatError(
                f"{self.path} is truncated: it has {size} bytes and its voxels need "
                f"{self._offset + needed}; copy it again from its source."
            )
        self.mapped = np.memmap(
            self.path, self._stored, mode="r", offset=self._offset, shape=self.shape
        )

    def _place(self, zooms: tuple[float, ...], unit: str) -> None:
        notes = ["The orientation of NIfTI (its affine) is left aside; voxels keep their order."]
        if unit in _MICROMETRES:
            factor = _MICROMETRES[unit]
            # float32 in the file: digits beyond its precision are not what was meant.
            sizes = [float(f"{float(size) * factor:.7g}") for size in zooms[2::-1]]
            z, y, x = as_voxel_size(sizes)
            self.voxel_size_um = (z, y, x)
        else:
            notes.append(f"{self.path} has the unit {unit!r}: its voxel size is not known.")
        self.notes = tuple(notes)
