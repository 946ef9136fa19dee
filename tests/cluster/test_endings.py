"""What a run leaves when it ends, fails or is stopped: nothing lost, nothing wrong said."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import hipct.cluster.worker as jobs
from hipct.acquisition.open import open_scan
from hipct.cli.main import cli
from hipct.cluster import slurm
from hipct.cluster.dask_run import run_on_dask
from hipct.cluster.profile import Profile
from hipct.cluster.retry import retry
from hipct.cluster.status import run_status
from hipct.cluster.submission import Submission
from hipct.cluster.submit import submit
from hipct.cluster.worker import Stopped, work
from hipct.core.errors import ClusterError, OutputError
from hipct.core.run_lock import RunLock
from hipct.pipeline.config import Config
from hipct.pipeline.job import fingerprint
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.provenance import package_version, source_commit
from hipct.pipeline.request import Request, run_folder
from hipct.pipeline.run import reconstruct
from hipct.pipeline.shares import prepare_run
from hipct.volume.open import open_volume


@pytest.fixture(scope="module")
def shared(scan_store, tmp_path_factory, undisturbed):
    """A run of two shares whose jobs have done all but finish, to be copied."""
    from tests.cluster.conftest import CONFIG

    folder = tmp_path_factory.mktemp("shared")
    request = Request((str(scan_store),), str(folder / "organ.ome.zarr"), CONFIG)
    assert work(request, "prepare", shares=2).state == "done"
    for number in range(2):
        assert work(request, "share", number).state == "done"
    return request


@pytest.fixture
def almost(shared, tmp_path):
    """A copy of it that a test may finish."""
    request = replace(shared, out=str(tmp_path / "organ.ome.zarr"))
    shutil.copytree(shared.folder, request.folder)
    request.keep()
    return request


def test_a_finish_that_fails_leaves_what_the_shares_have_made(
    almost, scan_store, undisturbed, volume_bytes
):
    out = Path(almost.out)
    shutil.copytree(scan_store.with_name("whole.ome.zarr"), out)
    again = replace(almost, overwrite=True)
    record = again.folder / "done" / "0-000003.json"
    kept = record.read_bytes()
    record.unlink()
    ending = work(again, "finish")
    assert ending.state == "failed"
    assert "1 of 10 layers are missing (3)" in ending.sentence
    assert len(Ledger(again.folder).done()) > 10
    record.write_bytes(kept)
    # Without leave to replace the volume nothing is lost either.
    ending = work(almost, "finish")
    assert (ending.state, "exists already" in ending.sentence) == ("failed", True)
    assert work(again, "finish").state == "done"
    assert not again.folder.exists()
    assert volume_bytes(out) == undisturbed


def test_a_finish_that_is_stopped_after_the_volume_has_its_name_ends_the_next_time(
    almost, monkeypatch, undisturbed, volume_bytes
):
    def stopped(_volume):
        raise Stopped(jobs.signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "check_volume", stopped)
        assert work(almost, "finish").state == "stopped"
    assert almost.folder.exists()
    assert run_status(almost.out).state == "whole"
    assert volume_bytes(Path(almost.out)) == undisturbed
    mine = Path(almost.out + ".logs") / "mine.txt"
    mine.parent.mkdir()
    mine.write_text("not of hipct")
    assert work(almost, "finish").sentence == f"{almost.out} is whole."
    assert not almost.folder.exists()
    assert mine.exists()
    assert (mine.parent / "logs" / "finish.jsonl").exists()
    assert run_status(almost.out).state == "whole"
    assert not list(mine.parent.parent.glob(".*"))


def test_retry_of_a_run_that_has_ended_only_clears_up(almost, monkeypatch):
    monkeypatch.setattr(jobs, "keep_logs", lambda _folder: None)
    assert work(almost, "finish").state == "done"
    assert retry(almost.out) == f"{almost.out} is made; nothing is left to do."
    assert not almost.folder.exists()


def test_a_node_without_a_gpu_finishes_what_gpus_have_made(almost):
    notes = json.loads((almost.folder / "run.json").read_text())
    notes["parameters"]["backend"] = "cupy"
    (almost.folder / "run.json").write_text(json.dumps(notes))
    asked = {**almost.config, "compute": {"backend": "cupy"}}
    ending = work(replace(almost, config=asked), "finish")
    assert ending.state == "done", ending.sentence
    assert open_volume(almost.out).provenance["computed_by"]["backend"] == "cupy"


def test_one_process_goes_on_with_a_run_that_was_submitted(almost, undisturbed, volume_bytes):
    for layer in (2, 7):
        (almost.folder / "done" / f"0-{layer:06d}.json").unlink()
    made = reconstruct(almost.sources[0], almost.out, Config(**almost.config))
    assert volume_bytes(made.path) == undisturbed
    assert made.report.voxels == np.prod(open_volume(made.path).shape)
    assert not almost.folder.exists()
    with pytest.raises(OutputError, match="holds no run that was submitted"):
        retry(almost.out)


def test_the_report_tells_of_all_processes(almost):
    parts = Ledger(almost.folder).times()
    assert len(parts) == 3
    began = min(part["began"] for part in parts)
    # The first one ran an hour ago on another machine.
    file = next((almost.folder / "times").glob("prepare-*.json"))
    first = json.loads(file.read_text())
    first |= {
        "began": began - 3600,
        "ended": began - 3590,
        "machine": "other",
        "peak_bytes": 10**12,
        "versions": {"cupy": "14.0.1", "numpy": "1.0"},
    }
    file.write_text(json.dumps(first))
    assert work(almost, "finish").state == "done"
    provenance = open_volume(almost.out).provenance
    assert provenance["versions"]["cupy"] == "14.0.1"
    assert provenance["versions"]["numpy"] == f"1.0, {np.__version__}"
    timing = provenance["timing"]
    assert 3600 < timing["wall_s"] < 5400
    assert timing["other_s"] > 3000
    assert timing["peak_bytes"] == 10**12
    assert sum(timing["machines"].values()) == 4
    assert timing["machines"]["other"] == 1
    assert timing["stages"]["write"]["bytes"] >= sum(part["bytes"]["write"] for part in parts[1:])
    report = json.loads((Path(almost.out).parent / "organ.report.json").read_text())
    assert report["machines"] == timing["machines"]
    quality = json.loads((Path(almost.out).parent / "organ.quality.json").read_text())
    # The last process has had no layer to make, and has looked at the projections none the less.
    assert quality["seconds_of_frames"] > 0


def test_inspect_tells_how_a_volume_was_made(almost):
    assert work(almost, "finish").state == "done"
    provenance = open_volume(almost.out).provenance
    (checksum,) = provenance["source"]["checksums"]
    with open_scan(almost.sources[0]) as scan:
        assert checksum == fingerprint(scan)
    said = CliRunner().invoke(cli, ["inspect", almost.out], catch_exceptions=False).output
    lines = {line.split("  ")[0]: line for line in said.splitlines()}
    assert checksum in lines["source"]
    assert f"hipct {package_version('hipct')}, numpy {np.__version__}" in lines["versions"]
    assert provenance["commit"] in lines["commit"]
    assert "axis_px 24" in lines["estimates"]
    assert "delta_beta 300" in lines["config phase"]
    assert "wall_s" in lines["took"]
    assert "seconds" in lines["took reconstruct"]


def test_the_commit_is_that_of_the_repository(tmp_path, monkeypatch):
    package = tmp_path / "hipct"
    package.mkdir()
    monkeypatch.setattr("hipct.__file__", str(package / "__init__.py"))
    assert source_commit() == "that of the release"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    (package / "__init__.py").write_text("")
    for words in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert source_commit() == head.stdout.strip()
    (package / "__init__.py").write_text("changed = True")
    assert source_commit() == head.stdout.strip() + "-dirty"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit() == "unknown"


def test_what_was_asked_is_kept_where_preparing_fails(request_of):
    request = request_of(config=request_of().config | {"axis": {"value": 1000.0}})
    request.keep()
    ending = work(request, "prepare", shares=2)
    assert "axis at column 1000.00 lies off the detector" in ending.sentence
    status = run_status(request.out)
    assert (status.state, status.tasks[0]["sentence"]) == ("incomplete", ending.sentence)
    assert ending.sentence in Path(status.tasks[0]["log"]).read_text()


def test_layers_that_nobody_came_to_are_no_gaps(almost):
    done = almost.folder / "done"
    for record in (done / "0-000003.json", *done.glob("[1-9]-*.json")):
        record.unlink()
    request = replace(almost, allow_missing=True)
    ending = work(request, "finish")
    assert "1 of 10 layers are missing (3)" in ending.sentence
    assert not Path(almost.out).exists()
    Ledger(almost.folder).fail(3, "its projections cannot be read")
    ending = work(request, "finish")
    assert ending.state == "done"
    assert "with gaps" in ending.sentence
    assert run_status(almost.out).state == "finished with gaps"


def test_other_parameters_are_refused_before_anything_waits(almost):
    other = replace(almost, config=almost.config | {"phase": {"delta_beta": 301.0}})
    with pytest.raises(OutputError, match=r"delta_beta: 300\.0 then, 301\.0 now"):
        other.look()
    other.look(restart=True)
    almost.look()


def test_a_second_submission_at_the_same_time_is_refused(request_of, monkeypatch):
    request = request_of()
    numbers = iter(range(1, 100))
    refused = []

    def sbatch(_script, _options):
        if not refused:
            with pytest.raises(OutputError, match=r"holds .*submitting"):
                submit(request, Profile())
            refused.append(True)
        return str(next(numbers))

    monkeypatch.setattr(slurm, "submit_script", sbatch)
    monkeypatch.setattr(slurm, "queued", lambda _jobs: [])
    assert list(submit(request, Profile())) == ["prepare", "share", "finish"]
    assert refused


def test_jobs_are_known_from_the_moment_they_are_queued(request_of, monkeypatch):
    request = request_of()

    def killed_at_the_second(_script, _options):
        known = Submission.of(request.folder)
        if known.jobs:
            assert known.jobs == ("7",)
            raise KeyboardInterrupt
        return "7"

    monkeypatch.setattr(slurm, "submit_script", killed_at_the_second)
    with pytest.raises(KeyboardInterrupt):
        submit(request, Profile())
    assert Submission.of(request.folder).jobs == ("7",)


def test_nothing_is_left_beside_a_volume_that_stays(request_of):
    request = request_of()
    Path(request.out).mkdir()
    for way in (
        lambda: submit(request, Profile()),
        lambda: run_on_dask(request, "local", Profile()),
    ):
        with pytest.raises(OutputError, match="exists already"):
            way()
    assert not request.folder.exists()


def test_status_names_what_is_no_run(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(OutputError, match="folder is no volume"):
        run_status(tmp_path / "folder")
    with pytest.raises(OutputError, match="is no volume; name one"):
        run_status("/")
    with pytest.raises(OutputError, match="is no volume; name one"):
        run_folder(".")


def test_status_bears_records_that_vanish_under_it(request_of, monkeypatch):
    request = request_of()
    prepare_run(request, 2)
    ledger = Ledger(request.folder)
    ledger.fail(1, "dark", "log")
    jobs.TaskLog(request.folder, "share-00000")
    record = request.folder / "tasks" / "share-00000.json"
    elsewhere = json.loads(record.read_text())
    elsewhere["owner"]["machine"] = "elsewhere"
    record.write_text(json.dumps(elsewhere))
    read = Ledger.read

    def vanishing(self, path):
        value = read(self, path)
        if path.name not in ("run.json", "share-00000.json"):
            path.unlink(missing_ok=True)
            return {}
        if path.name == "share-00000.json":
            path.unlink()
        return value

    monkeypatch.setattr(Ledger, "read", vanishing)
    monkeypatch.setattr("hipct.core.run_folder.RunFolder.read", vanishing)
    status = run_status(request.out)
    assert (status.state, status.failed, status.slowest) == ("incomplete", [], None)
    assert status.shares == {"died": 1, "waiting": 1}


def test_a_job_whose_python_is_not_there_is_named_with_its_output(request_of):
    request = request_of()
    request.keep()
    output = request.folder / "logs" / "prepare-17.out"
    output.parent.mkdir()
    output.write_text("python: not found")
    status = run_status(request.out)
    assert f"prepare died: It ended before hipct began; the log says why. (log: {output})" in (
        status.text()
    )


def test_memory_of_a_job_may_be_that_of_its_cores(request_of):
    from hipct.cluster.limits import within_job

    each = {"SLURM_MEM_PER_CPU": "1000", "SLURM_CPUS_ON_NODE": "4", "SLURM_MEM_PER_NODE": "0"}
    assert within_job(request_of(), each).config["compute"]["memory"] == 3200 * 2**20
    assert within_job(request_of(), {"SLURM_MEM_PER_NODE": "0"}).config["compute"] == {}


def test_dask_is_refused_while_jobs_wait(request_of, monkeypatch):
    request = request_of()
    request.keep()
    Submission(Profile(), ("5",)).keep(request.folder)
    waiting = [slurm.Queued("5_1", "PENDING", "Priority")]
    monkeypatch.setattr(slurm, "queued", lambda _jobs: waiting)
    with pytest.raises(OutputError, match=r"has jobs in the queue \(5\)"):
        retry(request.out, dask="local")
    with pytest.raises(OutputError, match=r"has jobs in the queue \(5\)"):
        retry(request.out)


def test_what_slurm_says_too_shortly_gets_a_remedy(monkeypatch):
    class Answer:
        returncode = 1
        stderr = "sbatch: error: Batch job submission failed: Invalid job array specification\n"

    monkeypatch.setattr(slurm.subprocess, "run", lambda *_a, **_k: Answer)
    with pytest.raises(ClusterError, match=r"MaxArraySize.*fewer --shares"):
        slurm.submit_script("", [])
    Answer.stderr = "sbatch: error: Invalid generic resource (gres) specification"
    with pytest.raises(ClusterError, match=r"change gres or partition of the profile"):
        slurm.submit_script("", [])


def test_a_lock_of_submitting_that_was_left_is_taken(request_of, monkeypatch):
    request = request_of()
    request.keep()
    RunLock(request.folder / "submitting").path.write_text("{")
    monkeypatch.setattr(slurm, "submit_script", lambda *_given: "3")
    monkeypatch.setattr(slurm, "queued", lambda _jobs: [])
    with pytest.raises(OutputError, match=r"holds .*submitting"):
        submit(request, Profile())
    monkeypatch.setattr("hipct.core.run_lock.STALE_S", -1.0)
    submit(request, Profile())
