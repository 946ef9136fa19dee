"""Folders of EDF images as the ESRF wrote them before 2021."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from hipct.acquisition.edf import EdfScan
from hipct.acquisition.open import open_scan
from hipct.acquisition.series import open_series
from hipct.acquisition.series_import import import_series
from hipct.core.errors import FormatError, MissingExtra, MissingMetadata

edfimage = pytest.importorskip("fabio.edfimage", reason="fabio reads and writes EDF")

ALL = slice(None)
INFO = {
    "Prefix": "organ", "TOMO_N": 6, "REF_ON": 3, "REF_N": 2, "DARK_N": 4, "ScanRange": 360,
    "Dim_1": 7, "Dim_2": 5, "PixelSize": 20.5, "Distance": 3500, "Energy": 88.5,
}  # fmt: skip


def write_edf(path, frame, *, z_mm=None, current=None):
    header = {}
    if z_mm is not None:
        header |= {"motor_mne": "srot sz yrot", "motor_pos": f"0.0 {z_mm} -1.25"}
    if current is not None:
        header |= {"counter_mne": "exp srcur", "counter_pos": f"0.1 {current}"}
    edfimage.EdfImage(data=frame, header=header).write(str(path))


def write_folder(folder, *, z_mm=5.0, info=INFO, extra=3, dark="darkend0000.edf", raw_flats=False):
    """6 projections, some more taken at the end, flats before 0, 3 and 6, a summed dark."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(len(folder.name))
    projections = rng.integers(1000, 60000, (6 + extra, 5, 7)).astype(np.uint16)
    for k, frame in enumerate(projections):
        write_edf(folder / f"{folder.name}{k:04d}.edf", frame, z_mm=z_mm, current=195 - k)
    flats = rng.integers(40000, 60000, (3, 5, 7)).astype(np.uint16)
    for flat, number in zip(flats, (0, 3, 6)):
        write_edf(folder / f"refHST{number:04d}.edf", flat, z_mm=z_mm, current=196)
        if raw_flats:
            write_edf(folder / f"ref0000_{number:04d}.edf", flat // 2)
    summed = rng.integers(390, 410, (5, 7)).astype(np.uint32)
    if dark:
        write_edf(folder / dark, summed)
    if info:
        lines = [f"{name}=      {value}" for name, value in info.items()]
        (folder / f"{folder.name}.info").write_text("\n".join(lines) + "\n")
    return projections, flats, summed


def test_a_folder_is_a_scan(tmp_path):
    projections, flats, summed = write_folder(tmp_path / "organ_1_", raw_flats=True)
    with open_scan(tmp_path / "organ_1_") as scan:
        info = scan.info
        assert (info.format, info.projections, info.flats, info.darks) == ("EDF", 6, 3, 1)
        np.testing.assert_array_equal(scan.read_projections(ALL, ALL), projections[:6])
        np.testing.assert_array_equal(
            scan.read_projections(slice(2, 4), slice(1, 3)), projections[2:4, 1:3]
        )
        np.testing.assert_array_equal(scan.read_flats(ALL), flats)
        np.testing.assert_array_equal(scan.read_darks(ALL)[0], np.rint(summed / 4))
        np.testing.assert_allclose(np.degrees(info.angles_rad), np.arange(6) * 60)
        assert info.flat_index.tolist() == [-0.5, 2.5, 5.5]
        assert info.current.tolist() == [195, 194, 193, 192, 191, 190]
        assert (info.flat_current.tolist(), info.current_unit) == ([196] * 3, "mA")
        assert (info.pixel_size_um, info.distance_m, info.energy_kev) == (20.5, 3.5, 88.5)
        assert (info.z_um, info.lateral_um, info.acquisition) == (5000, -1250, "half")
        assert "3 images after the 6 projections" in " ".join(info.notes)


def test_a_mean_dark_is_not_divided(tmp_path):
    *_, summed = write_folder(tmp_path / "a_", dark="dark.edf")
    np.testing.assert_array_equal(open_scan(tmp_path / "a_").read_darks(ALL)[0], summed)


def test_single_flats_count_where_there_are_no_medians(tmp_path):
    _, flats, _ = write_folder(tmp_path / "a_", raw_flats=True)
    for file in (tmp_path / "a_").glob("refHST*"):
        file.unlink()
    scan = open_scan(tmp_path / "a_")
    np.testing.assert_array_equal(scan.read_flats(ALL), flats // 2)
    assert scan.info.flat_index.tolist() == [-0.5, 2.5, 5.5]


def test_the_xml_file_serves_where_there_is_no_info(tmp_path):
    write_folder(tmp_path / "a_", info=None)
    (tmp_path / "a_" / "a_.xml").write_text(
        "<tomodb2><acquisition><tomo_N>6</tomo_N><scanRange>180</scanRange><energy>70</energy>"
        "<distance>-1</distance><pixelSize>6.5</pixelSize></acquisition></tomodb2>"
    )
    info = open_scan(tmp_path / "a_").info
    np.testing.assert_allclose(np.degrees(info.angles_rad), np.arange(6) * 30)
    assert (info.energy_kev, info.pixel_size_um, info.distance_m) == (70, 6.5, None)
    assert info.acquisition == "full"


def test_a_missing_projection_leaves_the_others_their_angles(tmp_path):
    write_folder(tmp_path / "a_")
    (tmp_path / "a_" / "a_0002.edf").unlink()
    info = open_scan(tmp_path / "a_").info
    np.testing.assert_allclose(np.degrees(info.angles_rad), [0, 60, 180, 240, 300])
    assert "1 of 6 projections are missing (the first is number 2)" in " ".join(info.notes)


def test_without_an_info_file_angles_are_asked_for(tmp_path):
    projections, *_ = write_folder(tmp_path / "a_", info=None)
    with pytest.raises(MissingMetadata, match="ScanRange and TOMO_N"):
        open_scan(tmp_path / "a_")
    info = open_scan(tmp_path / "a_", angles="0:360:exclusive").info
    assert info.projections == len(projections)


def test_damage_is_named(tmp_path):
    write_folder(tmp_path / "a_")
    image = tmp_path / "a_" / "a_0003.edf"
    image.write_bytes(image.read_bytes()[:-20])
    with pytest.raises(FormatError, match=r"a_0003\.edf is truncated"):
        open_scan(tmp_path / "a_")
    write_edf(image, np.zeros((4, 7), np.uint16))
    with pytest.raises(FormatError, match=r"a_0003\.edf has \(4, 7\) pixels and .*a_0000\.edf"):
        EdfScan(tmp_path / "a_")
    write_edf(tmp_path / "a_" / "other0000.edf", np.zeros((5, 7), np.uint16))
    (tmp_path / "b").mkdir()
    for file in (tmp_path / "a_").iterdir():
        file.rename(tmp_path / "b" / file.name)
    with pytest.raises(FormatError, match="2 names that may be the projections"):
        EdfScan(tmp_path / "b")


def test_without_fabio_one_sentence_says_what_to_install(tmp_path, monkeypatch):
    write_folder(tmp_path / "a_")
    load = importlib.import_module

    def without(name, *rest):
        if name == "fabio":
            raise ImportError("No module named 'fabio'")
        return load(name, *rest)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(MissingExtra, match=r"needs the package fabio.*hipct\[edf\]"):
        open_scan(tmp_path / "a_")


def test_folders_are_a_series_whose_motor_may_go_down(tmp_path):
    frames = {}
    for k in range(3):
        # 4 of 5 rows between neighbours; older than its name: ten after nine.
        folder = tmp_path / "organ" / f"organ_{k + 8}_"
        frames[folder.name], *_ = write_folder(folder, z_mm=5 - k * 4 * 20.5e-3)
    with open_series(tmp_path / "organ") as series:
        assert [m.name for m in series] == ["organ_10_", "organ_9_", "organ_8_"]
        np.testing.assert_allclose(series.offsets_px, [0, 4, 8], atol=1e-9)
        with import_series(series, tmp_path / "o.series.zarr") as stored:
            for member in stored:
                np.testing.assert_array_equal(
                    member.scan.read_projections(ALL, ALL), frames[member.name][:6]
                )
