"""What a cluster is told, and what is said of a run: without a cluster."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hipct.cluster import slurm as batch
from hipct.cluster.limits import within_job
from hipct.cluster.profile import Profile, load_profile, profile_names
from hipct.cluster.retry import cancel, retry
from hipct.cluster.scripts import array_option, job_script
from hipct.cluster.status import open_shares, run_status
from hipct.cluster.submission import Submission
from hipct.cluster.submit import submit
from hipct.cluster.tasks import TaskLog
from hipct.cluster.worker import work
from hipct.core.errors import ClusterError, ConfigError, FormatError, OutputError
from hipct.core.run_lock import RunLock, myself
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request

HOSTILE = [
    "a b",
    "$(touch pwned)",
    "`touch pwned`",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "-rf",
    "%A %j %%",
    "#SBATCH --wrap=x",
    "ü\\ \\n",
]


@pytest.fixture
def no_slurm(monkeypatch, tmp_path):
    """A machine without Slurm's commands."""
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.parametrize("name", HOSTILE)
def test_any_name_is_one_word_of_the_script(name, tmp_path):
    folder = tmp_path / f"{name}.ome.zarr.run"
    script = job_script(folder, "prepare", Profile())
    last = script.text.splitlines()[-1]
    assert shlex.split(last)[-2:] == [str(folder), "prepare"]
    # The shell agrees: it hands the name over as it is and runs nothing else.
    shown = last.replace("exec ", 'printf "%s\\n" ', 1)
    said = subprocess.run(
        ["bash", "-c", shown], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert said.stdout.splitlines()[-2:] == [str(folder), "prepare"]
    assert list(tmp_path.iterdir()) == []
    assert all(option.startswith("--") for option in script.options)


def test_a_name_that_slurm_cannot_carry_is_refused(tmp_path):
    with pytest.raises(ClusterError, match="control characters"):
        job_script(tmp_path / "a\nb.run", "share", Profile())


def test_stages_ask_for_what_the_profile_says(tmp_path):
    profile = Profile(
        partition="gpu",
        time="1-02:00:00",
        cpus=8,
        memory="64GB",
        gres="gpu:1",
        warning_s=60,
        prologue=["module load cuda", "export A='b c'"],
        finish={"partition": "cpu", "gres": "gpu:0"},
    )
    share, finish = (
        job_script(tmp_path / "o.run", stage, profile) for stage in ("share", "finish")
    )
    assert {"--partition=gpu", "--time=1-02:00:00", "--cpus-per-task=8", "--gres=gpu:1"} <= set(
        share.options
    )
    assert f"--mem={64 * 10**9 // 2**20}M" in share.options
    assert "--signal=B:USR1@60" in share.options
    assert {"--partition=cpu", "--gres=gpu:0"} <= set(finish.options)
    assert share.text.splitlines()[2:4] == ["module load cuda", "export A='b c'"]
    assert "OMP_NUM_THREADS=8" in share.text


def test_members_of_an_array_are_written_short():
    assert array_option([7, 1, 2, 3, 9], None) == "--array=1-3,7,9"
    assert array_option(range(100), 10) == "--array=0-99%10"


@pytest.mark.parametrize("name", ["cpu", "esrf", "gpu"])
def test_the_profiles_that_come_with_hipct_load(name):
    assert name in profile_names()
    assert load_profile(name).shares > 1


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("partition: a b", "partition: .*one word"),
        ("partition: a;b", "partition: .*one word"),
        ("time: soon", "time: .*minutes"),
        ("memory: lots", "An amount of memory is 'lots'"),
        ("cpus: 0", "cpus: .*greater than or equal to 1"),
        ('prologue: ["a\\nb"]', r"prologue\.0: .*one line"),
        ("colour: red", "colour: Extra inputs"),
        ("at_a_time: 99", "at_a_time is more than the 32 shares"),
        ('time: "3"', "prepare would stop at once: warning_s is 180 and its time 3"),
        ("- a", "holds no keys"),
        ("a: !!python/object/apply:os.system [ls]", "cannot be read"),
    ],
)
def test_a_wrong_profile_is_named(text, fault, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=fault):
        load_profile(path)
    with pytest.raises(ConfigError, match=r"no cluster profile 'moon'; there are cpu, esrf, gpu"):
        load_profile("moon")


def test_a_job_takes_what_slurm_gave_it(request_of):
    environment = {"SLURM_CPUS_PER_TASK": "6", "SLURM_MEM_PER_NODE": "1000"}
    compute = within_job(request_of(), environment).settings().compute
    assert compute.threads == 6
    assert compute.memory == int(0.8 * 1000 * 2**20)
    given = request_of(config={"compute": {"threads": 2, "memory": "1GB"}})
    assert within_job(given, environment).settings().compute.threads == 2
    assert within_job(given, environment).settings().compute.memory == 10**9
    assert within_job(given, {}) == given


def test_without_slurm_the_sentence_says_where_to_go(no_slurm, request_of):
    with pytest.raises(ClusterError, match=r"sbatch is not on this machine.*--dask local"):
        submit(request_of(), Profile())
    assert batch.queued(["1"]) == []


def test_a_run_that_nobody_submitted_is_named(tmp_path):
    with pytest.raises(OutputError, match="holds no run that was submitted"):
        retry(tmp_path / "v.ome.zarr")
    with pytest.raises(ClusterError, match="was not given to Slurm"):
        cancel(tmp_path / "v.ome.zarr")
    with pytest.raises(
        OutputError, match=r"is no volume, and there is no folder v\.ome\.zarr\.run"
    ):
        run_status(tmp_path / "v.ome.zarr")


def test_records_of_another_version_are_refused_with_a_sentence(request_of):
    request = request_of()
    request.keep()
    file = request.folder / "request.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"new": 1}))
    with pytest.raises(FormatError, match="of another version of hipct"):
        Request.of(request.out)
    (request.folder / "cluster.json").write_text('{"profile": {"new": 1}, "jobs": [], "when": ""}')
    with pytest.raises(FormatError, match="of another version of hipct"):
        Submission.of(request.folder)


def test_a_job_that_fails_says_so_in_its_record_and_its_log(request_of):
    request = request_of(sources=("/nowhere/scan.zarr",))
    ending = work(request, "prepare", shares=2)
    assert ending.state == "failed"
    assert "/nowhere/scan.zarr does not exist" in ending.sentence
    status = run_status(request.out)
    assert status.state == "incomplete"
    assert [(each["task"], each["sentence"]) for each in status.tasks] == [
        ("prepare", ending.sentence)
    ]
    assert "prepare failed: " in status.text()
    assert ending.sentence in Path(status.tasks[0]["log"]).read_text()


def test_a_job_that_died_without_a_word_is_told_by_its_lock(request_of):
    request = request_of()
    request.keep()
    folder = request.folder
    ledger = Ledger(folder)
    ledger.note({"shares": [[0, 1], [2]]})
    (folder / "done").mkdir()
    TaskLog(folder, "share-00000")
    lock = RunLock(folder / "locks" / "share-00000")
    lock.path.parent.mkdir()
    lock.take()
    status = run_status(request.out)
    assert (status.state, status.shares) == ("running", {"running": 1, "waiting": 1})
    lock.release()
    record = folder / "tasks" / "share-00000.json"
    dead = myself() | {"started": 1.0}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"owner": dead}))
    status = run_status(request.out)
    assert (status.state, status.shares) == ("incomplete", {"died": 1, "waiting": 1})
    assert "share-00000 died: It ended without a word." in status.text()
    elsewhere = dead | {"machine": "elsewhere"}
    record.write_text(json.dumps(json.loads(record.read_text()) | {"owner": elsewhere}))
    assert run_status(request.out).state == "running"
    os.utime(record, (1, 1))
    assert run_status(request.out).state == "incomplete"


def test_the_rate_and_the_time_left_follow_from_the_records(request_of):
    request = request_of()
    request.keep()
    folder, now = request.folder, time.time()
    (folder / "done").mkdir()
    Ledger(folder).note({"shares": [list(range(10)), list(range(10, 20))]})
    for layer in range(12):
        file = folder / "done" / f"0-{layer:06d}.json"
        file.write_text("{}")
        os.utime(file, (now - 60 * (12 - layer),) * 2)
    (folder / "done" / "1-000000.json").write_text("{}")
    Ledger(folder).fail(13, "too dark", "here.jsonl")
    Ledger(folder).record_times("share-00000", {"seconds": {"rings": 3.0, "flat": 1.0}})
    lock = RunLock(folder / "lock")
    lock.take()
    status = run_status(request.out)
    # 12 layers in the 13 minutes from the beginning of the jobs to the last of them.
    began = datetime.fromtimestamp(now - 60 * 14, UTC).isoformat()
    (folder / "tasks").mkdir(exist_ok=True)
    for name, each in (("share-00000", began), ("prepare", "2020-01-01T00:00:00+00:00")):
        record = {"state": "done", "began": each, "sentence": "", "log": ""}
        (folder / "tasks" / f"{name}.json").write_text(json.dumps(record))
    assert run_status(request.out).rate_per_h == pytest.approx(12 / 13 * 60, rel=1e-3)
    lock.release()
    assert status.layers == {"total": 20, "done": 12, "failed": 1, "left": 8}
    assert status.rate_per_h == pytest.approx(60, rel=1e-3)
    assert status.left_s == pytest.approx(8 * 60, rel=1e-3)
    assert status.slowest == ("rings", 0.75)
    assert status.shares == {"done": 1, "waiting": 1}
    assert open_shares(request.out) == [1]
    assert "layer 13 failed: too dark (log: here.jsonl)" in status.text()
    assert "about 8 min left" in status.text()
    assert json.loads(json.dumps(status.as_dict()))["state"] == "running"


@pytest.fixture
def memory_disk(tmp_path):
    """A folder in memory, where there is one: many files are made there in no time."""
    if not os.access("/dev/shm", os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_a_hundred_thousand_records_are_counted_in_two_seconds(request_of, memory_disk):
    request = request_of(out=str(memory_disk / "organ.ome.zarr"))
    request.keep()
    done = request.folder / "done"
    done.mkdir()
    count = 100_000
    Ledger(request.folder).note({"shares": [list(range(k, count, 100)) for k in range(100)]})
    folder = os.open(done, os.O_RDONLY)
    for layer in range(count):
        os.close(os.open(f"0-{layer:06d}.json", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    # Of this thread alone; on a slow machine in proportion to what it takes to see the files.
    began = time.thread_time()
    seen = sum(entry.stat().st_mtime > 0 for entry in os.scandir(done))
    looked = time.thread_time()
    status = run_status(request.out)
    assert time.thread_time() - looked < max(2, 6 * (looked - began))
    assert status.layers["done"] == seen == count
