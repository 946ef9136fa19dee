"""Slices that hipct exported come in again: voxels, sizes, place and meaning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from hipct.core.errors import InputError
from hipct.exchange.export import export_volume
from hipct.exchange.source import open_volume_source
from hipct.volume.open import open_volume
from hipct.volume.pyramid import write_pyramid
from hipct.volume.pyramid_build import build_pyramid


@pytest.mark.parametrize("kind", ["png", "tiff"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_slices_come_in_again_as_they_were(tmp_path: Path, kind: str, dtype: type) -> None:
    values = np.random.default_rng(1).integers(0, 256, (20, 30, 41)).astype(dtype)
    first = tmp_path / "v.ome.zarr"
    write_pyramid(values, first, voxel_size_um=(30.0, 25.0, 20.0), window=(-1.0, 3.0), chunk=16)
    name = np.dtype(dtype).name
    export_volume(first, tmp_path / "slices", format=kind, crop="4:,:,10:", dtype=name)
    with open_volume_source(tmp_path / "slices") as source:
        assert source.voxel_size_um == (30.0, 25.0, 20.0)
        assert not any("apart" in note for note in source.notes)
        build_pyramid(source, tmp_path / "again.ome.zarr", chunk=16)
    was, now = open_volume(first), open_volume(tmp_path / "again.ome.zarr")
    np.testing.assert_array_equal(now.levels[0].array[:], values[4:, :, 10:])
    assert (now.scale, now.offset, now.unit) == pytest.approx((was.scale, was.offset, was.unit))
    assert now.levels[0].scale == was.levels[0].scale
    assert now.levels[0].translation == pytest.approx((4 * 30.0, 0, 10 * 20.0))


def test_a_window_that_contradicts_the_values_of_the_source_is_refused(tmp_path: Path) -> None:
    """The voxels would stay as they are, and stand for something else."""
    first = tmp_path / "v.ome.zarr"
    write_pyramid(np.ones((4, 5, 6), "u2"), first, voxel_size_um=1.0, window=(-1.0, 3.0))
    with open_volume_source(first) as source:
        with pytest.raises(InputError, match=r"stand for -1 to 3 1/cm.* leave --window 0:3 out"):
            build_pyramid(source, tmp_path / "w.ome.zarr", window=(0.0, 3.0))
        build_pyramid(source, tmp_path / "w.ome.zarr", window=(-1.0, 3.0), unit="1/m")
    made = open_volume(tmp_path / "w.ome.zarr")
    assert (made.scale, made.offset) == pytest.approx((4 / 65535, -1.0))
    assert made.unit == "1/m"


def test_facts_of_other_slices_are_left_aside(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 256, (6, 9, 8)).astype(np.uint8)
    write_pyramid(values, tmp_path / "v.ome.zarr", voxel_size_um=20.0, chunk=16)
    export_volume(tmp_path / "v.ome.zarr", tmp_path / "s", format="png")
    sorted((tmp_path / "s").glob("*.png"))[-1].unlink()
    with open_volume_source(tmp_path / "s") as source:
        assert source.voxel_size_um is None
        assert any("export.json speaks of other slices" in note for note in source.notes)
    facts = json.loads((tmp_path / "s" / "export.json").read_text())
    assert facts["size_voxels"] == [6, 9, 8]
