"""``hipct export``: what it writes, prints and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from hipct.volume.pyramid import write_pyramid


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 65_536, (20, 30, 40)).astype(np.uint16)


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory, values: np.ndarray) -> Path:
    path = tmp_path_factory.mktemp("cli") / "organ.ome.zarr"
    write_pyramid(values, path, voxel_size_um=10.0, chunk=16)
    return path


def test_a_crop_as_tiff(
    hipct: Callable[..., Any], organ: Path, values: np.ndarray, tmp_path: Path
) -> None:
    out = tmp_path / "slices"
    words = ("export", organ, out, "--format", "tiff", "--crop", ":,0.1:0.2mm,5:")
    refused = hipct(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "along x is 5:" not in refused.err
    ended = hipct(*words[:-1], "-0.005:0.195,0.1:0.2,:0.395mm")
    assert (ended.code, ended.out) == (0, f"{out}: 20 x 10 x 40 voxels of level 0, uint16\n")
    assert "export: 20 of 20" in ended.err
    np.testing.assert_array_equal(tifffile.imread(sorted(out.glob("*.tif"))), values[:, 10:20])
    again = hipct(*words[:-2])
    assert again.code == 2
    assert "exists already" in again.err
    assert hipct(*words[:-2], "--overwrite", "--level", "20um").out.endswith(
        "10 x 15 x 20 voxels of level 1, uint16\n"
    )


def test_jpeg2000_says_what_it_lost(hipct: Callable[..., Any], organ: Path, tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")
    ended = hipct("export", organ, tmp_path / "a", "--format", "htj2k", "--ratio", "3")
    assert ended.code == 0
    assert "\nHTJ2K " in ended.out
    assert "PSNR " in ended.out
    ended = hipct("export", organ, tmp_path / "b", "--format", "jp2", "--lossless")
    assert ended.out.endswith(":1, lossless\n")


def test_an_oblique_picture_and_a_link(
    hipct: Callable[..., Any], organ: Path, tmp_path: Path
) -> None:
    ended = hipct(
        "export", organ, tmp_path / "o.png", "--format", "png", "--oblique", "9,15,20:1,1,0:12",
        "--window", "0:65535",
    )  # fmt: skip
    assert ended.out == f"{tmp_path / 'o.png'}: 12 x 12 pixels of level 0, uint8\n"
    url = "https://host/organ.ome.zarr"
    ended = hipct("export", organ, tmp_path / "n.json", "--format", "neuroglancer", "--url", url)
    assert ended.out.startswith("https://neuroglancer-demo.appspot.com/#!%7B")
    assert json.loads((tmp_path / "n.json").read_text())["layers"][0]["source"] == f"zarr3://{url}"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--format", "tiff", "--level", "7"), "has no level 7"),
        (("--format", "tiff", "--window", "7"), "--window is '7'; give two values as LOW:HIGH"),
        (("--format", "tiff", "--memory", "1kB"), "give more (--memory)"),
        (("--format", "tiff", "--dtype", "float32"), "does not store what its grey values mean"),
        (("--format", "gif"), "'gif' is not one of"),
        ((), "Missing option '--format'"),
    ],
)
def test_what_fails_is_a_sentence(
    hipct: Callable[..., Any], organ: Path, tmp_path: Path, options: Any, sentence: str
) -> None:
    ended = hipct("export", organ, tmp_path / "out", *options)
    assert ended.code == 2
    assert sentence in ended.err
    assert "Traceback" not in ended.err
    assert not list(tmp_path.iterdir())
