"""BLISS master files in the layout that nxtomomill converts."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from hipct.acquisition.open import open_scan
from hipct.acquisition.series import open_series
from hipct.core.errors import FormatError, InputError, MissingMetadata

ALL = slice(None)
PIXEL_MM = 0.02
ROWS, COLUMNS = 5, 7


class Master:
    """Writes entries as BLISS does, and remembers the frames."""

    def __init__(self, path, *, units=True, config=True):
        self.path, self.units, self.config = path, units, config
        self.count, self.frames = 0, []
        self.random = np.random.default_rng(1)

    def entry(self, file, title):
        self.count += 1
        entry = file.require_group(f"{self.count}.1")
        entry.attrs["NX_class"] = "NXentry"
        entry["title"] = title
        return entry

    def put(self, group, name, value, unit=None):
        group[name] = value
        if unit and self.units:
            group[name].attrs["units"] = unit

    def begin(self, title="tomo:fullturn", *, half=True, category=None, yrot=-0.5):
        with h5py.File(self.path, "a") as file:
            entry = self.entry(file, title)
            entry["start_time"] = f"2024-05-06T08:0{self.count}:00"
            scan = entry.require_group("technique/scan")
            self.put(scan, "energy", 88.0, "keV")
            self.put(scan, "sample_detector_distance", 3500.0, "mm")
            self.put(scan, "source_sample_distance", 52000.0, "mm")
            scan["half_acquisition"] = half
            self.put(entry, "technique/optic/sample_pixel_size", [PIXEL_MM, PIXEL_MM], "mm")
            if category:
                entry["technique/scan_category"] = category
            self.put(entry, "instrument/positioners/yrot", yrot, "mm")
            if self.config:
                config = entry.require_group("technique/tomoconfig")
                config["rotation"] = ["hrsrot"]
                config["detector"] = ["pcolinux"]
                config["translation_z"] = ["tz"]
                config["translation_y"] = ["yrot"]

    def scan(self, title, count, z_mm=1.0, *, image_key=None, angles=None):
        data = self.random.integers(0, 60000, (count, ROWS, COLUMNS)).astype(np.uint16)
        with h5py.File(self.path, "a") as file:
            entry = self.entry(file, title)
            detector = entry.require_group("instrument/pcolinux")
            detector.attrs["NX_class"] = "NXdetector"
            detector["data"] = data
            z, turn = ("tz", "hrsrot") if self.config else ("sz", "srot")
            motors = entry.require_group("instrument/positioners")
            self.put(motors, z, np.full(count, z_mm), "mm")
            if angles is not None:
                self.put(motors, turn, angles, "deg")
            self.put(entry, "measurement/current", np.linspace(190, 189, count), "mA")
            if image_key is not None:
                entry["technique/image_key"] = image_key
        return data

    def sequence(self, z_mm=1.0, projections=6, **options):
        self.begin(**options)
        dark = self.scan("dark images", 2, z_mm)
        flat = self.scan("reference images 1", 3, z_mm)
        turn = np.linspace(0, 360, projections, endpoint=False)
        data = self.scan(f"projections 1 - {projections}", projections, z_mm, angles=turn)
        self.scan("static images", 2, z_mm, angles=[0.0, 90.0])
        end = self.scan("reference images 2", 3, z_mm)
        return data, np.concatenate([flat, end]), dark


@pytest.mark.parametrize("config", [True, False])
def test_a_sequence_is_a_scan(tmp_path, config):
    data, flats, darks = Master(tmp_path / "a.h5", config=config).sequence()
    with open_scan(tmp_path / "a.h5") as scan:
        info = scan.info
        assert (info.format, info.projections, info.flats, info.darks) == ("BLISS", 6, 6, 2)
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), data)
        np.testing.assert_array_equal(scan.read_flats(ALL), flats)
        np.testing.assert_array_equal(scan.read_flats(slice(1, 3)), flats[:, 1:3])
        np.testing.assert_array_equal(scan.read_darks(ALL), darks)
        np.testing.assert_allclose(np.degrees(info.angles_rad), np.arange(6) * 60)
        assert info.projection_index.tolist() == [0, 1, 2, 3, 4, 5]
        assert info.flat_index.tolist() == [-3, -2, -1, 8, 9, 10]
        np.testing.assert_allclose(np.degrees(info.return_angles_rad), [0, 90])
        assert info.return_index.tolist() == [6, 7]
        assert scan.read_returns(ALL).shape == (2, ROWS, COLUMNS)
        assert info.dark_index.tolist() == [-5, -4]
        assert (info.pixel_size_um, info.energy_kev, info.acquisition) == (20, 88, "half")
        assert info.distance_m == pytest.approx(3.5 / (55.5 / 52))
        assert (info.z_um, info.lateral_um) == (1000, -500)
        assert info.rotation_axis_px == pytest.approx(3 - 25)
        assert (info.current[0], info.current[-1], info.current_unit) == (190, 189, "mA")


def test_without_units_those_of_bliss_are_taken_and_said(tmp_path):
    Master(tmp_path / "a.h5", units=False).sequence()
    info = open_scan(tmp_path / "a.h5").info
    np.testing.assert_allclose(np.degrees(info.angles_rad), np.arange(6) * 60)
    assert (info.pixel_size_um, info.energy_kev, info.z_um) == (20, 88, 1000)
    assert "rotation has no unit; BLISS's deg was taken." in info.notes


def test_image_keys_say_more_than_titles(tmp_path):
    master = Master(tmp_path / "a.h5")
    master.begin("my scan", category="tomo:basic")
    flat = master.scan("anything", 2, image_key=1)
    data = master.scan("whatever", 4, image_key=0, angles=np.arange(4) * 45.0)
    master.scan("turned back", 1, image_key=-1)
    scan = open_scan(tmp_path / "a.h5")
    np.testing.assert_array_equal(scan.read_projections(ALL, ALL), data)
    np.testing.assert_array_equal(scan.read_flats(ALL), flat)
    assert scan.info.darks == 0


def test_sequences_of_one_file_are_a_series(tmp_path):
    """Version 2 of z-series: a sequence for every height, upwards or downwards."""
    master = Master(tmp_path / "a.h5")
    data = [master.sequence(z_mm=1 - k * 4 * PIXEL_MM, title="tomo:zseries")[0] for k in range(3)]
    with open_series(tmp_path / "a.h5") as series:
        assert [m.name for m in series] == ["a-13.1", "a-7.1", "a-1.1"]
        np.testing.assert_allclose(series.offsets_px, [0, 4, 8], atol=1e-9)
        for member, frames in zip(series, reversed(data)):
            np.testing.assert_array_equal(member.scan.read_projections(ALL, ALL), frames)
    with open_scan(tmp_path / "a.h5", entry="7.1") as scan:
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), data[1])
    with pytest.raises(InputError, match=r"no scan called '2\.1'; it holds 1\.1, 7\.1, 13\.1"):
        open_scan(tmp_path / "a.h5", entry="2.1")


def test_several_heights_in_one_sequence_are_a_series(tmp_path):
    """Version 1 of z-series; the darks of the first height serve all."""
    master = Master(tmp_path / "a.h5")
    master.begin("tomo:zseries")
    dark = master.scan("dark images", 2, 1.0)
    kept = []
    for z in (1.0, 1.08, 1.16):
        flat = master.scan("reference images 1", 3, z)
        kept.append((flat, master.scan("projections", 4, z, angles=np.arange(4) * 90.0)))
    with open_series(tmp_path / "a.h5") as series:
        assert [m.info.z_um for m in series] == pytest.approx([1000, 1080, 1160])
        for member, (flat, data) in zip(series, kept):
            np.testing.assert_array_equal(member.scan.read_projections(ALL, ALL), data)
            np.testing.assert_array_equal(member.scan.read_flats(ALL), flat)
            np.testing.assert_array_equal(member.scan.read_darks(ALL), dark)


def test_a_projection_per_height_is_helical(tmp_path):
    master = Master(tmp_path / "a.h5")
    master.begin("tomo:helical")
    master.scan("projections", 4, np.linspace(1, 1.5, 4), angles=np.arange(4) * 90.0)
    info = open_scan(tmp_path / "a.h5").info
    np.testing.assert_allclose(info.projection_z_um, np.linspace(1000, 1500, 4))


def test_frames_in_files_of_their_own_and_missing_ones(tmp_path):
    """The master holds links; the frames lie beside it."""
    master = Master(tmp_path / "a.h5")
    data, *_ = master.sequence()
    with h5py.File(tmp_path / "a.h5", "a") as file, h5py.File(tmp_path / "raw.h5", "w") as raw:
        raw["frames"] = data
        del file["4.1/instrument/pcolinux/data"]
        file["4.1/instrument/pcolinux/data"] = h5py.ExternalLink("raw.h5", "/frames")
    with open_scan(tmp_path / "a.h5") as scan:
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), data)
    (tmp_path / "raw.h5").unlink()
    with pytest.raises(FormatError, match=r"external link to raw\.h5"):
        open_scan(tmp_path / "a.h5")


def test_what_is_missing_is_named(tmp_path):
    master = Master(tmp_path / "a.h5")
    master.begin()
    master.scan("dark images", 2)
    with pytest.raises(FormatError, match="holds no projections"):
        open_scan(tmp_path / "a.h5")
    master.scan("projections", 4)
    with pytest.raises(MissingMetadata, match="no rotation motor"):
        open_scan(tmp_path / "a.h5")
    assert open_scan(tmp_path / "a.h5", angles="0:180").info.projections == 4
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["3.1/instrument/pcolinux"]
    with pytest.raises(FormatError, match="holds no frames"):
        open_scan(tmp_path / "a.h5")
