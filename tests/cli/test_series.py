"""Series on the command line: imported whole or not at all, and told apart."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hipct.acquisition.series import open_series
from hipct.simulation.series import simulate_series


@pytest.fixture(scope="module")
def organ(tmp_path_factory):
    """Three sub-scans of one organ, the last at the top."""
    return simulate_series(
        tmp_path_factory.mktemp("organ") / "organ.series.zarr",
        sub_scans=3,
        columns=48,
        rows=24,
        angles=40,
        propagation=False,
        descending=True,
    )


def test_sub_scans_are_imported_in_the_order_of_their_height(tmp_path, hipct, organ):
    out = tmp_path / "copy.series.zarr"
    scans = sorted(organ.glob("scan-*"))
    ended = hipct("import", *reversed(scans), out)
    assert ended.code == 0, ended.err
    assert "3 sub-scans of 40 projections of 24 x 48 pixels, 60 rows in all" in ended.out
    with open_series(organ) as given, open_series(out) as copy:
        assert [member.name for member in copy] == [member.name for member in given]
        np.testing.assert_array_equal(copy.offsets_px, given.offsets_px)
        np.testing.assert_array_equal(
            copy[1].scan.read_projections(slice(3, 5), slice(2, 9)),
            given[1].scan.read_projections(slice(3, 5), slice(2, 9)),
        )


def test_a_series_is_described(hipct, organ):
    ended = hipct("inspect", organ)
    assert ended.code == 0
    assert ended.out.count("sub-scan  ") == 3
    assert json.loads(hipct("inspect", organ, "--json").out)["common_rows"] == 60


def test_what_does_not_fit_is_named_and_left_out_on_demand(tmp_path, hipct, organ):
    scans = sorted(organ.glob("scan-*"))
    out = tmp_path / "gap.series.zarr"
    ended = hipct("import", scans[0], scans[2], out)
    assert ended.code == 2
    assert "--allow-gaps" in ended.err
    assert not out.exists()
    ended = hipct("import", scans[0], scans[2], out, "--allow-gaps")
    assert ended.code == 0
    assert "Gap" in ended.out
    assert "gaps" in hipct("inspect", out).out


def test_options_of_the_one_and_of_the_other_are_told_apart(tmp_path, hipct, organ):
    scans = sorted(organ.glob("scan-*"))
    out = tmp_path / "x.zarr"
    assert "--angles and --entry are for one scan" in hipct(
        "import", *scans, out, "--angles", "0:360"
    ).err  # fmt: skip
    assert "give --series with them" in hipct("import", scans[0], out, "--flip-z").err
    assert "give a position in um" in hipct("import", *scans, out, "--z", "1,2,x").err
    assert not out.exists()


def test_a_series_is_planned_and_reconstructed(tmp_path, hipct, organ):
    """A store, or the folder of its sub-scans."""
    few = ("--set", "phase.method=none", "--set", "axis.value=38.5", "--memory", "2GB")
    folder = tmp_path / "sub_scans"
    folder.mkdir()
    for scan in organ.glob("scan-*"):
        (folder / scan.name).symlink_to(scan)
    planned = hipct("plan", folder, *few)
    assert planned.code == 0, planned.err
    assert "series   3 sub-scans of 40 projections of 24 x 48 pixels" in planned.out
    out = tmp_path / "o.ome.zarr"
    # Six rows in common are fewer than the margins of two sub-scans.
    ended = hipct("reconstruct", organ, "-o", out, *few)
    assert ended.code == 2
    assert "10 rows between" in ended.err
    assert "stitching.margin_px" in ended.err
    ended = hipct("reconstruct", organ, "-o", out, "--allow-gaps", *few)
    assert ended.code == 0, ended.err
    assert "gap      rows" in ended.out
    assert "series   3 sub-scans" in ended.out
    assert json.loads(hipct("inspect", out, "--json").out)["provenance"]["series"]["sub_scans"]


def test_options_of_a_series_are_refused_for_a_scan(tmp_path, hipct, organ):
    [scan, *_] = sorted(organ.glob("scan-*"))
    ended = hipct("reconstruct", scan, "-o", tmp_path / "o.ome.zarr", "--allow-gaps")
    assert ended.code == 2
    assert "are for a series" in ended.err
