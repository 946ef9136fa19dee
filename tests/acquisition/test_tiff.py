"""TIFF folders and stacks."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

from hipct.acquisition.open import open_scan
from hipct.acquisition.store import import_scan
from hipct.core.errors import FormatError, InputError, MissingMetadata

ALL = slice(None)
DATA = np.random.default_rng(5).integers(0, 60000, (11, 4, 9)).astype("uint16")
FLATS, DARKS = DATA[:3] + 1, DATA[:2] // 9


def write_series(folder, name, images, **options):
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        tifffile.imwrite(folder / name.format(number), image, **options)


def check(path, **options):
    with open_scan(path, **options) as scan:
        assert scan.info.format == "TIFF"
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), DATA)
        np.testing.assert_array_equal(
            scan.read_projections(slice(3, 7), slice(1, 3)), DATA[3:7, 1:3]
        )
        return scan.info, scan.read_flats(ALL), scan.read_darks(ALL)


@pytest.mark.parametrize(
    "names",
    [
        ("proj_{}.tif", "flat_{}.tif", "dark_{}.tif"),
        ("heart{}.TIFF", "refHST{:04}.TIFF", "darkend{:04}.TIFF"),
        ("tomo_{:05}.tif", "ff_{}.tif", "df_{}.tif"),
        ("sample {}.img", "white {}.img", "dark {}.img"),
    ],
)
def test_kinds_by_name_in_natural_order(tmp_path, names):
    """Numbers without leading zeros: 10 follows 9."""
    for name, images in zip(names, (DATA, FLATS, DARKS), strict=True):
        write_series(tmp_path, name, images)
    (tmp_path / "log.txt").write_text("not an image")
    info, flats, darks = check(tmp_path, angles="0:180:exclusive")
    np.testing.assert_array_equal(flats, FLATS)
    np.testing.assert_array_equal(darks, DARKS)
    assert np.degrees(info.angles_rad[1]) == pytest.approx(180 / 11)


def test_kinds_by_sub_folder(tmp_path):
    write_series(tmp_path / "projections", "{}.tif", DATA)
    write_series(tmp_path / "flats", "{}.tif", FLATS)
    write_series(tmp_path / "Darks", "{}.tif", DARKS)
    info, flats, darks = check(tmp_path, angles="0:180")
    assert (info.flats, info.darks) == (3, 2)
    np.testing.assert_array_equal(flats, FLATS)
    np.testing.assert_array_equal(darks, DARKS)


def test_import(tmp_path):
    write_series(tmp_path / "in", "proj_{}.tif", DATA)
    write_series(tmp_path / "in", "flat_{}.tif", FLATS)
    source = open_scan(tmp_path / "in", angles="0:180")
    scan = import_scan(source, tmp_path / "out.zarr", memory_bytes=60_000)
    np.testing.assert_array_equal(scan.read_projections(ALL, ALL), DATA)
    np.testing.assert_array_equal(scan.read_flats(ALL), FLATS)
    np.testing.assert_array_equal(scan.info.angles_rad, source.info.angles_rad)


def test_stacks(tmp_path):
    tifffile.imwrite(tmp_path / "projections.tif", DATA)
    tifffile.imwrite(tmp_path / "flats.tif", FLATS, photometric="minisblack")
    _, flats, darks = check(tmp_path, angles="0:180")
    np.testing.assert_array_equal(flats, FLATS)
    assert darks.shape == (0, 4, 9)
    check(tmp_path / "projections.tif", angles="0:180")


def test_several_stacks_follow_each_other(tmp_path):
    tifffile.imwrite(tmp_path / "proj_1.tif", DATA[:6])
    tifffile.imwrite(tmp_path / "proj_2.tif", DATA[6:])
    check(tmp_path, angles="0:180")


def test_an_imagej_stack_with_one_header(tmp_path):
    """Above 4 GB ImageJ writes all images behind a single header."""
    tifffile.imwrite(tmp_path / "proj.tif", DATA, imagej=True)
    with tifffile.TiffFile(tmp_path / "proj.tif") as tif:
        end_of_first_header = tif.pages[0].offset + 2 + 12 * len(tif.pages[0].tags)
    with open(tmp_path / "proj.tif", "r+b") as file:
        file.seek(end_of_first_header)
        file.write(bytes(4))
    with tifffile.TiffFile(tmp_path / "proj.tif") as tif:
        assert len(tif.pages) == 1
    check(tmp_path / "proj.tif", angles="0:180")


def test_compressed_images(tmp_path):
    write_series(tmp_path, "proj_{}.tif", DATA, compression="zlib")
    check(tmp_path, angles="0:180")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int16", "float32", ">u2"])
def test_dtypes_are_kept(tmp_path, dtype):
    images = DATA.astype(dtype)
    byteorder = ">" if dtype.startswith(">") else None
    write_series(tmp_path, "proj_{}.tif", images, byteorder=byteorder)
    with open_scan(tmp_path, angles="0:180") as scan:
        assert scan.info.dtype == np.dtype(dtype).newbyteorder("=")
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), images)


@pytest.mark.parametrize(
    ("name", "content", "factor"),
    [
        ("angles.txt", "\n".join(str(v) for v in range(11)), np.pi / 180),
        ("angles.txt", "# radians\n" + "\n".join(str(v) for v in range(11)), 1.0),
        ("theta.csv", "frame,angle_rad\n" + "\n".join(f"{v},{v}" for v in range(11)), 1.0),
        ("angles.csv", "angle_deg;t\n" + "\n".join(f"{v};9" for v in range(11)), np.pi / 180),
        ("scan.json", json.dumps({"angles_deg": list(range(11))}), np.pi / 180),
        ("scan.json", json.dumps({"angles_rad": list(range(11))}), 1.0),
    ],
)
def test_angles_from_a_file_beside_them(tmp_path, name, content, factor):
    write_series(tmp_path, "proj_{}.tif", DATA)
    (tmp_path / name).write_text(content)
    info, _, _ = check(tmp_path)
    np.testing.assert_allclose(info.angles_rad, np.arange(11) * factor)


def test_scan_json_holds_the_geometry(tmp_path):
    write_series(tmp_path, "proj_{}.tif", DATA)
    write_series(tmp_path, "flat_{}.tif", FLATS)
    values = {
        "angles_deg": list(range(11)),
        "energy_kev": 88.0,
        "distance_m": 3.5,
        "pixel_size_um": 20.0,
        "rotation_axis_px": 1.5,
        "acquisition": "half",
        "subframes": 2,
        "flat_index": [0, 1, 13],
        "projection_index": list(range(2, 13)),
        "flat_current": [190.0, 191.0, 192.0],
        "current": [191.0] * 11,
        "current_unit": "mA",
    }
    (tmp_path / "scan.json").write_text(json.dumps(values))
    info, _, _ = check(tmp_path)
    for name in ("energy_kev", "distance_m", "pixel_size_um", "rotation_axis_px", "acquisition"):
        assert getattr(info, name) == values[name]
    np.testing.assert_array_equal(info.flat_index, [0, 1, 13])
    np.testing.assert_array_equal(info.current, 191.0)


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("angles.txt", "1\n2\n3", "3 values of angles_rad beside 11 images"),
        ("angles.txt", "\n".join(["0"] * 10 + ["nan"]), r"angles_rad\[10\]"),
        ("angles.txt", "0\nfive\n", "'five'"),
        ("angles.txt", "", "is empty"),
        ("angles.csv", "1,2\n3,4", "name one of them angle_deg"),
        ("scan.json", "{", "could not be read as JSON"),
        ("scan.json", "[1]", "one JSON object"),
        ("scan.json", '{"energy": 3}', "unknown key 'energy'; known are .*energy_kev"),
        ("scan.json", '{"angles_deg": [[1]]}', "list of numbers"),
        (
            "scan.json",
            json.dumps({"angles_deg": list(range(11)), "energy_kev": -3}),
            "scan.energy_kev is -3",
        ),
        (
            "scan.json",
            json.dumps({"angles_deg": list(range(11)), "acquisition": "quarter"}),
            "'quarter'; it has to be one of full, half",
        ),
    ],
)
def test_bad_metadata(tmp_path, name, content, match):
    write_series(tmp_path, "proj_{}.tif", DATA)
    (tmp_path / name).write_text(content)
    with pytest.raises(FormatError, match=match):
        open_scan(tmp_path)


def test_without_angles_the_sentence_says_how_to_give_them(tmp_path):
    write_series(tmp_path, "proj_{}.tif", DATA)
    with pytest.raises(MissingMetadata, match=r"scan\.json.*--angles start:stop\[:exclusive\]"):
        open_scan(tmp_path)


def test_two_names_that_may_be_projections(tmp_path):
    write_series(tmp_path, "heart_{}.tif", DATA)
    write_series(tmp_path, "lung_{}.tif", DATA)
    with pytest.raises(FormatError, match=r"heart_, lung_.*sub-folder called projections"):
        open_scan(tmp_path, angles="0:180")


def test_only_flats(tmp_path):
    write_series(tmp_path, "flat_{}.tif", FLATS)
    with pytest.raises(FormatError, match="3 flats and 0 darks by their names, and no proj"):
        open_scan(tmp_path, angles="0:180")


def test_images_that_are_not_alike(tmp_path):
    write_series(tmp_path, "proj_{}.tif", DATA)
    tifffile.imwrite(tmp_path / "proj_7.tif", DATA[0, :3])
    with (
        open_scan(tmp_path, angles="0:180") as scan,
        pytest.raises(FormatError, match=r"proj_7\.tif .* is \(3, 9\)"),
    ):
        scan.read_projections(ALL, ALL)
    tifffile.imwrite(tmp_path / "flat_0.tif", DATA[0, :3])
    with pytest.raises(FormatError, match="flats of"):
        open_scan(tmp_path, angles="0:180")


def test_colours_are_refused(tmp_path):
    tifffile.imwrite(tmp_path / "proj_0.tif", np.zeros((8, 8, 3), "uint8"), photometric="rgb")
    with pytest.raises(FormatError, match="plain grey levels"):
        open_scan(tmp_path, angles="0:180")


def test_a_truncated_image(tmp_path):
    write_series(tmp_path, "proj_{}.tif", np.tile(DATA, (1, 20, 20)))
    whole = (tmp_path / "proj_4.tif").read_bytes()
    (tmp_path / "proj_4.tif").write_bytes(whole[: len(whole) // 2])
    with (
        open_scan(tmp_path, angles="0:180") as scan,
        pytest.raises(FormatError, match=r"proj_4\.tif"),
    ):
        scan.read_projections(ALL, ALL)


def test_entry_belongs_to_nxtomo(tmp_path):
    write_series(tmp_path, "proj_{}.tif", DATA)
    with pytest.raises(InputError, match="only NXtomo and BLISS files hold several scans"):
        open_scan(tmp_path, angles="0:180", entry=1)
