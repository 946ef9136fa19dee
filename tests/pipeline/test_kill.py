"""A killed process leaves nothing that looks whole, and the next one ends with the same bytes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from hipct.acquisition.store import ScanStoreWriter
from hipct.pipeline.ledger import Ledger

# Slow enough that the kill falls between the first layer and the last.
SLOWED = """
import sys, time
import hipct.pipeline.stream as stream
import hipct.volume.writer as writer
from hipct.pipeline.config import Config
from hipct.pipeline.run import reconstruct
write_bands = stream.write_bands
def slowly(*arguments, **options):
    time.sleep(float(sys.argv[3]))
    return write_bands(*arguments, **options)
stream.write_bands = writer.write_bands = slowly
reconstruct(sys.argv[1], sys.argv[2], Config(
    phase={"delta_beta": 300.0}, axis={"value": 24.0},
    volume={"chunk": 32, "window": [-20.0, 60.0]},
))
"""


def write_store(path, scan):
    with ScanStoreWriter(path, scan.info) as writer:
        for kind in ("flats", "darks", "projections"):
            writer.write_frames(kind, 0, scan.frames[kind])


def run(scan, out, pause):
    command = [sys.executable, "-c", SLOWED, str(scan), str(out), str(pause)]
    return subprocess.Popen(command)


def volume_bytes(path):
    return {
        str(file.relative_to(path)): file.read_bytes()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != "zarr.json"
    }


@pytest.mark.parametrize("layers_before_the_kill", [1, 3, 6])
def test_a_killed_job_goes_on(tmp_path, discs, layers_before_the_kill):
    scan = discs(rows=300, noise=50.0, pixel_size_um=10.0, distance_m=1.0, energy_kev=80.0)
    store = tmp_path / "scan.zarr"
    write_store(store, scan)
    whole, out = tmp_path / "whole.ome.zarr", tmp_path / "killed.ome.zarr"
    assert run(store, whole, 0).wait(120) == 0

    process = run(store, out, 0.3)
    ledger = Ledger(tmp_path / "killed.ome.zarr.run")
    deadline = time.monotonic() + 120
    while len(ledger.done()) < layers_before_the_kill and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    done = set(ledger.done())
    assert len(done) >= layers_before_the_kill

    assert run(store, out, 0).wait(120) == 0
    assert volume_bytes(out) == volume_bytes(whole)
    assert sorted(path.name for path in tmp_path.iterdir() if "killed" in path.name) == [
        "killed.ome.zarr",
        "killed.preview.png",
        "killed.report.json",
    ]
