"""A whole run on a device, from a scan store on the local disk to the finished volume."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from benchmarks.gpu_data import Size

Row = dict[str, object]


def whole_run(size: Size, folder: Path | None) -> tuple[list[Row], dict[str, str]]:
    """Reconstruct a scan of this size that is written for it.

    Returns
    -------
    rows : list of dict
        A row of the table; none where a package is missing that storage needs.
    facts : dict
        What the run took, or why there is none.
    """
    name = f"whole run at {size.heading}, {size.rows} rows"
    try:
        from benchmarks.memory import write_scan
        from hipct.pipeline.config import Config
        from hipct.pipeline.run import reconstruct
    except ImportError as error:
        return [], {name: f"left out: storage and pipeline need more packages ({error})"}
    config = Config(
        phase={"delta_beta": 300.0},
        rings={"method": "sorting"},
        compute={"backend": "cupy", "gpus": 1},
    )
    with tempfile.TemporaryDirectory(dir=folder) as place:
        scan, volume = Path(place) / "scan.zarr", Path(place) / "organ.ome.zarr"
        write_scan(scan, size.rows, columns=size.columns, angles=size.angles)
        result = reconstruct(scan, volume, config)
        plan = json.loads(result.report_path.read_text(encoding="utf-8"))["plan"]
    report = result.report
    stages = ", ".join(f"{stage} {time.seconds:.2g}" for stage, time in report.stages.items())
    row: Row = {
        "size": f"{size.heading}, {size.rows} rows",
        "stage": "whole run, store to volume",
        "ms": 1e3 * report.wall_s / size.rows,
        "per": "slice",
        "ms a slice": 1e3 * report.wall_s / size.rows,
    }
    planned, taken = plan["device_peak_bytes"], report.device_peak_bytes
    fact = (
        f"{report.voxels / report.wall_s / 1e6:.3g} Mvoxel/s in {report.wall_s:.3g} s with "
        f"Paganin and rings by sorting; device memory {taken / 1e9:.3g} GB of the "
        f"{planned / 1e9:.3g} GB planned; busy seconds (stages overlap): {stages}"
    )
    return [row], {name: fact}
