"""The main job on a device: the numbers of the CPU, the same bytes however it is cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

import hipct.pipeline.plan
from hipct.acquisition.store import ScanStoreWriter
from hipct.core.errors import InputError, OutputError, PlanError
from hipct.core.progress import Silent
from hipct.pipeline.config import Config
from hipct.pipeline.cut import Cut
from hipct.pipeline.gpus import deal
from hipct.pipeline.plan import make_plan
from hipct.pipeline.run import reconstruct
from hipct.pipeline.stream import Stream

STANDIN = Path(__file__).resolve().parents[1] / "standin"
PHASE = {"pixel_size_um": 10.0, "distance_m": 1.0, "energy_kev": 80.0}
WINDOW = [-20.0, 60.0]


def settings(backend, *, rings="none", window=WINDOW, phase=True, **compute):
    return Config(
        phase={"delta_beta": 300.0} if phase else {"method": "none"},
        unsharp={"method": "log"} if phase else {},
        rings={"method": rings},
        axis={"value": 24.0},
        volume={"chunk": 32, "window": window},
        compute={"backend": backend, **compute},
    )


def levels(path):
    group = zarr.open_group(path, mode="r")
    return [group[key][:] for key in sorted(group.array_keys())]


def same(path, other):
    files = {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}
    others = {p.relative_to(other): p.read_bytes() for p in other.rglob("*") if p.is_file()}
    attributes = Path("zarr.json")
    return {k: v for k, v in files.items() if k.name != attributes.name} == {
        k: v for k, v in others.items() if k.name != attributes.name
    }


class Heard(Silent):
    def __init__(self):
        self.sentences = []

    def say(self, message):
        self.sentences.append(message)


@pytest.fixture
def small(discs):
    """A scan of two phase tiles of which few rows are wanted."""
    return discs(rows=80, columns=48, angles=40, noise=50.0, **PHASE)


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("rings", ["none", "sorting", "wavelet"])
def test_the_volume_is_that_of_the_cpu(tmp_path, small, rings):
    made = {}
    for backend in ("numpy", "cupy"):
        result = reconstruct(small, tmp_path / backend, settings(backend, rings=rings))
        made[backend] = levels(result.path)
        assert result.provenance["config"]["compute"]["backend"] == backend
        counts = result.provenance["counts"]
        made[backend, "counts"] = counts["pixels"]
    assert made["numpy", "counts"] == made["cupy", "counts"]
    for ours, reference in zip(made["cupy"], made["numpy"], strict=True):
        difference = np.abs(ours.astype(int) - reference)
        # Values that differ by a rounding may change places when they are sorted, and what stands
        # at their ranks is another value of the same column: a few rays of a few slices.
        assert difference.max() <= (32 if rings == "sorting" else 1)
        assert (difference > 1).mean() < 0.01
        assert (difference > 0).mean() < 0.05


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("acquisition", ["full", "half"])
def test_axis_and_window_are_found_as_on_the_cpu(tmp_path, discs, acquisition):
    scan = discs(
        rows=12, columns=64, angles=90, acquisition=acquisition, axis=40.3, noise=50.0, **PHASE
    )
    found = []
    for backend in ("numpy", "cupy"):
        config = Config(phase={"method": "none"}, compute={"backend": backend})
        found.append(reconstruct(scan, tmp_path / backend, config))
    assert found[0].axis == pytest.approx(found[1].axis, abs=1e-4)
    assert found[0].window.low == pytest.approx(found[1].window.low, rel=1e-3)
    assert found[0].window.high == pytest.approx(found[1].window.high, rel=1e-3)


CUTS = [
    Cut(40, 64, 2, 2, False, False, 32, 64, True),
    Cut(8, 5, 1, 1, False, False, 32, 64),
    Cut(16, 6, 1, 2, True, True, 32, 64),
    Cut(24, 3, 2, 1, False, True, 32, 64, True),
]


@pytest.mark.usefixtures("device")
def test_however_the_work_is_cut_the_bytes_are_the_same(tmp_path, small, monkeypatch):
    paths = []
    for number, cut in enumerate(CUTS):
        monkeypatch.setattr(hipct.pipeline.plan, "cuts", lambda *_, cut=cut, **__: iter([cut]))
        paths.append(tmp_path / f"{number}.ome.zarr")
        reconstruct(small, paths[-1], settings("cupy"))
    assert all(same(paths[0], path) for path in paths[1:])


@pytest.mark.parametrize(
    ("what", "most", "left", "phase"),
    [("slices", 32, 10_000_000, False), ("projections", 40, 2_700_000, True)],
)
def test_memory_that_runs_out_halves_the_work_and_is_said(  # noqa: PLR0917
    tmp_path, discs, standin, monkeypatch, what, most, left, phase
):
    rows, columns, angles = (80, 48, 40) if phase else (64, 96, 200)
    scan = discs(rows=rows, columns=columns, angles=angles, noise=50.0, **PHASE)
    config = settings("cupy", phase=phase, rings="none" if phase else "sorting")
    cut = Cut(40 if phase else 4, 32, 1, 1, False, False, 32, 64, True)
    monkeypatch.setattr(hipct.pipeline.plan, "cuts", lambda *_, **__: iter([cut]))
    whole = reconstruct(scan, tmp_path / "whole.ome.zarr", config)
    pool, run = standin.get_default_memory_pool(), Stream.run

    def in_less_memory(stream):
        # Somebody else has taken memory after the plan was made. What lies idle beside arrays that
        # live on stays with the pool.
        pool.free_all_blocks()
        pool.set_limit(size=pool.total_bytes() + 4 * rows * angles * columns + left)
        return run(stream)

    heard = Heard()
    monkeypatch.setattr(Stream, "run", in_less_memory)
    try:
        halved = reconstruct(scan, tmp_path / "b.ome.zarr", config, observer=heard)
    finally:
        pool.set_limit(size=0)
    assert same(whole.path, halved.path)
    assert whole.provenance["counts"] == halved.provenance["counts"]
    assert any(f"ran out of memory with {most} {what}" in said for said in heard.sentences)


def test_the_run_stays_in_the_device_memory_that_was_planned(tmp_path, small, standin):
    config = settings("cupy", device_memory=40_000_000)
    plan = make_plan(small, config)
    assert 0 < plan.device_peak_bytes <= plan.device_budget_bytes == 40_000_000
    assert "device memory by stage" in plan.text()
    result = reconstruct(small, tmp_path / "v.ome.zarr", config)
    assert 0 < result.report.device_peak_bytes <= plan.device_peak_bytes
    assert result.report.device in result.report.table()
    standin.get_default_memory_pool().set_limit(size=0)


@pytest.mark.usefixtures("standin")
def test_a_job_that_no_cut_fits_on_the_device_is_refused(small):
    with pytest.raises(PlanError, match=r"of .*'s memory even when .* Give more with --device-mem"):
        make_plan(small, settings("cupy", device_memory=100_000))


@pytest.mark.usefixtures("standin")
def test_a_run_goes_on_with_the_backend_that_it_was_begun_on(tmp_path, small, monkeypatch):
    out = tmp_path / "v.ome.zarr"
    cut = Cut(40, 16, 1, 1, False, False, 32, 64, True)
    monkeypatch.setattr(hipct.pipeline.plan, "cuts", lambda *_, **__: iter([cut]))
    write_bands = hipct.pipeline.stream.write_bands
    calls = iter(range(100))

    def failing(*arguments, **options):
        if next(calls) == 1:
            raise OSError(28, os.strerror(28))
        return write_bands(*arguments, **options)

    with monkeypatch.context() as patch:
        for module in ("hipct.pipeline.stream", "hipct.volume.writer"):
            patch.setattr(f"{module}.write_bands", failing)
        with pytest.raises(OutputError, match="full"):
            reconstruct(small, out, settings("cupy"))
    with pytest.raises(OutputError, match="backend: cupy then, numpy now"):
        reconstruct(small, out, settings("numpy"))
    resumed = reconstruct(small, out, settings("cupy"))
    whole = reconstruct(small, tmp_path / "whole.ome.zarr", settings("cupy"))
    assert same(resumed.path, whole.path)
    assert resumed.report.voxels < whole.report.voxels


def test_auto_says_once_why_it_takes_the_cpu(tmp_path, small, standin, monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_DRIVER", "0")
    heard = Heard()
    reconstruct(small, tmp_path / "v.ome.zarr", settings("auto"), observer=heard)
    assert sum("Computing on the CPU" in sentence for sentence in heard.sentences) == 1


def run_command(scan, out, devices, *words):
    environment = os.environ | {
        "PYTHONPATH": str(STANDIN),
        "HIPCT_STANDIN_DEVICES": str(devices),
        "PYTHONWARNINGS": "default",
    }
    start = "from hipct.cli.main import main; main()"
    command = [sys.executable, "-c", start, "reconstruct", str(scan), "-o", str(out)]
    command += ["--backend", "cupy", "--set", "axis.value=24", "--set", "volume.chunk=32"]
    command += ["--set", "volume.window=-20,60", "--set", "phase.delta_beta=300", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("standin")
def test_several_gpus_share_a_volume_and_make_the_same_bytes(tmp_path, discs):
    pytest.importorskip("distributed", reason="distributed is not installed: hipct[cluster]")
    scan = discs(rows=300, columns=32, angles=24, noise=50.0, **PHASE)
    store = tmp_path / "scan.zarr"
    with ScanStoreWriter(store, scan.info) as writer:
        for kind in ("flats", "darks", "projections"):
            writer.write_frames(kind, 0, scan.frames[kind])
    made = []
    for devices in (1, 3):
        made.append(tmp_path / f"{devices}.ome.zarr")
        ended = run_command(store, made[-1], devices)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        report = json.loads((tmp_path / f"{devices}.report.json").read_text())
        assert report["voxels"] == 300 * 32 * 32
        assert report["device"].startswith("3 x ") == (devices == 3)
        assert report["device_peak_bytes"] > 0
    assert same(*made)


def test_layers_are_dealt_where_tiles_end(discs):
    plan = make_plan(discs(rows=700, **PHASE), settings("numpy"))
    layers = plan.spec.layers(0)
    shares = deal(plan, {0}, 3)
    assert sorted(layer for share in shares for layer in share) == list(range(1, layers))
    lengths = [len(share) for share in shares]
    assert max(lengths) - min(lengths) <= layers / 3
    assert deal(plan, set(range(layers)), 3) == []
    assert sum(map(len, deal(plan, set(range(2, layers)), 3))) == 2


def test_a_scan_in_memory_cannot_be_shared(discs):
    import pickle

    with pytest.raises(InputError, match="lives in this process alone"):
        pickle.dumps(discs())
