"""The main job on scans in memory: right, the same however it is cut, and resumed after a stop."""

from __future__ import annotations

import errno
import itertools
import json
import os
from dataclasses import replace

import numpy as np
import pytest
import zarr

import hipct.pipeline.plan
import hipct.pipeline.run
import hipct.pipeline.stream
import hipct.pipeline.work
import hipct.volume.writer
from hipct.core.errors import ConfigError, InputError, MissingMetadata, OutputError, PlanError
from hipct.core.threads import set_thread_count, thread_count
from hipct.pipeline.config import Config
from hipct.pipeline.cut import Cut
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Organ
from hipct.pipeline.plan import make_plan, plan_organ
from hipct.pipeline.run import reconstruct

WRITERS = (hipct.pipeline.stream, hipct.volume.writer)
"""Where layers are written: level 0 by the stream, the levels above by the writer."""

WINDOW = {"window": [-0.01, 0.05], "chunk": 32}
PLAIN = {"phase": {"method": "none"}, "volume": WINDOW}
PHASE = {"pixel_size_um": 10.0, "distance_m": 1.0, "energy_kev": 80.0}
RETRIEVED = {"phase": {"delta_beta": 300.0}, "volume": {"chunk": 32, "window": [-20.0, 60.0]}}


def levels(path):
    """Voxels of all levels of a volume."""
    group = zarr.open_group(path, mode="r")
    return [group[key][:] for key in sorted(group.array_keys())]


def same(path, other):
    """Whether two volumes hold the same files with the same bytes (attributes aside)."""
    files = {p.relative_to(path): p for p in path.rglob("*") if p.is_file()}
    assert files.keys() == {p.relative_to(other) for p in other.rglob("*") if p.is_file()}
    return all(
        p.read_bytes() == (other / name).read_bytes()
        for name, p in files.items()
        if name.name != "zarr.json"
    )


def force(monkeypatch, cut):
    """Let every plan take this cut."""
    monkeypatch.setattr(hipct.pipeline.plan, "cuts", lambda *_, **__: iter([cut]))


@pytest.mark.parametrize(("acquisition", "axis"), [("full", None), ("half", 22.7)])
def test_absolute_values_come_out(tmp_path, discs, acquisition, axis):
    scan = discs(columns=96, rows=40, angles=300, acquisition=acquisition, axis=axis)
    result = reconstruct(scan, tmp_path / "v.ome.zarr", Config(**PLAIN))
    window = result.window
    volume = levels(result.path)[0] * window.scale + window.offset
    side = volume.shape[-1]
    position = np.arange(side) - (side - 1) / 2
    radius = np.hypot(position[:, None], position)
    true_axis = (95 / 2 + 0.4) if axis is None else axis
    reach = max(true_axis, 95 - true_axis) if axis else min(true_axis, 95 - true_axis)
    assert abs(result.axis - true_axis) < 0.1
    assert result.unit == "1/pixel"
    small = np.hypot(position[:, None] - 0.2 * reach, position - 0.3 * reach)
    body = (radius < 0.85 * reach - 3) & (small > 0.3 * reach + 3)
    inner = small < 0.1 * reach - 1.5
    assert abs(volume[:, body].mean() - 0.01) < 2e-4
    # y runs down: an object at column axis + x cos + y sin lies at (y, x).
    assert abs(volume[-1][inner].mean() - 0.03) < 1e-3
    assert (levels(result.path)[0][:, radius > reach + 2] == 0).all()


CUTS = [
    Cut(60, 64, 2, 2, False, False, 32, 64),
    Cut(8, 5, 1, 1, False, False, 32, 64),
    Cut(16, 7, 1, 2, True, True, 32, 64),
    Cut(24, 3, 2, 1, False, True, 32, 64),
]


@pytest.mark.parametrize("settings", [PLAIN, RETRIEVED], ids=["plain", "phase"])
def test_however_the_work_is_cut_the_bytes_are_the_same(tmp_path, discs, monkeypatch, settings):
    scan = discs(rows=300, noise=50.0, **PHASE)
    paths = []
    for number, cut in enumerate(CUTS):
        force(monkeypatch, cut)
        paths.append(tmp_path / f"{number}.ome.zarr")
        reconstruct(scan, paths[-1], Config(**settings, axis={"value": 24.0}))
        assert not (tmp_path / f"{number}.ome.zarr.run").exists()
    assert all(same(paths[0], path) for path in paths[1:])


def test_a_crop_of_rows_equals_the_same_rows_of_the_whole(tmp_path, discs):
    scan = discs(rows=300, noise=50.0, **PHASE)
    settings = RETRIEVED | {"axis": {"value": 24.0}}
    whole = reconstruct(scan, tmp_path / "whole.ome.zarr", Config(**settings))
    part = Config(**settings, scan={"first_row": 75, "last_row": 210})
    crop = reconstruct(scan, tmp_path / "part.ome.zarr", part)
    np.testing.assert_array_equal(levels(crop.path)[0], levels(whole.path)[0][75:210])


def test_every_level_is_the_mean_of_the_one_below(tmp_path, discs):
    result = reconstruct(discs(rows=77), tmp_path / "v.ome.zarr", Config(**PLAIN))
    pyramid = levels(result.path)
    assert len(pyramid) == 3
    for fine, coarse in itertools.pairwise(pyramid):
        pad = [(0, n % 2) for n in fine.shape]
        blocks = np.pad(fine.astype(float), pad, constant_values=np.nan)
        z, y, x = (n // 2 for n in blocks.shape)
        mean = np.nanmean(blocks.reshape(z, 2, y, 2, x, 2), axis=(1, 3, 5))
        np.testing.assert_array_equal(coarse, np.rint(mean))


@pytest.mark.parametrize("fails_at", [0, 1, 3, 7])
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(tmp_path, discs, monkeypatch, fails_at):
    scan = discs(rows=300, noise=50.0, **PHASE)
    config = Config(**(RETRIEVED | {"axis": {"value": 24.0}}))
    force(monkeypatch, Cut(30, 16, 1, 2, False, False, 32, 64))
    undisturbed = reconstruct(scan, tmp_path / "a.ome.zarr", config)

    count = itertools.count()
    write_bands = hipct.pipeline.stream.write_bands

    def failing(*arguments, **options):
        if next(count) == fails_at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bands(*arguments, **options)

    for module in WRITERS:
        monkeypatch.setattr(module, "write_bands", failing)
    with pytest.raises(OutputError, match=r"disk of .* is full"):
        reconstruct(scan, tmp_path / "b.ome.zarr", config)
    assert not (tmp_path / "b.ome.zarr").exists()
    done = list((tmp_path / "b.ome.zarr.run" / "done").glob("0-*.json"))
    scan.reads.clear()
    resumed = reconstruct(scan, tmp_path / "b.ome.zarr", config)
    assert same(undisturbed.path, resumed.path)
    assert resumed.report.voxels == (300 - 32 * len(done)) * 48 * 48
    assert resumed.provenance["counts"] == undisturbed.provenance["counts"]


def test_a_disk_that_is_full_at_the_very_end_loses_nothing(tmp_path, discs, monkeypatch):
    scan, out = discs(rows=40), tmp_path / "v.ome.zarr"

    def full(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(hipct.pipeline.work, "orthogonal_preview", full)
        with pytest.raises(OutputError, match="run the same command again"):
            reconstruct(scan, out, Config(**PLAIN))
    assert not out.exists()
    result = reconstruct(scan, out, Config(**PLAIN))
    assert result.report.voxels == 0
    assert result.preview.exists()
    assert out.exists()


def test_a_run_begun_by_another_version_is_not_continued(tmp_path, discs, monkeypatch):
    scan, out = discs(rows=40), tmp_path / "v.ome.zarr"
    count = itertools.count()
    write_bands = hipct.pipeline.stream.write_bands

    def stop(*arguments, **options):
        if next(count) == 1:
            raise KeyboardInterrupt
        return write_bands(*arguments, **options)

    with monkeypatch.context() as patch:
        for module in WRITERS:
            patch.setattr(module, "write_bands", stop)
        patch.setattr(hipct.pipeline.run, "package_version", lambda _: "0.0.1")
        with pytest.raises(KeyboardInterrupt):
            reconstruct(scan, out, Config(**PLAIN))
    with pytest.raises(OutputError, match=r"hipct: 0\.0\.1 then"):
        reconstruct(scan, out, Config(**PLAIN))


def test_a_resumed_run_with_other_parameters_is_refused(tmp_path, discs, monkeypatch):
    scan = discs(rows=40)
    write_bands = hipct.pipeline.stream.write_bands

    def stop(path, spec, level, index, *rest, **options):
        if level == 1:
            raise KeyboardInterrupt
        return write_bands(path, spec, level, index, *rest, **options)

    with monkeypatch.context() as patch:
        for module in WRITERS:
            patch.setattr(module, "write_bands", stop)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(scan, tmp_path / "v.ome.zarr", Config(**PLAIN))
    other = Config(**PLAIN, reconstruction={"filter": "hann"})
    with pytest.raises(OutputError, match=r"config\.reconstruction\.filter: ramp then, hann now"):
        reconstruct(scan, tmp_path / "v.ome.zarr", other)
    result = reconstruct(scan, tmp_path / "v.ome.zarr", other, restart=True)
    assert result.provenance["config"]["reconstruction"]["filter"] == "hann"


def test_a_scan_replaced_under_its_name_is_another_scan(tmp_path, discs, monkeypatch):
    def stop(path, spec, level, index, *rest, **options):
        if index == 1:
            raise KeyboardInterrupt
        return write_bands(path, spec, level, index, *rest, **options)

    write_bands = hipct.pipeline.stream.write_bands
    with monkeypatch.context() as patch:
        for module in WRITERS:
            patch.setattr(module, "write_bands", stop)
        with pytest.raises(KeyboardInterrupt):
            reconstruct(discs(rows=80, noise=50.0), tmp_path / "v.ome.zarr", Config(**PLAIN))
    other = discs(rows=80, noise=51.0)
    with pytest.raises(OutputError, match=r"scan\.checksum: [0-9a-f]+ then, [0-9a-f]+ now"):
        reconstruct(other, tmp_path / "v.ome.zarr", Config(**PLAIN))
    moved = discs(rows=80, noise=50.0)
    moved.info = replace(moved.info, source="elsewhere")
    reconstruct(moved, tmp_path / "v.ome.zarr", Config(**PLAIN))


def test_a_wrong_setting_can_be_corrected(tmp_path, discs):
    out = tmp_path / "v.ome.zarr"
    with pytest.raises(InputError, match="off the detector"):
        reconstruct(discs(rows=4), out, Config(**PLAIN, axis={"value": 60}))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PlanError):
        reconstruct(discs(rows=4), out, Config(**PLAIN, compute={"memory": "1MB"}))
    reconstruct(discs(rows=4), out, Config(**PLAIN, axis={"value": 23.9}))


def test_the_current_counts_only_where_flats_do(tmp_path, discs):
    current = {"current": np.full(60, 0.2), "flat_current": np.full(4, 0.1)}
    scan = discs(rows=4, **current)
    scan.info = replace(scan.info, dtype=np.dtype(np.float32), kind="transmission")
    counts = scan.frames["projections"]
    scan.frames["projections"] = ((counts - 100.0) / 40_000).astype(np.float32)
    result = reconstruct(scan, tmp_path / "v.ome.zarr", Config(**PLAIN))
    assert abs(result.axis - 23.9) < 0.1
    assert resolve(discs(rows=4, **current), Config(**PLAIN)).current is not None


def test_phase_retrieval_without_a_distance_says_how_to_leave_it_out(discs):
    scan = discs(rows=4, pixel_size_um=10.0, distance_m=0.0, energy_kev=80.0)
    with pytest.raises(MissingMetadata, match=r"phase\.method=none.* above 0 m, .*discs is 0"):
        resolve(scan, Config())


def test_buffers_in_flight_never_exceed_the_cut(tmp_path, discs, monkeypatch):
    alive, most = {"tile": 0, "layer": 0}, {"tile": 0, "layer": 0}

    class Counted(hipct.pipeline.stream.Buffer):
        def __init__(self, shape, dtype, *arguments, **options):
            super().__init__(shape, dtype, *arguments, **options)
            self.kind = "tile" if np.dtype(dtype) == np.float32 else "layer"
            alive[self.kind] += 1
            most[self.kind] = max(most[self.kind], alive[self.kind])

        def close(self):
            super().close()
            alive[self.kind] -= 1

    monkeypatch.setattr(hipct.pipeline.stream, "Buffer", Counted)
    force(monkeypatch, Cut(20, 8, 1, 1, False, False, 32, 64))
    reconstruct(discs(rows=500), tmp_path / "v.ome.zarr", Config(**PLAIN))
    assert most == {"tile": 1, "layer": 1}
    assert alive == {"tile": 0, "layer": 0}


def test_the_window_is_found_once_and_kept(tmp_path, discs):
    config = Config(phase={"method": "none"}, volume={"chunk": 32, "scout_slices": 60})
    result = reconstruct(discs(rows=60, noise=100.0), tmp_path / "v.ome.zarr", config)
    volume = levels(result.path)[0]
    counts = result.provenance["counts"]["voxels"]
    inside = counts["voxels"] - counts["nan"]
    assert counts["below"] / inside == pytest.approx(1e-3, rel=0.02)
    assert counts["above"] / inside == pytest.approx(1e-3, rel=0.02)
    assert (volume == 65535).sum() >= counts["above"]
    stored = json.loads((result.path / "zarr.json").read_text())["attributes"]["hipct"]
    assert stored["window"]["low"] == result.window.low
    assert stored["window"]["unit"] == "1/pixel"
    assert stored["estimates"]["axis_px"] == result.axis
    report = json.loads(result.report_path.read_text())
    assert {"read", "flat", "reconstruct", "write"} <= report["stages"].keys()
    assert result.preview.stat().st_size > 1000


def test_missing_metadata_is_asked_for_by_name(tmp_path, discs):
    with pytest.raises(MissingMetadata, match=r"scan\.energy_kev=.*scan\.distance_m="):
        reconstruct(discs(rows=4), tmp_path / "v.ome.zarr", Config())
    assert list(tmp_path.iterdir()) == []


def test_an_existing_output_is_left_alone(tmp_path, discs):
    out = tmp_path / "v.ome.zarr"
    out.mkdir()
    (out / "mine").write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        reconstruct(discs(rows=4), out, Config(**PLAIN))
    scan = discs(rows=4)
    with pytest.raises(OutputError, match="no OME-Zarr volume"):
        reconstruct(scan, out, Config(**PLAIN), overwrite=True)
    assert (out / "mine").read_text() == "precious"
    assert scan.reads == []

    volume = tmp_path / "w.ome.zarr"
    reconstruct(scan, volume, Config(**PLAIN))
    (volume / "mine").touch()
    reconstruct(scan, volume, Config(**PLAIN), overwrite=True)
    assert not (volume / "mine").exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        "v.ome.zarr",
        "w.ome.zarr",
        "w.preview.png",
        "w.report.json",
    }


def test_an_axis_off_the_detector_is_refused(tmp_path, discs):
    with pytest.raises(InputError, match=r"axis at column 60\.00 lies off the detector"):
        reconstruct(discs(rows=4), tmp_path / "v", Config(**PLAIN, axis={"value": 60}))


def test_rows_that_do_not_exist_are_refused(tmp_path, discs):
    with pytest.raises(ConfigError, match=r"scan\.last_row 50"):
        reconstruct(discs(rows=40), tmp_path / "v", Config(**PLAIN, scan={"last_row": 50}))


def test_flats_are_missing(tmp_path, discs):
    scan = discs(rows=4)
    scan.info = type(scan.info)(
        **{
            name: getattr(scan.info, name)
            for name in ("projections", "rows", "columns", "dtype", "angles_rad", "source")
        }
    )
    with pytest.raises(InputError, match="no flats"):
        reconstruct(scan, tmp_path / "v", Config(**PLAIN))


def test_a_job_that_cannot_fit_is_refused_with_the_stage(tmp_path, discs):
    config = Config(**PLAIN, compute={"memory": "100MB"})
    with pytest.raises(PlanError, match=r"largest stage is '[a-z ]+' with .*--memory"):
        reconstruct(discs(), tmp_path / "v", config)
    assert not (tmp_path / "v").exists()


def test_without_scratch_space_the_layers_get_thinner(discs):
    scan = discs(rows=300, angles=8, columns=400)

    def plan(megabytes, **disk):
        memory = hipct.pipeline.cut.PROCESS_BYTES + megabytes * 1_000_000
        config = Config(**(PLAIN | {"volume": {"chunk": 128}, "compute": {"memory": memory}}))
        return plan_organ(Organ.of_scan(resolve(scan, config), 200.0), [scan], **disk)

    # The smallest budget for whole layers is one that stages them.
    megabytes = next(m for m in range(60, 400, 20) if plan(m).spec.layer == 128)
    assert plan(megabytes).cut.stage_layer
    thin = plan(megabytes, scratch_free=1000)
    assert thin.scratch_bytes == 0
    assert thin.spec.layer < 128
    assert "thinner chunks" in thin.text()


def test_the_plan_stages_what_does_not_fit_and_says_so(discs):
    scan = discs(rows=600, angles=1000, columns=200)
    roomy = make_plan(scan, Config(**PLAIN, compute={"memory": "8GB"}))
    tight = make_plan(scan, Config(**PLAIN, compute={"memory": roomy.memory["process"] + 10**8}))
    assert not roomy.cut.stage_tile
    assert roomy.scratch_bytes == 0
    assert tight.cut.stage_tile
    assert tight.peak_bytes <= tight.budget_bytes
    assert "scratch" in tight.text()
    assert "memory by stage" in tight.text()


def test_the_callers_number_of_threads_is_left_alone(tmp_path, discs):
    before = thread_count()
    set_thread_count(3)
    try:
        scan = discs(rows=4)
        reconstruct(scan, tmp_path / "a.ome.zarr", Config(**PLAIN))
        assert thread_count() == 3
        reconstruct(scan, tmp_path / "b.ome.zarr", Config(**PLAIN, compute={"threads": 1}))
        assert thread_count() == 3
    finally:
        set_thread_count(before)
    assert same(tmp_path / "a.ome.zarr", tmp_path / "b.ome.zarr")
