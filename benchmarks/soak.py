"""Does a run that is killed again and again, anywhere, end with the bytes of an undisturbed one.

    python -m benchmarks.soak [--kills 50] [--minutes 20] [--seed 0]

A volume is reconstructed by one process. Then it is made again on Dask workers by ``hipct submit``
and ``hipct retry``, which are killed (SIGKILL) at random moments: the controlling process, one of
its workers, or all at once. When a run has come to its end, every shard is compared with the
undisturbed volume's and the volume is checked to the last checksum, and the next run begins.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil

from benchmarks.common import RESULTS, save_table
from hipct.simulation.scan import simulate_scan
from hipct.volume.check import check_volume

TARGETS = ("controller", "worker", "all")
SETTINGS = ("--set", "volume.chunk=32")
HIPCT = (sys.executable, "-m", "hipct")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=50, help="kills in all, at least")
    parser.add_argument("--minutes", type=float, default=20.0, help="time after which it ends")
    parser.add_argument("--seed", type=int, default=0, help="of the moments and the targets")
    parser.add_argument("--quick", action="store_true", help="3 kills, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    if options.quick:
        options.kills = 3
    with tempfile.TemporaryDirectory() as folder:
        row = soak(Path(folder), options.kills, options.minutes, random.Random(options.seed))
    command = f"python -m benchmarks.soak --kills {options.kills} --seed {options.seed}"
    save_table("soak", [row], command, out=options.out)
    if row["runs unlike the undisturbed"] or row["faults of hipct check"]:
        sys.exit(1)


def soak(folder: Path, kills: int, minutes: float, chance: random.Random) -> dict[str, object]:
    scan, whole = folder / "scan.zarr", folder / "whole.ome.zarr"
    simulate_scan(
        scan, acquisition="half", columns=192, rows=384, angles=400, pixel_size_um=10,
        distance_m=4, seed=1,
    )  # fmt: skip
    subprocess.run(
        [*HIPCT, "reconstruct", str(scan), "-o", str(whole), *SETTINGS],
        check=True, capture_output=True,
    )  # fmt: skip
    wanted = checksums(whole)
    profile = folder / "profile.yaml"
    profile.write_text("cpus: 1\nshares: 6\n")
    killed: Counter[str] = Counter()
    runs = unlike = faults = longest = 0
    until = time.monotonic() + 60 * minutes
    while sum(killed.values()) < kills and time.monotonic() < until:
        out = folder / f"run-{runs}.ome.zarr"
        first = [*HIPCT, "submit", str(scan), "-o", str(out), "--cluster", str(profile), *SETTINGS]
        again = [*HIPCT, "retry", str(out)]
        tries = 0
        while not out.exists() or out.with_name(out.name + ".run").exists():
            tries += 1
            # The longer it lasts, the longer it is left alone, so that every run comes to its end.
            alone = chance.uniform(0.5, 6.0 + 4.0 * tries)
            begun = (out.with_name(out.name + ".run") / "request.json").exists()
            target = disturb([*(again if begun else first), "--dask", "local"], alone, chance)
            if target is not None:
                killed[target] += 1
        longest = max(longest, tries)
        unlike += checksums(out) != wanted
        faults += sum(each.severity == "error" for each in check_volume(out, deep=True))
        for path in folder.glob(f"run-{runs}.*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        runs += 1
        print(f"{runs} runs, {sum(killed.values())} kills", file=sys.stderr, flush=True)
    return {
        "kills": sum(killed.values()),
        **{f"of {target}": killed[target] for target in TARGETS},
        "runs": runs,
        "most starts of a run": longest,
        "runs unlike the undisturbed": unlike,
        "faults of hipct check": faults,
        "shards compared in each": len(wanted),
    }


def disturb(command: list[str], alone_s: float, chance: random.Random) -> str | None:
    """Run a command, and kill something of it after a while; what was killed, or None."""
    process = subprocess.Popen(
        command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        process.wait(alone_s)
    except subprocess.TimeoutExpired:
        target = chance.choice(TARGETS)
        workers = psutil.Process(process.pid).children(recursive=True)
        if target == "worker" and workers:
            chance.choice(workers).kill()
            process.wait()
        elif target == "all":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            target = "controller"
            process.kill()
        process.wait()
        # Workers of a killed controller end by themselves; some of them go on for a while, as they
        # do on a cluster, and the next controller meets them.
        return target
    return None


def checksums(volume: Path) -> dict[str, str]:
    return {
        str(file.relative_to(volume)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(volume.rglob("*"))
        if file.is_file() and file.name != "zarr.json"
    }


if __name__ == "__main__":
    main()
