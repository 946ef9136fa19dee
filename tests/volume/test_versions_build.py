"""Builds of OME-Zarr 0.4 that are killed, and what a build hands on to the writer."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from hipct.core.errors import FormatError, OutputError
from hipct.exchange.source import open_volume_source
from hipct.volume.check import check_volume
from hipct.volume.omezarr import update_attributes
from hipct.volume.open import open_volume
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_ledger import PyramidLedger
from hipct.volume.pyramid_levels import build_levels
from hipct.volume.pyramid_source import WHOLE, ArraySource


class Known(ArraySource):
    """An array that says of itself that it has not changed."""

    def fingerprint(self) -> str:
        return "as it was"


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 60000, shape, np.uint16)


def files_of(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


KILLED = """
import sys, tifffile, time
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.pyramid_ledger import PyramidLedger
from hipct.volume.pyramid_source import ArraySource

ArraySource.fingerprint = lambda self: "as it was"
source = ArraySource(tifffile.memmap(sys.argv[1]), 2.0)
print("begins", flush=True)
record = PyramidLedger.record
def slowly(self, *values):
    time.sleep(0.05)
    record(self, *values)
PyramidLedger.record = slowly
build_pyramid(source, sys.argv[2], chunk=8, version="0.4")
"""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """A TIFF, and the files of its pyramid."""
    folder = tmp_path_factory.mktemp("whole")
    tifffile.imwrite(folder / "v.tif", noise((64, 60, 56)))
    source = Known(tifffile.memmap(folder / "v.tif"), 2.0)
    build_pyramid(source, folder / "v.ome.zarr", chunk=8, version="0.4")
    return folder / "v.tif", files_of(folder / "v.ome.zarr")


@pytest.mark.parametrize("chunks", [30, 250])
def test_a_kill_leaves_no_torn_chunk_and_the_rest_is_written_alike(
    tmp_path: Path, undisturbed: tuple[Path, dict[str, bytes]], chunks: int
) -> None:
    tiff, expected = undisturbed
    out = tmp_path / "v.ome.zarr"
    program = [sys.executable, "-c", KILLED, str(tiff)]
    growing = PyramidLedger(out).volume / "0"
    with subprocess.Popen([*program, str(out)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if sum(1 for _ in growing.glob("[0-9]*/*/[0-9]*")) >= chunks:
                break
            time.sleep(0.001)
        process.kill()
    assert not out.exists()
    left = files_of(growing)
    assert chunks <= len(left) < 8 * 8 * 7
    for name, data in left.items():
        if not name.endswith(".tmp"):
            assert data == expected[f"0/{name}"]
    build_pyramid(Known(tifffile.memmap(tiff), 2.0), out, chunk=8, version="0.4")
    assert files_of(out) == expected
    assert check_volume(out, deep=True) == []


def test_an_unfinished_build_of_another_version_is_refused(tmp_path: Path) -> None:
    class Broken(Known):
        def read(self, z: slice, y: slice = WHOLE) -> np.ndarray:
            if z.start:
                raise OSError("torn tape")
            return super().read(z, y)

    volume = noise((40, 9, 9))
    with pytest.raises(OSError, match="torn tape"):
        build_pyramid(Broken(volume), tmp_path / "v", chunk=8, version="0.4")
    with pytest.raises(OutputError, match=r"ome_zarr: 0.4 then, 0.5 now"):
        build_pyramid(Broken(volume), tmp_path / "v", chunk=8)
    build_pyramid(Known(volume), tmp_path / "v", chunk=8, restart=True)
    assert open_volume(tmp_path / "v").version == "0.5"


def test_builds_take_attributes_and_the_place_of_a_crop(tmp_path: Path) -> None:
    source = ArraySource(noise((9, 9, 9)), 2.0)
    source.origin_um = (10.0, 20.0, 30.0)
    made: dict[str, Any] = {"attributes": {"crop": [1, 2]}, "version": "0.4", "chunk": 4}
    build_pyramid(source, tmp_path / "v", **made)
    found = open_volume(tmp_path / "v")
    assert found.provenance["crop"] == [1, 2]
    assert found.provenance["source"]["format"] == "array"
    assert found.levels[0].translation == (10.0, 20.0, 30.0)
    assert found.levels[1].translation == (11.0, 21.0, 31.0)


@pytest.mark.parametrize("keep", [-1, 200, 10, 0])
def test_a_torn_chunk_of_a_source_is_named(tmp_path: Path, keep: int) -> None:
    """Blosc makes voxels of what lies behind the end of a truncated chunk, and says nothing."""
    build_pyramid(ArraySource(noise((32, 32, 32)), 2.0), tmp_path / "v", chunk=16, version="0.4")
    chunk = tmp_path / "v" / "0" / "1" / "0" / "1"
    chunk.write_bytes(chunk.read_bytes()[:keep])
    with (
        open_volume_source(tmp_path / "v") as source,
        pytest.raises(FormatError, match=r"chunk \(1, 0, 1\).* is damaged"),
    ):
        build_pyramid(source, tmp_path / "again", chunk=16)


@pytest.mark.parametrize("version", ["0.5", "0.4"])
def test_levels_that_come_later_are_in_the_consolidated_metadata(
    tmp_path: Path, version: str
) -> None:
    path = tmp_path / "v.ome.zarr"
    options: dict[str, Any] = {"version": version, "consolidated": True, "chunk": 16}
    build_pyramid(ArraySource(noise((40, 40, 40)), 2.0), path, **options)
    before = files_of(path)
    for level in ("1", "2"):
        shutil.rmtree(path / level)
    datasets = zarr.open_group(path, mode="r").attrs.asdict()
    (multiscale,) = datasets.get("ome", datasets)["multiscales"]
    finest = {**multiscale, "datasets": multiscale["datasets"][:1]}
    update_attributes(path, {"ome": {"multiscales": [finest]}})
    assert sorted(zarr.open_group(path, mode="r").keys()) == ["0"]
    build_levels(path)
    assert sorted(zarr.open_group(path, mode="r").keys()) == ["0", "1", "2"]
    assert check_volume(path, deep=True) == []
    assert files_of(path).keys() == before.keys()
