"""Real jobs of a real Slurm on this machine: whole runs, faults, and what is said of them."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from hipct.cli.main import cli
from hipct.cluster import slurm as batch
from hipct.cluster.profile import Profile
from hipct.cluster.retry import cancel, retry
from hipct.cluster.status import run_status
from hipct.cluster.submission import Submission
from hipct.cluster.submit import submit
from hipct.core.errors import ClusterError, OutputError
from hipct.core.run_lock import RunLock
from hipct.volume.open import open_volume

PATIENCE_S = 90
PROFILE = Profile(time="00:10:00", cpus=1, memory="900MB", shares=3, warning_s=0)


def wait_for(condition, what):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    queue = subprocess.run(["squeue"], capture_output=True, text=True, check=False).stdout
    raise AssertionError(f"{what} did not come in {PATIENCE_S} s:\n{queue}")


def wait_until_ended(request):
    jobs = Submission.of(request.folder).jobs if request.folder.exists() else ()
    wait_for(lambda: not batch.queued(jobs), "the end of the jobs")


def begin_soon(request, seen):
    """Start jobs that were queued again, which Slurm would let wait for two minutes.

    Not in the second in which it revokes the credential of the job that has ended.
    """
    known = Submission.of(request.folder)
    waiting = batch.queued(known.jobs) if known else []
    delayed = [each.job for each in waiting if each.reason == "BeginTime"]
    for job in delayed:
        if time.monotonic() - seen.setdefault(job, time.monotonic()) > 4:
            subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now"], check=False)


def test_a_run_through_the_queue_makes_the_bytes_of_one_process(
    slurm, request_of, undisturbed, volume_bytes
):
    request = request_of()
    jobs = submit(request, PROFILE)
    assert list(jobs) == ["prepare", "share", "finish"]
    assert run_status(request.out).state in ("queued", "running")
    with pytest.raises(OutputError, match=f"has jobs in the queue .*{jobs['finish']}"):
        submit(request, PROFILE)
    wait_for(lambda: not request.folder.exists(), "the volume")
    assert volume_bytes(Path(request.out)) == undisturbed
    logs = Path(request.out + ".logs")
    tasks = {path.stem: json.loads(path.read_text()) for path in (logs / "tasks").iterdir()}
    assert set(tasks) == {"prepare", "share-00000", "share-00001", "share-00002", "finish"}
    assert {each["state"] for each in tasks.values()} == {"done"}
    assert tasks["share-00002"]["job"] == f"{jobs['share']}_2"
    for name in tasks:
        lines = [json.loads(x) for x in (logs / "logs" / f"{name}.jsonl").read_text().splitlines()]
        assert [lines[0]["event"], lines[-1]["event"]] == ["begin", "end"]
    report = json.loads((Path(request.out).parent / "organ.report.json").read_text())
    assert report["voxels"] == math.prod(open_volume(request.out).shape)


def test_killed_jobs_are_told_and_done_again(slurm, request_of, undisturbed, volume_bytes):
    request = request_of()
    submit(request, PROFILE)
    killed = None

    def kill_one():
        nonlocal killed
        for lock in (request.folder / "locks").glob("share-*"):
            owner = RunLock(lock).living_owner()
            if owner:
                os.kill(owner["process"], signal.SIGKILL)
                killed = lock.name
                return True
        return False

    wait_for(kill_one, "a share at work")
    wait_until_ended(request)
    status = run_status(request.out)
    assert status.state == "incomplete"
    assert status.shares.get("done", 0) < 3
    told = {each["task"]: each for each in status.tasks}
    assert "layers are missing" in told["finish"]["sentence"]
    assert killed in told
    said = retry(request.out)
    assert "shares have layers left" in said
    wait_for(lambda: not request.folder.exists(), "the volume")
    assert volume_bytes(Path(request.out)) == undisturbed


def test_jobs_stop_before_their_time_or_for_others_and_go_on(
    slurm, request_of, undisturbed, volume_bytes
):
    request = request_of()
    submit(request, PROFILE.model_copy(update={"warning_s": 5}))
    ways = {
        "The time limit is near": lambda task: os.kill(task["owner"]["process"], signal.SIGUSR1),
        # What Slurm does to a job that another one preempts.
        "Ended by SIGTERM": lambda task: subprocess.run(
            ["scontrol", "requeue", task["job"]], check=True
        ),
    }
    stopped = {}

    def stop_one_each():
        for lock in (request.folder / "locks").glob("share-*"):
            task = request.folder / "tasks" / f"{lock.name}.json"
            for way in ways.keys() - stopped.values():
                if RunLock(lock).living_owner() and lock.name not in stopped:
                    stopped[lock.name] = way
                    ways[way](json.loads(task.read_text()))
        return len(stopped) == len(ways)

    wait_for(stop_one_each, "shares at work")
    restarted = {}

    def ended():
        begin_soon(request, restarted)
        return not request.folder.exists()

    wait_for(ended, "the volume")
    assert len(restarted) == 2
    assert volume_bytes(Path(request.out)) == undisturbed
    for name, way in stopped.items():
        log = (Path(request.out + ".logs") / "logs" / f"{name}.jsonl").read_text()
        lines = [json.loads(line) for line in log.splitlines()]
        assert [line["event"] for line in lines].count("begin") == 2
        (first,) = (line for line in lines if line.get("state") == "stopped")
        assert first["sentence"].startswith(way)
        assert lines[-1]["state"] == "done"


def test_a_cancelled_run_goes_on_with_retry(slurm, request_of, undisturbed, volume_bytes):
    request = request_of()
    jobs = submit(request, PROFILE.with_shares(1))
    assert jobs["prepare"] in cancel(request.out)
    wait_until_ended(request)
    assert run_status(request.out).state == "incomplete"
    assert cancel(request.out) == "No job of this run is in the queue."
    retry(request.out)
    wait_for(lambda: not request.folder.exists(), "the volume")
    assert volume_bytes(Path(request.out)) == undisturbed


def test_what_slurm_refuses_is_said_and_nothing_stays_queued(slurm, request_of):
    request = request_of()
    with pytest.raises(ClusterError, match=r"Slurm refuses: .*invalid partition"):
        submit(request, PROFILE.model_copy(update={"partition": "nowhere"}))
    wrong = PROFILE.model_copy(
        update={"finish": PROFILE.finish.model_copy(update={"partition": "nowhere"})}
    )
    with pytest.raises(ClusterError, match="Slurm refuses"):
        submit(request, wrong)
    queue = ["squeue", "--noheader", "--states=PENDING"]
    said = subprocess.run(queue, capture_output=True, text=True, check=True)
    assert said.stdout == ""


def test_from_the_command_line_with_a_name_that_is_hostile(
    slurm, scan_store, tmp_path, undisturbed, volume_bytes
):
    folder = tmp_path / "a $(touch pwned) 'b\" %j; touch pwned #"
    folder.mkdir()
    profile = tmp_path / "mine.yaml"
    profile.write_text('time: "00:10:00"\ncpus: 1\nmemory: 900MB\nwarning_s: 0\n')
    out = folder / "-o `touch pwned`.ome.zarr"
    words = [
        *("submit", str(scan_store), "-o", str(out), "--cluster", str(profile), "--shares", "2"),
        *("--set", "phase.delta_beta=300", "--set", "axis.value=24"),
        *("--set", "volume.chunk=32", "--set", "volume.window=[-20, 60]"),
    ]
    dry = CliRunner().invoke(cli, [*words, "--dry-run"], catch_exceptions=False)
    assert dry.output.count("$ sbatch ") == 3
    assert "--array=0-1" in dry.output
    assert not Path(f"{out}.run").exists()
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0
    assert f"hipct status {out}" in result.output
    watched = CliRunner().invoke(
        cli, ["status", str(out), "--watch", "--every", "0.5"], catch_exceptions=False
    )
    assert watched.output.splitlines()[-1] == f"{out}: whole"
    as_json = CliRunner().invoke(cli, ["status", str(out), "--json"], catch_exceptions=False)
    assert json.loads(as_json.output)["state"] == "whole"
    assert volume_bytes(out) == undisturbed
    assert not list(tmp_path.rglob("pwned*"))
    assert not Path("pwned").exists()
