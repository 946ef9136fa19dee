"""How near is a whole run to what the machine can do: from the scan store to the pyramid.

    python -m benchmarks.whole [--columns 1024] [--rows 1024] [--angles 1500] [--quick]

A half-acquisition is written to a scan store, then ``hipct reconstruct`` (Paganin, rings by
sorting) runs on it as a process of its own. No run can be faster than its processor time shared
between all cores, nor than the disk takes to read the scan and to write the volume: the wall time
is held against the larger of the two. The disk's time is that of reading every file of the scan
and of writing as many bytes as the volume has, flushed; what the system keeps in memory of the
scan counts for both.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import RESULTS, save_table
from benchmarks.memory import COUNTS, chord
from hipct.acquisition.scan import ScanInfo
from hipct.acquisition.store import ScanStoreWriter

OVERLAP = 0.12
"""Part of the columns that both half turns see."""

PIECE = 1 << 24


def main() -> None:
    options = sizes(__doc__)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        scan, volume = Path(folder) / "scan.zarr", Path(folder) / "volume.ome.zarr"
        axis = write_half(scan, options.rows, options.columns, options.angles)
        command = reconstruction(scan, volume, options.memory)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(command, check=True)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = json.loads((Path(folder) / "volume.report.json").read_text())
        disk = read_all(scan) + write_as_much(volume, Path(folder) / "copy")
    processor = sum(
        getattr(after, each) - getattr(before, each) for each in ("ru_utime", "ru_stime")
    )
    cores = len(os.sched_getaffinity(0))
    least = max(disk, processor / cores)
    row = {
        "columns x rows x angles": f"{options.columns} x {options.rows} x {options.angles}",
        "wall s": wall,
        "processor s": processor,
        "a core s": processor / cores,
        "disk s": disk,
        "wall / least": wall / least,
        "Mvoxel/s": report["voxels"] / wall / 1e6,
        "peak GB": after.ru_maxrss * 1024 / 1e9,
    }
    stages = {
        f"stage {name}": f"{stage['seconds']:.1f} s busy"
        for name, stage in report["stages"].items()
    }
    found = report["estimates"]["axis_px"]
    facts = {"axis": f"{found:.3f}, true {axis:.3f}", "budget": options.memory, **stages}
    asked = " ".join(f"--{name} {getattr(options, name)}" for name in ("columns", "rows", "angles"))
    save_table("whole", [row], f"python -m benchmarks.whole {asked}", out=options.out, facts=facts)


def sizes(description: str | None) -> argparse.Namespace:
    """Size of the half-acquisition, budget, folder and place of the result, as asked for."""
    parser = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    for name, default in (("columns", 1024), ("rows", 1024), ("angles", 1500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--memory", default="6GB", help="budget of the run")
    parser.add_argument("--folder", type=Path, help="where scan and volume are put meanwhile")
    parser.add_argument("--quick", action="store_true", help="a small scan, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    options = parser.parse_args()
    if options.quick:
        options.columns, options.rows, options.angles = 256, 128, 300
    return options


def reconstruction(scan: Path, volume: Path, memory: str) -> list[str]:
    """The command of the run: Paganin, rings by sorting."""
    return [
        sys.executable, "-m", "hipct", "reconstruct", str(scan), "-o", str(volume),
        "--memory", memory, "--set", "phase.delta_beta=1000", "--set", "rings.method=sorting",
    ]  # fmt: skip


def write_half(path: Path, rows: int, columns: int, angles: int) -> float:
    """Noisy counts of a body and of many vessels in it over a whole turn; its axis."""
    rng = np.random.default_rng(1)
    axis = columns * (1 - OVERLAP / 2) - 0.5
    reach = 0.95 * axis
    angles_rad = np.arange(angles) * 2 * np.pi / angles
    info = ScanInfo(
        projections=angles, rows=rows, columns=columns, dtype=np.dtype(np.uint16),
        angles_rad=angles_rad, acquisition="half", pixel_size_um=10.0, distance_m=1.0,
        energy_kev=80.0, flat_index=np.arange(-5.0, 0.0), dark_index=np.arange(-10.0, -5.0),
    )  # fmt: skip
    vessels = 40
    radius = reach * rng.uniform(0.01, 0.08, vessels)
    away = reach * 0.85 * np.sqrt(rng.uniform(0, 1, vessels))
    turned = rng.uniform(0, 2 * np.pi, vessels)
    strength = 2.0 / reach * rng.uniform(-0.3, 0.6, vessels)
    room = 256
    noise = rng.normal(0, np.sqrt(COUNTS), (rows + room, columns + room)).astype(np.float32)
    profile = 1 + 0.2 * np.sin(np.arange(rows, dtype=np.float32) / 40)[:, None]
    column = np.arange(columns) - axis
    with ScanStoreWriter(path, info) as writer:
        writer.write_flats(0, np.full((5, rows, columns), COUNTS + 100, np.uint16))
        writer.write_darks(0, np.full((5, rows, columns), 100, np.uint16))
        for number, angle in enumerate(angles_rad):
            line = 0.5 / reach * chord(column, reach)
            for each in range(vessels):
                place = away[each] * np.cos(angle + turned[each])
                line += strength[each] * chord(column - place, radius[each])
            frame = COUNTS * np.exp(-profile * line.astype(np.float32)) + 100
            down, right = rng.integers(0, room, 2)
            frame += noise[down : down + rows, right : right + columns]
            writer.write_projections(number, np.rint(frame).astype(np.uint16)[None])
    return axis


def read_all(folder: Path) -> float:
    """Seconds that reading every file takes."""
    began = time.perf_counter()
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with open(file, "rb", buffering=0) as opened:
                while opened.read(PIECE):
                    pass
    return time.perf_counter() - began


def write_as_much(volume: Path, copy: Path) -> float:
    """Seconds that writing as many bytes as a volume has takes, flushed to the disk."""
    size = sum(file.stat().st_size for file in volume.rglob("*") if file.is_file())
    piece = np.random.default_rng(0).bytes(PIECE)
    began = time.perf_counter()
    with open(copy, "wb", buffering=0) as opened:
        for start in range(0, size, PIECE):
            opened.write(piece[: min(PIECE, size - start)])
        os.fsync(opened.fileno())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
