"""The time table counts what overlaps once, and names what nobody accounts for."""

from __future__ import annotations

import threading
import time

import numpy as np

from hipct.pipeline.report import MemoryWatch, StageClock


def test_overlapping_stages_are_not_other_time_twice():
    clock = StageClock()
    both = threading.Barrier(2)

    def work(name):
        with clock.stage(name, 10_000_000):
            both.wait()
            time.sleep(0.2)

    threads = [threading.Thread(target=work, args=(name,)) for name in ("read", "flat")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    time.sleep(0.1)
    report = clock.report(voxels=1_000_000, peak_bytes=5)
    busy = report.wall_s - report.other_s
    assert report.other_s >= 0.1
    assert report.stages["read"].seconds >= 0.2
    assert sum(stage.seconds for stage in report.stages.values()) >= busy + 0.19
    assert report.as_dict()["stages"]["flat"]["bytes"] == 10_000_000
    assert list(report.stages) == ["read", "flat"]
    assert "read" in report.table()
    assert "Mvoxel/s" in report.table()


def test_memory_watch_sees_a_peak():
    with MemoryWatch() as before:
        time.sleep(0.05)
    with MemoryWatch() as watch:
        block = np.ones(20_000_000)
        time.sleep(0.1)
        del block
    assert watch.peak_bytes - before.peak_bytes > 100_000_000
