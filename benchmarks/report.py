"""What the report of its quality costs a run.

    python -m benchmarks.report [--columns 1024] [--rows 1024] [--angles 1500] [--quick]

The half-acquisition of ``benchmarks.whole`` is reconstructed by ``hipct reconstruct``, which makes
the report at its end. Both are timed in that one process: the run from its start to the delivered
volume, less what the report has taken of it; the report from the first row that it reads of the
projections to the last voxel. ``hipct report`` is a process of its own, start and page included.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.common import save_table, wall_time
from benchmarks.whole import reconstruction, sizes, write_half


def main() -> None:
    options = sizes(__doc__)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        row = measured(Path(folder), options)
    command = "python -m benchmarks.report" + (" --quick" if options.quick else "")
    save_table("report", [row], command, out=options.out)


def measured(folder: Path, options: argparse.Namespace) -> dict[str, object]:
    scan, volume = folder / "scan.zarr", folder / "volume.ome.zarr"
    write_half(scan, options.rows, options.columns, options.angles)
    subprocess.run(reconstruction(scan, volume, options.memory), check=True)
    run = json.loads((folder / "volume.report.json").read_text())
    report = json.loads((folder / "volume.quality.json").read_text())
    page = folder / "volume.quality.html"
    size = page.stat().st_size
    again = wall_time(lambda: write_page(volume, scan, page))
    # Frames are looked at before the run is delivered, and are in its time.
    frames = report["seconds_of_frames"]
    alone = run["wall_s"] - frames
    return {
        "columns x rows x angles": f"{options.columns} x {options.rows} x {options.angles}",
        "run s": alone,
        "projections s": frames,
        "voxels s": report["seconds"] - frames,
        "% of the run": 100 * report["seconds"] / alone,
        "page kB": size / 1000,
        "hipct report s": again,
        "lights": ", ".join(
            f"{sum(each['light'] == light for each in report['figures'])} {light}"
            for light in ("red", "yellow", "green", "grey")
        ),
    }


def write_page(volume: Path, scan: Path, page: Path) -> None:
    command = [
        sys.executable, "-m", "hipct", "report", str(volume), "-o", str(page), "--scan", str(scan),
        "--overwrite",
    ]  # fmt: skip
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
