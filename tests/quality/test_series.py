"""A series and a half-acquisition: green where nothing is wrong, and the lights of their faults."""

from __future__ import annotations

import pytest

from hipct.simulation.series import simulate_series

SERIES = {
    "sub_scans": 3,
    "overlap": 0.5,
    "acquisition": "full",
    "columns": 128,
    "rows": 40,
    "angles": 260,
    "distance_m": 2.0,
    "rings": 0.0,
    "flats": 80,
    "oversampling": 2,
    "seed": 3,
}
PLAIN = {"motion": {"flag": False}}


def series_of(folder, run, settings=None, **changes):
    """Report of a simulated series."""
    _, reported = run
    path = simulate_series(folder / "series.zarr", **(SERIES | changes))
    return reported(path, folder / "organ.ome.zarr", PLAIN | (settings or {}))[1]


def test_a_clean_series_is_green(tmp_path, run, lights):
    """Of few rows, blended over four: its seams are those of the noise alone."""
    report = series_of(tmp_path, run, noise=20_000.0)
    assert set(lights(report).values()) == {"green"}
    assert {"seam", "placing", "axis_drift", "missing", "sampling"} <= lights(report).keys()
    assert "a perfect one would score up to 1.2" in report.figure("seam").note
    assert report.figure("seam").value < 1.1


def test_sub_scans_beside_their_places_are_seen(tmp_path, run, lights):
    wrong = {"position_error_px": 2.0, "lateral_error_px": 6.0, "noise": 200_000.0}
    left = series_of(tmp_path, run, {"stitching": {"refine": False}}, **wrong)
    assert lights(left)["placing"] == "red"
    assert lights(left)["seam"] in ("yellow", "red")
    assert lights(left)["missing"] == lights(left)["fresnel"] == "green"


@pytest.mark.parametrize("angles", [520, 90])
def test_a_half_acquisition(tmp_path, run, lights, angles):
    simulated, reported = run
    scan = simulated(
        tmp_path / "scan.zarr", acquisition="half", columns=160, rows=12, angles=angles, axis=130.0
    )
    _, report = reported(scan, tmp_path / "v.ome.zarr")
    if angles > 500:
        assert set(lights(report).values()) == {"green"}
        # As of 6000 views of 2048 columns, which organs are scanned with.
        assert 0.4 < report.figure("sampling").value < 0.7
    else:
        assert lights(report)["sampling"] == "red"
