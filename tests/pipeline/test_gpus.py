"""Several GPUs: who shares, what is left to share, and what a person hears of the workers."""

from __future__ import annotations

import os
from types import SimpleNamespace

import pytest

import hipct.pipeline.gpus
import hipct.pipeline.work
from hipct.core.errors import DeviceError, OutputError
from hipct.core.progress import Silent
from hipct.pipeline.config import Config
from hipct.pipeline.gpus import Done, run_on_gpus
from hipct.pipeline.plan import PROCESS_BYTES, make_plan
from hipct.pipeline.report import Busy, StageClock
from hipct.pipeline.run import reconstruct

SETTINGS = {
    "phase": {"method": "none"},
    "axis": {"value": 24.0},
    "volume": {"chunk": 32, "window": [-20.0, 60.0]},
}


class Heard(Silent):
    def __init__(self):
        self.sentences = []

    def say(self, message):
        self.sentences.append(message)


@pytest.fixture
def two_gpus(standin, monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "2")
    return standin


@pytest.mark.usefixtures("two_gpus")
def test_a_scan_that_lives_in_one_process_is_made_on_one_gpu(tmp_path, discs):
    pytest.importorskip("distributed", reason="distributed is not installed: hipct[cluster]")
    heard = Heard()
    config = Config(**SETTINGS, compute={"backend": "cupy"})
    result = reconstruct(discs(rows=70), tmp_path / "v.ome.zarr", config, observer=heard)
    assert result.report.device == "Stand-in"
    said = [
        sentence for sentence in heard.sentences if "2 GPUs answer, and one is used" in sentence
    ]
    assert len(said) == 1
    assert "lives in this process alone" in said[0]


def levels(path):
    return {
        file.relative_to(path): file.read_bytes() for file in path.rglob("c/*") if file.is_file()
    }


def test_a_run_whose_layers_are_all_there_needs_no_workers(tmp_path, discs, standin, monkeypatch):
    scan, out = discs(rows=70), tmp_path / "v.ome.zarr"
    config = Config(**SETTINGS, compute={"backend": "cupy"})
    with monkeypatch.context() as patch:

        def full(*_, **__):
            raise OSError(28, os.strerror(28))

        patch.setattr("hipct.pipeline.stream.write_node", full)
        with pytest.raises(OutputError, match="full"):
            reconstruct(scan, out, config)
    assert standin.get_default_memory_pool().get_limit() == 0
    monkeypatch.setattr(hipct.pipeline.work, "gpus_to_use", lambda *_: 3)
    resumed = reconstruct(scan, out, config)
    assert resumed.report.device == "Stand-in"
    monkeypatch.undo()
    whole = reconstruct(scan, tmp_path / "whole.ome.zarr", config)
    assert levels(resumed.path) == levels(whole.path)


@pytest.mark.usefixtures("two_gpus")
def test_the_plan_tells_how_many_processes_share_the_memory(discs, monkeypatch):
    scan = discs()
    config = Config(**SETTINGS, compute={"backend": "cupy", "memory": "9GB"})
    alone = make_plan(scan, config)
    monkeypatch.setattr("hipct.pipeline.plan.gpus_to_use", lambda *_: 2)
    plan = make_plan(scan, config)
    assert (alone.processes, plan.processes) == (1, 2)
    assert alone.budget_bytes == 9_000_000_000
    # The process that starts the others takes its part.
    assert 2 * plan.budget_bytes + PROCESS_BYTES < 9_000_000_000
    assert "device   2 x Stand-in" in plan.text()
    assert plan.as_dict()["processes"] == 2


def share(monkeypatch, work):
    """What two workers do, here threads of this process, and what is said meanwhile."""
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")
    monkeypatch.setattr(hipct.pipeline.gpus, "_work", work)
    monkeypatch.setattr(
        hipct.pipeline.gpus,
        "_workers",
        lambda count: distributed.LocalCluster(
            n_workers=count, processes=False, dashboard_address=None, resources={"GPU": 1}
        ),
    )
    heard, ledger = Heard(), SimpleNamespace(layers=dict, folder="run")
    shares = [frozenset({0}), frozenset({1})]
    made = run_on_gpus(
        (), None, None, ledger, None, shares=shares, clock=StageClock(), observer=heard
    )
    return made, heard.sentences


def test_what_a_worker_has_to_say_is_heard(monkeypatch):
    def work(given):
        return Done(10, Busy({}, {}, []), 7 + given.gpu, [f"GPU {given.gpu} goes on with 4."])

    made, sentences = share(monkeypatch, work)
    assert made == (20, 8)
    assert sentences[-2:] == ["GPU 0 goes on with 4.", "GPU 1 goes on with 4."]


def test_workers_that_are_killed_again_and_again_end_the_run(monkeypatch):
    scheduler = pytest.importorskip("distributed.scheduler", reason="distributed is not installed")

    def work(given):
        raise scheduler.KilledWorker("share", SimpleNamespace(address="tcp://worker"), 3)

    with pytest.raises(DeviceError, match="ended from outside several times"):
        share(monkeypatch, work)


def test_workers_that_cannot_be_started_end_the_run(monkeypatch):
    distributed = pytest.importorskip("distributed", reason="distributed is not installed")

    def broken(**_):
        raise RuntimeError("Nanny failed to start.")

    monkeypatch.setattr(distributed, "LocalCluster", broken)
    with pytest.raises(DeviceError, match=r"could not be started .*__main__"):
        hipct.pipeline.gpus._workers(2)
