"""A disk that fills up, a job that stands still: the rest goes on, and the bytes are the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hipct.cluster.status import run_status
from hipct.cluster.worker import work
from hipct.core.errors import OutputError
from hipct.core.run_lock import RunLock
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.shares import finish_run, prepare_run, run_share
from hipct.volume.open import open_volume

# A share that comes to its first layer, says so, and waits there.
HELD = """
import sys, time
import hipct.pipeline.stream as stream
from hipct.pipeline.request import Request
from hipct.pipeline.shares import run_share
write_bands = stream.write_bands
def held(*arguments, **options):
    print("held", flush=True)
    sys.stdin.readline()
    return write_bands(*arguments, **options)
stream.write_bands = held
run_share(Request.of(sys.argv[1]), 0)
"""

# A share that one of its layers kills.
FATAL = """
import os, signal, sys
import hipct.pipeline.stream as stream
from hipct.pipeline.request import Request
from hipct.pipeline.shares import run_share
write_bands = stream.write_bands
def fatal(volume, spec, level, layer, *arguments, **options):
    if layer == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return write_bands(volume, spec, level, layer, *arguments, **options)
stream.write_bands = fatal
run_share(Request.of(sys.argv[1]), 0)
"""


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 400 kB, and a way to make it larger."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "hipct-test", str(disk)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("a disk in memory can be mounted by root alone")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_a_full_disk_stops_a_share_and_a_larger_one_goes_on(
    small_disk, request_of, undisturbed, volume_bytes
):
    request = request_of(out=str(small_disk / "organ.ome.zarr"))
    prepare_run(request, 2)
    endings = [work(request, "share", number, wait_s=0) for number in range(2)]
    assert {each.state for each in endings} == {"failed"}
    assert "disk" in endings[0].sentence or "space" in endings[0].sentence
    subprocess.run(["mount", "-o", "remount,size=50m", str(small_disk)], check=True)
    for number in range(2):
        assert work(request, "share", number, wait_s=0).state == "done"
    assert volume_bytes(finish_run(request).path) == undisturbed


def test_a_job_that_stood_still_too_long_records_nothing(request_of, undisturbed, volume_bytes):
    request = request_of()
    prepare_run(request, 1)
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, request.out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGSTOP)
        lock = request.folder / "locks" / "share-00000"
        with pytest.raises(OutputError, match="another process is writing"):
            run_share(request, 0)
        # As seen from another machine, after minutes without a sign of life.
        lock.write_text(lock.read_text().replace('"machine": "', '"machine": "far-'))
        os.utime(lock, (time.time() - 600,) * 2)
        made = run_share(request, 0).layers
        assert len(made) == 10
        process.send_signal(signal.SIGCONT)
        _, said = process.communicate("\n", timeout=300)
        assert process.returncode != 0
        assert "while this one stood still" in said
    assert RunLock(lock).owner() is None
    assert volume_bytes(finish_run(request).path) == undisturbed


def test_a_slow_share_keeps_no_other_from_its_work(request_of, undisturbed, volume_bytes):
    request = request_of()
    dealt = prepare_run(request, 3)
    process = subprocess.Popen(
        [sys.executable, "-c", HELD, request.out],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "held\n"
        assert [list(run_share(request, k).layers) for k in (1, 2)] == dealt[1:]
        with pytest.raises(OutputError, match="share-00000"):
            finish_run(request)
        process.communicate("\n" * 100, timeout=300)
        assert process.returncode == 0
    assert volume_bytes(finish_run(request).path) == undisturbed
    assert Path(request.out).is_dir()


def test_a_layer_that_always_kills_its_job_is_left_out_where_that_is_allowed(
    request_of, undisturbed, volume_bytes
):
    request = request_of(allow_missing=True)
    prepare_run(request, 1)
    fatal = 4
    # First in company, then alone: the layers behind it come to their turn as well.
    for left in (set(range(10)), {4, 5, 6, 7, 8, 9}, {4}):
        command = [sys.executable, "-c", FATAL, request.out, str(fatal)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
        assert left >= set(range(10)) - Ledger(request.folder).layers().keys() >= {fatal}
        assert "layers are missing" in work(request, "finish").sentence
    assert Ledger(request.folder).failed() == {}
    ending = work(request, "share", 0)
    assert ending.state == "failed"
    assert "1 layers could not be made: its process was killed 3 times" in ending.sentence
    assert "layer 4 failed: its process was killed" in run_status(request.out).text()
    ending = work(request, "finish")
    assert "is made, with gaps: Rows 128 to " in ending.sentence
    said = open_volume(request.out).provenance["incomplete"]
    assert said["rows"] == [[128, 160]]
    assert "killed 3 times" in said["reasons"][0]
    made = volume_bytes(Path(request.out))
    bottom = {key for key in undisturbed if key.startswith("0/")}
    same = {key for key in bottom if made.get(key) == undisturbed[key]}
    assert bottom - same == {key for key in bottom if key.startswith("0/c/4/")}


def test_without_that_leave_it_is_tried_again(request_of, undisturbed, volume_bytes):
    request = request_of()
    prepare_run(request, 1)
    begun = request.folder / "begun" / "share-00000.json"
    begun.parent.mkdir()
    begun.write_text('{"layers": [4], "killed": {"4": 2, "5": 1}}')
    assert len(run_share(request, 0).layers) == 10
    assert volume_bytes(finish_run(request).path) == undisturbed
