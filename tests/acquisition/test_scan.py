"""ScanInfo's checks, overrides and requests; the checks of every read; units and angles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hipct.acquisition.angles import parse_angles
from hipct.acquisition.describe import describe
from hipct.acquisition.scan import Scan, ScanInfo
from hipct.acquisition.units import factor, normalise_unit
from hipct.core.errors import FormatError, InputError, MissingMetadata

GOOD = {
    "projections": 4,
    "rows": 3,
    "columns": 5,
    "dtype": np.dtype("uint16"),
    "angles_rad": np.linspace(0, np.pi, 4),
}


class Memory(Scan):
    """A scan in memory."""

    def __init__(self, **values):
        self.info = ScanInfo(**{**GOOD, **values})
        self.data = np.arange(60, dtype=self.info.dtype).reshape(4, 3, 5)

    def _read_into(self, kind, frames, rows, out):
        out[...] = self.data[frames, rows]


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"projections": 0}, "projections = 0"),
        ({"rows": 2.5}, "rows = 2.5"),
        ({"columns": True}, "columns = True"),
        ({"dtype": np.dtype("complex64")}, "complex64"),
        ({"angles_rad": np.zeros(3)}, r"angles_rad .* shape \(3,\).* list of 4"),
        ({"angles_rad": np.array([0, 1, np.nan, 2])}, r"angles_rad\[2\] .* nan"),
        ({"angles_rad": np.array([0, 1, np.inf, 2])}, r"angles_rad\[2\] .* inf"),
        ({"energy_kev": 0.0}, "scan.energy_kev is 0.0; .* above 0"),
        ({"energy_kev": "hard"}, "'hard'"),
        ({"pixel_size_um": -1}, "scan.pixel_size_um is -1"),
        ({"distance_m": -0.1}, "scan.distance_m is -0.1; .*at least 0"),
        ({"rotation_axis_px": np.nan}, "rotation_axis_px is nan"),
        ({"acquisition": "quarter"}, "'quarter'; it has to be one of full, half"),
        ({"kind": "photons"}, "one of counts, transmission, line_integral"),
        ({"projection_index": np.zeros(2)}, "projection_index"),
        ({"current": np.zeros(2)}, "current"),
        ({"flat_index": np.zeros(2), "flat_current": np.zeros(3)}, "flat_current"),
        ({"subframes": 0}, "subframes = 0"),
    ],
)
def test_what_is_not_allowed_is_said(values, match):
    with pytest.raises(InputError, match=match):
        ScanInfo(**{**GOOD, **values})


def test_arrays_are_kept_as_they_were_given():
    angles = np.linspace(0, 1, 4)
    info = ScanInfo(**{**GOOD, "angles_rad": angles, "current": [np.nan, 1, 2, 3]})
    angles[:] = 7
    assert info.angles_rad[-1] == 1
    with pytest.raises(ValueError, match="read-only"):
        info.angles_rad[0] = 1
    np.testing.assert_array_equal(info.projection_index, np.arange(4))
    assert (info.flats, info.darks, info.nbytes) == (0, 0, 4 * 3 * 5 * 2)


def test_overrides_replace_and_are_noted():
    info = ScanInfo(**GOOD, energy_kev=80.0, source="a.nx")
    changed = info.with_overrides(energy_kev=90.0, distance_m=3.0, acquisition="half")
    assert changed.require("energy_kev", "distance_m") == (90.0, 3.0)
    assert changed.acquisition == "half"
    assert info.energy_kev == 80.0
    assert "energy_kev was given as 90.0 (the file says 80.0)" in " ".join(changed.notes)
    assert "distance_m" not in " ".join(changed.notes)
    with pytest.raises(InputError, match="energy_kev is -2"):
        info.with_overrides(energy_kev=-2)


def test_what_a_step_needs_is_asked_for_by_name():
    info = ScanInfo(**GOOD, source="heart.nx", pixel_size_um=2.0)
    assert info.require("pixel_size_um") == (2.0,)
    with pytest.raises(
        MissingMetadata,
        match=r"Phase retrieval needs the photon energy \(keV\) and the effective propagation "
        r"distance \(m\), which heart\.nx does not hold; give it with --set scan\.energy_kev=\.\.\."
        r" --set scan\.distance_m=",
    ):
        info.require("energy_kev", "pixel_size_um", "distance_m", purpose="Phase retrieval")


@pytest.mark.parametrize("angles", [slice(0, 5), slice(-1, 2), slice(3, 1), slice(0, 4, 2)])
def test_ranges_outside_the_scan_are_refused(angles):
    with pytest.raises(InputError, match="not one inside 0:4 with step 1"):
        Memory().read_projections(angles, slice(None))


def test_reading_into_an_array():
    scan = Memory()
    out = np.zeros((2, 1, 5), "uint16")
    assert scan.read_projections(slice(1, 3), slice(2, 3), out) is out
    np.testing.assert_array_equal(out, scan.data[1:3, 2:3])
    for wrong in (
        np.zeros((2, 2, 5), "uint16"),
        np.zeros((2, 1, 5), "float32"),
        np.zeros((2, 1, 10), "uint16")[:, :, ::2],
    ):
        with pytest.raises(InputError, match="C-contiguous array of shape"):
            scan.read_projections(slice(1, 3), slice(2, 3), wrong)
    assert scan.read_projections(slice(2, 2), slice(None)).shape == (0, 3, 5)


def test_a_whole_turn_taken_as_full_is_pointed_out():
    turn = np.linspace(0, 2 * np.pi, 4, endpoint=False)
    assert ScanInfo(**{**GOOD, "angles_rad": turn}).suggests_half_acquisition
    assert not ScanInfo(**{**GOOD, "angles_rad": turn / 2}).suggests_half_acquisition
    shown = describe(Memory(angles_rad=turn))
    assert "scan.acquisition=half" in shown["notes"][-1]


def test_describe_names_what_is_missing():
    shown = describe(Memory(pixel_size_um=20.0))
    assert shown["missing"] == ["energy_kev", "distance_m", "rotation_axis_px", "flats", "darks"]
    assert shown["field_width_mm"] == pytest.approx(0.1)
    assert shown["angular_range_deg"] == pytest.approx(180)
    assert describe(Memory(kind="transmission"))["missing"][-1] == "rotation_axis_px"


@pytest.mark.parametrize("text", ["0-180", "0:180:in", "a:b", "0:nan", "5:5", ":", ""])
def test_angle_texts_that_do_not_read(text):
    with pytest.raises(InputError, match="0:360"):
        parse_angles(text, 10)


@given(
    start=st.floats(-720, 720), span=st.floats(1, 720), count=st.integers(2, 50), out=st.booleans()
)
def test_angle_texts(start, span, count, out):
    stop = start + span
    angles = np.degrees(parse_angles(f"{start}:{stop}" + ":exclusive" * out, count))
    assert angles[0] == pytest.approx(start)
    step = (stop - start) / (count if out else count - 1)
    np.testing.assert_allclose(np.diff(angles), step, rtol=1e-6, atol=1e-9)


def test_units():
    spelt = ["um", "µm", "μm", b"\xb5m", "Â\u00b5m", "micron", "Micrometers", " um\0"]
    assert {factor(unit, "length") for unit in spelt} == {1e-6}
    assert factor("Degrees", "angle") == factor("deg", "angle") == np.pi / 180
    assert normalise_unit("mm") == "mm"
    # Case tells milli from mega where the unit is short.
    for unit, quantity in (("Mm", "length"), ("mev", "energy"), ("keV", "length"), ("", "angle")):
        with pytest.raises(FormatError, match="known are"):
            factor(unit, quantity)
