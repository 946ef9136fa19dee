"""The report of a run on a device: the figures of the CPU."""

from __future__ import annotations

import pytest


def test_a_run_on_a_device_tells_the_same(good_scan, tmp_path, run, standin):
    _, reported = run
    few = {"scan": {"last_row": 8}, "motion": {"flag": False}, "axis": {"value": 97.2}}
    ours, theirs = (
        reported(good_scan, tmp_path / f"{name}.ome.zarr", few | {"compute": {"backend": name}})[1]
        for name in ("numpy", "cupy")
    )
    assert ours.evidence.frames_why == theirs.evidence.frames_why == ""
    for key in ("snr", "resolution", "cnr"):
        assert theirs.figure(key).value == pytest.approx(ours.figure(key).value, rel=0.01), key
