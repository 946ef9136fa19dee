"""The version of OME-Zarr: an option of hipct pyramid, a key of the configuration of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from hipct.cli.main import main as command
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume


def main(arguments: list[str]) -> object:
    with pytest.raises(SystemExit) as ended:
        command(arguments)
    return ended.value.code


def test_a_pyramid_is_written_again_as_04_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    volume = np.random.default_rng(0).integers(0, 60000, (20, 30, 25), np.uint16)
    tifffile.imwrite("v.tif", volume)
    assert main(["pyramid", "v.tif", "new.ome.zarr", "--voxel-um", "20"]) == 0
    assert main(["pyramid", "new.ome.zarr", "old.ome.zarr", "--ome-zarr", "0.4"]) == 0
    again = ["pyramid", "old.ome.zarr", "again.ome.zarr", "--consolidated"]
    assert main(again) == 0
    for name, version in (("new", "0.5"), ("old", "0.4"), ("again", "0.5")):
        found = open_volume(Path(f"{name}.ome.zarr"))
        assert (found.version, found.voxel_size_um) == (version, (20.0, 20.0, 20.0))
        np.testing.assert_array_equal(found.levels[0].array[:], volume)
        assert check_volume(f"{name}.ome.zarr", deep=True) == []
    assert "consolidated_metadata" in Path("again.ome.zarr/zarr.json").read_text()
    assert "consolidated_metadata" not in Path("new.ome.zarr/zarr.json").read_text()
    capsys.readouterr()
    assert main(["check", "old.ome.zarr"]) == 0
    assert capsys.readouterr().out == "old.ome.zarr: good\n"
