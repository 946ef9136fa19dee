"""The benchmark of the device chain, run on the stand-in: it measures what it says it does."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from benchmarks import gpu, gpu_check, gpu_clock, gpu_peers, gpu_stages
from benchmarks.common import measure, relative_rms
from benchmarks.gpu_data import Size, line_integrals, make_sinogram
from hipct.core.device import open_device
from hipct.reconstruction import Reconstructor

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = ["--check", "48x40x20", "--sizes", "48x40x10", "--run", "48x40x32", "--repeats", "2"]


@pytest.fixture
def command(monkeypatch, tmp_path, standin):
    """Runs the command with some arguments; results go to a folder of the test."""
    monkeypatch.setenv("HIPCT_STANDIN_MEMORY", str(400_000_000))

    def run(*arguments):
        results = tmp_path / "results"
        arguments = ["gpu", *TINY, "--out", str(results), "--folder", str(tmp_path), *arguments]
        monkeypatch.setattr(sys, "argv", arguments)
        gpu.main()
        return results

    return run


def test_one_call_compares_times_and_runs(command, capsys, standin):
    results = command()
    standin.get_default_memory_pool().set_limit(size=0)  # which the whole run has set
    record = json.loads((results / "gpu.json").read_text())
    facts = record["facts"]
    stages = {row["stage"]: row for row in record["rows"]}
    assert facts["card"].startswith("Stand-in")
    assert facts["card"] in (results / "gpu.md").read_text()
    assert {"date", "driver", "CUDA runtime", "CuPy", "bandwidth"} <= set(facts)
    assert facts["correctness"].startswith("20 comparisons")
    assert record["command"] == (
        "python -m benchmarks.gpu --repeats 2 --check 48x40x20 --sizes 48x40x10 --run 48x40x32"
    )
    timed = {name: row for name, row in stages.items() if row["share of bandwidth"]}
    assert set(timed) > {
        "flat field", "Paganin", "logarithm", "rings, sorting", "rings, wavelet", "FBP, Fourier",
        "- padding and FFT of rows", "- gridding", "- inverse FFT and unpacking", "FBP, direct",
        "- back-projection alone", "quantise",
    }  # fmt: skip
    assert all(row["ms"] > 0 and row["spread"] >= 1 for row in timed.values())
    assert timed["flat field"]["ms a slice"] == pytest.approx(timed["flat field"]["ms"] * 40 / 48)
    assert timed["- gridding"]["G updates/s"] > 0
    for name in ("cuFINUFFT", "ASTRA"):
        assert facts[f"{name} at 48 / 40"].startswith("left out: ")
    assert "fifth" in facts["rings at 48 / 40"]
    assert "whole run, store to volume" in stages
    assert "Mvoxel/s" in facts["whole run at 48 / 40, 32 rows"]
    assert "| size | stage |" in capsys.readouterr().out


def test_a_wrong_stage_is_named_and_the_rest_is_measured(command, monkeypatch, capsys):
    right = gpu_check.remove_zingers

    def wrong(transmission, threshold):
        cleaned = right(transmission, threshold)
        if not isinstance(transmission, np.ndarray):
            cleaned *= np.float32(1 + 1e-4)
        return cleaned

    monkeypatch.setattr(gpu_check, "remove_zingers", wrong)
    monkeypatch.setattr(gpu.Bench, "time_slices", lambda bench, size: None)
    monkeypatch.setattr(gpu, "whole_run", lambda size, folder: ([], {}))
    with pytest.raises(SystemExit) as stop:
        command()
    assert str(stop.value.code).startswith("zingers, against NumPy: 0.0001, and 1e-05 is allowed.")
    assert "flat field" not in stop.value.code
    assert "| 48 / 40 | Paganin |" in capsys.readouterr().out


def test_what_was_measured_is_kept_when_something_breaks(command, monkeypatch, tmp_path):
    def broken(bench, size):
        raise ZeroDivisionError

    monkeypatch.setattr(gpu.Bench, "time_projections", broken)
    monkeypatch.setattr(gpu, "whole_run", lambda size, folder: ([], {}))
    with pytest.raises(SystemExit) as stop:
        command("--only", "check", "projections", "slices")
    assert stop.value.code == "projections at 48 / 40: ZeroDivisionError: "
    table = (tmp_path / "results" / "gpu.md").read_text()
    assert "| 48 / 40, 20 rows | zingers" in table
    assert "| 48 / 40 | FBP, Fourier |" in table  # what comes after is measured all the same
    assert "--only check projections slices" in table


def test_what_there_was_no_time_for_is_named(command, monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "check", lambda *_: time.sleep(0.7) or [])
    monkeypatch.setattr(gpu, "whole_run", None)
    command("--minutes", "0.01")
    said = capsys.readouterr().out
    for part in ("copy on the device", "projections at 48 / 40", "whole run"):
        assert f"{part}: left out: 0.01 minutes were over; see --only" in said


def test_aims_are_told_of_the_sizes_they_are_for(standin):
    bench = gpu.Bench(open_device("cupy")[0], 1)
    for heading, ms in (("2048 / 3000", 0.9), ("10240 / 12000", 40.0), ("4096 / 6000", 9.0)):
        bench.add({"size": heading, "stage": "FBP, Fourier", "ms a slice": ms})
    bench.add({"size": "4096 / 6000", "stage": "- back-projection alone", "G updates/s": 150.0})
    for size in gpu.SIZES:
        bench.judge_aims(size)
    assert bench.facts["aims at 2048 / 3000"] == "FBP, Fourier 0.9 ms a slice, at most 1: met"
    assert bench.facts["aims at 10240 / 12000"].endswith("at most 30: missed")
    assert bench.facts["aims at 4096 / 6000"].endswith("150 G updates/s, at least 200: missed")


def test_without_a_gpu_there_is_one_sentence_and_no_table(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HIPCT_STANDIN_DRIVER", "0")
    with pytest.raises(SystemExit) as stop:
        command()
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert said.err.startswith("No NVIDIA driver answers")
    assert said.err.count("\n") == 1
    assert not said.out
    assert not (tmp_path / "results").exists()


def test_what_does_not_fit_the_device_is_left_out_with_its_size(standin, monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_MEMORY", str(2_000_000))
    bench = gpu.Bench(open_device("cupy")[0], 1)
    size = Size(400, 300, 8)
    bench.time_projections(size)
    bench.time_slices(size)
    bench.judge_rings(size)
    assert not bench.rows
    for what in ("projections at 400 / 300", "slices at 400 / 300"):
        assert bench.facts[what].startswith("left out: they need about ")
    assert "rings at 400 / 300" not in bench.facts


@pytest.mark.parametrize("size", [Size(96, 80, 12), Size(160, 200, 20)])
def test_stages_fit_the_memory_that_they_are_let_in_with(standin, size):
    pool = standin.get_default_memory_pool()
    for needed, stages in (
        (gpu_stages.projection_bytes(size), lambda: gpu_stages.projection_stages(standin, size)),
        (gpu_stages.slice_bytes(size), lambda: gpu_stages.SliceStages(standin, size).stages()),
    ):
        before = pool.used_bytes()
        pool._peak.clear()
        measure({stage.name: stage.call for stage in stages()}, repeats=1)
        assert sum(pool._peak.values()) - before <= needed


def test_parts_of_the_fourier_engine_make_its_slices(standin):
    """Or their times would be those of something else."""
    work = gpu_stages.SliceStages(standin, Size(64, 60, 8))
    stages = {stage.name: stage for stage in work.stages()}
    expected = Reconstructor(work.geometry.angles, 64, padding="zero").reconstruct(work.lines.get())
    assert np.abs(work.slices.get() - expected).max() < 1e-5 * expected.max()
    stages["FBP, direct"].call()
    rows = stages["- gridding"]
    assert rows.updates == 16 * 60 * work.plan.samples
    assert stages["FBP, direct"].updates == pytest.approx(np.pi / 4 * 64**2 * 60, rel=0.02)


@pytest.mark.usefixtures("standin")
def test_a_bare_node_gets_its_table_without_a_whole_run(tmp_path):
    """NumPy, SciPy, numba and (standing in for it) CuPy are there, and nothing of storage."""
    absent = ["zarr", "zarrs", "numcodecs", "dask", "pydantic", "psutil", "click", "rich", "yaml"]
    size = ["--check", "32x32x3", "--sizes", "32x32x3", "--repeats", "1", "--out", str(tmp_path)]
    code = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({absent}))
sys.argv = ["gpu", *{size}]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY / "tests/standin", REPOSITORY))),
            "HIPCT_STANDIN_MEMORY": str(400_000_000),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    facts = json.loads((tmp_path / "gpu.json").read_text())["facts"]
    assert facts["whole run at 2048 / 3000, 256 rows"].startswith("left out: storage and pipeline")
    assert facts["correctness"].startswith("20 comparisons")


def test_the_comparison_says_that_scipy_is_missing(monkeypatch):
    monkeypatch.setattr(gpu_check.importlib.util, "find_spec", lambda name: None)
    assert "SciPy" in str(gpu_check.missing())


def test_a_round_fills_its_time_with_calls(standin):
    calls = []
    clock = gpu_clock.event_clock(standin)
    assert 0 < clock(lambda: calls.append(0)) < gpu_clock.ROUND_S
    assert len(calls) == 1 + gpu_clock.MOST_CALLS


def test_a_size_is_three_numbers():
    assert Size.parse("2048x3000x32") == Size(2048, 3000, 32)
    assert str(Size(2048, 3000, 32)) == "2048x3000x32"
    for wrong in ("2048", "2048x3000", "axbxc", "8x3000x4", "2048x3000x0"):
        with pytest.raises(argparse.ArgumentTypeError, match="COLUMNSxANGLESxROWS"):
            Size.parse(wrong)


def test_slices_of_cufinufft_are_ours(standin, monkeypatch):
    """Its transform is FINUFFT's here, behind the interface of cuFINUFFT."""
    finufft = pytest.importorskip("finufft", reason="FINUFFT is not installed")

    class Plan:
        def __init__(self, *arguments):
            kind, modes, transforms, eps, sign, dtype = arguments
            assert (kind, sign, dtype) == (1, 1, "complex64")
            self.modes, self.transforms, self.eps = modes, transforms, eps

        def setpts(self, x, y):
            self.points = x.get(), y.get()

        def execute(self, data, out):
            assert data.shape == (self.transforms, self.points[0].size)
            values = np.ascontiguousarray(data.get())
            image = finufft.nufft2d1(*self.points, values, self.modes, eps=self.eps, isign=1)
            out.set(np.ascontiguousarray(image.reshape(out.shape)))

    package = ModuleType("cufinufft")
    package.Plan = Plan
    monkeypatch.setitem(sys.modules, "cufinufft", package)
    work = gpu_stages.SliceStages(standin, Size(64, 100, 5))
    smooth = line_integrals(work.size, work.geometry.angles)
    work.lines.set(np.arange(1, 6, dtype=np.float32)[:, None, None] * smooth)
    work.fourier()
    with gpu_peers.cufinufft(work.geometry, work.lines) as peer:
        assert peer.slices == 4
        for call in peer.calls.values():
            call()
        theirs = peer.first_slice()
    assert relative_rms(theirs, work.slices[0].get(), value=2 / 63) < 1e-3


def test_astra_is_left_out_where_it_sees_no_device(standin, monkeypatch):
    monkeypatch.setitem(sys.modules, "astra", SimpleNamespace(use_cuda=lambda: False))
    work = SimpleNamespace(geometry=None, lines=None)
    with (
        pytest.raises(gpu_peers.LeftOut, match="sees no CUDA"),
        gpu_peers.astra(work.geometry, work.lines),
    ):
        pass


def test_sinograms_have_stripes_and_noise():
    size = Size(64, 50, 1)
    lines = make_sinogram(size, np.arange(50) * np.pi / 50)
    assert lines.shape == (50, 64)
    assert lines.max() == pytest.approx(2.2, abs=0.2)
