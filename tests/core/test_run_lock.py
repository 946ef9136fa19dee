"""One owner at a time, on any machine; dead owners make room, and those who lost it find out."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hipct.core import run_lock
from hipct.core.errors import OutputError
from hipct.core.run_folder import RunFolder
from hipct.core.run_lock import RunLock

HOLDER = """
import sys, time
from pathlib import Path
from hipct.core.run_lock import RunLock
RunLock(Path(sys.argv[1])).take()
print("taken", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "taken\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def of_elsewhere(lock, **changes):
    """A lock whose owner is on another machine."""
    owner = run_lock.myself() | {"machine": "elsewhere", "process": 1, "token": "other"}
    lock.path.write_text(json.dumps(owner | changes))


def test_the_owner_is_named_and_a_killed_one_makes_room_at_once(tmp_path, holder):
    lock = RunLock(tmp_path / "lock")
    with pytest.raises(OutputError, match=rf"process {holder.pid} on .* holds .*lock\); wait"):
        lock.take()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    began = time.monotonic()
    lock.take()
    assert time.monotonic() - began < 2
    assert lock.owner()["process"] == os.getpid()
    lock.release()
    assert list(tmp_path.iterdir()) == []


def test_a_later_process_of_the_same_number_is_another_one(tmp_path):
    first, lock = RunLock(tmp_path / "lock"), RunLock(tmp_path / "lock")
    first.take()
    (tmp_path / "lock").write_text(json.dumps(first.owner() | {"started": 1.0}))
    lock.take()
    assert lock.held
    lock.release()


def test_an_owner_elsewhere_lives_as_long_as_it_touches_the_lock(tmp_path):
    lock = RunLock(tmp_path / "lock")
    of_elsewhere(lock)
    with pytest.raises(OutputError, match="on elsewhere holds"):
        lock.take()
    before = time.time() - run_lock.STALE_S - 1
    os.utime(lock.path, (before, before))
    lock.take()
    assert lock.owner()["machine"] != "elsewhere"
    lock.release()


def test_another_machine_of_the_same_name_is_elsewhere_and_so_is_this_one_before_its_start(
    tmp_path,
):
    lock = RunLock(tmp_path / "lock")
    name = run_lock.myself()["machine"]
    of_elsewhere(lock, machine=name, boot="another", process=os.getpid())
    with pytest.raises(OutputError, match=f"on {name} holds"):
        lock.take()
    os.utime(lock.path, (1, 1))
    lock.take()
    lock.release()


def test_who_may_only_read_is_told_the_owner(tmp_path, monkeypatch):
    lock = RunLock(tmp_path / "lock")
    of_elsewhere(lock)

    def refused(*_arguments, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.touch", refused)
    assert lock.living_owner()["machine"] == "elsewhere"
    os.utime(lock.path, (1, 1))
    assert lock.living_owner() is None


def test_the_owner_touches_its_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(run_lock, "BEAT_S", 0.01)
    lock = RunLock(tmp_path / "lock")
    lock.take()
    os.utime(lock.path, (1, 1))
    deadline = time.monotonic() + 5
    while lock.path.stat().st_mtime < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.path.stat().st_mtime > 2
    lock.release()


def test_who_stood_still_for_too_long_finds_out_before_it_records(tmp_path):
    first, second = RunFolder(tmp_path), RunFolder(tmp_path)
    first.take()
    of_elsewhere(RunLock(tmp_path / "lock"))
    with pytest.raises(OutputError, match=r"has taken .* while this one stood still"):
        first.record(0, 0, {})
    assert first.done() == {}
    first.close()
    with pytest.raises(OutputError, match="elsewhere"):
        second.take()


@pytest.mark.parametrize("dead_owner", [False, True])
def test_of_many_at_a_time_one_gets_it(tmp_path, dead_owner):
    for _ in range(20):
        locks = [RunLock(tmp_path / "lock") for _ in range(8)]
        if dead_owner:
            of_elsewhere(locks[0])
            os.utime(locks[0].path, (1, 1))

        def take(lock):
            try:
                lock.take()
            except OutputError:
                return False
            return True

        with ThreadPoolExecutor(len(locks)) as pool:
            taken = list(pool.map(take, locks))
        assert sum(taken) == 1
        for lock in locks:
            lock.release()
        assert list(tmp_path.iterdir()) == []


def test_shares_stand_beside_each_other_and_not_beside_the_whole(tmp_path):
    one, two, whole, again = (RunFolder(tmp_path) for _ in range(4))
    one.take("share-0")
    two.take("share-1")
    with pytest.raises(OutputError, match=r"share-0"):
        again.take("share-0")
    with pytest.raises(OutputError, match=r"holds .*share-"):
        whole.take()
    one.close()
    two.close()
    whole.take()
    with pytest.raises(OutputError, match=r"holds .*lock"):
        one.take("share-0")
    whole.close()
    one.take("share-0")
    one.close()
