"""A download of the atlas that is killed in the middle."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hipct.atlas.download as downloading
from hipct.atlas.crop import make_crop
from hipct.atlas.download import download_crop
from hipct.atlas.opening import open_set
from hipct.volume.check import check_volume
from hipct.volume.open import open_volume

ROOT = Path(__file__).parents[2]
REGION = ((3, 41), (5, 30), (7, 50))
HERE = np.s_[3:41, 5:30, 7:50]


def test_a_download_that_was_killed_goes_on(
    bucket: Any, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a signal that nothing can catch, while a block does not come."""
    out = tmp_path / "crop.ome.zarr"
    kept = tmp_path / "crop.ome.zarr.run" / "blocks"
    server.kind, server.times = "stall", {"/s0/1/1/2": 99}
    code = (
        "import hipct.atlas.download as d\n"
        "from hipct.atlas.catalogue import load_catalogue\n"
        "from hipct.atlas.crop import make_crop\n"
        "from hipct.atlas.opening import open_set\n"
        "d._CHUNK, d._PLANES = 8, (16,)\n"
        f"one = load_catalogue({str(bucket.descriptions)!r})['n5']\n"
        f"volume = open_set(one, mirror={server.url!r})\n"
        f"d.download_crop(volume, make_crop(volume, 0, {REGION}), {str(out)!r})\n"
    )
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    try:
        end = time.monotonic() + 60
        # All but the one that does not come, and those that other layers wait for.
        while running.poll() is None and time.monotonic() < end:
            if (
                kept.is_dir()
                and len(list(kept.glob("[0-9]*"))) >= 8
                and "/s0/1/1/2" in str(server.asked)
            ):
                break
            time.sleep(0.05)
        assert running.poll() is None
    finally:
        running.kill()
        running.wait()
    assert not out.exists()
    came = {file.name.replace("-", "/") for file in kept.glob("[0-9]*")}
    server.times = {}
    server.asked.clear()
    monkeypatch.setattr(downloading, "_CHUNK", 8)
    monkeypatch.setattr(downloading, "_PLANES", (16,))
    volume = open_set(bucket.set_named("n5"), mirror=server.url)
    download_crop(volume, make_crop(volume, 0, REGION), out)
    # Kept as z-y-x, asked for as x/y/z.
    asked = {"/".join(path.split("/")[-3:][::-1]) for path in server.asked if "/s0/" in path}
    assert came
    assert not came & asked
    np.testing.assert_array_equal(open_volume(out).levels[0].array[:], bucket.levels[0][HERE])
    assert check_volume(out, deep=True) == []
