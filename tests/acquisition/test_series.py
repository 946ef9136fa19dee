"""Series: found, put in order, checked, and imported, whatever files the sub-scans are."""

from __future__ import annotations

import json
import pickle
import shutil

import h5py
import numpy as np
import pytest

from hipct.acquisition.describe import describe_series
from hipct.acquisition.open import open_scan
from hipct.acquisition.series import open_series
from hipct.acquisition.series_import import import_series
from hipct.core.errors import FormatError, InputError, MissingMetadata, OutputError
from hipct.core.progress import Silent
from hipct.simulation import load_series_truth, simulate_series

ALL = slice(None)
KEYS = [2, 1, 0, 0, 0, 0, 0, 0, 1]
PIXEL = 20.0
ROWS = 10
STEP = 8  # rows between neighbours, of 10


def sub_scan(nxtomo, path, z_um, *, mode="w", entry="entry0000", **changes):
    """One file as beamlines write them, its rows at z."""
    values = {
        "keys": KEYS,
        "rows": ROWS,
        "columns": 6,
        "angles": [0, 0, *np.linspace(0, 300, 6), 300],
        "sample": {
            "x_pixel_size": (PIXEL, "um"),
            "propagation_distance": (3.5, "m"),
            "z_translation": (np.full(9, z_um * 1e-3), "mm"),
            "y_translation": (np.full(9, 0.5), "mm"),
        },
        "beam": {"incident_energy": (88.0, "keV")},
        "detector": {"field_of_view": "Half"},
        "entry": entry,
    }
    sample = values["sample"] | changes.pop("sample", {})
    return nxtomo(path, mode, **(values | changes | {"sample": sample}))


def folder_of(nxtomo, tmp_path, z_um, **changes):
    folder = tmp_path / "organ"
    folder.mkdir()
    frames = {}
    for k, z in enumerate(z_um):
        name = f"organ_{k + 1}"
        frames[name] = sub_scan(nxtomo, folder / f"{name}.nx", z, **changes.get(name, {}))
    return folder, frames


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_sub_scans_are_put_in_the_order_of_their_z(tmp_path, nxtomo, order):
    z = [5000 + STEP * PIXEL * place for place in order]
    folder, frames = folder_of(nxtomo, tmp_path, z)
    with open_series(folder) as series:
        assert [m.name for m in series] == [f"organ_{order.index(k) + 1}" for k in range(4)]
        np.testing.assert_allclose(series.offsets_px, [0, 8, 16, 24], atol=1e-9)
        assert series.rows == 34
        assert (series.acquisition, series.helical, series.gaps) == ("half", False, ())
        assert [m.lateral_um for m in series] == [500.0] * 4
        for member in series:
            np.testing.assert_array_equal(
                member.scan.read_projections(ALL, ALL), frames[member.name][2:8]
            )


def test_ten_comes_after_nine_and_positions_may_be_given(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0.0] * 11)
    z = [STEP * PIXEL * k for k in range(11)]
    with open_series(folder, z_um=z) as series:
        assert [m.name for m in series] == [f"organ_{k + 1}" for k in range(11)]
    with open_series(folder, z_um=z, flip_z=True) as series:
        assert series[0].name == "organ_11"
        assert series[0].info.z_um == -z[-1]
    with pytest.raises(InputError, match="2 positions were given for 11 sub-scans"):
        open_series(folder, z_um=[1, 2])


def test_one_file_of_many_entries(tmp_path, nxtomo):
    for k, place in enumerate((2, 0, 1)):
        sub_scan(nxtomo, tmp_path / "all.nx", STEP * PIXEL * place, mode="a", entry=f"entry000{k}")
    with open_series(tmp_path / "all.nx") as series:
        assert [m.name for m in series] == ["all-entry0001", "all-entry0002", "all-entry0000"]
        np.testing.assert_allclose(series.offsets_px, [0, 8, 16])


def test_patterns_and_lists(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160, 320])
    assert len(open_series(f"{folder}/organ_[12].nx")) == 2
    assert len(open_series([folder / "organ_2.nx", folder / "organ_3.nx"])) == 2
    with pytest.raises(InputError, match="Nothing matches"):
        open_series(f"{folder}/heart_*.nx")
    with pytest.raises(InputError, match="does not exist"):
        open_series(folder / "organ_9.nx")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no scan"):
        open_series(tmp_path / "empty")


def test_what_is_no_scan_beside_them_is_ignored_and_said(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160])
    (folder / "log.txt").write_text("all is well")
    with h5py.File(folder / "flats.h5", "w") as file:
        file["reduced"] = np.zeros(3)
    with open_series(folder) as series:
        assert len(series) == 2
        assert any("flats.h5" in note for note in series.notes)
        assert any("1 files and folders" in note for note in series.notes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beam": {"incident_energy": (70.0, "keV")}}, "energy_kev is 70 and 88 in organ_1"),
        ({"sample": {"x_pixel_size": (6.5, "um")}}, "pixel_size_um is 6.5 and 20 in organ_1"),
        (
            {"sample": {"propagation_distance": (1.5, "m")}},
            "distance_m is 1.5 and 3.5 in organ_1",
        ),
        ({"columns": 8}, "number of columns is 8 and 6 in organ_1"),
        ({"detector": {"field_of_view": "Full"}}, "acquisition is full and half in organ_1"),
        (
            {"keys": KEYS[:6] + KEYS[-1:], "angles": [0, 0, 0, 60, 120, 180, 180],
             "sample": {"z_translation": (0.16, "mm"), "y_translation": (0.5, "mm")}},
            "number of projections is 4 and 6 in organ_1, angular range in degrees is 240 and 360",
        ),
    ],
)  # fmt: skip
def test_a_sub_scan_that_differs_is_named_or_left_out(tmp_path, nxtomo, changes, words):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160, 320], organ_2=changes)
    with pytest.raises(InputError, match=rf"in organ_2 {words}.*--allow-gaps"):
        open_series(folder)
    with open_series(folder, allow_gaps=True) as series:
        assert [m.name for m in series] == ["organ_1", "organ_3"]
        assert words in next(iter(series.skipped.values()))
        (gap,) = series.gaps
        assert (gap.first_row, gap.last_row, gap.missing_rows) == (10.0, 16.0, 6.0)


@pytest.mark.parametrize(("step", "words"), [(12, "2 rows are missing"), (10, "no overlap")])
def test_a_gap_is_named_with_its_place(tmp_path, nxtomo, step, words):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160, 160 + step * PIXEL])
    with pytest.raises(
        InputError, match=rf"{words} between organ_2 \(z = 160 um\) and organ_3 \(z = \d+ um\)"
    ):
        open_series(folder)
    with open_series(folder, allow_gaps=True) as series:
        assert [gap.missing_rows for gap in series.gaps] == [float(step - 10)]
        assert series.rows == 18 + step
        assert any(words in note for note in series.notes)


def test_what_cannot_be_opened_is_named_or_left_out(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160, 320])
    broken = folder / "organ_3.nx"
    broken.write_bytes(broken.read_bytes()[:1500])
    with pytest.raises(FormatError, match=r"1 of the 3 sub-scans.*organ_3\.nx.*--allow-gaps"):
        open_series(folder)
    with open_series(folder, allow_gaps=True) as series:
        assert len(series) == 2
        assert list(series.skipped) == [str(broken)]
        assert series.gaps == ()
    for file in folder.iterdir():
        file.write_bytes(b"")
    with pytest.raises(FormatError, match="3 of the 3 sub-scans"):
        open_series(folder, allow_gaps=True)


def test_a_repeated_scan_is_named_and_the_later_one_kept(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160, 160, 320])
    for number, hour in ((2, "12"), (3, "09")):
        with h5py.File(folder / f"organ_{number}.nx", "a") as file:
            file["entry0000/start_time"] = f"2024-05-06T{hour}:00:00"
    with pytest.raises(InputError, match="organ_2 and organ_3 were taken at the same place"):
        open_series(folder)
    with open_series(folder, allow_gaps=True) as series:
        assert [m.name for m in series] == ["organ_1", "organ_2", "organ_4"]
        assert series["organ_2"].info.start_time == "2024-05-06T12:00:00"


def test_unknown_positions_are_asked_for(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160], organ_2={"sample": {"z_translation": 0.16}})
    with pytest.raises(MissingMetadata, match=r"which height organ_2 stood.*--z"):
        open_series(folder)
    assert len(open_series(folder / "organ_2.nx")) == 1


def test_the_pixel_size_may_be_given_for_all(tmp_path, nxtomo):
    plain = {"sample": {"x_pixel_size": 20.0}}
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160], organ_1=plain, organ_2=plain)
    with pytest.raises(MissingMetadata, match="pixel size"):
        open_series(folder)
    with open_series(folder, overrides={"pixel_size_um": 40.0}) as series:
        np.testing.assert_allclose(series.offsets_px, [0, 4])


def test_a_helical_scan_covers_more_rows_than_its_detector_has(tmp_path, nxtomo):
    z = np.r_[0, 0, np.linspace(0, 0.5, 6), 0.5]
    sub_scan(nxtomo, tmp_path / "a.nx", 0, sample={"z_translation": (z, "mm")})
    with open_series(tmp_path / "a.nx") as series:
        assert series.helical
        assert series.rows == 10 + 25
        np.testing.assert_allclose(series[0].info.projection_z_um, np.linspace(0, 500, 6))
        assert series[0].info.z_um == pytest.approx(250)
        again = import_series(series, tmp_path / "h.series.zarr")
    np.testing.assert_allclose(again[0].info.projection_z_um, np.linspace(0, 500, 6))


def test_mcstas_files_have_the_vertical_in_y(tmp_path, nxtomo):
    sub_scan(
        nxtomo, tmp_path / "a.nx", 0,
        sample={"y_translation": (2.0, "mm"), "x_translation": (0.25, "mm")},
    )  # fmt: skip
    with h5py.File(tmp_path / "a.nx", "a") as file:
        file["entry0000"].attrs["NeXus_Coordinate_System"] = "McStas"
    info = open_scan(tmp_path / "a.nx").info
    assert (info.z_um, info.lateral_um) == (2000.0, 250.0)


def test_quarter_acquisitions_have_two_annuli_a_station(tmp_path):
    path = simulate_series(
        tmp_path / "q.series.zarr", acquisition="quarter", sub_scans=2, rows=8, columns=64,
        angles=8, flats=1, darks=1, propagation=False,
    )  # fmt: skip
    with open_series(path) as series:
        assert series.acquisition == "quarter"
        assert [[m.name for m in s] for s in series.stations] == [
            ["scan-000", "scan-001"], ["scan-002", "scan-003"]
        ]  # fmt: skip
        np.testing.assert_allclose(series.offsets_px, [0, 6])
    shutil.rmtree(path / "scan-003")
    scans = [path / f"scan-00{k}" for k in range(3)]
    with pytest.raises(InputError, match=r"scan-002.* one of the 2 annuli at z = \d+ um"):
        open_series(scans)
    with open_series(scans, allow_gaps=True) as series:
        assert [m.name for m in series] == ["scan-000", "scan-001"]


def test_the_simulated_series_opens_as_its_truth_says(tmp_path):
    path = simulate_series(
        tmp_path / "a.series.zarr", sub_scans=3, rows=16, columns=64, angles=8, flats=1, darks=1,
        propagation=False, position_error_px=2.0, descending=True,
    )  # fmt: skip
    truth = load_series_truth(path)
    with open_series(path) as series:
        assert [m.name for m in series] == [place.name for place in truth.placements]
        np.testing.assert_allclose(series.offsets_px, truth.motor_offsets_px)
        assert series.rows == truth.rows
    with pytest.raises(FormatError, match="is a series of scans"):
        open_scan(path)


def test_a_series_goes_to_other_processes(tmp_path, nxtomo):
    folder, frames = folder_of(nxtomo, tmp_path, [160, 0])
    with open_series(folder) as series:
        again = pickle.loads(pickle.dumps(series))
    assert [m.name for m in again] == ["organ_2", "organ_1"]
    np.testing.assert_array_equal(again[0].scan.read_projections(ALL, ALL), frames["organ_2"][2:8])
    again.close()


class Listener(Silent):
    def __init__(self):
        self.said = []

    def say(self, message):
        self.said.append(message)


def test_import_keeps_every_bit_and_the_order(tmp_path, nxtomo):
    folder, frames = folder_of(nxtomo, tmp_path, [320, 160, 0])
    with import_series(folder, tmp_path / "o.series.zarr") as series:
        assert [m.name for m in series] == ["organ_3", "organ_2", "organ_1"]
        for member in series:
            assert member.info.format == "scan store"
            np.testing.assert_array_equal(
                member.scan.read_projections(ALL, ALL), frames[member.name][2:8]
            )
            np.testing.assert_array_equal(member.scan.read_flats(ALL), frames[member.name][[1, 8]])
        assert series["organ_1"].info.z_um == 320
        assert series["organ_1"].info.lateral_um == 500
    with pytest.raises(OutputError, match="exists already"):
        import_series(folder, tmp_path / "o.series.zarr")
    import_series(folder, tmp_path / "o.series.zarr", overwrite=True).close()
    assert not list(tmp_path.glob("*.partial"))


def test_a_broken_import_goes_on_where_it_stopped(tmp_path, nxtomo):
    folder, frames = folder_of(nxtomo, tmp_path, [0, 160, 320])
    out = tmp_path / "o.series.zarr"
    with open_series(folder) as series:
        # The second sub-scan cannot be read to its end.
        reading, series[1].scan._read_into = series[1].scan._read_into, None
        with pytest.raises(TypeError):
            import_series(series, out)
        assert not out.exists()
        series[1].scan._read_into = reading
        first = (tmp_path / "o.series.zarr.partial" / "organ_1" / "zarr.json").stat().st_mtime_ns
        listener = Listener()
        with import_series(series, out, observer=listener) as again:
            assert listener.said == ["organ_1 was imported already."]
            assert len(again) == 3
            np.testing.assert_array_equal(
                again[1].scan.read_projections(ALL, ALL), frames["organ_2"][2:8]
            )
    assert (out / "organ_1" / "zarr.json").stat().st_mtime_ns == first


def test_what_another_source_left_is_not_taken(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 160])
    (tmp_path / "other").mkdir()
    elsewhere, _ = folder_of(nxtomo, tmp_path / "other", [0, 160, 320])
    out = tmp_path / "o.series.zarr"
    with open_series(elsewhere) as series:
        series[2].scan._read_into = None
        with pytest.raises(TypeError):
            import_series(series, out)
    with import_series(folder, out) as series:
        assert series[0].scan.origin == str(folder / "organ_1.nx")
    assert sorted(child.name for child in out.iterdir()) == ["organ_1", "organ_2", "zarr.json"]


def test_gaps_stay_recorded_in_the_store(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [0, 400])
    with pytest.raises(InputError, match="10 rows are missing"):
        import_series(folder, tmp_path / "o.series.zarr")
    with import_series(folder, tmp_path / "o.series.zarr", allow_gaps=True) as series:
        assert [gap.missing_rows for gap in series.gaps] == [10.0]
    with open_series(tmp_path / "o.series.zarr") as series:
        assert "10 rows are missing" in " ".join(series.notes)


def test_a_series_describes_itself(tmp_path, nxtomo):
    folder, _ = folder_of(nxtomo, tmp_path, [160, 0, 600])
    (folder / "organ_4.nx").write_bytes(b"")
    with open_series(folder, allow_gaps=True) as series:
        said = json.loads(json.dumps(describe_series(series)))
    assert (said["sub_scans"], said["common_rows"], said["acquisition"]) == (3, 40, "half")
    assert said["overlap_rows"] == [2.0, -12.0]
    assert said["height_mm"] == 0.8
    assert [row["name"] for row in said["members"]] == ["organ_2", "organ_1", "organ_3"]
    assert [row["first_row"] for row in said["members"]] == [0, 8, 30]
    assert len(said["gaps"]) == len(said["skipped"]) == 1
