"""Workers that compute on GPUs: one a card, and none that two shares could meet on.

The cards are counted, not there: the stand-in for CuPy says how many the machine has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hipct.cluster.dask_gpus import gpus_offered
from hipct.cluster.dask_run import run_on_dask
from hipct.cluster.dask_workers import Here, gpus_of, workers_here
from hipct.cluster.profile import Profile
from hipct.core.errors import ClusterError, DeviceError
from hipct.core.progress import Silent
from hipct.core.threads import available_cores
from hipct.pipeline.config import Config
from hipct.pipeline.run import reconstruct

pytest.importorskip("distributed", reason="distributed is not installed")

STANDIN = Path(__file__).parents[1] / "standin"


class Heard(Silent):
    def __init__(self):
        self.sentences = []

    def say(self, message):
        self.sentences.append(message)


@pytest.fixture
def three_cards(standin, monkeypatch):
    """Three cards of which this process sees the second and the third, and workers as well."""
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "3")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1, 2")
    # Processes that are spawned look where this one does.
    monkeypatch.syspath_prepend(STANDIN)
    return standin


@pytest.mark.usefixtures("three_cards")
def test_a_machine_starts_one_worker_for_each_card_that_is_wanted(request_of):
    def here(profile=None, **compute):
        return Here.of(request_of(config={"compute": compute}), profile or Profile())

    assert here() == here(backend="cupy") == Here(2, ("1", "2"))
    assert here(gpus=1) == here(Profile(at_a_time=1)) == Here(1, ("1",))
    assert here(backend="numpy") == Here(1)
    assert here(Profile(at_a_time=3), backend="numpy") == Here(3)
    request = request_of(config={"compute": {"memory": "2GB"}})
    limited = Here(2).limits(request, Profile())
    assert limited.config["compute"] == {
        "memory": "2GB",
        "threads": max(1, available_cores() // 2),
    }
    free = Here(1).limits(request_of(), Profile()).settings().compute.memory
    half = Here(2).limits(request_of(), Profile()).settings().compute.memory
    assert half == pytest.approx(free / 2, rel=0.2)


def test_a_machine_without_cards_starts_workers_of_the_cpu(request_of, standin, monkeypatch):
    monkeypatch.setenv("HIPCT_STANDIN_DEVICES", "0")
    assert Here.of(request_of(), Profile()).cards == ()
    with pytest.raises(DeviceError):
        Here.of(request_of(config={"compute": {"backend": "cupy"}}), Profile())


def seen():
    from hipct.core.device import gpu_count

    return os.environ.get("CUDA_VISIBLE_DEVICES"), gpu_count()


@pytest.mark.usefixtures("three_cards")
def test_each_worker_sees_its_card_alone_and_gives_it_away_once():
    from distributed import Client

    heard = Heard()
    with workers_here(Here(2, ("1", "2"))) as cluster, Client(cluster) as client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        assert [worker["resources"] for worker in workers] == [{"GPU": 1}] * 2
        assert {worker["nthreads"] for worker in workers} == {1}
        assert sorted(client.run(seen).values()) == [("1", 1), ("2", 1)]
        assert gpus_offered(client, "here", "cupy", heard)
        assert not gpus_offered(client, "here", "numpy", heard)
    assert heard.sentences == []


def somebodys(*workers):
    """A client of a scheduler whose workers somebody has started: what they offer, and see."""
    names = [f"tcp://node:{number}" for number in range(len(workers))]
    offers = {name: {"resources": offer} for name, (offer, _) in zip(names, workers)}
    cards = {name: count for name, (_, count) in zip(names, workers)}
    return SimpleNamespace(
        scheduler_info=lambda n_workers: {"workers": offers}, run=lambda _asked: cards
    )


def test_workers_that_could_meet_on_a_card_are_refused():
    where = "tcp://node:8786"
    for backend, cards in (("cupy", 1), ("auto", 1), ("cupy", 0)):
        with pytest.raises(
            ClusterError,
            match=r"No worker at tcp://node:8786 .*\(tcp://node:0\); .* --resources GPU=1",
        ):
            gpus_offered(somebodys(({}, cards)), where, backend, Silent())
    for offer, cards in ((1, 2), (2, 1), (1, 0)):
        with pytest.raises(
            ClusterError, match=rf"tcp://node:1: {cards} GPUs seen, {offer} offered"
        ):
            gpus_offered(
                somebodys(({"GPU": 1}, 1), ({"GPU": offer}, cards)), where, "auto", Silent()
            )
    with pytest.raises(ClusterError, match="has no workers; start some with: dask worker tcp:"):
        gpus_offered(somebodys(), where, "numpy", Silent())


def test_workers_without_a_card_get_no_share_and_those_of_the_cpu_need_none():
    heard = Heard()
    assert gpus_offered(somebodys(({"GPU": 1}, 1), ({}, 0)), "there", "auto", heard)
    assert heard.sentences == ["Workers without the resource GPU get no share: tcp://node:1."]
    assert not gpus_offered(somebodys(({}, 0), ({}, 0)), "there", "auto", heard)
    assert not gpus_offered(somebodys(({}, 4), ({}, 4)), "there", "numpy", heard)
    assert len(heard.sentences) == 1


def test_a_run_is_refused_before_it_begins_where_no_worker_offers_a_gpu(request_of, monkeypatch):
    from distributed import LocalCluster

    monkeypatch.setattr("hipct.cluster.dask_gpus.gpu_count", lambda: 1)
    request = request_of(config=request_of().config | {"compute": {"backend": "cupy"}})
    with (
        LocalCluster(
            n_workers=1,
            processes=False,
            dashboard_address=None,
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        ) as cluster,
        pytest.raises(ClusterError, match=r"No worker at .* offers a GPU"),
    ):
        run_on_dask(request, cluster.scheduler_address, Profile(shares=2))
    assert not (request.folder / "tasks").exists()


def test_jobs_of_slurm_offer_what_their_profile_asks_for():
    assert gpus_of(Profile(gres="gpu:1"))
    assert not gpus_of(Profile(gres="gpu:1", share={"gres": "gpu:0"}))
    assert not gpus_of(Profile())


def test_cards_share_a_volume_and_make_the_bytes_of_one_process(
    scan_store, tmp_path, standin, volume_bytes
):
    out, alone = tmp_path / "shared.ome.zarr", tmp_path / "alone.ome.zarr"
    config = {
        "scan": {"last_row": 64},
        "axis": {"value": 24.0},
        "phase": {"method": "none"},
        "volume": {"chunk": 32, "window": [-20.0, 60.0]},
        "compute": {"backend": "cupy"},
    }
    reconstruct(scan_store, alone, Config(**config))
    environment = os.environ | {"PYTHONPATH": str(STANDIN), "HIPCT_STANDIN_DEVICES": "2"}
    start = "from hipct.cli.main import main\nif __name__ == '__main__': main()"
    command = [sys.executable, "-c", start, "submit", str(scan_store), "-o", str(out)]
    command += ["--dask", "local", "--shares", "2"]
    for section, values in config.items():
        for name, value in values.items():
            command += ["--set", f"{section}.{name}={value}"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert volume_bytes(out) == volume_bytes(alone)
    report = json.loads((tmp_path / "shared.report.json").read_text())
    assert report["device"] == "Stand-in"
    # Preparing, two shares, and finishing, which needs no card.
    assert sum(report["machines"].values()) == 4
    assert report["versions"]["cupy"] == standin.__version__
