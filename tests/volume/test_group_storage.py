"""Volumes on servers are opened by few requests, fewer where their metadata are consolidated."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr

from hipct.volume.consolidate import consolidate
from hipct.volume.group_storage import GroupStorage
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.storage import Folder

LEVELS = 3


@pytest.fixture(scope="module")
def volume() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, (20, 30, 26), np.uint16)


@pytest.mark.parametrize(
    ("version", "consolidated", "requests"),
    [
        ("0.5", False, 1 + LEVELS),
        ("0.5", True, 1),
        ("0.4", False, 3 + 2 * LEVELS),
        ("0.4", True, 2),
    ],
)
def test_a_volume_is_opened_by_few_requests(
    web: Any, volume: np.ndarray, version: str, consolidated: bool, requests: int
) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed")
    path = web.folder / "v.ome.zarr"
    options: dict[str, Any] = {"version": version, "consolidated": consolidated}
    write_pyramid(volume, path, voxel_size_um=2.0, chunk=8, overwrite=True, **options)
    here = open_volume(path)
    web.begin()
    there = open_volume(f"{web.url}/v.ome.zarr")
    assert len(web.requests) == requests
    assert len(there.levels) == LEVELS
    for one, other in zip(here.levels, there.levels):
        assert (one.scale, one.translation) == (other.scale, other.translation)
        assert one.array.metadata == other.array.metadata
        np.testing.assert_array_equal(one.array[:], other.array[:])
        again = pickle.loads(pickle.dumps(other.array))
        np.testing.assert_array_equal(one.array[3:5], again[3:5])


def test_arrays_of_others_need_no_attributes(tmp_path: Path, volume: np.ndarray) -> None:
    """Also: consolidated metadata that are no metadata are passed over."""
    group = zarr.open_group(tmp_path / "v", mode="w", zarr_format=2)
    group.create_array("0", data=volume, chunks=(8, 8, 8))
    (tmp_path / "v" / "0" / ".zattrs").unlink()
    consolidate(tmp_path / "v")

    class Counted(Folder):
        def get(self, key: str) -> bytes | None:
            asked.append(key)
            return super().get(key)

    asked: list[str] = []
    storage = GroupStorage(Counted(tmp_path / "v"))
    assert storage.get("zarr.json") is None
    assert storage.get("0/.zarray") is not None
    assert storage.get("0/.zattrs") is None
    assert storage.get("0/zarr.json") is None
    assert asked == ["zarr.json", ".zmetadata"]
    (tmp_path / "v" / ".zmetadata").write_text("[torn")
    storage = GroupStorage(Counted(tmp_path / "v"))
    assert storage.get("zarr.json") is None
    assert storage.get("0/.zarray") == (tmp_path / "v" / "0" / ".zarray").read_bytes()
    storage.put("0/.zattrs", b"{}")
    assert storage.get("0/.zattrs") == b"{}"
    storage.delete("0/.zattrs")
    assert storage.get("0/.zattrs") is None
    assert sorted(found.key for found in storage.list())[:2] == [".zattrs", ".zgroup"]
    shutil.rmtree(tmp_path / "v")
