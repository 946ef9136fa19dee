"""Volumes on servers as sources of pyramids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.core.errors import FormatError, InputError
from hipct.exchange.source import open_volume_source
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid
from hipct.volume.storage import Folder, open_storage

SHAPE = (40, 70, 93)
VOXEL = (30.0, 20.0, 10.0)
VERSIONS = ("0.5", "0.4")


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 60000, SHAPE, np.uint16)


@pytest.fixture(scope="module")
def addresses(values: np.ndarray, bucket: str, web: Any) -> Any:
    """Address of the volume by version and kind."""
    found = {}
    for version in VERSIONS:
        name = f"heart-{version}.ome.zarr"
        folder = web.folder / name
        write_pyramid(
            values, folder, voxel_size_um=VOXEL, window=(-0.1, 0.5), chunk=16, version=version
        )
        copy = open_storage(f"{bucket}/{name}")
        for one in Folder(folder).list():
            copy.put(one.key, Folder(folder).get(one.key) or b"")
        found[version] = {
            "file": folder.as_uri(),
            "s3": copy.address,
            "http": f"{web.url}/{name}",
        }
    return found


@pytest.mark.parametrize("kind", ["s3", "http", "file"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_volume_on_a_server_is_a_source(
    version: str, kind: str, addresses: Any, tmp_path: Path, values: np.ndarray
) -> None:
    with open_volume_source(addresses[version][kind]) as source:
        assert source.shape == SHAPE
        assert source.voxel_size_um == VOXEL
        np.testing.assert_array_equal(source.read(slice(7, 20), slice(3, 60)), values[7:20, 3:60])
        assert source.fingerprint() == open_volume_source(addresses[version][kind]).fingerprint()
        build_pyramid(source, tmp_path / "copy.ome.zarr")
    made = open_volume(tmp_path / "copy.ome.zarr")
    np.testing.assert_array_equal(made.levels[0].array[...], values)
    assert (made.scale, made.offset) == pytest.approx((0.6 / 65535, -0.1))


def test_a_source_that_changes_has_another_fingerprint(bucket: str, addresses: Any) -> None:
    storage = open_storage(f"{bucket}/changing.ome.zarr")
    given = open_storage(addresses["0.5"]["s3"])
    for one in given.list():
        storage.put(one.key, given.get(one.key) or b"")
    source = open_volume_source(storage.address)
    before = source.fingerprint()
    shard = next(one.key for one in storage.list("0/c"))
    storage.put(shard, b"other")
    assert source.fingerprint() != before


@pytest.mark.parametrize("version", VERSIONS)
def test_a_missing_object_of_an_own_volume_is_named(
    version: str, bucket: str, addresses: Any
) -> None:
    storage = open_storage(f"{bucket}/missing-{version}.ome.zarr")
    given = open_storage(addresses[version]["s3"])
    key = "0/c/1/0/0" if version == "0.5" else "0/1/0/0"
    for one in given.list():
        if one.key != key:
            storage.put(one.key, given.get(one.key) or b"")
    with open_volume_source(storage.address) as source:
        assert source.read(slice(0, 16), slice(0, 16)).any()
        with pytest.raises(FormatError, match=f"{key} is missing"):
            source.read(slice(16, 20), slice(0, 16))


def test_options_that_an_address_does_not_take(addresses: Any) -> None:
    for options in ({"dataset": "0"}, {"axes": "xyz"}):
        with pytest.raises(InputError, match=r"leave --(dataset 0|axes xyz) out"):
            open_volume_source(addresses["0.5"]["s3"], **options)
