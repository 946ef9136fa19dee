"""Formats are told by content; what is foreign gets one sentence."""

from __future__ import annotations

import os
import shutil

import h5py
import numpy as np
import pytest
import tifffile
import zarr

from hipct.acquisition.open import open_scan
from hipct.acquisition.open_any import open_any
from hipct.acquisition.store import import_scan
from hipct.core.errors import FormatError, InputError


def test_the_name_does_not_matter(tmp_path, nxtomo, dxchange):
    nxtomo(tmp_path / "nx.tif")
    dxchange(tmp_path / "dx.txt")
    tifffile.imwrite(tmp_path / "stack.h5", np.zeros((5, 4, 6), "uint16"))
    import_scan(tmp_path / "dx.txt", tmp_path / "store.h5")
    formats = [
        open_scan(tmp_path / "nx.tif").info.format,
        open_scan(tmp_path / "dx.txt").info.format,
        open_scan(tmp_path / "stack.h5", angles="0:180").info.format,
        open_scan(tmp_path / "store.h5").info.format,
    ]
    assert formats == ["NXtomo", "DXchange", "TIFF", "scan store"]


@pytest.mark.parametrize("kind", ["projections", "flats", "darks"])
def test_a_store_that_lost_a_file_is_refused(tmp_path, dxchange, kind):
    """zarr would read zeros in its place, and a volume would be made of them."""
    dxchange(tmp_path / "scan.h5")
    import_scan(tmp_path / "scan.h5", tmp_path / "scan.zarr")
    files = [each for each in (tmp_path / "scan.zarr" / kind / "c").rglob("*") if each.is_file()]
    files[0].unlink()
    named = f"1 files of {kind} in .* are missing, the first {kind}/c/"
    with pytest.raises(FormatError, match=named):
        open_scan(tmp_path / "scan.zarr")


def test_a_store_of_zeros_is_whole(tmp_path, dxchange):
    dxchange(tmp_path / "scan.h5")
    with h5py.File(tmp_path / "scan.h5", "a") as file:
        file["exchange/data_dark"][:] = 0
    import_scan(tmp_path / "scan.h5", tmp_path / "scan.zarr")
    assert not open_scan(tmp_path / "scan.zarr").read_darks(slice(None)).any()


def test_hdf5_behind_a_user_block(tmp_path, dxchange):
    dxchange(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        frames = file["exchange/data"][:]
    with h5py.File(tmp_path / "b.h5", "w", userblock_size=512) as file:
        file["exchange/data"] = frames
    assert open_scan(tmp_path / "b.h5", angles="0:180").info.projections == 9


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"", "an empty file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "an OLE file"),
        (b"\x93NUMPY" + bytes(90), "a NumPy array"),
        (b"SIMPLE  =                    T", "a FITS file"),
        (b"{\nHeaderID = EH:000001 ;", "an EDF image"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"hello", "a text file"),
        (bytes(range(128, 256)), "an unknown format"),
    ],
)
def test_foreign_files(tmp_path, head, name):
    path = tmp_path / "scan.h5"
    path.write_bytes(head)
    with pytest.raises(FormatError, match=f"{name}.*supported are a scan store"):
        open_scan(path)


def test_zeiss_files(shared_data):
    for path in sorted((shared_data / "zeiss_txrm").glob("*.*xrm")):
        with pytest.raises(FormatError, match=r"an OLE file, as Zeiss/Xradia"):
            open_scan(path)


def test_nothing_there(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        open_scan(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FormatError, match=r"without TIFF or EDF images \(it holds nothing\)"):
        open_scan(tmp_path / "empty")


def test_a_folder_that_holds_the_scan_file(tmp_path, nxtomo):
    nxtomo(tmp_path / "scan.nx")
    with pytest.raises(FormatError, match=r"it holds scan\.nx"):
        open_scan(tmp_path)


def test_hdf5_and_zarr_of_something_else(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["results/image"] = np.zeros((3, 3))
    with pytest.raises(FormatError, match=r"neither NXtomo .* nor DXchange .*holds results"):
        open_scan(tmp_path / "other.h5")
    zarr.create_group(tmp_path / "volume.zarr")
    with pytest.raises(FormatError, match="zarr group but no scan store"):
        open_scan(tmp_path / "volume.zarr")
    zarr.create_group(tmp_path / "organ.zarr", attributes={"ome": {"multiscales": []}})
    for opened in (open_scan, open_any):
        with pytest.raises(FormatError, match="is an OME-Zarr volume and no raw scan; give the"):
            opened(tmp_path / "organ.zarr")
    zarr.create_array(tmp_path / "array.zarr", shape=(3,), dtype="uint8")
    with pytest.raises(FormatError, match=r"array\.zarr"):
        open_scan(tmp_path / "array.zarr")


def test_a_truncated_file(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx")
    whole = (tmp_path / "a.nx").read_bytes()
    (tmp_path / "a.nx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"a\.nx could not be read as HDF5: .*truncated"):
        open_scan(tmp_path / "a.nx")


def test_a_store_that_lost_an_array(tmp_path, dxchange):
    dxchange(tmp_path / "a.h5")
    import_scan(tmp_path / "a.h5", tmp_path / "a.zarr")
    shutil.rmtree(tmp_path / "a.zarr" / "angles_rad")
    with pytest.raises(FormatError, match="angles_rad"):
        open_scan(tmp_path / "a.zarr")


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "scan.h5")
    with pytest.raises(InputError, match=r"scan\.h5 is a pipe or a device"):
        open_scan(tmp_path / "scan.h5")


def test_an_array_inside_of_a_store_is_no_damaged_store(tmp_path, dxchange):
    dxchange(tmp_path / "a.h5")
    import_scan(tmp_path / "a.h5", tmp_path / "store.zarr")
    with pytest.raises(FormatError, match="projections is a single zarr array; give the folder"):
        open_scan(tmp_path / "store.zarr" / "projections")
