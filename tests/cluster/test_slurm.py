"""Real jobs of a real Slurm on this machine: whole runs, faults, and what is said of them."""

from __future__ import annotations

import json
import math
import os
import shlex
import signal
import subprocess
import time
from datetime import datetime
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
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request
from hipct.volume.open import open_volume

PATIENCE_S = 300
# What Python begins with: until its job has been queued again, every layer takes long.
SLOW = """
import os, time
if not int(os.environ.get("SLURM_RESTART_COUNT", "0")):
    import hipct.pipeline.stream as stream
    write_bands = stream.write_bands
    def slow(*arguments, **options):
        time.sleep(8)
        return write_bands(*arguments, **options)
    stream.write_bands = slow
"""
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


def wait_until_whole(request):
    seen = {}

    def whole():
        if request.folder.exists():
            begin_soon(request, seen)
        return not request.folder.exists()

    wait_for(whole, "the volume")


def was_stopped_once(request, name, why):
    """What a job said that was stopped, queued again, and done; its lines."""
    log = (Path(request.out + ".logs") / "logs" / f"{name}.jsonl").read_text()
    lines = [json.loads(line) for line in log.splitlines()]
    assert [line["event"] for line in lines].count("begin") == 2
    (first,) = (line for line in lines if line.get("state") == "stopped")
    assert first["sentence"].startswith(why)
    assert lines[-1]["state"] == "done"
    return lines


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


@pytest.fixture(scope="module")
def limited(slurm, scan_store, tmp_path_factory):
    """A run whose one share cannot end within the minute that it asks for, unless it goes on.

    Begun before the other tests, as it takes Slurm half a minute to see that a limit comes near.
    """
    from tests.cluster.conftest import CONFIG

    folder = tmp_path_factory.mktemp("limited")
    (folder / "sitecustomize.py").write_text(SLOW)
    request = Request((str(scan_store),), str(folder / "organ.ome.zarr"), CONFIG)
    slow = f"export PYTHONPATH={shlex.quote(str(folder))}${{PYTHONPATH:+:$PYTHONPATH}}"
    profile = PROFILE.model_copy(update={"shares": 1, "warning_s": 50, "prologue": (slow,)})
    submit(request, profile.model_copy(update={"time": "1"}))
    return request


@pytest.fixture(autouse=True)
def _limited_runs_meanwhile(limited):
    """A test of this file begins after it."""


def test_a_preempted_job_goes_on(slurm, request_of, undisturbed, volume_bytes):
    request = request_of()
    submit(request, PROFILE)
    stopped = []

    def preempt_one():
        for lock in (request.folder / "locks").glob("share-*"):
            if RunLock(lock).living_owner():
                task = json.loads((request.folder / "tasks" / f"{lock.name}.json").read_text())
                # What Slurm does to a job that another one preempts.
                subprocess.run(["scontrol", "requeue", task["job"]], check=True)
                stopped.append(lock.name)
                return True
        return False

    wait_for(preempt_one, "a share at work")
    wait_until_whole(request)
    assert volume_bytes(Path(request.out)) == undisturbed
    was_stopped_once(request, stopped[0], "Ended by SIGTERM")


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
    def waiting():
        queue = ["squeue", "--noheader", "--states=PENDING", "--format=%i"]
        said = subprocess.run(queue, capture_output=True, text=True, check=True)
        return set(said.stdout.split())

    request, before = request_of(), waiting()
    with pytest.raises(ClusterError, match=r"Slurm refuses: .*invalid partition"):
        submit(request, PROFILE.model_copy(update={"partition": "nowhere"}))
    wrong = PROFILE.model_copy(
        update={"finish": PROFILE.finish.model_copy(update={"partition": "nowhere"})}
    )
    with pytest.raises(ClusterError, match="Slurm refuses"):
        submit(request, wrong)
    assert waiting() <= before


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


def test_a_job_whose_time_runs_out_stops_by_itself_and_goes_on(limited, undisturbed, volume_bytes):
    def stopped():
        record = limited.folder / "tasks" / "share-00000.json"
        return record.exists() and json.loads(record.read_text())["state"] == "stopped"

    wait_for(stopped, "the warning of Slurm")
    ledger = Ledger(limited.folder)
    made = ledger.layers()
    assert 0 < len(made) < 10
    assert ledger.forget_lost() == []
    wait_until_whole(limited)
    assert volume_bytes(Path(limited.out)) == undisturbed
    lines = was_stopped_once(limited, "share-00000", "The time limit is near")
    at = [datetime.fromisoformat(line["time"]) for line in lines]
    ends = [k for k, line in enumerate(lines) if line["event"] == "end"]
    # By itself, before Slurm would have ended it.
    assert (at[ends[0]] - at[0]).total_seconds() < 60
    # What was made before is not made again.
    begun = [
        line["total"]
        for line in lines
        if line.get("stage") == "reconstruct" and line["event"] == "start"
    ]
    depth = [32] * 9 + [12]
    assert begun == [300, 300 - sum(depth[layer] for layer in made)]
