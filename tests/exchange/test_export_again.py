"""What went out comes in again: exports opened as sources of pyramids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hipct.exchange.export import export_volume
from hipct.exchange.source import open_volume_source
from hipct.volume.pyramid import write_pyramid


@pytest.mark.parametrize(
    ("kind", "name", "package"),
    [
        ("tiff", "slices", "tifffile"),
        ("bigtiff", "v.ome.tif", "tifffile"),
        ("jp2", "slices", "imagecodecs"),
        ("htj2k", "slices", "imagecodecs"),
        ("hdf5", "v.h5", "h5py"),
        ("nifti", "v.nii.gz", "nibabel"),
    ],
)
def test_every_lossless_format_gives_the_same_voxels(
    tmp_path: Path, kind: str, name: str, package: str
) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    values = np.random.default_rng(0).integers(0, 65_536, (20, 30, 41)).astype(np.uint16)
    write_pyramid(values, tmp_path / "v.ome.zarr", voxel_size_um=(30.0, 25.0, 20.0), chunk=16)
    options: dict[str, Any] = {"lossless": True} if kind in ("jp2", "htj2k") else {}
    out = tmp_path / name
    export_volume(tmp_path / "v.ome.zarr", out, format=kind, crop="3:,:29,:", **options)
    with open_volume_source(out) as source:
        assert source.dtype == np.uint16
        np.testing.assert_array_equal(source.read(slice(0, 17)), values[3:, :29])
        if kind not in ("jp2", "htj2k"):
            assert source.voxel_size_um is not None
            # Of OME's own size of slices the source knows nothing.
            known = slice(1, None) if kind == "bigtiff" else slice(None)
            np.testing.assert_allclose(source.voxel_size_um[known], (30, 25, 20)[known], rtol=1e-6)
