"""Each fault that is planted changes its light; without any, all that can be told is green."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hipct.quality.evidence import Evidence
from hipct.quality.judge_image import image_figures
from hipct.quality.lights import LIMITS, Figure, Limits, worst
from hipct.quality.voxels import VoxelLook
from hipct.volume.figures import Figures


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
    "distance": ({"scan": {"distance_m": 150.0}}, "fresnel", "red"),
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


def test_a_background_of_a_single_value_is_not_taken_for_an_image_without_noise():
    told = Figures(noise=0.0, contrast=100.0, sharpness_px=None, halo=None, edges=0)
    looked = VoxelLook(
        None, (0,), np.zeros(2, int), np.arange(3.0), "grey value", told, (), None, {}
    )
    figures = image_figures(Evidence((1, 64, 64), {}, looked, None))
    cnr = next(each for each in figures if each.key == "cnr")
    assert (cnr.value, cnr.light) == (None, "grey")
    assert "a single value" in cnr.note
