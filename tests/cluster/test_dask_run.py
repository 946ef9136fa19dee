"""The same run on Dask workers: started here, by Slurm, at an address; and what a kill costs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import pytest
from click.testing import CliRunner

from hipct.cli.main import cli
from hipct.cluster.dask_run import run_on_dask
from hipct.cluster.profile import Profile
from hipct.core.errors import ClusterError
from hipct.core.run_lock import RunLock

pytest.importorskip("distributed", reason="distributed is not installed")

PATIENCE_S = 300


def test_a_worker_that_is_killed_costs_a_share_its_unfinished_layers(
    request_of, undisturbed, volume_bytes
):
    request = request_of()
    killed = []

    def kill_one():
        deadline = time.monotonic() + PATIENCE_S
        while not killed and time.monotonic() < deadline:
            for lock in (request.folder / "locks").glob("share-*"):
                owner = RunLock(lock).living_owner()
                if owner and owner["process"] != os.getpid():
                    os.kill(owner["process"], signal.SIGKILL)
                    killed.append(lock.name)
                    return
            time.sleep(0.02)

    killer = threading.Thread(target=kill_one)
    killer.start()
    said = run_on_dask(request, "local", Profile(cpus=1, shares=3))
    killer.join()
    assert killed
    assert said == f"{request.out} is whole."
    assert not request.folder.exists()
    assert volume_bytes(Path(request.out)) == undisturbed


def test_the_controlling_process_may_die(request_of, undisturbed, volume_bytes):
    request = request_of()
    request.keep()
    command = [sys.executable, "-m", "hipct", "retry", request.out, "--dask", "local"]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not list((request.folder / "locks").glob("share-*")):
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    again = CliRunner().invoke(cli, ["retry", request.out, "--dask", "local"])
    assert again.exit_code == 0, again.exception
    assert volume_bytes(Path(request.out)) == undisturbed


def test_a_scheduler_at_an_address_is_used_or_named(
    request_of, undisturbed, volume_bytes, monkeypatch
):
    from distributed import LocalCluster

    request = request_of()
    with monkeypatch.context() as patch:
        patch.setattr("hipct.cluster.dask_run.CONNECT_S", 1.0)
        for nowhere in ("tcp://127.0.0.1:9", "locla", "http://127.0.0.1:9", "tcp://host:port"):
            with pytest.raises(ClusterError, match=f"No Dask scheduler answers at {nowhere}; give"):
                run_on_dask(request, nowhere, Profile(shares=2))
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
    ) as cluster:
        run_on_dask(request, cluster.scheduler_address, Profile(shares=2))
    assert volume_bytes(Path(request.out)) == undisturbed
    assert dask.config.get("scheduler", None) is None


def test_a_wrong_setting_ends_the_run_with_its_sentence(request_of):
    wrong = request_of(config=request_of().config | {"axis": {"value": 1000.0}})
    with pytest.raises(ClusterError, match=r"axis at column 1000\.00 lies off the detector"):
        run_on_dask(wrong, "local", Profile(cpus=2, shares=2))


def test_workers_started_by_slurm_talk_in_cipher(
    slurm, request_of, undisturbed, volume_bytes, monkeypatch
):
    from distributed import Scheduler

    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    request = request_of()
    pytest.importorskip("cryptography", reason="cryptography is not installed")
    profile = Profile(
        time="00:05:00", cpus=1, memory="900MB", shares=2, at_a_time=1, interface="lo", tls=True
    )
    met = []
    listen = Scheduler.__init__

    def listening(self, *arguments, **options):
        listen(self, *arguments, **options)
        met.append(self)

    monkeypatch.setattr(Scheduler, "__init__", listening)
    run_on_dask(request, "slurm", profile)
    assert [each.address.partition("://")[0] for each in met] == ["tls"]
    assert [each.http_server.address for each in met] == ["127.0.0.1"]
    files = [path for path in Path(request.out).parent.rglob("*") if path.is_file()]
    assert [path for path in files if b"PRIVATE KEY" in path.read_bytes()] == []
    assert volume_bytes(Path(request.out)) == undisturbed
    tasks = Path(request.out + ".logs") / "tasks"
    assert all(json.loads(path.read_text())["job"] for path in tasks.iterdir())
