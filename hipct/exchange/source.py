"""Any volume as a source of a pyramid: told by its content, read in bands.

==================  ==============================================================================
TIFF                a folder of slices, one file of many pages, several of these
JPEG2000            a folder of slices (extra ``formats``)
PNG                 a folder of slices
HDF5                a dataset of three axes
NIfTI               ``.nii``, ``.nii.gz`` (extra ``formats``)
Zarr                an array, version 2 or 3; OME-Zarr 0.4 and 0.5: its finest level
N5                  a dataset; of a pyramid its finest level ``s0``
==================  ==============================================================================
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from hipct.core.errors import FormatError, InputError
from hipct.exchange.source_options import SourceOptions
from hipct.volume.layout import Vector3, as_voxel_size
from hipct.volume.storage import Folder, is_address, open_storage

if TYPE_CHECKING:
    from hipct.volume.pyramid_source import VolumeSource

_HDF5 = b"\x89HDF\r\n\x1a\n"
_GZIP = b"\x1f\x8b"
_NIFTI = (348, 540)
_UNFINISHED = (".partial", ".run")


def open_volume_source(
    path: Path | str,
    *,
    dataset: str | None = None,
    axes: str | None = None,
    voxel_um: float | Vector3 | None = None,
) -> VolumeSource:
    """Open a volume for reading; its format is told by its content.

    Parameters
    ----------
    path : path or str
        A file or folder, or the address of an OME-Zarr volume (``s3://``, ``gs://``, ``http://``,
        ``https://``; extra ``remote``).
    dataset : str, optional
        Which array of an HDF5 file, a Zarr group or an N5 container with several.
    axes : str, optional
        Order of the stored axes where it is not z, y, x and the file does not say so, such as
        ``"xyz"``: the slowest one first.
    voxel_um : float or (float, float, float), optional
        Voxel size in micrometres (z, y, x), instead of what the files say.

    Returns
    -------
    VolumeSource
        A context manager; nothing but metadata has been read.

    Raises
    ------
    InputError
        If the path does not exist, or an option does not fit.
    FormatError
        If the format is not known, or the files are damaged, not alike or incomplete.
    RemoteError
        If a server does not answer.
    MissingExtra
        If a package for the format is not installed.
    """
    options = SourceOptions(dataset, axes)
    source = _open_address(str(path), options) if is_address(path) else _open(Path(path), options)
    if voxel_um is not None:
        source.voxel_size_um = as_voxel_size(voxel_um)
    return source


def _open_address(address: str, options: SourceOptions) -> VolumeSource:
    storage = open_storage(address)
    if isinstance(storage, Folder):
        return _open(storage.path, options)
    from hipct.exchange.source_address import AddressSource

    return AddressSource(storage.address, options)


def _open(path: Path, options: SourceOptions) -> VolumeSource:
    if not path.exists():
        raise InputError(f"{path} does not exist; give a file or folder that holds a volume.")
    return _open_folder(path, options) if path.is_dir() else _open_file(path, options)


def _open_folder(path: Path, options: SourceOptions) -> VolumeSource:
    if path.name.endswith(_UNFINISHED) or path.absolute().parent.name.endswith(_UNFINISHED):
        raise FormatError(
            f"{path} belongs to a run that has not ended; let it end, or start it again."
        )
    if any((path / name).is_file() for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs")):
        from hipct.exchange.source_zarr import ZarrSource

        return ZarrSource(path, options)
    # Containers of N5 need not have attributes of their own.
    inside = ("", "s0", options.dataset or "")
    if any((path / name / "attributes.json").is_file() for name in inside):
        from hipct.exchange.source_n5 import N5Source

        return N5Source(path, options)
    from hipct.exchange.source_slices import open_slices

    return open_slices(path, options)


def _open_file(path: Path, options: SourceOptions) -> VolumeSource:
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    from hipct.exchange.source_slices import is_jpeg2000, is_png, is_tiff, open_stack

    if is_tiff(head):
        return open_stack(path, options)
    if head.startswith(_HDF5):
        from hipct.exchange.source_hdf5 import Hdf5Source

        return Hdf5Source(path, options)
    size = {int.from_bytes(head[:4], order) for order in ("little", "big")}
    if head[:2] == _GZIP or size & set(_NIFTI):
        from hipct.exchange.source_nifti import NiftiSource

        return NiftiSource(path, options)
    if is_jpeg2000(head) or is_png(head):
        raise FormatError(f"{path} is one slice; give the folder that holds all of them.")
    raise FormatError(
        f"{path} is no volume that hipct knows; it reads TIFF, slices in JPEG2000 and "
        "PNG, HDF5, NIfTI, Zarr, N5 and OME-Zarr."
    )
