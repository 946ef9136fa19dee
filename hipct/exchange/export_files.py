"""One file for all slices: BigTIFF with OME metadata, and NIfTI."""

from __future__ import annotations

import gzip
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.extras import require
from hipct.core.progress import Observer
from hipct.exchange.export_bands import Source, read_bands
from hipct.exchange.export_output import facts_text
from hipct.exchange.export_stacks import tiff_resolution

_NIFTI1_LARGEST = 2**15 - 1
_Slices = Generator[NDArray[Any], None, None]


def write_bigtiff(source: Source, path: Path, facts: dict[str, Any], observer: Observer) -> None:
    """Write a BigTIFF of all slices, uncompressed, with OME metadata.

    Parameters
    ----------
    source : Source
    path : path
    facts : dict
        Stands in the description of the OME image as JSON.
    observer : Observer
    """
    import tifffile

    voxel = source.view.voxel
    known = source.view.volume.length_unit == "um"
    metadata: dict[str, Any] = {
        "axes": "ZYX",
        "Name": source.view.volume.name,
        "Description": facts_text(facts),
    }
    if known:
        for axis, size in zip("ZYX", voxel):
            metadata |= {f"PhysicalSize{axis}": size, f"PhysicalSize{axis}Unit": "µm"}
    with (
        closing(_slices(source, path.parent, observer)) as slices,
        tifffile.TiffWriter(path, bigtiff=True, ome=True) as file,
    ):
        file.write(
            slices,
            shape=source.shape,
            dtype=source.grey.dtype,
            photometric="minisblack",
            metadata=metadata,
            software="hipct",
            **tiff_resolution((voxel[1], voxel[2]) if known else None),
        )


def write_nifti(source: Source, path: Path, observer: Observer, *, packed: bool) -> None:
    """Write a NIfTI file: x runs fastest, the affine gives millimetres.

    The affine maps the index (i, j, k) of a voxel along x, y, z to the centre of this voxel in the
    coordinates of the volume, which have no anatomical meaning: a reader that expects RAS+ takes
    x for left to right. ``scl_slope`` and ``scl_inter`` give the physical values of stored ones.

    Parameters
    ----------
    source : Source
    path : path
    observer : Observer
    packed : bool
        Whether to compress with gzip.

    Raises
    ------
    MissingExtra
        If nibabel is not installed.
    """
    header = _nifti_header(source)
    offset = int(header["vox_offset"])
    with (
        open(path, "wb") as plain,
        closing(_slices(source, path.parent, observer)) as slices,
        _packer(plain) if packed else plain as file,
    ):
        file.write(header.binaryblock.ljust(offset, b"\0"))
        for plane in slices:
            file.write(np.ascontiguousarray(plane).data.cast("B"))


def nifti_is_packed(out: Path) -> bool:
    """Whether the name of a NIfTI file asks for gzip.

    Raises
    ------
    InputError
        If it ends neither with ``.nii`` nor with ``.nii.gz``: readers go by the name.
    """
    if out.name.endswith((".nii", ".nii.gz")):
        return out.name.endswith(".gz")
    raise InputError(f"{out} is no name of a NIfTI file; let it end with .nii or .nii.gz.")


def _nifti_header(source: Source) -> Any:
    nibabel = require("nibabel", "formats", "hipct export --format nifti")
    grey, shape = source.grey, source.shape[::-1]
    large = max(shape) > _NIFTI1_LARGEST
    header = nibabel.Nifti2Header() if large else nibabel.Nifti1Header()
    header.set_data_dtype(grey.dtype)
    header.set_data_shape(shape)
    known = source.view.volume.length_unit == "um"
    factor = 1e-3 if known else 1.0
    affine = np.eye(4)
    affine[[0, 1, 2], [0, 1, 2]] = [v * factor for v in source.view.voxel[::-1]]
    affine[:3, 3] = [o * factor for o in source.origin[::-1]]
    header.set_zooms(affine[[0, 1, 2], [0, 1, 2]])
    header.set_sform(affine, code=1)
    header.set_qform(affine, code=1)
    if known:
        header.set_xyzt_units(xyz="mm")
    header["descrip"] = b"hipct"
    if grey.scale is not None and grey.offset is not None:
        header.set_slope_inter(grey.scale, grey.offset)
        header["descrip"] = f"hipct, values in {grey.unit}".encode("ascii", "replace")[:79]
    # The header, then four bytes that say that no extension follows; in one file with the voxels.
    header["magic"] = b"n+2" if large else b"n+1"
    header["vox_offset"] = len(header.binaryblock) + 4
    return header


def _packer(file: IO[bytes]) -> IO[bytes]:
    # No name and no time in it: the same voxels give the same bytes.
    packer: Any = gzip.GzipFile(filename="", mode="wb", compresslevel=3, fileobj=file, mtime=0)
    return packer  # type: ignore[no-any-return]


def _slices(source: Source, folder: Path, observer: Observer) -> _Slices:
    for band in read_bands(source, folder, 2 * source.slice_bytes, observer):
        for number in range(band.start, band.stop):
            yield band.slice(number)
