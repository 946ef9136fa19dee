"""Opens any scan: the format is told by content, never by the name."""

from __future__ import annotations

import os
from pathlib import Path

from numpy.typing import ArrayLike

from hipct.acquisition.foreign import reading
from hipct.acquisition.scan import Scan
from hipct.core.errors import FormatError, InputError

SUPPORTED = (
    "a scan store of hipct, an NXtomo, DXchange or BLISS HDF5 file, TIFF images (a folder or a "
    "stack), or a folder of EDF images"
)

# What is met beside scans, by the first bytes; TIFF and HDF5 are looked at apart.
_FOREIGN = (
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an OLE file, as Zeiss/Xradia .txrm and .xrm are"),
    (b"\x93NUMPY", "a NumPy array without a geometry"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG2000 picture"),
    (b"SIMPLE  =", "a FITS file"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"CDF", "a NetCDF file"),
    (b"{\n", "an EDF image or a text file"),
    (b"{\r\n", "an EDF image or a text file"),
)
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def open_scan(
    path: str | Path,
    *,
    angles: ArrayLike | str | None = None,
    entry: str | int | None = None,
) -> Scan:
    """Open a scan for reading.

    Parameters
    ----------
    path : str or Path
        A scan store, an NXtomo, DXchange or BLISS file, a folder of TIFF or EDF images, or one
        TIFF stack.
    angles : array_like or str, optional
        Angles of the projections in radians, or ``start:stop[:exclusive]`` in degrees, instead
        of what the files hold.
    entry : str or int, optional
        Which scan of an NXtomo or BLISS file that holds several; the first by default.

    Returns
    -------
    Scan
        A context manager; close it when done.

    Raises
    ------
    InputError
        If there is nothing at ``path``, or an option does not fit it.
    FormatError
        If it is foreign, damaged or inconsistent.
    MissingMetadata
        If it holds no angles and none are given.

    Examples
    --------
    >>> open_scan("no/such/file")
    Traceback (most recent call last):
    ...
    hipct.core.errors.InputError: no/such/file does not exist; check the path.
    """
    path = Path(path)
    with reading(path, "a scan"):
        if not path.exists():
            raise InputError(f"{path} does not exist; check the path.")
        scan = _open_folder(path, angles) if path.is_dir() else _open_file(path, angles, entry)
    if entry is not None and scan.info.format not in ("NXtomo", "BLISS"):
        scan.close()
        raise InputError(
            f"entry={entry!r} was given, and {path} is {scan.info.format}; only NXtomo and BLISS "
            "files hold several scans."
        )
    scan.opened_by = open_scan, {"path": path.absolute(), "angles": angles, "entry": entry}
    return scan


def _open_folder(path: Path, angles: ArrayLike | str | None) -> Scan:
    if any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray")):
        from hipct.acquisition.store_reader import StoreScan

        store = StoreScan(path)
        if angles is not None:
            from hipct.acquisition.angles import given_angles

            store.override(angles_rad=given_angles(angles, store.info.projections))
        return store
    from hipct.acquisition.edf import EdfScan, is_edf_folder
    from hipct.acquisition.tiff import TiffScan, kind_of, tiff_files

    if is_edf_folder(path):
        return EdfScan(path, angles=angles)
    folders = [path, *(child for child in path.iterdir() if child.is_dir() and kind_of(child.name))]
    if any(tiff_files(folder) for folder in folders):
        return TiffScan(path, angles=angles)
    names = sorted(child.name for child in path.iterdir())
    shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    raise FormatError(
        f"{path} is a folder without TIFF or EDF images (it holds {shown or 'nothing'}); supported "
        f"are {SUPPORTED}."
    )


def _open_file(path: Path, angles: ArrayLike | str | None, entry: str | int | None) -> Scan:
    if not path.is_file():
        # Opening a pipe would wait for whoever writes into it.
        raise InputError(f"{path} is a pipe or a device, neither a file nor a folder.")
    with path.open("rb") as file:
        head = file.read(4096)
        size = os.fstat(file.fileno()).st_size
        # HDF5 may begin with a block of the user's, 512 bytes or a power of two of them long.
        for offset in (0, 512, 1024, 2048):
            if head[offset : offset + 8] == _HDF5_SIGNATURE:
                return _open_hdf5(path, angles, entry)
    from hipct.acquisition.tiff import TiffScan
    from hipct.acquisition.tiff_frames import is_tiff

    if is_tiff(head):
        return TiffScan(path, angles=angles)
    raise FormatError(
        f"{path} is {_what(head, size)}, which hipct does not read; supported are {SUPPORTED}."
    )


def _open_hdf5(path: Path, angles: ArrayLike | str | None, entry: str | int | None) -> Scan:
    from hipct.acquisition import hdf5
    from hipct.acquisition.bliss import BlissScan
    from hipct.acquisition.bliss_entries import find_sequences
    from hipct.acquisition.nxtomo import NxtomoScan
    from hipct.acquisition.nxtomo_groups import find_entries

    with hdf5.open_hdf5(path) as file, reading(path, "HDF5"):
        entries = find_entries(file)
        exchange = "exchange" in file
        sequences = [] if entries or exchange else find_sequences(file)
        top = ", ".join(str(name)[:40] for name in list(file)[:8]) or "nothing"
    if entries:
        return NxtomoScan(path, entry=entry, angles=angles)
    if exchange:
        from hipct.acquisition.dxchange import DxchangeScan

        return DxchangeScan(path, angles=angles)
    if sequences:
        return BlissScan(path, entry=entry, angles=angles)
    raise FormatError(
        f"{path} is an HDF5 file, but neither NXtomo (no entry has the definition NXtomo) nor "
        "DXchange (there is no exchange/data) nor a BLISS file with a tomographic sequence; at "
        f"its top it holds {top}."
    )


def _what(head: bytes, size: int) -> str:
    if size == 0:
        return "an empty file"
    for magic, name in _FOREIGN:
        if head.startswith(magic):
            return name
    if head[128:132] == b"DICM":
        return "a DICOM file"
    try:
        head[:1000].decode("ascii")
    except UnicodeDecodeError:
        return "a file of an unknown format"
    return "a text file"
