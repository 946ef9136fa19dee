"""``hipct pyramid``: files of any format become a volume that the check finds good."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile

from hipct.volume.check import check_volume
from hipct.volume.open import open_volume

Hipct = Callable[..., object]


@pytest.fixture
def slices(tmp_path: Path) -> Path:
    folder = tmp_path / "slices"
    folder.mkdir()
    for number, image in enumerate(np.random.default_rng(0).integers(0, 999, (20, 30, 40), "u2")):
        tifffile.imwrite(folder / f"heart_{number:04}.tif", image)
    return folder


def test_a_folder_of_slices_becomes_a_volume(hipct: Hipct, slices: Path, tmp_path: Path) -> None:
    out = tmp_path / "heart.ome.zarr"
    ended = hipct("pyramid", slices, out, "--voxel-um", "20,19.5,19.5", "--memory", "100MB")
    assert (ended.code, ended.out) == (
        0,
        f"{out}: 1 levels from 20 x 30 x 40 uint16, voxels of 20 x 19.5 x 19.5 um\n",
    )
    assert "1 levels of uint16 from 20 x 30 x 40 voxels, image by mean" in ended.err
    volume = open_volume(out)
    assert volume.voxel_size_um == (20.0, 19.5, 19.5)
    assert volume.provenance["source"]["format"] == "TIFF"
    np.testing.assert_array_equal(
        volume.levels[0].array[:], [tifffile.imread(file) for file in sorted(slices.iterdir())]
    )
    assert check_volume(out, deep=True) == []
    again = hipct("pyramid", slices, out)
    assert again.code == 2
    assert again.err.startswith(f"hipct: {out} exists already")
    ended = hipct("pyramid", slices, out, "--overwrite", "--projection", "max")
    assert ended.out.endswith("the voxel size is not known (--voxel-um says it)\n")
    assert open_volume(out).provenance["reduction"] == "max"


def test_labels_and_floats(hipct: Hipct, tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(0, 1, (12, 14, 16)).astype(np.float32)
    with h5py.File(tmp_path / "v.h5", "w") as file:
        file["labels"], file["image"] = (values > 0).astype(np.int32) * 70000, values
    source = (tmp_path / "v.h5", "--dataset")
    out = tmp_path / "labels.ome.zarr"
    assert hipct("pyramid", *source[:1], out, *source[1:], "labels", "--labels").code == 0
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], (values > 0) * 70000)
    out = tmp_path / "image.ome.zarr"
    refused = hipct("pyramid", *source[:1], out, *source[1:], "image")
    assert refused.code == 2
    assert "holds float32" in refused.err
    assert "--window LOW:HIGH" in refused.err
    words = ("--axes", "xyz", "--window", "-6:6", "--unit", "1/m")
    assert hipct("pyramid", *source[:1], out, *source[1:], "image", *words).code == 0
    volume = open_volume(out)
    assert volume.unit == "1/m"
    np.testing.assert_allclose(volume.physical(), values.transpose(2, 1, 0), atol=12 / 65535)


def test_faults_are_one_sentence(hipct: Hipct, slices: Path, tmp_path: Path) -> None:
    out = tmp_path / "v.ome.zarr"
    (slices / "heart_0007.tif").unlink()
    for words, message in (
        ((), "the numbers 7 are missing"),
        (("--voxel-um", "big"), "--voxel-um is 'big'; give one size in um"),
        (("--window", "3"), "--window is '3'; give two values"),
        (("--memory", "lots"), "An amount of memory is 'lots'"),
    ):
        if words:
            tifffile.imwrite(slices / "heart_0007.tif", np.zeros((30, 40), np.uint16))
        ended = hipct("pyramid", slices, out, *words)
        assert (ended.code, ended.out) == (2, "")
        assert message in ended.err
    assert not list(tmp_path.glob("v.ome.zarr*"))
