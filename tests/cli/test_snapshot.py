"""``hipct snapshot``, and what the commands with windows say where there can be none."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from hipct.volume.pyramid import write_pyramid

Hipct = Callable[..., Any]


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("organ") / "organ.ome.zarr"
    volume = np.random.default_rng(0).integers(0, 60000, (40, 50, 60), np.uint16)
    write_pyramid(volume, path, voxel_size_um=20.0, chunk=16)
    return path


def test_the_command_draws_and_says_what_it_has_read(
    hipct: Hipct, organ: Path, tmp_path: Path
) -> None:
    out, link = tmp_path / "organ.png", tmp_path / "organ.json"
    url = "https://host/organ.ome.zarr"
    ended = hipct("snapshot", organ, "-o", out, "--link", link, "--url", url)
    assert ended.code == 0
    assert ended.err.startswith("picture: 40 of 40")
    said, address = ended.out.splitlines()
    with Image.open(out) as picture:
        size = f"{picture.width} x {picture.height}"
    assert said == (
        f"{out}: {size} pixels, slices of level 0 (20 um), projection of level 0 (20 um)"
    )
    assert address.startswith("https://neuroglancer-demo.appspot.com/#!")
    assert link.read_text().startswith("{")
    again = hipct("snapshot", organ, "-o", out)
    assert again.code == 2
    assert "exists already" in again.err


def test_other_formats_and_their_notes(hipct: Hipct, tmp_path: Path) -> None:
    volume = np.random.default_rng(0).integers(0, 255, (20, 30, 40), np.uint8)
    tifffile.imwrite(tmp_path / "s.tif", volume, photometric="minisblack")
    out = tmp_path / "s.png"
    ended = hipct("snapshot", tmp_path / "s.tif", "-o", out, "--voxel-um", "5,10,10")
    assert ended.code == 0, ended.err
    assert "all slices of TIFF" in ended.out
    assert out.is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--from", "up"), "--from is 'up'; give degrees"),
        (("--size", "20"), "give 64 to 4000"),
        (("--at", "1,2"), "give z,y,x"),
        (("--window", "7"), "--window is '7'; give two values"),
        (("--memory", "much"), "an amount of memory is 'much'"),
    ],
)
def test_wrong_options_are_one_sentence(
    options: tuple[str, str], words: str, hipct: Hipct, organ: Path, tmp_path: Path
) -> None:
    ended = hipct("snapshot", organ, "-o", tmp_path / "o.png", *options)
    assert ended.code == 2
    assert words.lower() in ended.err.lower()
    assert len(ended.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [("view", "ORGAN"), ("atlas", "browse")])
def test_without_napari_a_window_says_what_to_install(words: tuple[str, ...], organ: Path) -> None:
    names = [str(organ) if word == "ORGAN" else word for word in words]
    program = (
        "import sys\n"
        "for name in ('napari', 'qtpy', 'superqt', 'vispy', 'PySide6'):\n"
        "    sys.modules[name] = None\n"
        "from hipct.cli.main import main\n"
        f"main({names!r})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "needs the package napari" in done.stderr
    assert "pip install 'hipct[viewer]'" in done.stderr


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems have a screen")
def test_without_a_screen_a_window_says_so(organ: Path) -> None:
    pytest.importorskip("napari.viewer", reason="napari is not installed")
    bare = {
        key: value
        for key, value in os.environ.items()
        if key not in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    }
    done = subprocess.run(
        [sys.executable, "-m", "hipct", "view", str(organ)],
        capture_output=True,
        text=True,
        check=False,
        env=bare,
    )
    assert done.returncode == 2, done.stderr
    assert "there is no screen here" in done.stderr
    assert "hipct snapshot" in done.stderr
