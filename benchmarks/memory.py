"""Peak memory of a whole run on a scan several times larger than its budget.

    python -m benchmarks.memory [--gigabytes 8] [--memory 2GB] [--folder DIR]

A scan of that size (uint16, full acquisition, Paganin) is written to a scan store, then
``hipct reconstruct`` runs on it as a process of its own, whose peak is what the kernel counted
for it (``ru_maxrss``). Needs about the scan's size again on disk.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import RESULTS, save_table
from hipct.acquisition.scan import ScanInfo
from hipct.acquisition.store import ScanStoreWriter
from hipct.core.memory import parse_bytes

COLUMNS, ANGLES, COUNTS = 2048, 1500, 20_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gigabytes", type=float, default=8.0, help="size of the raw scan")
    parser.add_argument("--memory", default="2GB", help="budget of the run")
    parser.add_argument("--folder", type=Path, help="where scan and volume are put meanwhile")
    parser.add_argument("--quick", action="store_true", help="0.3 GB, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    if options.quick:
        options.gigabytes, options.memory = 0.3, "1GB"
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scan, volume = Path(folder) / "scan.zarr", Path(folder) / "volume.ome.zarr"
        rows = round(options.gigabytes * 1e9 / (2 * ANGLES * COLUMNS))
        print(f"writing a scan of {ANGLES} x {rows} x {COLUMNS} pixels ...", flush=True)
        write_scan(scan, rows)
        command = [
            sys.executable, "-m", "hipct", "reconstruct", str(scan), "-o", str(volume),
            "--memory", options.memory, "--set", "phase.delta_beta=1000",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, check=True)
        wall = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        report = json.loads((Path(folder) / "volume.report.json").read_text())
    budget = parse_bytes(options.memory)
    row = {
        "scan GB": options.gigabytes,
        "budget GB": budget / 1e9,
        "planned peak GB": round(report["plan"]["peak_bytes"] / 1e9, 3),
        "measured peak GB": round(peak / 1e9, 3),
        "inside": peak <= budget,
        "wall s": round(wall, 1),
        "Mvoxel/s": round(report["voxels"] / wall / 1e6, 1),
    }
    asked = f"--gigabytes {options.gigabytes:g} --memory {options.memory}"
    save_table("memory", [row], f"python -m benchmarks.memory {asked}", out=options.out)
    if peak > budget:
        sys.exit("the run took more than its budget")


def write_scan(path: Path, rows: int, *, columns: int = COLUMNS, angles: int = ANGLES) -> None:
    """Noisy counts of two cylinders whose absorption varies along z."""
    rng = np.random.default_rng(1)
    angles_rad = np.arange(angles) * np.pi / angles
    scale = columns / COLUMNS
    info = ScanInfo(
        projections=angles, rows=rows, columns=columns, dtype=np.dtype(np.uint16),
        angles_rad=angles_rad, pixel_size_um=10.0, distance_m=1.0, energy_kev=80.0,
        flat_index=np.arange(-5.0, 0.0), dark_index=np.arange(-10.0, -5.0),
    )  # fmt: skip
    profile = 1 + 0.2 * np.sin(np.arange(rows, dtype=np.float32) / 40)[:, None]
    # One field of noise, looked at in another place for every frame: fast, and no two frames alike.
    room = 256
    noise = rng.normal(0, np.sqrt(COUNTS), (rows + room, columns + room)).astype(np.float32)
    with ScanStoreWriter(path, info) as writer:
        writer.write_flats(0, np.full((5, rows, columns), COUNTS + 100, np.uint16))
        writer.write_darks(0, np.full((5, rows, columns), 100, np.uint16))
        for number, angle in enumerate(angles_rad):
            column = (np.arange(columns) - (columns - 1) / 2) / scale
            line = 0.002 * chord(column, 900) + 0.004 * chord(column - 400 * np.cos(angle), 200)
            frame = COUNTS * np.exp(-profile * line.astype(np.float32)) + 100
            down, right = rng.integers(0, room, 2)
            frame += noise[down : down + rows, right : right + columns]
            writer.write_projections(number, np.rint(frame).astype(np.uint16)[None])


def chord(distance: np.ndarray, radius: float) -> np.ndarray:
    """Length of a circle's chords in pixels."""
    return 2 * np.sqrt(np.maximum(radius**2 - distance**2, 0))


if __name__ == "__main__":
    main()
