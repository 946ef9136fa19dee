"""Faults of a scan, planted in simulations, and of what a volume says."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest

from hipct.acquisition.open import open_scan
from hipct.acquisition.scan import Scan
from hipct.quality.report import Report

FAULTS = {
    "rings": ({"rings": 0.3, "rows": 16, "angles": 400}, {}, ["rings"]),
    "few photons": ({"noise": 60.0}, {}, ["cnr", "snr", "resolution"]),
    "few views": ({"angles": 40}, {}, ["sampling"]),
    "bad pixels": ({"dead_pixels": 0.05}, {}, ["repaired"]),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_the_scan_changes_its_light(tmp_path, run, lights, fault):
    simulated, reported = run
    changes, settings, keys = FAULTS[fault]
    scan = simulated(tmp_path / "scan.zarr", **({"rows": 12, "angles": 240} | changes))
    _, report = reported(scan, tmp_path / "v.ome.zarr", settings)
    assert {lights(report)[key] for key in keys} == {"red"}
    assert lights(report)["clipped"] == lights(report)["fresnel"] == "green"


class Jumping(Scan):
    """A scan whose sample jumps sideways after a view."""

    def __init__(self, scan, after, pixels):
        self._scan, self._after, self._pixels = scan, after, pixels
        self.info, self.row_chunk, self.angle_chunk = scan.info, scan.row_chunk, scan.angle_chunk

    def _read_into(self, kind, frames, rows, out):
        self._scan._read_into(kind, frames, rows, out)
        if kind == "projections":
            for frame, k in zip(out, range(frames.start, frames.stop)):
                if k > self._after:
                    frame[...] = np.roll(frame, self._pixels, axis=1)


def test_a_jump_of_the_sample_is_seen(tmp_path, run, lights):
    simulated, reported = run
    path = simulated(
        tmp_path / "scan.zarr", rows=48, columns=128, noise=60_000.0, angles=240, drift=0.0
    )
    with open_scan(path) as scan:
        _, report = reported(Jumping(scan, 150, 1), tmp_path / "v.ome.zarr")
    assert lights(report)["motion"] in ("yellow", "red")
    assert 0.5 < report.figure("motion").value < 2.0
    assert "between projections 150 and 151" in report.figure("motion").note


def judged(report, **changes):
    """The report with other provenance."""
    said = copy.deepcopy(dict(report.evidence.provenance)) | changes
    return Report.of("other", replace(report.evidence, provenance=said), 0.0)


def sub_scan(number, axis, measured):
    return {
        "name": f"part {number}",
        "rows": [8 * number, 8 * number + 8],
        "axis_px": axis,
        "axis_measured_px": measured,
        "axis_method": "overlap",
        "centre_px": [0.0, 0.0],
        "motor_error_px": 0.3,
    }


@pytest.mark.parametrize(
    ("score", "axis", "light"), [(1.05, 97.1, "green"), (1.4, 98.0, "yellow"), (5.0, 99.9, "red")]
)
def test_seams_axes_and_gaps_of_a_series(good, score, axis, light):
    seam = {"between": ["part 0", "part 1"], "rows": [6, 25], "score": score}
    said = {
        "sub_scans": [sub_scan(0, 97.0, axis), sub_scan(1, 97.5, None)],
        "seams": [seam, seam | {"score": None}],
        "rows_without_data": [] if light == "green" else [[3, 5]],
    }
    report = judged(good[1], series=said)
    assert report.figure("placing").value is None
    assert report.figure("seam").light == report.figure("axis_drift").light == light
    # Both lie a quarter of a pixel beside their median.
    assert report.figure("axis_drift").value == pytest.approx(max(axis - 97.0, 0.25))
    assert "a drift of 0.50 px" in report.figure("axis_drift").note
    assert report.figure("missing").value == (0 if light == "green" else 12.5)


def test_an_axis_far_from_those_of_its_neighbours_is_seen(good):
    """Used as it was measured, and wrong."""
    places = [sub_scan(k, axis, axis) for k, axis in enumerate((97.0, 97.1, 60.0, 97.2, 97.3))]
    report = judged(good[1], series={"sub_scans": places, "seams": []})
    assert report.figure("axis_drift").light == "red"
    assert report.figure("axis_drift").value == pytest.approx(37.1)
    unsure = places[0] | {"axis_measured_px": 99.0, "axis_confidence": 0.2}
    report = judged(good[1], series={"sub_scans": [unsure, places[1]], "seams": []})
    assert report.figure("axis_drift").light == "green"


def test_a_place_that_is_not_known_is_seen(good):
    def light(error):
        place = sub_scan(0, 97.0, 97.0) | {"offset_error_px": error}
        return judged(good[1], series={"sub_scans": [place]}).figure("placing").light

    assert [light(error) for error in (0.1, 0.6, 2.45)] == ["green", "yellow", "red"]


def test_layers_that_could_not_be_made_are_missing(good):
    lost = {"rows": [[0, 4]], "reasons": ["The disk was gone."]}
    report = judged(good[1], incomplete=lost)
    assert report.figure("missing").light == "red"
    assert "The disk was gone." in report.figure("missing").note


def test_bubbles_count(good):
    bubble = {
        "kind": "bubble", "projections": [3, 9], "times": [0.1, 0.2], "size_px": 9.0,
        "confidence": 0.9, "row": 4.0,
    }  # fmt: skip
    for number, light in ((0, "green"), (1, "yellow"), (2, "red")):
        found = {"scan": {"drift": None, "flags": [bubble] * number, "notes": []}}
        report = judged(good[1], motion=found)
        assert report.figure("bubbles").light == light
        assert report.figure("motion").light == "green"


def test_what_was_not_looked_for_has_no_light(good):
    config = copy.deepcopy(good[1].evidence.provenance["config"])
    config["motion"]["flag"] = False
    report = judged(good[1], config=config)
    assert report.figure("motion").light == report.figure("bubbles").light == "grey"
    assert "motion.flag=true" in report.figure("motion").note


@pytest.mark.parametrize(
    ("absent", "words"),
    [
        (["energy_kev"], "does not hold the photon energy"),
        (["distance_m", "pixel_size_um"], "the propagation distance and the pixel size"),
    ],
)
def test_without_metadata_it_says_what_and_why(good, absent, words):
    source = {**good[1].evidence.provenance["source"], **dict.fromkeys(absent)}
    report = judged(good[1], source=source)
    assert report.figure("fresnel").value is None
    assert words in report.figure("fresnel").note
    assert report.figure("dose").value is None


def test_an_own_way_of_phase_retrieval_has_no_limit(good):
    config = copy.deepcopy(good[1].evidence.provenance["config"])
    config["phase"]["method"] = "nonlinear"
    figure = judged(good[1], config=config).figure("fresnel")
    assert figure.light == "grey"
    assert figure.value > 0
    assert "nonlinear" in figure.note
