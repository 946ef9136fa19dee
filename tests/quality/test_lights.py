"""Each fault that is planted changes its light; without any, all that can be told is green."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hipct.quality.lights import LIMITS, Figure, Limits, worst
from hipct.quality.making import report_of


def test_nothing_wrong_is_green(good, lights):
    _, report = good
    assert set(lights(report).values()) == {"green"}
    assert report.light == "green"
    told = "axis_confidence axis_error sampling repaired motion bubbles clipped rings cnr snr "
    assert set((told + "resolution halo fresnel missing saturated").split()) == set(lights(report))


def test_what_is_known_of_the_scan_comes_out(good):
    _, report = good
    # 8000 photons a pixel, of which the blur of the detector averages some noise.
    assert 6000 < report.figure("quanta").value < 10_000
    assert report.figure("sampling").value == pytest.approx(400 / (np.pi / 2 * 189), rel=0.01)
    assert report.figure("fresnel").value == pytest.approx(1.3776e-11 * 4 / 4e-10, rel=1e-3)
    assert abs(report.evidence.frames.axis_again_px - 96.8) < 0.8
    assert report.evidence.frames.resolution.pixels >= 2


FAULTS = {
    "axis": ({"axis": {"value": 100.8}}, "axis_error", "red"),
    "axis a little": ({"axis": {"value": 98.5}}, "axis_error", "yellow"),
    "window": ({"volume": {"window": (0.0, 0.03)}}, "clipped", "red"),
    "pixels": ({"scan": {"pixel_size_um": 2.0, "distance_m": 3.0}}, "fresnel", "yellow"),
    "distance": ({"scan": {"pixel_size_um": 2.0, "distance_m": 12.0}}, "fresnel", "red"),
    "delta over beta": ({"phase": {"delta_beta": 500.0}}, "halo", "red"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_setting_changes_its_light(good_scan, tmp_path, run, lights, fault):
    _, reported = run
    settings, key, light = FAULTS[fault]
    _, report = reported(good_scan, tmp_path / "v.ome.zarr", settings)
    assert lights(report)[key] == light
    assert lights(report)["repaired"] == lights(report)["sampling"] == "green"
    assert report.light in (light, "red")


@pytest.mark.parametrize("key", LIMITS)
def test_the_page_of_the_documentation_has_the_limits(key):
    page = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    (green, yellow) = re.search(
        rf"^\| `{key}`[^|]*\| (?:at \w+ )?([\d.]+) \| (?:at \w+ )?([\d.]+) \|", page, re.MULTILINE
    ).groups()
    assert (float(green), float(yellow)) == (LIMITS[key].green, LIMITS[key].yellow)
    assert ("at least" if LIMITS[key].more_is_better else "at most") in LIMITS[key].sentence("")


def test_limits_on_either_side():
    few, many = Limits(0.5, 1.5), Limits(3.0, 1.0)
    assert [few.light(v) for v in (0.5, 0.51, 1.5, 1.6, float("inf"))] == [
        "green", "yellow", "yellow", "red", "red",
    ]  # fmt: skip
    assert [many.light(v) for v in (3.0, 2.9, 1.0, 0.9)] == ["green", "yellow", "yellow", "red"]
    # What is no number is not good.
    assert few.light(float("nan")) == many.light(float("nan")) == "red"
    assert worst(["grey", "green", "yellow"]) == "yellow"
    assert worst([]) == "grey"


def test_json_has_no_numbers_that_are_none():
    figure = Figure("snr", "Signal to noise", "", float("inf"), "", "green")
    assert json.loads(json.dumps(figure.as_dict(), allow_nan=False))["value"] is None
    assert figure.shown == "infinite"


@pytest.mark.parametrize("background", [0, 400, "clipped", "nan"])
def test_what_is_masked_or_clipped_does_not_count_as_noise(tmp_path, rng, plain_volume, background):
    """Contrast 4000, noise 200: whatever is done to what is around the sample."""
    y, x = np.mgrid[:192, :192]
    organ = (np.hypot(y - 96, x - 96) < 70) & ~(np.hypot(y - 80, x - 100) < 25)
    voxels = 20_000 + 4000 * organ + 200 * rng.standard_normal((8, 192, 192))
    away = np.broadcast_to(np.hypot(y - 96, x - 96) > 80, voxels.shape)
    if background == "clipped":
        voxels[away] = 100 * rng.standard_normal(np.count_nonzero(away))
    elif background == "nan":
        voxels[away] = np.nan
    else:
        voxels[away] = background
    kind = np.float32 if background == "nan" else np.uint16
    report = report_of(plain_volume(tmp_path / "v.ome.zarr", np.clip(voxels, 0, None).astype(kind)))
    cnr = report.figure("cnr")
    assert cnr.value == pytest.approx(20, rel=0.15)
    assert "are left out" in cnr.note
    if background == "nan":
        assert "no numbers" in report.figure("rings").note


def test_an_image_without_any_noise_says_so(tmp_path, plain_volume):
    voxels = np.full((8, 128, 128), 500, np.uint16)
    voxels[:, 40:80, 40:80] = 900
    report = report_of(plain_volume(tmp_path / "v.ome.zarr", voxels))
    assert (report.figure("cnr").value, report.figure("cnr").light) == (None, "grey")
    assert "of a single value" in report.figure("cnr").note
