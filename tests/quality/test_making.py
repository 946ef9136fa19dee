"""Reports of volumes that were made before: with their scan, without, and with another one."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

from hipct.cli.main import cli
from hipct.core.errors import InputError, OutputError
from hipct.quality.making import report_of
from hipct.quality.report import write_report
from hipct.volume.open import open_volume


class Page(HTMLParser):
    """Tags that are open, addresses, and the text."""

    def __init__(self, text):
        super().__init__()
        self.addresses, self.text, self.tags, self.wrong = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.addresses += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "img"):
            self.tags.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.tags or self.tags.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def again(good):
    return report_of(good[0].path)


def test_made_again_it_says_what_it_said_at_the_end_of_the_run(good, again):
    for then, now in zip(good[1].figures, again.figures, strict=True):
        assert now.light == then.light
        if then.value is not None:
            assert now.value == pytest.approx(then.value, rel=1e-5, abs=1e-6), then.key


def test_the_run_is_named_by_its_report_as_well(good, again):
    path = good[0].path
    named = report_of(path.with_name("organ.report.json"))
    assert named.as_dict()["figures"] == again.as_dict()["figures"]
    with pytest.raises(InputError, match="hipct status tells where it stands"):
        report_of(f"{path}.run")
    with pytest.raises(InputError, match="is not beside it"):
        report_of(path.with_name("other.report.json"))


def test_the_page_is_one_file(good, tmp_path):
    files = write_report(good[1], tmp_path / "page.html")
    text = files[0].read_text(encoding="utf-8")
    page = Page(text)
    assert not page.wrong
    assert not page.tags
    assert page.addresses
    assert all(each.startswith("data:image/png;base64,") for each in page.addresses)
    assert not re.search(r"https?://(?!doi)", text)
    said = " ".join(page.text)
    for figure in good[1].figures:
        assert figure.title in said
        assert figure.shown in said
    for picture in ("Three slices", "Histogram", "Rings", "Sinogram", "Axis sweep", "Resolution",
                    "Flat"):  # fmt: skip
        assert f"{picture}" in said
    for setting in ("phase.delta_beta", "motion.flag", "default no", "numba", "reconstruct"):
        assert setting in said
    assert files[0].stat().st_size < 2_000_000
    told = json.loads(files[1].read_text(encoding="utf-8"))
    assert told["light"] == "green"
    assert len(told["ring_correlation"]["correlation"]) > 16
    assert sum(told["histogram"]["counts"]) > 10_000
    with pytest.raises(OutputError, match="exists already"):
        write_report(good[1], tmp_path / "page.html")
    with pytest.raises(InputError, match=r"end in \.html"):
        write_report(good[1], tmp_path / "page.txt")
    with pytest.raises(InputError, match=r"page\.quality\.html"):
        write_report(good[1], tmp_path / "page.report.html")


def test_what_a_name_holds_does_not_become_part_of_the_page(good, tmp_path):
    evil = type(good[1])("<script>x</script>", good[1].evidence, good[1].figures, 0.0)
    page, _ = write_report(evil, tmp_path / "page.html")
    assert "<script>" not in page.read_text(encoding="utf-8")


@pytest.fixture
def alone(good, tmp_path):
    """The volume, elsewhere and without its scan."""
    path = tmp_path / "far" / "organ.ome.zarr"
    shutil.copytree(good[0].path, path)
    attributes = zarr.open_group(path, mode="r+").attrs
    noted = dict(attributes["hipct"])
    noted["source"] = noted["source"] | {"path": "/nowhere/gone.zarr"}
    attributes["hipct"] = noted
    return path


def test_without_the_scan_the_rest_is_told(alone, lights):
    report = report_of(alone)
    for key in ("axis_error", "snr", "resolution", "quanta", "dose"):
        assert report.figure(key).value is None
        assert "gone.zarr is neither there nor beside" in report.figure(key).note
        assert "--scan" in report.figure(key).note
    assert {"rings", "cnr", "clipped", "repaired", "sampling", "fresnel"} <= lights(report).keys()
    assert set(lights(report).values()) == {"green"}


def test_the_scan_may_be_given(good_scan, alone, again, run, tmp_path):
    report = report_of(alone, scan=good_scan)
    assert report.figure("snr").value == pytest.approx(again.figure("snr").value, rel=1e-6)
    simulated, _ = run
    other = simulated(tmp_path / "other.zarr", angles=40, rows=8, seed=9)
    report = report_of(alone, scan=other)
    assert "holds something else" in report.figure("snr").note


def test_a_volume_of_others(tmp_path, rng, plain_volume):
    z, y, x = np.mgrid[:24, :96, :96]
    voxels = 20_000 + 8_000 * (np.hypot(y - 40, x - 50) < 20) + 300 * rng.standard_normal(z.shape)
    path = plain_volume(tmp_path / "other.ome.zarr", voxels.astype(np.uint16))
    report = report_of(path)
    assert report.figure("cnr").value == pytest.approx(8000 / 300, rel=0.15)
    assert report.figure("rings").light == "green"
    for key in ("axis_confidence", "clipped", "sampling", "fresnel", "snr"):
        assert report.figure(key).value is None
        assert "does not say how it was made" in report.figure(key).note
    page, _ = write_report(report, tmp_path / "other.html")
    said = " ".join(Page(page.read_text(encoding="utf-8")).text)
    assert "does not say how it was made" in said
    assert "What was done" not in said


def test_on_the_command_line(good, tmp_path):
    out = tmp_path / "page.html"
    done = CliRunner().invoke(cli, ["report", str(good[0].path), "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert "0 red, 0 yellow" in done.output
    assert out.exists()
    assert out.with_suffix(".json").exists()
    again = CliRunner().invoke(cli, ["report", str(good[0].path), "-o", str(out)])
    assert isinstance(again.exception, OutputError)


@pytest.mark.parametrize("wanted", [True, False])
def test_a_run_leaves_it_unless_told_not_to(good_scan, tmp_path, wanted):
    out = tmp_path / "o.ome.zarr"
    words = ["reconstruct", str(good_scan), "-o", str(out), "--set", "scan.last_row=8"]
    done = CliRunner().invoke(cli, words if wanted else [*words, "--no-report"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "o.quality.html").exists() == wanted
    assert (tmp_path / "o.quality.json").exists() == wanted
    assert ("quality " in done.output) == wanted


def test_a_run_is_not_lost_for_its_report(good_scan, tmp_path, run, monkeypatch):
    def broken(*_, **__):
        raise MemoryError

    monkeypatch.setattr("hipct.quality.making.look_at_frames", broken)
    _, reported = run
    result, report = reported(good_scan, tmp_path / "o.ome.zarr", {"scan": {"last_row": 8}})
    assert open_volume(result.path).shape[0] == 8
    assert "could not be looked at: MemoryError" in report.figure("snr").note


@pytest.mark.parametrize("broken", ["look_at_frames", "look_at_voxels", "write_report"])
def test_a_run_outlives_errors_that_have_no_common_class(
    good_scan, tmp_path, run, monkeypatch, broken
):
    """As those of CUDA, which are RuntimeErrors, and of codecs."""

    def fails(*_, **__):
        raise RuntimeError("cudaErrorLaunchFailure")

    monkeypatch.setattr(f"hipct.quality.making.{broken}", fails)
    out = tmp_path / "o.ome.zarr"
    words = ["reconstruct", str(good_scan), "-o", str(out), "--set", "scan.last_row=8"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert open_volume(out).shape[0] == 8
    page = tmp_path / "o.quality.html"
    assert page.exists() == (broken != "write_report")
    if page.exists():
        assert "cudaErrorLaunchFailure" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("estimates", [None, {}, {"axis_px": None}])
def test_a_volume_that_does_not_name_its_axis_is_one_of_unknown_making(alone, estimates):
    attributes = zarr.open_group(alone, mode="r+").attrs
    attributes["hipct"] = dict(attributes["hipct"]) | {"estimates": estimates}
    report = report_of(alone)
    assert "does not say how it was made" in report.figure("axis_confidence").note
    assert "does not say how it was made" in report.figure("snr").note
    assert report.figure("cnr").light == "green"


def test_a_folder_that_is_not_there_is_told_before_the_work(good, tmp_path, monkeypatch):
    monkeypatch.setattr("hipct.quality.making.report_of", None)
    words = ["report", str(good[0].path), "-o", str(tmp_path / "gone" / "page.html")]
    done = CliRunner().invoke(cli, words)
    assert isinstance(done.exception, OutputError)
    assert "there is no folder" in str(done.exception)


def test_a_scan_that_was_given_in_vain_is_told_in_the_terminal(alone, tmp_path):
    words = ["report", str(alone), "-o", str(tmp_path / "page.html"), "--scan", "nowhere.zarr"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    assert "The projections were not looked at: " in done.output
    assert "nowhere.zarr" in done.output
