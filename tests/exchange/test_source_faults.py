"""Damaged, incomplete and changing sources: one sentence that names what is wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import imagecodecs
import nibabel
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from hipct.core.errors import FormatError, InputError
from hipct.exchange.source import open_volume_source
from hipct.exchange.source_slices import in_order
from hipct.volume.pyramid import write_pyramid


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (12, 40, 50)).astype(np.uint16)


def slices(folder: Path, volume: np.ndarray, form: str) -> list[Path]:
    folder.mkdir()
    files = []
    for number, image in enumerate(volume):
        file = folder / f"s_{number:04}.{form}"
        if form == "tif":
            tifffile.imwrite(file, image, compression="zlib")
        elif form == "tiff":
            tifffile.imwrite(file, image)
        elif form == "png":
            Image.fromarray(image).save(file)
        else:
            file.write_bytes(imagecodecs.jpeg2k_encode(image, level=0))
        files.append(file)
    return files


@pytest.mark.parametrize("form", ["tif", "tiff", "jp2", "png"])
def test_faults_of_single_slices_are_named_before_anything_is_read(
    tmp_path: Path, volume: np.ndarray, form: str
) -> None:
    files = slices(tmp_path / "s", volume, form)
    whole = files[5].read_bytes()
    for damaged in (whole[:-1], whole[: len(whole) // 2], whole[:70], whole[:3], b""):
        files[5].write_bytes(damaged)
        with pytest.raises(FormatError, match=r"s_0005.*(truncated|damaged|no image)"):
            open_volume_source(tmp_path / "s")
    other = slices(tmp_path / "o", volume[:1, :30], form)[0]
    files[5].write_bytes(other.read_bytes())
    with pytest.raises(
        FormatError, match=r"s_0005.* has 30 x 50 pixels of uint16 where the others"
    ):
        open_volume_source(tmp_path / "s")
    narrow = slices(tmp_path / "n", (volume[:1] >> 8).astype(np.uint8), form)[0]
    files[5].write_bytes(narrow.read_bytes())
    with pytest.raises(FormatError, match=r"40 x 50 pixels of uint8 where the others .* of uint16"):
        open_volume_source(tmp_path / "s")
    files[5].unlink()
    files[7].unlink()
    with pytest.raises(FormatError, match="the numbers 5, 7 are missing between s_0000"):
        open_volume_source(tmp_path / "s")


@pytest.mark.parametrize("form", ["tif", "jp2", "png"])
def test_bytes_that_do_not_decode_are_named(tmp_path: Path, volume: np.ndarray, form: str) -> None:
    files = slices(tmp_path / "s", volume, form)
    data = bytearray(files[3].read_bytes())
    data[len(data) // 3 : len(data) // 2] = bytes(len(data) // 2 - len(data) // 3)
    with open_volume_source(tmp_path / "s") as source:
        files[3].write_bytes(data)
        if form in ("tif", "png"):
            with pytest.raises(FormatError, match="s_0003"):
                source.read(slice(0, 12))
        assert source.read(slice(4, 6)).shape == (2, 40, 50)


@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"compression": "zlib"}])
@pytest.mark.parametrize("together", [True, False])
def test_a_truncated_stack_is_never_taken_for_a_shorter_one(
    tmp_path: Path, volume: np.ndarray, options: dict[str, object], together: bool
) -> None:
    path = tmp_path / "v.tif"
    with tifffile.TiffWriter(path, bigtiff="bigtiff" in options) as tif:
        packed = {key: value for key, value in options.items() if key != "bigtiff"}
        for image in volume if not together else [volume]:
            tif.write(image, contiguous=False, **packed)
    whole = path.read_bytes()
    with open_volume_source(path) as source:
        assert source.shape == volume.shape
    for length in (len(whole) * 9 // 10, len(whole) * 3 // 4, len(whole) // 2, 1000, 12):
        path.write_bytes(whole[:length])
        with pytest.raises(FormatError, match=r"v.tif.*truncated"):
            open_volume_source(path)


def test_names_that_do_not_count_are_refused(tmp_path: Path) -> None:
    cases = {
        ("a_1", "b_1", "a_2"): "slices of 2 names",
        ("a_1_1", "a_2_2"): "do not count the slices by one number",
        ("a_1", "a_01", "a_2"): "two slices of the number 1",
        ("a_1", "a_2", "a_4", "a_8"): "the numbers 3, 5, 6, 7 are missing",
    }
    for names, message in cases.items():
        with pytest.raises(FormatError, match=message):
            in_order(tmp_path, [tmp_path / f"{name}.tif" for name in names])
    ten = [tmp_path / f"a{n}.tif" for n in (10, 9, 8, 11)]
    assert [f.stem for f in in_order(tmp_path, ten)] == ["a8", "a9", "a10", "a11"]


def test_two_formats_in_a_folder_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    slices(tmp_path / "s", volume[:2], "tif")
    file = slices(tmp_path / "o", volume[:1], "jp2")[0]
    (tmp_path / "s" / "readme.txt").write_text("not a slice")
    with open_volume_source(tmp_path / "s") as source:
        assert source.shape == (2, 40, 50)
    file.rename(tmp_path / "s" / "s_3.jp2")
    with pytest.raises(FormatError, match="put them into folders of their own"):
        open_volume_source(tmp_path / "s")


def test_colours_are_refused(tmp_path: Path) -> None:
    for number in range(2):
        tifffile.imwrite(tmp_path / f"{number}.tif", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(FormatError, match="plain grey"):
        open_volume_source(tmp_path)


def test_a_slice_that_shrinks_while_it_is_read_is_named(tmp_path: Path, volume: np.ndarray) -> None:
    files = slices(tmp_path / "s", volume, "tiff")
    with open_volume_source(tmp_path / "s") as source:
        files[6].write_bytes(files[6].read_bytes()[:1000])
        with pytest.raises(FormatError, match=r"s_0006\.tiff is truncated: it ends at byte 1000"):
            source.read(slice(0, 12), slice(0, 40))


def test_png_in_colour_or_of_few_bits_is_refused(tmp_path: Path) -> None:
    for mode, what in (("RGB", "in colour"), ("LA", "in colour or transparent"), ("1", "1 bits")):
        Image.new(mode, (8, 8)).save(tmp_path / "0.png")
        with pytest.raises(FormatError, match=what):
            open_volume_source(tmp_path)
    with pytest.raises(FormatError, match="give the folder"):
        open_volume_source(tmp_path / "0.png")


def test_a_truncated_nifti_is_named(tmp_path: Path, volume: np.ndarray) -> None:
    image = nibabel.Nifti1Image(volume.transpose(2, 1, 0), np.eye(4))
    for name in ("v.nii", "v.nii.gz"):
        nibabel.save(image, tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) * 2 // 3])
        with (
            pytest.raises(FormatError, match=rf"{name}.*truncated"),
            open_volume_source(tmp_path / name) as source,
        ):
            source.read(slice(0, 12))
    (tmp_path / "tiny.nii").write_bytes(whole[:100])
    with pytest.raises(FormatError, match="truncated"):
        open_volume_source(tmp_path / "tiny.nii")


def test_several_volumes_in_a_nifti_are_refused(tmp_path: Path) -> None:
    nibabel.save(
        nibabel.Nifti1Image(np.zeros((4, 4, 4, 2), np.uint8), np.eye(4)), tmp_path / "v.nii"
    )
    with pytest.raises(FormatError, match="one volume is needed"):
        open_volume_source(tmp_path / "v.nii")
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 5, 6), np.uint8), np.eye(4)), tmp_path / "v.nii")
    with pytest.raises(InputError, match="leave --dataset and --axes out"):
        open_volume_source(tmp_path / "v.nii", axes="xyz")


def test_a_truncated_hdf5_and_one_that_is_open_for_writing_are_named(
    tmp_path: Path, volume: np.ndarray
) -> None:
    path = tmp_path / "v.h5"
    with h5py.File(path, "w") as file:
        file["v"] = volume
    writer = (
        "import h5py, sys; f = h5py.File(sys.argv[1], 'r+'); print('open', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writer, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(FormatError, match="open for writing by another program"):
            open_volume_source(path)
        other.communicate(b"\n")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FormatError, match=r"v.h5.*truncated"):
        open_volume_source(path)


def test_a_torn_chunk_of_zarr_names_the_store(tmp_path: Path, volume: np.ndarray) -> None:
    for version, chunk in ((2, "1.0.0"), (3, "c/1/0/0")):
        path = tmp_path / f"v{version}.zarr"
        array = zarr.create_array(
            path, shape=volume.shape, dtype="u2", chunks=(4, 40, 50), zarr_format=version
        )
        array[...] = volume
        file = path / chunk
        file.write_bytes(file.read_bytes()[:100])
        with open_volume_source(path) as source:
            np.testing.assert_array_equal(source.read(slice(0, 4)), volume[:4])
            with pytest.raises(FormatError, match=path.name):
                source.read(slice(4, 8))


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_a_missing_file_of_an_own_volume_is_named(
    tmp_path: Path, volume: np.ndarray, version: str
) -> None:
    """Zarr reads it as zeros; hipct leaves none out, not even of zeros."""
    path = tmp_path / "v.ome.zarr"
    write_pyramid(volume, path, voxel_size_um=1.0, chunk=4, version=version)
    key = "0/c/1/0/0" if version == "0.5" else "0/1/0/0"
    (path / key).unlink()
    with open_volume_source(path) as source:
        np.testing.assert_array_equal(source.read(slice(0, 4)), volume[:4])
        with pytest.raises(FormatError, match=f"{key} is missing"):
            source.read(slice(4, 8))
    # An array of anybody's may leave chunks of zeros out.
    with open_volume_source(path, dataset="0") as source:
        assert not source.read(slice(4, 8)).all()


def test_broken_metadata_of_zarr_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "arr')
    with pytest.raises(FormatError, match="JSON"):
        open_volume_source(tmp_path)
    (tmp_path / "zarr.json").write_text('{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(FormatError, match="Zarr"):
        open_volume_source(tmp_path)


def test_stores_that_are_being_written_are_refused(tmp_path: Path, volume: np.ndarray) -> None:
    path = tmp_path / "v.ome.zarr"
    write_pyramid(volume, path, voxel_size_um=1.0)
    beside = tmp_path / "v.ome.zarr.run"
    beside.mkdir()
    with pytest.raises(FormatError, match="is being written"):
        open_volume_source(path)
    beside.rmdir()
    (path / "0" / "c" / "0.partial").write_bytes(b"half")
    with open_volume_source(path) as source, pytest.raises(FormatError, match="is being written"):
        source.fingerprint()
    path.rename(tmp_path / "v.ome.zarr.partial")
    with pytest.raises(FormatError, match="run that has not ended"):
        open_volume_source(tmp_path / "v.ome.zarr.partial")


def test_a_fingerprint_changes_with_the_source(tmp_path: Path, volume: np.ndarray) -> None:
    files = slices(tmp_path / "s", volume, "tif")
    with open_volume_source(tmp_path / "s") as source:
        before = source.fingerprint()
        assert source.fingerprint() == before
        files[2].write_bytes(files[2].read_bytes() + b"more")
        assert source.fingerprint() != before
        files[2].unlink()
        with pytest.raises(FormatError, match="cannot be read any more"):
            source.fingerprint()
