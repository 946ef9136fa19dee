"""What went out comes in again: exports opened as sources of pyramids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.exchange.export import export_volume
from hipct.exchange.source import open_volume_source
from hipct.volume.pyramid import write_pyramid

STACKS = ("tiff", "jp2", "htj2k", "png")


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("tiff", "slices", "tifffile"),
        ("bigtiff", "v.ome.tif", "tifffile"),
        ("jp2", "slices", "imagecodecs"),
        ("htj2k", "slices", "imagecodecs"),
        ("png", "slices", "PIL"),
        ("hdf5", "v.h5", "h5py"),
        ("nifti", "v.nii.gz", "nibabel"),
        ("ome-zarr", "p.ome.zarr", "zarr"),
    ],
)
def test_every_lossless_format_gives_the_same_voxels(
    tmp_path: Path, kind: str, name: str, package: str
) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    values = np.random.default_rng(0).integers(0, 65_536, (20, 30, 41)).astype(np.uint16)
    write_pyramid(
        values,
        tmp_path / "v.ome.zarr",
        voxel_size_um=(30.0, 25.0, 20.0),
        window=(-0.1, 0.5),
        chunk=16,
    )
    options: dict[str, Any] = {"lossless": True} if kind in ("jp2", "htj2k") else {}
    if kind == "png":
        options["dtype"] = "uint16"
    out = tmp_path / name
    export_volume(tmp_path / "v.ome.zarr", out, format=kind, crop="3:,:29,7:", **options)
    with open_volume_source(out) as source:
        assert source.dtype == np.uint16
        np.testing.assert_array_equal(source.read(slice(0, 17)), values[3:, :29, 7:])
        assert source.voxel_size_um is not None
        np.testing.assert_allclose(source.voxel_size_um, (30, 25, 20), rtol=1e-6)
        if kind in (*STACKS, "ome-zarr"):
            assert source.origin_um == (90, 0, 140)
        if kind in (*STACKS, "nifti", "ome-zarr"):
            assert source.value is not None
            scale, offset = source.value
            assert scale == pytest.approx(0.6 / 65_535)
            assert offset == pytest.approx(-0.1)
