"""NXtomo 1.0 to 2.1, with the traps that real files hold."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from hipct.acquisition.nxtomo import NxtomoScan
from hipct.acquisition.open import open_scan
from hipct.acquisition.store import import_scan
from hipct.core.errors import FormatError, InputError, MissingMetadata

KEYS = [2, 2, 1, 1, 0, 0, 0, 3, 0, 0, 1, 0, 2]
PROJECTIONS, FLATS, DARKS = [4, 5, 6, 8, 9, 11], [2, 3, 10], [0, 1, 12]
ALL = slice(None)


def notes_of(scan) -> str:
    return " ".join(scan.info.notes)


def test_frames_are_sorted_by_image_key_and_keep_their_time(tmp_path, nxtomo):
    frames = nxtomo(tmp_path / "a.nx", keys=KEYS)
    with open_scan(tmp_path / "a.nx") as scan:
        info = scan.info
        assert (info.format, info.projections, info.flats, info.darks) == ("NXtomo", 6, 3, 3)
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), frames[PROJECTIONS])
        np.testing.assert_array_equal(scan.read_flats(ALL), frames[FLATS])
        np.testing.assert_array_equal(scan.read_darks(ALL), frames[DARKS])
        np.testing.assert_array_equal(
            scan.read_projections(slice(2, 5), slice(1, 3)), frames[PROJECTIONS[2:5], 1:3]
        )
        np.testing.assert_array_equal(info.projection_index, PROJECTIONS)
        np.testing.assert_array_equal(info.flat_index, FLATS)
        np.testing.assert_array_equal(info.dark_index, DARKS)
        np.testing.assert_allclose(
            info.angles_rad, np.radians(np.linspace(0, 180, 13))[PROJECTIONS]
        )
        assert "1 frames marked invalid" in notes_of(scan)


def test_alignment_frames_are_returns(tmp_path, nxtomo):
    """image_key calls them projections; only image_key_control says -1."""
    frames = nxtomo(
        tmp_path / "a.nx", keys=[1, 0, 0, 0, 0], control=[1, 0, 0, 0, -1], angles=[0, 0, 90, 180, 0]
    )
    scan = NxtomoScan(tmp_path / "a.nx")
    np.testing.assert_array_equal(scan.info.projection_index, [1, 2, 3])
    assert "alignment" in notes_of(scan)
    assert (scan.info.return_angles_rad.tolist(), scan.info.return_index.tolist()) == ([0], [4])
    np.testing.assert_array_equal(scan.read_returns(slice(1, 4)), frames[4:, 1:4])
    with import_scan(scan, tmp_path / "a.zarr") as stored:
        np.testing.assert_array_equal(stored.read_returns(ALL), frames[4:])
        assert stored.info.return_index.tolist() == [4]


def test_only_image_key_control(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", keys=[1, 0, 0], control=[1, 0, 0])
    with h5py.File(tmp_path / "a.nx", "a") as file:
        del file["entry0000/instrument/detector/image_key"]
    assert NxtomoScan(tmp_path / "a.nx").info.projections == 2


@pytest.mark.parametrize(
    ("unit", "value"),
    [
        ("um", 6.5),
        ("µm", 6.5),
        ("μm", 6.5),
        (b"\xb5m", 6.5),
        ("mm", 6.5e-3),
        ("m", 6.5e-6),
        ("micrometer", 6.5),
    ],
)
def test_units_are_followed(tmp_path, nxtomo, unit, value):
    nxtomo(tmp_path / "a.nx", sample={"x_pixel_size": (value, unit)})
    assert NxtomoScan(tmp_path / "a.nx").info.pixel_size_um == pytest.approx(6.5, rel=1e-12)


def test_without_a_unit_a_length_is_left_out_and_asked_for(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", sample={"x_pixel_size": 6.5})
    scan = NxtomoScan(tmp_path / "a.nx")
    assert scan.info.pixel_size_um is None
    assert "has no unit" in notes_of(scan)
    with pytest.raises(MissingMetadata, match=r"a\.nx.*--set scan\.pixel_size_um="):
        scan.info.require("pixel_size_um")


def test_unknown_units_and_absurd_values_are_left_out(tmp_path, nxtomo):
    nxtomo(
        tmp_path / "a.nx",
        sample={"x_pixel_size": (6.5, "parsec"), "propagation_distance": (3.5, "um")},
        beam={"incident_energy": (6.0, "GeV")},
    )
    info = NxtomoScan(tmp_path / "a.nx").info
    assert (info.pixel_size_um, info.energy_kev) == (None, None)
    assert info.distance_m == pytest.approx(3.5e-6)
    assert "parsec" in " ".join(info.notes)


def test_radians_and_degrees(tmp_path, nxtomo):
    turn = np.linspace(0, np.pi, 13)
    nxtomo(tmp_path / "rad.nx", angles=turn, angle_unit="rad")
    nxtomo(tmp_path / "deg.nx", angles=np.degrees(turn), angle_unit="degrees")
    nxtomo(tmp_path / "none.nx", angles=np.degrees(turn), angle_unit=None)
    for name in ("rad", "deg", "none"):
        scan = NxtomoScan(tmp_path / f"{name}.nx")
        np.testing.assert_allclose(scan.info.angles_rad, turn[PROJECTIONS])
        assert ("has no unit" in notes_of(scan)) == (name == "none")


def test_an_unknown_angle_unit_is_an_error(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", angle_unit="gon")
    with pytest.raises(FormatError, match="gon"):
        NxtomoScan(tmp_path / "a.nx")


@pytest.mark.parametrize(
    ("beam", "path", "expected"),
    [
        ({"incident_energy": (88.0, "keV")}, "instrument/beam", 88.0),
        ({"incident_energy": (88000.0, "eV")}, "beam", 88.0),
        ({"energy": (88.0, "keV")}, "instrument/monochromator", 88.0),
    ],
)
def test_energy_where_the_versions_put_it(tmp_path, nxtomo, beam, path, expected):
    nxtomo(tmp_path / "a.nx", beam=beam, beam_path=path)
    assert NxtomoScan(tmp_path / "a.nx").info.energy_kev == pytest.approx(expected)


def test_effective_values_of_the_sample_are_not_demagnified_again(tmp_path, nxtomo):
    nxtomo(
        tmp_path / "a.nx",
        sample={"x_pixel_size": (20.0, "um"), "propagation_distance": (18.0, "m")},
        detector={"x_pixel_size": (23.0, "um"), "distance": (20.0, "m")},
        source={"distance": (-145.0, "m")},
    )
    scan = NxtomoScan(tmp_path / "a.nx")
    assert scan.info.pixel_size_um == pytest.approx(20.0)
    assert scan.info.distance_m == pytest.approx(18.0)
    assert "sample/x_pixel_size, effective as it stands" in notes_of(scan)


def test_detector_values_are_demagnified_once(tmp_path, nxtomo):
    """z1 = 145 m, z2 = 20 m: M = 165/145."""
    nxtomo(
        tmp_path / "a.nx",
        detector={"x_pixel_size": (23.0, "um"), "distance": (20.0, "m")},
        source={"distance": (-145.0, "m")},
    )
    scan = NxtomoScan(tmp_path / "a.nx")
    assert scan.info.pixel_size_um == pytest.approx(23.0 * 145 / 165, rel=1e-12)
    assert scan.info.distance_m == pytest.approx(20.0 * 145 / 165, rel=1e-12)
    assert "magnification 1.13793" in notes_of(scan)


def test_without_a_source_the_beam_counts_as_parallel(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", detector={"x_pixel_size": (23.0, "um"), "distance": (2000.0, "mm")})
    scan = NxtomoScan(tmp_path / "a.nx")
    assert (scan.info.pixel_size_um, scan.info.distance_m) == pytest.approx((23.0, 2.0))
    assert "no source distance" in notes_of(scan)


@pytest.mark.parametrize(
    ("detector", "expected", "noted"),
    [
        ({"field_of_view": "Half", "half_acquisition": False}, "half", True),
        ({"field_of_view": "Half"}, "half", False),
        ({"field_of_view": b"HALF", "half_acquisition": True}, "half", False),
        ({"field_of_view": "Full", "half_acquisition": True}, "half", True),
        ({"half_acquisition": True}, "half", False),
        ({"field_of_view": "Full", "half_acquisition": False}, "full", False),
        ({}, "full", False),
    ],
)
def test_half_acquisition(tmp_path, nxtomo, detector, expected, noted):
    nxtomo(tmp_path / "a.nx", detector=detector)
    scan = NxtomoScan(tmp_path / "a.nx")
    assert scan.info.acquisition == expected
    assert ("beside" in notes_of(scan)) == noted


@pytest.mark.parametrize("name", ["x_rotation_axis_pixel_position", "estimated_cor_from_motor"])
def test_the_axis_hint_is_relative_to_the_centre(tmp_path, nxtomo, name):
    nxtomo(tmp_path / "a.nx", columns=12, detector={name: -2.25})
    assert NxtomoScan(tmp_path / "a.nx").info.rotation_axis_px == pytest.approx(5.5 - 2.25)


def test_an_axis_hint_off_the_detector(tmp_path, nxtomo):
    hint = {"x_rotation_axis_pixel_position": 8.0}
    nxtomo(tmp_path / "full.nx", columns=12, detector=hint)
    full = NxtomoScan(tmp_path / "full.nx")
    assert full.info.rotation_axis_px is None
    assert "off the 12 columns" in notes_of(full)
    nxtomo(tmp_path / "half.nx", columns=12, detector={**hint, "field_of_view": "Half"})
    assert NxtomoScan(tmp_path / "half.nx").info.rotation_axis_px == pytest.approx(13.5)


def test_current_follows_the_frames(tmp_path, nxtomo):
    current = np.linspace(0.2, 0.19, 13)
    nxtomo(tmp_path / "a.nx", current=current)
    info = NxtomoScan(tmp_path / "a.nx").info
    np.testing.assert_array_equal(info.current, current[PROJECTIONS])
    np.testing.assert_array_equal(info.flat_current, current[FLATS])
    assert info.current_unit == "A"


def test_current_of_another_length_is_left_out(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", current=np.ones(4))
    scan = NxtomoScan(tmp_path / "a.nx")
    assert scan.info.current is None
    assert "4 values for 13 frames" in notes_of(scan)


def test_a_diode_is_no_machine_current(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", current=np.ones(13))
    with h5py.File(tmp_path / "a.nx", "a") as file:
        file["entry0000"].move("control", "diode")
    assert NxtomoScan(tmp_path / "a.nx").info.current is None


def test_summed_camera_frames(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", detector={"number_of_cycles": 5}, dtype="uint32")
    info = NxtomoScan(tmp_path / "a.nx").info
    assert (info.subframes, info.dtype) == (5, np.dtype("uint32"))


@pytest.mark.parametrize(
    "degrees",
    [
        np.linspace(0, 360, 13),
        np.linspace(0, 360, 13, endpoint=False),
        np.linspace(0, 357, 13),
        np.linspace(720, -30, 13),
        np.random.default_rng(0).permutation(np.linspace(0, 400, 13)),
    ],
    ids=["end in", "end out", "357", "decreasing, beyond 360", "out of order"],
)
def test_angles_are_what_the_file_says(tmp_path, nxtomo, degrees):
    nxtomo(tmp_path / "a.nx", angles=degrees)
    np.testing.assert_allclose(
        NxtomoScan(tmp_path / "a.nx").info.angles_rad, np.radians(degrees)[PROJECTIONS]
    )


def test_a_nan_angle_of_a_projection_is_an_error_and_of_a_flat_is_not(tmp_path, nxtomo):
    angles = np.linspace(0, 180, 13)
    angles[FLATS[0]] = np.nan
    nxtomo(tmp_path / "flat.nx", angles=angles)
    assert NxtomoScan(tmp_path / "flat.nx").info.projections == 6
    angles[PROJECTIONS[3]] = np.nan
    nxtomo(tmp_path / "bad.nx", angles=angles)
    with pytest.raises(FormatError, match="projection 3"):
        NxtomoScan(tmp_path / "bad.nx")
    given = NxtomoScan(tmp_path / "bad.nx", angles="0:180:exclusive")
    np.testing.assert_allclose(np.degrees(given.info.angles_rad), np.arange(0, 180, 30))


def test_counts_that_do_not_agree(tmp_path, nxtomo):
    nxtomo(tmp_path / "angles.nx", angles=np.arange(5.0))
    with pytest.raises(FormatError, match="5 angles for 13 frames"):
        NxtomoScan(tmp_path / "angles.nx")
    nxtomo(tmp_path / "keys.nx", control=[0, 0])
    with pytest.raises(FormatError, match="2 keys for 13 frames"):
        NxtomoScan(tmp_path / "keys.nx")


def test_no_angles_asks_for_them(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx")
    with h5py.File(tmp_path / "a.nx", "a") as file:
        del file["entry0000/sample/rotation_angle"]
    with pytest.raises(MissingMetadata, match="--angles start:stop"):
        NxtomoScan(tmp_path / "a.nx")


def test_unknown_keys_and_no_projections(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", keys=[1, 0, 7])
    with pytest.raises(FormatError, match=r"image_key\[2\] is 7"):
        NxtomoScan(tmp_path / "a.nx")
    nxtomo(tmp_path / "b.nx", keys=[1, 2, 1])
    with pytest.raises(FormatError, match="no projections"):
        NxtomoScan(tmp_path / "b.nx")


def test_several_entries(tmp_path, nxtomo):
    path = tmp_path / "a.nx"
    nxtomo(path, keys=[0, 0])
    nxtomo(path, mode="a", entry="entry0001", keys=[0, 0, 0])
    first = open_scan(path)
    assert first.info.projections == 2
    assert "holds 2 scans (entry0000, entry0001); this is /entry0000" in notes_of(first)
    assert open_scan(path, entry="entry0001").info.projections == 3
    assert open_scan(path, entry=1).info.projections == 3
    with pytest.raises(InputError, match="'entry7'; it holds entry0000, entry0001"):
        open_scan(path, entry="entry7")
    with pytest.raises(InputError, match="no scan number 2"):
        open_scan(path, entry=2)


def diamond(path, raw, *, external: bool) -> np.ndarray:
    """``entry1/tomo_entry`` full of links, frames in another file or group."""
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 999, (6, 3, 8)).astype("uint16")
    with h5py.File(raw, "w") as file:
        file["entry/data/data"] = frames
    with h5py.File(path, "w") as file:
        entry = file.create_group("entry1")
        entry.attrs["NX_class"] = "NXentry"
        if external:
            entry["pco/data"] = h5py.ExternalLink(raw.name, "/entry/data/data")
        else:
            entry["pco/data"] = frames
        entry["pco/keys"] = [2, 1, 0, 0, 0, 0]
        entry["pco/theta"] = np.array([0.0, 0.0, 0.0, 60.0, 120.0, 180.0])
        entry["pco/theta"].attrs["units"] = "deg"
        tomo = entry.create_group("tomo_entry")
        tomo.attrs["NX_class"] = "NXsubentry"
        tomo["definition"] = np.bytes_("NXtomo")
        detector = tomo.create_group("instrument/detector")
        detector["data"] = h5py.SoftLink("/entry1/pco/data")
        detector["image_key"] = h5py.SoftLink("/entry1/pco/keys")
        tomo.create_group("sample")["rotation_angle"] = h5py.SoftLink("/entry1/pco/theta")
    return frames


@pytest.mark.parametrize("external", [False, True])
def test_diamond_layout_with_links(tmp_path, external):
    frames = diamond(tmp_path / "scan.nxs", tmp_path / "raw.h5", external=external)
    with open_scan(tmp_path / "scan.nxs") as scan:
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), frames[2:])
        np.testing.assert_allclose(np.degrees(scan.info.angles_rad), [0, 60, 120, 180])


def test_links_that_lead_nowhere_are_named(tmp_path):
    diamond(tmp_path / "scan.nxs", tmp_path / "raw.h5", external=True)
    (tmp_path / "raw.h5").unlink()
    with pytest.raises(
        FormatError, match=r"pco/data is an external link to raw\.h5:/entry/data/data"
    ):
        open_scan(tmp_path / "scan.nxs")
    diamond(tmp_path / "soft.nxs", tmp_path / "raw.h5", external=False)
    with h5py.File(tmp_path / "soft.nxs", "a") as file:
        del file["entry1/pco/theta"]
    with pytest.raises(FormatError, match="link to /entry1/pco/theta, which leads nowhere"):
        open_scan(tmp_path / "soft.nxs")


def test_links_in_a_circle(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx")
    with h5py.File(tmp_path / "a.nx", "a") as file:
        file["entry0000/other"] = h5py.SoftLink("/entry0000/other")
    assert open_scan(tmp_path / "a.nx").info.projections == 6
    with h5py.File(tmp_path / "a.nx", "a") as file:
        del file["entry0000/sample/rotation_angle"]
        file["entry0000/sample/rotation_angle"] = h5py.SoftLink("/entry0000/sample/rotation_angle")
    with pytest.raises(FormatError, match="rotation_angle, which leads nowhere"):
        open_scan(tmp_path / "a.nx")


def test_a_master_file_whose_entry_is_gone(tmp_path, nxtomo):
    nxtomo(tmp_path / "part.nx")
    with h5py.File(tmp_path / "master.nx", "w") as file:
        file["entry0000"] = h5py.ExternalLink("part.nx", "/entry0000")
    assert open_scan(tmp_path / "master.nx").info.projections == 6
    (tmp_path / "part.nx").unlink()
    with pytest.raises(FormatError, match=r"part\.nx"):
        open_scan(tmp_path / "master.nx")


def test_virtual_frames_whose_source_is_missing_do_not_read_as_zeros(tmp_path, nxtomo):
    frames = nxtomo(tmp_path / "a.nx", keys=[0, 0, 0])
    with h5py.File(tmp_path / "raw.h5", "w") as raw:
        raw["frames"] = frames
    layout = h5py.VirtualLayout(frames.shape, frames.dtype)
    layout[:] = h5py.VirtualSource("raw.h5", "frames", frames.shape)
    with h5py.File(tmp_path / "a.nx", "a") as file:
        del file["entry0000/instrument/detector/data"]
        file["entry0000/instrument/detector"].create_virtual_dataset("data", layout)
    with open_scan(tmp_path / "a.nx") as scan:
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), frames)
    (tmp_path / "raw.h5").rename(tmp_path / "moved.h5")
    with pytest.raises(FormatError, match=r"raw\.h5:/?frames is missing"):
        open_scan(tmp_path / "a.nx")


def test_a_scan_that_was_broken_off_is_noted(tmp_path, nxtomo):
    nxtomo(tmp_path / "a.nx", keys=[0] * 4)
    with h5py.File(tmp_path / "a.nx", "a") as file:
        detector = file["entry0000/instrument/detector"]
        del detector["data"]
        data = detector.create_dataset("data", (4, 5, 12), "uint16", chunks=(1, 5, 12))
        data[:3] = 7
    scan = open_scan(tmp_path / "a.nx")
    assert "1 of 4 chunks" in notes_of(scan)
    assert (scan.row_chunk, scan.angle_chunk) == (5, 1)


def test_detector_found_by_class_not_by_name(tmp_path, nxtomo):
    frames = nxtomo(tmp_path / "a.nx", keys=[0, 0])
    with h5py.File(tmp_path / "a.nx", "a") as file:
        instrument = file["entry0000/instrument"]
        instrument.move("detector", "pco_edge")
        instrument.create_group("diode").attrs["NX_class"] = "NXdetector"
        instrument["diode/data"] = np.ones(2)
    with open_scan(tmp_path / "a.nx") as scan:
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), frames)
