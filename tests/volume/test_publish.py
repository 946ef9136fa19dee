"""What has the name of a volume before it is written, and what becomes of that."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import zarr

import hipct.volume.publish
from hipct.core.errors import OutputError
from hipct.volume.pyramid import write_pyramid


def noise(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65536, shape, "u2")


def files_of(path: Path) -> dict[str, bytes]:
    return {str(p.relative_to(path)): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_nothing_but_a_volume_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("precious")
    for name in (folder, folder / "chapter.txt"):
        with pytest.raises(OutputError, match="is no OME-Zarr volume, so that it is not"):
            write_pyramid(noise((4, 4, 4)), name, voxel_size_um=1.0, chunk=16, overwrite=True)
    with pytest.raises(OutputError, match="no name for a volume"):
        write_pyramid(noise((4, 4, 4)), folder / "..", voxel_size_um=1.0, overwrite=True)
    for address in ("s3://bucket/v.ome.zarr", "https://host/v.ome.zarr"):
        with pytest.raises(OutputError, match="is an address, and volumes are written into"):
            write_pyramid(noise((4, 4, 4)), address, voxel_size_um=1.0)
    assert (folder / "chapter.txt").read_text() == "precious"
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "chapter.txt"]


def test_an_old_volume_is_whole_until_the_new_one_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volume = tmp_path / "v.ome.zarr"
    write_pyramid(noise((4, 4, 4)), volume, voxel_size_um=1.0, chunk=16)
    before = files_of(volume)
    rename = os.rename

    def failing(source: Path, target: Path) -> None:
        if Path(source).name.endswith(".partial"):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(hipct.volume.publish.os, "rename", failing)
        with pytest.raises(OutputError, match="could not be renamed"):
            write_pyramid(noise((8, 4, 4)), volume, voxel_size_um=1.0, chunk=16, overwrite=True)
    assert files_of(volume) == before
    write_pyramid(noise((8, 4, 4)), volume, voxel_size_um=1.0, chunk=16, overwrite=True)
    assert zarr.open_array(volume / "0", mode="r").shape == (8, 4, 4)
    assert [path.name for path in tmp_path.iterdir()] == ["v.ome.zarr"]
