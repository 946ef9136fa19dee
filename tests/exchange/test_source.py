"""Volumes of every format: the same voxels, where they lie, and read in any bands."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import pickle
import struct
import warnings
from collections.abc import Callable
from itertools import product
from pathlib import Path

import h5py
import imagecodecs
import nibabel
import numcodecs
import numpy as np
import pytest
import tifffile
import zarr
from numcodecs import blosc, zstd
from PIL import Image

from hipct.core.errors import FormatError, InputError
from hipct.exchange.source import open_volume_source
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_source import ArraySource

SHAPE = (21, 33, 45)
PACKED = {
    "raw": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": lambda data: zstd.compress(data, 3),
    "blosc": lambda data: blosc.compress(data, b"zstd", 3, blosc.SHUFFLE),
}


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, SHAPE).astype(np.uint16)


def tiff_slices(path: Path, volume: np.ndarray) -> None:
    path.mkdir()
    for number, image in enumerate(volume):
        tifffile.imwrite(
            path / f"heart_{number:04}.tif",
            image,
            compression="zlib",
            resolution=(1e4 / 5, 1e4 / 5),
            resolutionunit="CENTIMETER",
        )


def jpeg2000_slices(path: Path, volume: np.ndarray) -> None:
    path.mkdir()
    for number, image in enumerate(volume):
        data = imagecodecs.jpeg2k_encode(image, level=0)
        (path / f"heart_{number:06}.jp2").write_bytes(data)


def htj2k_slices(path: Path, volume: np.ndarray) -> None:
    path.mkdir()
    for number, image in enumerate(volume):
        (path / f"{number}.jph").write_bytes(imagecodecs.htj2k_encode(image))


def hdf5(path: Path, volume: np.ndarray) -> None:
    with h5py.File(path, "w") as file:
        file["entry/results/data"] = volume.astype(">u2")
        file["entry/results/data"].attrs["element_size_um"] = (3.0, 2.0, 1.0)
        file["entry/spectrum"] = np.zeros(4)


def nifti(path: Path, volume: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.diag((0.01, 0.02, 0.03, 1)))
    image.header.set_xyzt_units("mm")
    nibabel.save(image, path)


def n5(path: Path, volume: np.ndarray, compression: str = "blosc") -> None:
    """By the specification, from plain bytes; the block of zeros is left out."""
    block = (16, 8, 32)
    path.mkdir(parents=True)
    attributes = {
        "dimensions": volume.shape[::-1],
        "blockSize": block[::-1],
        "dataType": volume.dtype.name,
        "compression": {"type": compression},
        "resolution": [1.0, 2.0, 3.0],
        "units": ["nm", "um", "mm"],
    }
    (path / "attributes.json").write_text(json.dumps(attributes))
    for place in product(*(range(-(-n // b)) for n, b in zip(volume.shape, block))):
        part = volume[tuple(slice(p * b, (p + 1) * b) for p, b in zip(place, block))]
        if part.any():
            file = path.joinpath(*(str(p) for p in place[::-1]))
            file.parent.mkdir(parents=True, exist_ok=True)
            head = struct.pack(">HH3I", 0, 3, *part.shape[::-1])
            data = np.ascontiguousarray(part, part.dtype.newbyteorder(">")).tobytes()
            file.write_bytes(head + PACKED[compression](data))


def zarr_array(path: Path, volume: np.ndarray, version: int, name: str | None = None) -> None:
    array = zarr.create_array(
        path, name=name, shape=volume.shape, dtype="u2", chunks=(8, 16, 16), zarr_format=version
    )
    array[...] = volume


def ome_zarr(path: Path, volume: np.ndarray) -> None:
    write_pyramid(volume, path, voxel_size_um=(3.0, 2.0, 2.0), window=(-1.0, 1.0), chunk=16)


def atlas(path: Path, volume: np.ndarray) -> None:
    """OME-Zarr 0.4 as the atlas has it: x, y, z, translation before scale."""
    zarr_array(path, volume.transpose(2, 1, 0), 2, "0")
    steps = [
        {"type": "translation", "translation": [0, 0, 0]},
        {"type": "scale", "scale": [20.0, 21.0, 22.0]},
    ]
    axes = [{"name": n, "type": "space", "unit": "micrometer"} for n in "xyz"]
    multiscale = {
        "version": "0.4",
        "axes": axes,
        "datasets": [{"path": "0", "coordinateTransformations": steps}],
    }
    (path / ".zattrs").write_text(json.dumps({"multiscales": [multiscale]}))
    (path / ".zgroup").write_text('{"zarr_format": 2}')


def strips(path: Path, volume: np.ndarray) -> None:
    """Uncompressed slices, big-endian, in strips of a few rows."""
    path.mkdir()
    for number, image in enumerate(volume):
        tifffile.imwrite(path / f"s{number}.tif", image, byteorder=">", rowsperstrip=3)


def png_slices(path: Path, volume: np.ndarray) -> None:
    path.mkdir()
    for number, image in enumerate(volume):
        Image.fromarray(image).save(path / f"{number:03}.png")


def ome_tiff(path: Path, volume: np.ndarray) -> None:
    sizes = {"PhysicalSizeX": 2.0, "PhysicalSizeY": 2.0, "PhysicalSizeZ": 0.005}
    units = {"PhysicalSizeZUnit": "mm"}
    tifffile.imwrite(path, volume, ome=True, metadata={"axes": "ZYX", **sizes, **units})


FORMATS: dict[str, tuple[Callable[[Path, np.ndarray], None], str, object]] = {
    "tiff": (tiff_slices, "TIFF", (5.0, 5.0, 5.0)),
    "pages.tif": (lambda p, v: tifffile.imwrite(p, v, compression="zlib"), "TIFF", None),
    "strips": (strips, "TIFF", None),
    "v.ome.tif": (ome_tiff, "TIFF", (5.0, 2.0, 2.0)),
    "png": (png_slices, "PNG", None),
    "big.tif": (lambda p, v: tifffile.imwrite(p, v, bigtiff=True, byteorder=">"), "TIFF", None),
    "imagej.tif": (
        lambda p, v: tifffile.imwrite(
            p, v, imagej=True, metadata={"spacing": 3.0, "unit": "um"}, resolution=(0.5, 0.5)
        ),
        "TIFF",
        (3.0, 2.0, 2.0),
    ),
    "jp2": (jpeg2000_slices, "JPEG2000", None),
    "jph": (htj2k_slices, "JPEG2000", None),
    "v.h5": (hdf5, "HDF5", (3.0, 2.0, 1.0)),
    "v.nii": (nifti, "NIfTI", (30.0, 20.0, 10.0)),
    "v.nii.gz": (nifti, "NIfTI", (30.0, 20.0, 10.0)),
    "two.zarr": (lambda p, v: zarr_array(p, v, 2), "Zarr", None),
    "three.zarr": (lambda p, v: zarr_array(p, v, 3), "Zarr", None),
    "group.zarr": (lambda p, v: zarr_array(p, v, 3, "deep/volume"), "Zarr", None),
    "v.ome.zarr": (ome_zarr, "OME-Zarr 0.5", (3.0, 2.0, 2.0)),
    "atlas.ome.zarr": (atlas, "OME-Zarr 0.4", (22.0, 21.0, 20.0)),
    "v.n5": (n5, "N5", (3000.0, 2.0, 0.001)),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, volume: np.ndarray) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("volumes")
    for name, (write, _, _) in FORMATS.items():
        write(folder / name, volume)
    return {name: folder / name for name in FORMATS}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_voxels_and_its_voxel_size(
    made: dict[str, Path], volume: np.ndarray, name: str
) -> None:
    with open_volume_source(made[name]) as source:
        assert (source.format, source.voxel_size_um) == FORMATS[name][1:]
        assert (source.shape, source.dtype) == (SHAPE, np.uint16)
        for z in range(0, SHAPE[0], 5):
            rows = slice(z, min(z + 5, SHAPE[0]))
            np.testing.assert_array_equal(source.read(rows), volume[rows])
            band = source.read(rows, slice(7, 30))
            np.testing.assert_array_equal(band, volume[rows, 7:30])
            assert band.flags.c_contiguous
            assert band.dtype == source.dtype


@pytest.mark.parametrize("name", FORMATS)
def test_another_process_can_open_it_again(
    made: dict[str, Path], volume: np.ndarray, name: str
) -> None:
    with open_volume_source(made[name], voxel_um=7.0) as source:
        again = pickle.loads(pickle.dumps(source))
        with again:
            assert again.fingerprint() == source.fingerprint() != ""
            assert again.voxel_size_um == (7.0, 7.0, 7.0)
            np.testing.assert_array_equal(again.read(slice(3, 9)), volume[3:9])


def test_what_had_to_be_assumed_of_the_atlas_is_said(made: dict[str, Path]) -> None:
    notes = open_volume_source(made["atlas.ome.zarr"]).notes
    assert any("translation before its scale" in note for note in notes)
    assert any("stored as x, y, z; the pyramid is z, y, x" in note for note in notes)


def test_a_volume_of_labels_says_so(tmp_path: Path, volume: np.ndarray) -> None:
    build_pyramid(ArraySource(volume), tmp_path / "v.ome.zarr", kind="labels")
    notes = open_volume_source(tmp_path / "v.ome.zarr").notes
    assert any("holds labels; --labels" in note for note in notes)


def test_the_meaning_of_grey_values_is_taken_over(made: dict[str, Path]) -> None:
    source = open_volume_source(made["v.ome.zarr"])
    assert source.value == (pytest.approx(2 / 65535), -1.0)
    assert source.unit == "1/cm"


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": numcodecs.Blosc("zstd", 3, 2)},
        {"compressors": numcodecs.Blosc("lz4", 5, 1), "dtype": ">u2"},
        {"order": "F"},
        {"compressors": None},
        {"filters": [numcodecs.Delta(dtype="u2")]},
        {"compressors": numcodecs.LZMA()},
        {"chunk_key_encoding": {"name": "v2", "separator": "/"}},
        {"zarr_format": 3, "shards": (16, 32, 48), "compressors": zarr.codecs.GzipCodec()},
        {"zarr_format": 3, "serializer": zarr.codecs.BytesCodec(endian="big")},
    ],
)
def test_zarr_in_every_codec_and_order(
    tmp_path: Path, volume: np.ndarray, options: dict[str, object]
) -> None:
    given = {"dtype": "u2", "zarr_format": 2, "chunks": (8, 16, 16), **options}
    array = zarr.create_array(tmp_path / "v", shape=volume.shape, **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        array[...] = volume
    with open_volume_source(tmp_path / "v") as source:
        assert source.dtype == np.uint16
        found = source.read(slice(3, 20), slice(4, 30))
    np.testing.assert_array_equal(found, volume[3:20, 4:30])


@pytest.mark.parametrize("compression", PACKED)
def test_n5_in_every_compression_with_blocks_left_out(
    tmp_path: Path, volume: np.ndarray, compression: str
) -> None:
    holed = volume.astype(np.int32) - 100
    holed[16:, :8, 32:] = 0
    n5(tmp_path / "v.n5" / "s0", holed, compression)
    assert not (tmp_path / "v.n5/s0/1/0/1").exists()
    with open_volume_source(tmp_path / "v.n5") as source:
        np.testing.assert_array_equal(source.read(slice(0, 21)), holed)
    with open_volume_source(tmp_path / "v.n5", dataset="s0", axes="xyz") as source:
        np.testing.assert_array_equal(source.read(slice(0, 45)), holed.transpose(2, 1, 0))
    with pytest.raises(InputError, match="no dataset s7; below it lie s0"):
        open_volume_source(tmp_path / "v.n5", dataset="s7")


def test_stored_axes_of_plain_arrays_are_given(tmp_path: Path, volume: np.ndarray) -> None:
    zarr_array(tmp_path / "z", volume, 3)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["v"] = volume
    for path in (tmp_path / "z", tmp_path / "v.h5"):
        with open_volume_source(path, axes="yxz") as source:
            assert source.shape == (45, 21, 33)
            found = source.read(slice(2, 40), slice(3, 9))
            np.testing.assert_array_equal(found, volume.transpose(2, 0, 1)[2:40, 3:9])
    with pytest.raises(InputError, match="axes are 'zzx'"):
        open_volume_source(tmp_path / "z", axes="zzx")


def test_one_of_several_arrays_has_to_be_named(tmp_path: Path, volume: np.ndarray) -> None:
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["a"], file["b"] = volume, volume + 1
    zarr_array(tmp_path / "z", volume, 3, "a")
    zarr_array(tmp_path / "z", volume + 1, 3, "b")
    for path in (tmp_path / "v.h5", tmp_path / "z"):
        with pytest.raises(InputError, match=r"2 \w+ of three axes \(a, b\); say which"):
            open_volume_source(path)
        with pytest.raises(InputError, match=r"has no \w+ c; it has a, b"):
            open_volume_source(path, dataset="c")
        with open_volume_source(path, dataset="b") as source:
            np.testing.assert_array_equal(source.read(slice(0, 21)), volume + 1)


def test_scaled_nifti_says_what_its_integers_mean(tmp_path: Path, volume: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.eye(4))
    image.header.set_slope_inter(0.5, -3.0)
    image.header.set_data_dtype(np.uint16)
    path = tmp_path / "v.nii"
    nibabel.save(image, path)
    with open_volume_source(path) as source:
        assert source.value == (0.5, -3.0)
        assert source.voxel_size_um is None
        stored = source.read(slice(0, 21))
    expected = nibabel.load(path).get_fdata().transpose(2, 1, 0)
    np.testing.assert_array_equal(stored * 0.5 - 3.0, expected)


def test_slices_may_be_numbered_by_their_height(tmp_path: Path, volume: np.ndarray) -> None:
    for number, image in enumerate(volume):
        tifffile.imwrite(tmp_path / f"bin2_{number * 20}um.tif", image)
    with open_volume_source(tmp_path) as source:
        np.testing.assert_array_equal(source.read(slice(0, 21)), volume)


def test_what_is_no_volume_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        open_volume_source(tmp_path / "nothing")
    with pytest.raises(FormatError, match="holds no volume"):
        open_volume_source(tmp_path)
    (tmp_path / "a.txt").write_text("slices follow")
    with pytest.raises(FormatError, match="is no volume that hipct knows"):
        open_volume_source(tmp_path / "a.txt")


def test_slices_whose_distance_nobody_states_say_so(made: dict[str, Path]) -> None:
    for name, said in (("tiff", True), ("imagej.tif", False), ("v.ome.tif", False)):
        with open_volume_source(made[name]) as source:
            assert any("how far its slices are apart" in note for note in source.notes) == said


def test_slices_stored_as_they_are_are_read_in_rows(made: dict[str, Path]) -> None:
    for name, rows in (("strips", True), ("big.tif", True), ("imagej.tif", True), ("tiff", False)):
        with open_volume_source(made[name]) as source:
            assert source.whole_planes != rows, name


@pytest.mark.parametrize("bits", [8, 16])
def test_png_of_both_depths(tmp_path: Path, volume: np.ndarray, bits: int) -> None:
    wanted = (volume >> (16 - bits)).astype(f"u{bits // 8}")
    png_slices(tmp_path / "png", wanted)
    with open_volume_source(tmp_path / "png") as source:
        assert source.dtype == wanted.dtype
        np.testing.assert_array_equal(source.read(slice(2, 5), slice(1, 4)), wanted[2:5, 1:4])
