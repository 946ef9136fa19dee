"""One slice over axis values: the right one is the sharpest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import hipct.pipeline.sweep
from hipct.core.errors import InputError, OutputError
from hipct.pipeline.config import Config
from hipct.pipeline.sweep import find_scan_axis, sweep_axis

PLAIN = Config(phase={"method": "none"})


def true_slice(
    size: int, *, axis: float, columns: int = 48, row: int = 2, rows: int = 5, half: bool
):
    """Slice of the discs of :func:`discs`, on the grid centred on the axis."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    reach = max(axis, columns - 1 - axis) if half else min(axis, columns - 1 - axis)
    small = 0.1 * reach + 0.2 * reach * row / rows
    inside = np.hypot(x - 0.3 * reach, y - 0.2 * reach) < small
    return 0.01 * (np.hypot(x, y) < 0.85 * reach) + 0.02 * inside


@pytest.mark.parametrize(
    ("acquisition", "axis", "angles"), [("full", 24.4, 90), ("half", 10.25, 180)]
)
def test_the_right_axis_makes_the_truest_slice(
    discs, tmp_path: Path, acquisition: str, axis: float, angles: int
) -> None:
    scan = discs(rows=5, columns=48, angles=angles, acquisition=acquisition, axis=axis)
    values = [axis + shift for shift in (-3, -1, 0, 1, 3)]
    made = sweep_axis(scan, tmp_path / "axis.tif", values, PLAIN)
    assert made.row == 2
    assert made.values == tuple(values)
    stack = tifffile.imread(made.stack)
    assert stack.dtype == np.float32
    size = stack.shape[1]
    assert stack.shape == (5, size, size)
    true = true_slice(size, axis=axis, half=acquisition == "half")
    rms = [np.sqrt(np.mean((page - true) ** 2)) for page in stack]
    assert int(np.argmin(rms)) == 2
    assert rms[2] < 0.1 * 0.02


@pytest.mark.parametrize(
    ("acquisition", "axis", "angles"), [("full", 24.4, 90), ("half", 17.25, 180)]
)
def test_the_axis_of_a_scan_is_found_without_its_energy(
    discs, acquisition: str, axis: float, angles: int
) -> None:
    scan = discs(rows=20, columns=48, angles=angles, acquisition=acquisition, axis=axis)
    assert find_scan_axis(scan).value == pytest.approx(axis, abs=0.1)


def test_pages_are_labelled_and_stand_small_in_a_picture(discs, tmp_path: Path) -> None:
    scan = discs(rows=4, columns=40, angles=40, pixel_size_um=20.0)
    made = sweep_axis(scan, tmp_path / "axis.tif", [19.0, 19.5, 20.25], PLAIN, row=1)
    with tifffile.TiffFile(made.stack) as file:
        assert file.is_imagej
        assert file.imagej_metadata["Labels"] == ["axis 19.00", "axis 19.50", "axis 20.25"]
        assert file.imagej_metadata["unit"] == "um"
        page = file.pages[0]
        assert page.tags["XResolution"].value[0] / page.tags["XResolution"].value[1] == (
            pytest.approx(1 / 20)
        )
        assert page.shape == (40, 40)
    assert made.row == 1
    assert made.sheet == tmp_path / "axis.png"
    with Image.open(made.sheet) as sheet:
        assert min(sheet.size) >= 2 * 40
    assert sorted(path.name for path in tmp_path.iterdir()) == ["axis.png", "axis.tif"]


def test_without_metadata_the_slices_are_made_without_phase_and_it_is_said(
    discs, tmp_path: Path
) -> None:
    said: list[str] = []

    class Ear:
        def start(self, stage: str, total: int) -> None: ...
        def advance(self, stage: str, steps: int = 1) -> None: ...
        def finish(self, stage: str) -> None: ...
        def say(self, message: str) -> None:
            said.append(message)

    sweep_axis(discs(rows=2, angles=20), tmp_path / "a.tif", [23.5], observer=Ear())
    assert any("without phase retrieval" in sentence for sentence in said)


def test_what_cannot_be_swept_is_said_and_leaves_nothing(discs, tmp_path: Path) -> None:
    scan = discs(rows=4, angles=20)
    with pytest.raises(InputError, match=r"name has to end in \.tif"):
        sweep_axis(scan, tmp_path / "a.png", [23.0], PLAIN)
    with pytest.raises(InputError, match="0 axis values were given; allowed are 1 to 201"):
        sweep_axis(scan, tmp_path / "a.tif", [], PLAIN)
    with pytest.raises(InputError, match="The row is 4; the rows of this scan are 0 to 3"):
        sweep_axis(scan, tmp_path / "a.tif", [23.0], PLAIN, row=4)
    with pytest.raises(InputError, match="axis"):
        sweep_axis(scan, tmp_path / "a.tif", [-10.0], PLAIN)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a.png").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"a\.png exists already"):
        sweep_axis(scan, tmp_path / "a.tif", [23.0], PLAIN)
    sweep_axis(scan, tmp_path / "a.tif", [23.0], PLAIN, overwrite=True)
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.format == "PNG"


def test_a_missing_folder_and_a_full_disk_are_sentences(discs, tmp_path: Path, monkeypatch) -> None:
    scan = discs(rows=4, angles=20)
    with pytest.raises(OutputError, match=r"The folder .*none of .*a\.tif does not exist"):
        sweep_axis(scan, tmp_path / "none" / "a.tif", [23.0], PLAIN)

    def full(*_arguments, **_options):
        raise OSError("29241 requested and 24434 written")

    monkeypatch.setattr(hipct.pipeline.sweep.tifffile, "imwrite", full)
    with pytest.raises(OutputError, match=r"a\.tif could not be written \(29241.*its disk has"):
        sweep_axis(scan, tmp_path / "a.tif", [23.0], PLAIN)
    assert list(tmp_path.iterdir()) == []
