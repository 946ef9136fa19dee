"""DXchange files, made and real."""

from __future__ import annotations

import h5py
import hdf5plugin
import numpy as np
import pytest

from hipct.acquisition.dxchange import DxchangeScan
from hipct.acquisition.open import open_scan
from hipct.acquisition.series import open_series
from hipct.core.errors import FormatError, InputError, MissingMetadata

ALL = slice(None)


def test_frames_angles_and_references(tmp_path, dxchange):
    data = dxchange(tmp_path / "a.h5")
    with open_scan(tmp_path / "a.h5") as scan:
        info = scan.info
        assert (info.format, info.kind, info.acquisition) == ("DXchange", "counts", "full")
        assert (info.projections, info.rows, info.columns) == data.shape
        assert (info.flats, info.darks) == (3, 2)
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), data)
        np.testing.assert_allclose(np.degrees(info.angles_rad), np.arange(9) * 20.0)
        # The time of the references is not recorded: all before the first projection.
        assert max(info.flat_index.max(), info.dark_index.max()) < 0
        assert len({*info.flat_index, *info.dark_index}) == 5


def test_big_endian_counts_come_out_native(tmp_path, dxchange):
    data = dxchange(tmp_path / "a.h5", dtype=">u2")
    with open_scan(tmp_path / "a.h5") as scan:
        assert scan.info.dtype == np.dtype("uint16")
        assert scan.read_projections(ALL, ALL).dtype.isnative
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), data)


def test_metadata_with_its_units(tmp_path, dxchange):
    def extra(file):
        group = file.create_group("measurement/instrument")
        group["monochromator/energy"] = 27.4
        group["monochromator/energy"].attrs["units"] = "keV"
        group["source/energy"] = 7.0
        group["source/energy"].attrs["units"] = "GeV"
        group["detector/actual_pixel_size_x"] = 1.17
        group["detector/actual_pixel_size_x"].attrs["units"] = "microns"
        group["sample/setup/detector_distance"] = 120.0
        group["sample/setup/detector_distance"].attrs["units"] = "mm"

    dxchange(tmp_path / "a.h5", extra=extra)
    info = DxchangeScan(tmp_path / "a.h5").info
    assert info.require("energy_kev", "pixel_size_um", "distance_m") == pytest.approx(
        (27.4, 1.17, 0.12)
    )


def test_the_energy_of_the_storage_ring_is_no_photon_energy(tmp_path, dxchange):
    def extra(file):
        file["measurement/instrument/source/energy"] = 7.0
        file["measurement/instrument/source/energy"].attrs["units"] = "GeV"

    dxchange(tmp_path / "a.h5", extra=extra)
    info = DxchangeScan(tmp_path / "a.h5").info
    assert info.energy_kev is None
    assert "not plausible" in " ".join(info.notes)


def test_missing_angles_are_asked_for_and_can_be_given(tmp_path, dxchange):
    dxchange(tmp_path / "a.h5", theta=None)
    with pytest.raises(MissingMetadata, match="does not assume any; give them with --angles"):
        open_scan(tmp_path / "a.h5")
    scan = open_scan(tmp_path / "a.h5", angles="0:360")
    assert scan.info.angles_rad[-1] == pytest.approx(2 * np.pi)
    given = np.linspace(1, 2, 9)
    np.testing.assert_array_equal(open_scan(tmp_path / "a.h5", angles=given).info.angles_rad, given)
    with pytest.raises(InputError, match="9 projections"):
        open_scan(tmp_path / "a.h5", angles=given[:4])
    with pytest.raises(InputError, match="start:stop"):
        open_scan(tmp_path / "a.h5", angles="0-180")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"theta": np.arange(4.0)}, "4 angles for 9 projections"),
        ({"theta": np.full(9, np.nan)}, r"theta\[0\] is not a finite number"),
        ({"unit": "furlong"}, "furlong"),
        ({"theta": np.array(["x"] * 9, dtype="S1")}, "instead of numbers"),
    ],
)
def test_bad_angles(tmp_path, dxchange, values, match):
    dxchange(tmp_path / "a.h5", **values)
    with pytest.raises(FormatError, match=match):
        open_scan(tmp_path / "a.h5")


def test_references_of_another_size(tmp_path, dxchange):
    def extra(file):
        file["exchange/data_white"] = np.zeros((2, 4, 11), "uint16")

    dxchange(tmp_path / "a.h5", flats=0, extra=extra)
    with pytest.raises(FormatError, match=r"data_white has the shape \(2, 4, 11\)"):
        open_scan(tmp_path / "a.h5")


def test_the_compression_of_beamlines(tmp_path, dxchange):
    data = dxchange(tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        del file["exchange/data"]
        file.create_dataset("exchange/data", data=data, chunks=(2, 4, 10), **hdf5plugin.LZ4())
    with open_scan(tmp_path / "a.h5") as scan:
        np.testing.assert_array_equal(
            scan.read_projections(slice(1, 8), slice(1, 3)), data[1:8, 1:3]
        )
        assert (scan.angle_chunk, scan.row_chunk) == (2, 4)


def test_sinogram_order_is_refused(tmp_path, dxchange):
    def extra(file):
        file["exchange/data"].attrs["axes"] = "y:theta:x"

    dxchange(tmp_path / "a.h5", extra=extra)
    with pytest.raises(FormatError, match="y:theta:x"):
        open_scan(tmp_path / "a.h5")


def test_the_tooth(shared_data):
    with open_scan(shared_data / "tooth" / "tooth.h5") as scan:
        info = scan.info
        assert (info.projections, info.rows, info.columns) == (181, 2, 640)
        assert (info.flats, info.darks, info.dtype) == (10, 10, np.dtype("float32"))
        # The end angle is not in it: 181 steps make the half turn.
        assert np.degrees(info.angles_rad[-1]) == pytest.approx(179.0055, abs=1e-3)
        assert np.degrees(info.angular_range_rad + info.angular_step_rad) == pytest.approx(180)
        assert scan.read_flats(ALL).mean() > scan.read_darks(ALL).mean()
        with pytest.raises(MissingMetadata, match=r"photon energy \(keV\), which .*tooth\.h5"):
            info.require("energy_kev", purpose="Phase retrieval")


def test_the_whole_turn_of_the_neutrons(shared_data):
    info = open_scan(shared_data / "sarepy_neutron360" / "scan.h5").info
    assert info.kind == "transmission"
    assert np.degrees(info.angular_range_rad) == pytest.approx(360)
    assert info.suggests_half_acquisition
    assert not info.with_overrides(acquisition="half").suggests_half_acquisition


def test_positions_of_the_sample_make_it_a_member_of_a_series(tmp_path, dxchange):
    for k, place in enumerate((1, 0)):

        def motors(file, z=place):
            stack = "measurement/instrument/sample_motor_stack/setup"
            file[f"{stack}/y"] = [2.5 + 0.03 * z]
            file[f"{stack}/y"].attrs["units"] = "mm"
            file[f"{stack}/x"] = [150.0]
            file[f"{stack}/x"].attrs["units"] = "um"
            file["measurement/instrument/detector/actual_pixel_size_x"] = 10.0
            file["measurement/instrument/detector/actual_pixel_size_x"].attrs["units"] = "um"
            file["process/acquisition/start_date"] = "2024-05-06T08:00:00"

        dxchange(tmp_path / f"organ_{k}.h5", extra=motors)
    info = open_scan(tmp_path / "organ_1.h5").info
    assert (info.z_um, info.lateral_um, info.name) == (2500, 150, "organ_1")
    assert info.start_time == "2024-05-06T08:00:00"
    with open_series(tmp_path) as series:
        assert [m.name for m in series] == ["organ_1", "organ_0"]
        np.testing.assert_allclose(series.offsets_px, [0, 3])
