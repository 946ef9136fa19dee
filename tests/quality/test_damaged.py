"""What a volume notes of its making, with each piece gone, of another kind, or absurd."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import replace

import pytest
import zarr
from click.testing import CliRunner

from hipct.cli.main import cli
from hipct.quality.making import report_of
from hipct.quality.page import page
from hipct.quality.report import Report

GONE = object()
WRONG = (GONE, None, "x", -1, 1e308, float("nan"), 10**400, {}, [None])


@pytest.fixture(scope="module")
def noted(good):
    """Evidence with all that a run can note, as of a series that has moved and has gaps."""
    said = copy.deepcopy(dict(good[1].evidence.provenance))
    sub_scan = {
        "name": "part", "rows": [0, 8], "axis_px": 97.0, "axis_measured_px": 97.1,
        "axis_measured_error_px": 0.1, "axis_confidence": 0.9, "axis_method": "pairs",
        "centre_px": [0.0, 0.0], "centre_error_px": [0.1, 0.1], "offset_error_px": 0.1,
    }  # fmt: skip
    said["series"] = {
        "sub_scans": [sub_scan, copy.deepcopy(sub_scan)],
        "seams": [{"between": ["a", "b"], "rows": [6, 9], "score": 1.1}],
        "rows_without_data": [[3, 5]],
    }
    flag = {"kind": "sudden motion", "size_px": 0.4}
    said["motion"] = {"part": {"drift": None, "flags": [flag], "notes": ["It moved."]}}
    said["incomplete"] = {"rows": [[0, 4]], "reasons": ["The disk was gone."]}
    assert said["timing"]["stages"]
    return replace(good[1].evidence, provenance=said)


def places(value, path=()):
    """Paths of all pieces of a document."""
    if path:
        yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, each in items if isinstance(value, (dict, list)) else ():
        if isinstance(each, (dict, list)):
            yield from places(each, (*path, name))
        else:
            yield *path, name


def damaged(said, path, wrong):
    said = copy.deepcopy(said)
    inner = said
    for name in path[:-1]:
        inner = inner[name]
    if wrong is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = copy.deepcopy(wrong)
    return said


def test_no_damage_of_a_piece_breaks_the_report(noted):
    whole = Report.of("v", noted, 0.0)
    assert whole.figure("missing").light == "red"
    without_pictures = replace(noted, voxels=None, frames=None, frames_why="-", voxels_why="-")
    tried, changed = 0, set()
    for path in places(noted.provenance):
        # Settings are shown as they are: one of them is as good as all.
        for wrong in ("x", [None]) if path[0] == "config" else WRONG:
            said = damaged(noted.provenance, path, wrong)
            report = Report.of("v", replace(noted, provenance=said), 0.0)
            shown = replace(without_pictures, provenance=said)
            for figure, usual in zip(report.figures, whole.figures, strict=True):
                assert figure.value is not None or figure.note, (path, wrong, figure.key)
                if figure.value is None and usual.value is not None:
                    assert figure.light == "grey"
                    changed.add(figure.key)
            # None of it is written as what JSON does not have.
            json.dumps(Report.of("v", shown, 0.0).as_dict(), allow_nan=False)
            tried += 1
            assert page(Report.of("v", shown, 0.0)).endswith("</html>")
    assert tried > 700
    assert changed >= {
        "axis_confidence", "axis_drift", "placing", "seam", "sampling", "missing", "repaired",
        "clipped", "motion", "bubbles", "fresnel", "dose",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("path", "wrong", "figure", "words"),
    [
        (("source", "energy_kev"), "hot", "fresnel", "source.energy_kev as 'hot'; a number is"),
        (("source", "pixel_size_um"), -20.0, "fresnel", "source.pixel_size_um as -20.0; a number"),
        (("counts", "pixels", "dead"), [1], "repaired", "counts.pixels.dead as [1]"),
        (("counts", "voxels", "above"), -5, "clipped", "counts.voxels.above as -5; 0 or more"),
        (("estimates", "axis_confidence"), 7, "axis_confidence", "as 7; 0 to 1 is needed"),
        (("series", "seams", 0, "score"), "bad", "seam", "series.seams[0].score as 'bad'"),
        (("series", "rows_without_data"), 3, "missing", "rows_without_data as 3; a list"),
        (("motion", "part", "flags"), {}, "motion", "motion.part.flags as {}; a list"),
    ],
)
def test_a_fault_is_named(noted, path, wrong, figure, words):
    said = damaged(noted.provenance, path, wrong)
    found = Report.of("v", replace(noted, provenance=said), 0.0).figure(figure)
    assert (found.value, found.light) == (None, "grey")
    assert found.note.startswith("It could not be computed: The volume notes ")
    assert words in found.note


@pytest.fixture
def spoilt(good, tmp_path):
    """Copies the volume with another provenance beside its scan."""
    path = tmp_path / "organ.ome.zarr"
    shutil.copytree(good[0].path, path)
    attributes = zarr.open_group(path, mode="r+").attrs

    def write(where, wrong):
        attributes["hipct"] = damaged(dict(attributes["hipct"]), where, wrong)
        return path

    return write


@pytest.mark.parametrize(
    ("where", "wrong", "words"),
    [
        (("timing", "stages"), 7, "timing.stages as 7; a table is needed"),
        (("timing", "stages"), {"read": {"seconds": "long"}}, "read.seconds as &#x27;long&#x27;"),
        (("notes",), 5, "notes as 5; a list is needed"),
        (("estimates", "axis_px"), "left", "estimates.axis_px as &#x27;left&#x27;"),
        (("estimates", "axis_px"), 1e9, "estimates.axis_px as 1000000000.0"),
        (("estimates", "delta_beta"), -3, "estimates.delta_beta as -3"),
        (("config",), "none", "config as &#x27;none&#x27;"),
        (("config", "rings", "method"), "magic", "magic"),
        (("source", "path"), 17, "source.path as 17; text is needed"),
        (("source", "checksums"), 17, "source.checksums as 17; a list is needed"),
        (("motion", "scan"), {"drift": 3}, "The motion cannot be corrected as in the run"),
    ],
)
def test_the_command_tells_what_is_damaged(spoilt, tmp_path, where, wrong, words):
    out = tmp_path / "page.html"
    done = CliRunner().invoke(cli, ["report", str(spoilt(where, wrong)), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert words in out.read_text(encoding="utf-8")


def test_what_is_no_table_leaves_what_the_voxels_tell(spoilt):
    report = report_of(spoilt(("source",), "somewhere"))
    assert "The volume notes source as 'somewhere'" in report.figure("sampling").note
    assert "does not say how it was made" in report.figure("axis_confidence").note
    assert report.figure("cnr").light == "green"
