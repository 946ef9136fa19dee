"""The demo: an organ out of nothing, close to its truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hipct.core.errors import OutputError
from hipct.pipeline.demo import MARK, rms_inside, run_demo
from hipct.volume.open import open_volume


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("demo") / "small"
    return out, *run_demo(out, columns=128, rows=24, angles=240)


def test_the_demo_finds_the_axis_and_shows_what_phase_retrieval_does(made) -> None:
    _, demo, result = made
    assert demo.axis_px == pytest.approx(demo.true_axis_px, abs=0.2)
    assert result.axis == pytest.approx(demo.axis_px, abs=1e-3)
    assert demo.rms < 0.15
    assert demo.rms_without_phase > 5 * demo.rms


def test_the_demo_leaves_what_it_tells_of(made) -> None:
    out, demo, _ = made
    assert sorted(path.name for path in out.iterdir()) == [
        "demo.json",
        "organ.ome.zarr",
        "organ.report.json",
        "phase-effect.png",
        "scan.zarr",
        "slices.png",
    ]
    assert json.loads((out / MARK).read_text())["rms"] == demo.rms
    width = 2 * max(demo.true_axis_px, 127 - demo.true_axis_px) + 1
    assert open_volume(demo.volume).shape == (24, np.ceil(width), np.ceil(width))
    with Image.open(demo.phase_effect) as picture:
        shown = np.asarray(picture)
    # Without phase retrieval edges are overshot: more black and white than with it or in truth.
    third = shown.shape[1] // 3
    extreme = [
        np.mean((part == 0) | (part == 255))
        for part in (shown[30:, k * third : (k + 1) * third] for k in range(3))
    ]
    assert extreme[0] > 5 * max(extreme[1:])


def test_the_demo_takes_no_folder_of_others(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="was not made by the demo"):
        run_demo(tmp_path)
    with pytest.raises(OutputError, match="was not made by the demo"):
        run_demo(tmp_path / "mine.txt")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_rms_counts_the_body_without_its_edges() -> None:
    y, x = np.mgrid[:64, :64] - 31.5
    true = (np.hypot(x, y) < 24).astype(np.float32)
    image = true * 1.1
    assert rms_inside(image, true, 1.0) == pytest.approx(0.1, rel=1e-5)
    image[np.hypot(x, y) > 22] = 9
    assert rms_inside(image, true, 1.0) == pytest.approx(0.1, rel=1e-5)
    assert np.isnan(rms_inside(image, np.zeros_like(true), 1.0))
