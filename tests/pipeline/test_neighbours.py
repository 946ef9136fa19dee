"""Neighbours that are not quite alike, and scores that are no numbers."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

import hipct.pipeline.seams
from hipct.core.errors import ConfigError, InputError
from hipct.core.progress import Silent
from hipct.pipeline.config import Config
from hipct.pipeline.job import resolve
from hipct.pipeline.neighbours import compare_neighbours
from hipct.pipeline.organ import Organ, Part
from hipct.pipeline.report import StageClock

CONFIG = Config(phase={"method": "none"}, stitching={"angles": 3, "levels": "offset"})


def sub_scan(whole, rows, columns):
    """Some rows and columns of a scan in memory."""
    frames = {name: values[:, rows, columns] for name, values in whole.frames.items()}
    height, width = frames["projections"].shape[1:]
    return type(whole)(replace(whole.info, rows=height, columns=width), frames)


def test_a_column_more_is_no_reason_not_to_compare(discs):
    """Stations of two annuli are as wide as their own offset makes them."""
    whole = discs(rows=90, columns=64, angles=12)
    scans = [
        sub_scan(whole, slice(60), slice(64)),
        sub_scan(whole, slice(25, 85), slice(63)),
    ]
    parts = [
        Part(resolve(scan, CONFIG, of_series=True), 31.9, offset, number=k, name=f"s{k}")
        for k, (scan, offset) in enumerate(zip(scans, (0.0, 25.0)))
    ]
    _, [pair] = compare_neighbours(scans, parts, StageClock(), Silent())
    assert not pair.notes
    assert pair.step.offset == pytest.approx(0, abs=1e-4)


def part(offset, number):
    job = SimpleNamespace(config=CONFIG, info=SimpleNamespace(rows=40))
    return Part(job, 3.5, offset, number=number, name=f"s{number}")


def test_rows_that_margins_leave_to_nobody_are_named():
    """The detectors overlap; what counts of them does not."""
    parts = part(0.0, 0), part(25.0, 1), part(58.0, 2)
    Organ.of_series(parts[:2], 5).refuse_gaps()
    with pytest.raises(InputError, match="No sub-scan covers 3 rows between s1 and s2: the 5 rows"):
        Organ.of_series(parts, 5).refuse_gaps()
    with pytest.raises(ConfigError, match=r"20 rows at either end \(stitching.margin_px"):
        Organ.of_series(parts, 20)


def test_a_seam_in_rows_that_are_all_the_same_has_no_score(monkeypatch, tmp_path):
    """What is written is JSON, which has no number for it."""
    from hipct.volume.layout import PyramidSpec
    from hipct.volume.writer import create_pyramid

    spec = PyramidSpec(shape=(55, 32, 32), voxel_size_um=None, chunk=32, layer=32)
    create_pyramid(tmp_path / "v.ome.zarr", spec, {})
    monkeypatch.setattr(hipct.pipeline.seams, "seam_score", lambda *_: float("inf"))
    organ = Organ.of_series((part(0.0, 0), part(25.0, 1)), 5)
    [seam] = hipct.pipeline.seams.score_seams(tmp_path / "v.ome.zarr", organ)
    assert seam["score"] is None


def test_slices_that_are_cropped_to_a_strip_have_no_score(tmp_path):
    from hipct.volume.layout import PyramidSpec
    from hipct.volume.writer import create_pyramid

    spec = PyramidSpec(shape=(55, 8, 32), voxel_size_um=None, chunk=32, layer=32)
    create_pyramid(tmp_path / "v.ome.zarr", spec, {})
    organ = Organ.of_series((part(0.0, 0), part(25.0, 1)), 5)
    assert hipct.pipeline.seams.score_seams(tmp_path / "v.ome.zarr", organ) == []
