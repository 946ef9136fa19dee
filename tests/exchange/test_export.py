"""Exports, read again by the libraries of their formats: the same voxels, sizes, places."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image

from hipct.core.errors import FormatError, InputError, MissingExtra, OutputError
from hipct.exchange.export import export_volume
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid

VOXEL = (30.0, 20.0, 10.0)
SHAPE = (45, 60, 52)
CROP = "3:40,:,5:50"
PART = (slice(3, 40), slice(None), slice(5, 50))


def stored(organ: Path, level: int = 0) -> np.ndarray:
    """Voxels by zarr alone."""
    return zarr.open_array(organ / str(level), mode="r")[...]


def test_a_tiff_stack_has_every_voxel_its_resolution_and_its_meaning(
    organ: Path, tmp_path: Path
) -> None:
    export_volume(organ, tmp_path / "t", format="tiff", crop=CROP)
    names = [f"heart_{z:06}.tif" for z in range(3, 40)]
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["export.json", *names]
    again = np.stack([tifffile.imread(tmp_path / "t" / name) for name in names])
    assert again.dtype == np.uint16
    np.testing.assert_array_equal(again, stored(organ)[PART])
    with tifffile.TiffFile(tmp_path / "t" / names[0]) as file:
        page = file.pages[0]
        assert page.tags["ResolutionUnit"].value == 3  # centimetres
        x, y = (page.tags[f"{axis}Resolution"].value for axis in "XY")
        assert 1e4 * x[1] / x[0] == pytest.approx(10.0, rel=1e-9)
        assert 1e4 * y[1] / y[0] == pytest.approx(20.0, rel=1e-9)
        # What Fiji reads: lengths in the unit of the tags, and value = c0 + c1 * stored.
        imagej = file.imagej_metadata
        assert (imagej["unit"], imagej["spacing"]) == ("cm", pytest.approx(30e-4))
        assert (imagej["cf"], imagej["vunit"]) == (0, "1/cm")
        told = json.loads(imagej["hipct"])
    facts = json.loads((tmp_path / "t" / "export.json").read_text())
    assert told == facts
    assert (imagej["c0"], imagej["c1"]) == (facts["offset"], facts["scale"])
    assert facts["voxel_size_um"] == [30, 20, 10]
    assert facts["origin_um"] == [90, 0, 50]
    assert facts["crop_voxels"] == [[3, 40], [0, 60], [5, 50]]
    assert facts["provenance"]["beamline"] == "BM18"
    physical = open_volume(organ).physical(0, PART)
    np.testing.assert_array_equal(
        (again * facts["scale"] + facts["offset"]).astype(np.float32), physical
    )


def test_a_bigtiff_is_one_ome_file(organ: Path, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "heart.ome.tif", format="bigtiff", level=1)
    with tifffile.TiffFile(tmp_path / "heart.ome.tif") as file:
        assert file.is_bigtiff
        assert file.is_ome
        (series,) = file.series
        assert series.axes == "ZYX"
        np.testing.assert_array_equal(series.asarray(), stored(organ, 1))
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"] == [60, 40, 20]
    assert {pixels[f"PhysicalSize{axis}Unit"] for axis in "ZYX"} == {"µm"}


def test_png_shows_the_display_window_or_keeps_16_bits(organ: Path, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "8", format="png", crop=CROP)
    export_volume(organ, tmp_path / "16", format="png", crop=CROP, dtype="uint16")
    export_volume(organ, tmp_path / "w", format="png", crop=CROP, window=(0, 65535))
    expected = stored(organ)[PART][4].astype(float)
    with Image.open(tmp_path / "8" / "heart_000007.png") as picture:
        assert picture.mode == "L"
        shown = np.clip((expected - 10_000) / 30_000, 0, 1) * 255
        assert np.abs(np.asarray(picture) - shown).max() <= 0.5 + 1e-9
        # Pixels a metre are whole numbers in PNG.
        np.testing.assert_allclose(np.divide(25_400, picture.info["dpi"]), (10, 20), rtol=1e-4)
    with Image.open(tmp_path / "16" / "heart_000007.png") as picture:
        np.testing.assert_array_equal(np.asarray(picture), expected)
    with Image.open(tmp_path / "w" / "heart_000007.png") as picture:
        assert np.abs(np.asarray(picture) - expected / 257).max() <= 0.5 + 1e-9
    facts = json.loads((tmp_path / "8" / "export.json").read_text())
    # 0 and 255 mean what the two ends of the window mean.
    scale, offset = 0.6 / 65535, -0.1
    assert facts["offset"] == pytest.approx(10_000 * scale + offset)
    assert 255 * facts["scale"] + facts["offset"] == pytest.approx(40_000 * scale + offset)


def test_hdf5_needs_no_plugin_and_knows_its_values(organ: Path, tmp_path: Path) -> None:
    export_volume(organ, tmp_path / "h.h5", format="hdf5", crop=CROP)
    with h5py.File(tmp_path / "h.h5") as file:
        data = file["data"]
        assert data.compression == "gzip"
        assert data.shuffle
        np.testing.assert_array_equal(data[...], stored(organ)[PART])
        values = (data[...] * data.attrs["scale"] + data.attrs["offset"]).astype(np.float32)
        np.testing.assert_array_equal(values, open_volume(organ).physical(0, PART))
        assert data.attrs["unit"] == "1/cm"
        assert list(data.attrs["voxel_size_um"]) == [30, 20, 10]
        assert list(data.attrs["origin_um"]) == [90, 0, 50]
        assert [each.label for each in data.dims] == ["z", "y", "x"]
        assert json.loads(file["hipct"][()])["volume"] == "heart"


@pytest.mark.parametrize("name", ["n.nii", "n.nii.gz"])
@pytest.mark.parametrize("dtype", [None, "uint8", "float32"])
def test_nifti_puts_every_voxel_where_the_volume_has_it(
    organ: Path, tmp_path: Path, name: str, dtype: str | None
) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    export_volume(organ, tmp_path / name, format="nifti", level=1, crop="2:20,1:,3:", dtype=dtype)
    image = nibabel.load(tmp_path / name)
    part = (slice(2, 20), slice(1, None), slice(3, None))
    physical = open_volume(organ).physical(1, part)
    tolerance = {None: 1e-7, "uint8": 0.51 * 0.6 * 30_000 / 65_535 / 255, "float32": 1e-7}[dtype]
    shown = np.clip(physical, *(-0.1 + np.array([10_000, 40_000]) * 0.6 / 65_535))
    expected = shown if dtype == "uint8" else physical
    np.testing.assert_allclose(image.get_fdata().T, expected, rtol=1e-6, atol=tolerance)
    if dtype is None:
        np.testing.assert_array_equal(image.dataobj.get_unscaled().T, stored(organ, 1)[part])
    # The transform by the metadata of OME-Zarr alone: index (z, y, x) to millimetres.
    ome = json.loads((organ / "zarr.json").read_text())["attributes"]["ome"]
    scale, shift = ome["multiscales"][0]["datasets"][1]["coordinateTransformations"]
    assert shift["translation"] == [15, 10, 5]
    assert image.header.get_xyzt_units()[0] == "mm"
    for index in np.random.default_rng(1).integers(0, 15, (5, 3)):
        place = (index + np.array([2, 1, 3])) * scale["scale"] + shift["translation"]
        np.testing.assert_allclose(
            nibabel.affines.apply_affine(image.affine, index[::-1]), place[::-1] / 1e3, rtol=1e-6
        )
    np.testing.assert_allclose(image.header.get_zooms(), (0.02, 0.04, 0.06), rtol=1e-6)
    np.testing.assert_allclose(image.header.get_qform(), image.affine, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["tiff", "bigtiff", "hdf5"])
def test_float32_is_the_physical_value(organ: Path, tmp_path: Path, kind: str) -> None:
    export_volume(organ, tmp_path / "out", format=kind, level=2, dtype="float32")
    physical = open_volume(organ).physical(2)
    if kind == "tiff":
        again = tifffile.imread(sorted((tmp_path / "out").glob("*.tif")))
    elif kind == "bigtiff":
        again = tifffile.imread(tmp_path / "out")
    else:
        with h5py.File(tmp_path / "out") as file:
            again = file["data"][...]
            assert (file["data"].attrs["scale"], file["data"].attrs["offset"]) == (1, 0)
    assert again.dtype == np.float32
    np.testing.assert_array_equal(again, physical)


def test_volumes_of_others_with_axes_xyz(tmp_path: Path) -> None:
    """Zarr v2, stored x, y, z, a translation before the scale, big-endian, no meaning stored."""
    values = np.random.default_rng(0).integers(0, 60_000, (21, 13, 9)).astype(">u2")
    group = zarr.open_group(tmp_path / "v", mode="w", zarr_format=2)
    group.create_array("s0", shape=values.shape, chunks=(8, 4, 4), dtype=">u2")[...] = values
    steps = [
        {"type": "translation", "translation": [1.0, 2.0, 3.0]},
        {"type": "scale", "scale": [2.0, 3.0, 5.0]},
    ]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "name": "lung/left 1",
            "axes": [{"name": a, "type": "space", "unit": "micrometer"} for a in "xyz"],
            "datasets": [{"path": "s0", "coordinateTransformations": steps}],
        }
    ]
    export_volume(tmp_path / "v", tmp_path / "t", format="tiff", crop="2:9,:,1:21")
    files = sorted((tmp_path / "t").glob("*.tif"))
    assert files[0].name == "lung_left_1_000002.tif"
    np.testing.assert_array_equal(tifffile.imread(files), values.transpose(2, 1, 0)[2:9, :, 1:])
    facts = json.loads((tmp_path / "t" / "export.json").read_text())
    assert facts["voxel_size_um"] == [5, 3, 2]
    assert facts["origin_um"] == [3 * 5 + 2 * 5, 6, 2 + 2]
    assert "scale" not in facts
    with pytest.raises(InputError, match="does not store what its grey values mean"):
        export_volume(tmp_path / "v", tmp_path / "f", format="tiff", dtype="float32")
    with pytest.raises(InputError, match="stores no display window"):
        export_volume(tmp_path / "v", tmp_path / "f", format="png")
    assert not (tmp_path / "f").exists()


def test_floating_values_of_others(tmp_path: Path) -> None:
    """Stored as float32 without a scale: they are the values, and NaN is black."""
    values = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    values[1, 2, 3] = np.nan
    group = zarr.open_group(tmp_path / "v", mode="w", zarr_format=2)
    group.create_array("0", shape=values.shape, chunks=(4, 4, 4), dtype="f4")[...] = values
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    dataset = {"path": "0", "coordinateTransformations": [scale]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    for name, dtype in (("a", None), ("b", "float32")):
        export_volume(tmp_path / "v", tmp_path / name, format="bigtiff", dtype=dtype)
        np.testing.assert_array_equal(tifffile.imread(tmp_path / name), values)
    export_volume(tmp_path / "v", tmp_path / "c", format="bigtiff", dtype="uint8", window=(-1, 2))
    steps = np.nan_to_num(np.clip((values + 1) / 3, 0, 1)) * 255
    steps[1, 2, 3] = 0
    assert np.abs(tifffile.imread(tmp_path / "c") - steps).max() <= 0.5 + 1e-4
    with pytest.raises(InputError, match="holds float32 and not uint16"):
        export_volume(tmp_path / "v", tmp_path / "d", format="bigtiff", dtype="uint16")


def test_an_output_is_refused_replaced_and_never_half_there(organ: Path, tmp_path: Path) -> None:
    out = tmp_path / "t"
    export_volume(organ, out, format="tiff", level=2)
    with pytest.raises(OutputError, match="exists already"):
        export_volume(organ, out, format="tiff", level=1)
    assert len(list(out.glob("*.tif"))) == 12
    # A fault on the way leaves the earlier export.
    torn = tmp_path / "torn.ome.zarr"
    write_pyramid(np.ones((20, 9, 9), "u1"), torn, voxel_size_um=1.0, chunk=8)
    shard = torn / "0" / "c" / "2" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-30])
    with pytest.raises(FormatError, match=r"2/0/0 is no whole shard .* hipct check --deep"):
        export_volume(torn, out, format="tiff", overwrite=True)
    assert len(list(out.glob("*.tif"))) == 12
    shard.unlink()
    for kind, name in (("tiff", "a"), ("hdf5", "b.h5"), ("nifti", "c.nii")):
        with pytest.raises(FormatError, match="is missing: the volume is not whole"):
            export_volume(torn, tmp_path / name, format=kind)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "torn.ome.zarr"]
    export_volume(organ, out, format="tiff", level=1, overwrite=True)
    assert len(list(out.glob("*.tif"))) == 23
    assert sorted(p.name for p in tmp_path.iterdir()) == ["t", "torn.ome.zarr"]


def test_a_missing_chunk_of_an_own_volume_is_named(tmp_path: Path) -> None:
    path = tmp_path / "old.ome.zarr"
    write_pyramid(np.ones((20, 9, 9), "u1"), path, voxel_size_um=1.0, chunk=8, version="0.4")
    (path / "0" / "1" / "0" / "0").unlink()
    with pytest.raises(FormatError, match="1/0/0 is missing: the volume is not whole"):
        export_volume(path, tmp_path / "a", format="tiff")


def test_nothing_but_an_export_is_overwritten(organ: Path, tmp_path: Path) -> None:
    before = sorted(str(p) for p in organ.rglob("*"))
    for out in (organ, organ.parent, organ / "0"):
        with pytest.raises(OutputError, match="is the volume itself, or inside or around it"):
            export_volume(organ, out, format="tiff", overwrite=True)
    assert sorted(str(p) for p in organ.rglob("*")) == before
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat").touch()
    with pytest.raises(OutputError, match=r"holds no export\.json"):
        export_volume(organ, tmp_path / "photos", format="tiff", overwrite=True)
    with pytest.raises(OutputError, match="is a folder"):
        export_volume(organ, tmp_path / "photos", format="hdf5", overwrite=True)
    assert (tmp_path / "photos" / "cat").exists()
    # As root a device of the system would be replaced by a file.
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="is a device or a pipe"):
        export_volume(organ, tmp_path / "pipe", format="hdf5", overwrite=True)
    assert (tmp_path / "pipe").is_fifo()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"format": "gif"}, "format is 'gif'; allowed are tiff"),
        ({"format": "tiff", "level": 9}, "has no level 9; it has 0 to 2"),
        ({"format": "tiff", "dtype": "int8"}, "dtype is 'int8'"),
        ({"format": "jp2", "dtype": "float32"}, "hold uint8 and uint16, not float32"),
        ({"format": "png", "dtype": "float32"}, "PNG holds uint8 and uint16"),
        ({"format": "tiff", "window": (1, 2)}, "give --dtype uint8"),
        ({"format": "png", "window": (2, 1)}, "second value has to be the larger"),
        ({"format": "tiff", "lossless": True}, "--lossless means nothing for the format tiff"),
        ({"format": "tiff", "url": "http://h"}, "--url means nothing"),
        ({"format": "hdf5", "oblique": "1,1,1:1,0,0"}, "--oblique means nothing"),
        ({"format": "tiff", "oblique": "1,1,1:1,0,0", "crop": CROP}, "--oblique or --crop"),
        ({"format": "jp2", "lossless": True, "ratio": 5.0}, "--lossless or --ratio"),
        ({"format": "jp2", "ratio": 0.5}, "ratio is 0.5"),
        ({"format": "nifti"}, r"end with \.nii or \.nii\.gz"),
        ({"format": "neuroglancer"}, "give --url"),
        ({"format": "neuroglancer", "url": "http://h/v", "level": 0}, "--level means nothing"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(
    organ: Path, tmp_path: Path, options: dict[str, Any], sentence: str
) -> None:
    if options["format"] == "jp2":
        pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    with pytest.raises(InputError, match=sentence):
        export_volume(organ, tmp_path / "out", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "package"), [("jp2", "imagecodecs"), ("htj2k", "imagecodecs"), ("nifti", "nibabel")]
)
def test_a_format_without_its_package_says_what_to_install(
    organ: Path, tmp_path: Path, kind: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingExtra, match=rf"--format {kind} needs .*hipct\[formats\]"):
        export_volume(organ, tmp_path / "out.nii", format=kind)
    assert not list(tmp_path.iterdir())
