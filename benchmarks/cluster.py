"""What a cluster run costs beside its work: planning, status, overhead of a task, scaling.

    python -m benchmarks.cluster [--quick]

The largest set of the atlas (18709 x 18709 x 21517 voxels, 196 sub-scans) is planned in a process
of its own, whose peak memory the kernel counts. ``hipct status`` counts 100 000 records. Empty
tasks in the shape of a run's graph tell what the scheduler takes of each. Weak scaling: 1, 2 and 4
workers of one thread reconstruct as many times the rows; beyond the cores of the machine it cannot
scale.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask.threaded
import numpy as np

from benchmarks.common import RESULTS, save_table
from hipct.acquisition.scan import Scan, ScanInfo
from hipct.acquisition.series import Series
from hipct.acquisition.series_member import Member
from hipct.cluster.dask_run import run_on_dask
from hipct.cluster.profile import Profile
from hipct.cluster.status import run_status
from hipct.pipeline.config import Config
from hipct.pipeline.graph import Steps, TaskGraph
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.pieces import cut_pieces, nodes_to_make
from hipct.pipeline.plan import Plan, make_plan
from hipct.pipeline.preparation import angle_blocks
from hipct.pipeline.request import Request
from hipct.pipeline.tiles import tiles
from hipct.simulation.scan import simulate_scan

WIDTH, ROWS, SUB_SCANS = 18709, 21517, 196
RECORDS = 100_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small scans, to see that it runs")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    parser.add_argument("--plan-alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.plan_alone:
        print(json.dumps(plan_alone()))
        return
    rows = [plan_in_a_process(), status_of_many(), *overheads()]
    rows += weak_scaling(96 if options.quick else 384, 96 if options.quick else 384)
    command = "python -m benchmarks.cluster" + (" --quick" if options.quick else "")
    save_table("cluster", rows, command, out=options.out)


class Hollow(Scan):
    """A scan of zeros: a plan looks at geometry alone."""

    row_chunk = angle_chunk = 16

    def __init__(self, info: ScanInfo) -> None:
        self.info = info

    def _read_into(self, kind: Any, frames: slice, rows: slice, out: Any) -> None:
        del kind, frames, rows
        out[...] = 0


def largest_series() -> Series:
    """Half-acquisitions whose volume is the atlas's largest; as many annuli do not matter here."""
    columns = WIDTH // 2 + 400
    height, step = 130, (ROWS - 130) / (SUB_SCANS - 1)
    angles = 12_000
    members = []
    for k in range(SUB_SCANS):
        info = ScanInfo(
            projections=angles,
            rows=height,
            columns=columns,
            dtype=np.dtype(np.uint16),
            angles_rad=np.arange(angles) * 2 * np.pi / angles,
            acquisition="half",
            flat_index=np.arange(-20.0, 0.0),
            dark_index=np.arange(-30.0, -20.0),
            pixel_size_um=7.7,
            distance_m=15.0,
            energy_kev=90.0,
            source=f"hollow {k}",
            format="memory",
        )
        z = k * step * 7.7
        members.append(Member(f"s{k:03d}", Hollow(info), info.source, k * step, z, 0.0))
    return Series(members, source="hollow")


def plan_of_the_largest() -> Plan:
    config = Config(compute={"memory": "100GB"}, axis={"value": WIDTH / 2 - 0.5})
    return make_plan(largest_series(), config)


def plan_alone() -> dict[str, float]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    plan = plan_of_the_largest()
    taken = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        "s": taken,
        "peak": peak,
        "before": before,
        "layers": plan.spec.layers(0),
        "voxels": float(np.prod(plan.spec.shape)),
    }


def plan_in_a_process() -> dict[str, object]:
    said = subprocess.run(
        [sys.executable, "-m", "benchmarks.cluster", "--plan-alone"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    found = json.loads(said.stdout.splitlines()[-1])
    what = f"plan of {SUB_SCANS} sub-scans, {found['voxels'] / 1e12:.2f} Tvoxel"
    return _row(what, found["s"], "s", f"peak of the process {found['peak']:.0f} MB")


def status_of_many() -> dict[str, object]:
    memory = Path("/dev/shm")
    where = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where) as folder:
        request = Request((), str(Path(folder) / "organ.ome.zarr"), {})
        request.keep()
        done = request.folder / "done"
        done.mkdir()
        shares = [list(range(k, RECORDS, 100)) for k in range(100)]
        Ledger(request.folder).note({"shares": shares})
        for layer in range(RECORDS):
            (done / f"0-{layer:06d}.json").write_text('{"voxels": {}}')
        taken = _median(lambda: run_status(request.out))
    return _row(f"status of {RECORDS} records", taken, "s", "")


def overheads() -> list[dict[str, object]]:
    """Empty tasks: those of a run's own graph, and shares on a scheduler of processes."""
    graph, wanted = empty_graph(plan_of_the_largest(), 8)
    taken = _median(lambda: dask.threaded.get(graph, wanted, num_workers=4))
    of_a_run = _row("empty task of a run's graph", taken / len(graph) * 1e3, "ms", f"{len(graph)}")

    from distributed import Client, LocalCluster

    count = 500
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(_nothing, range(10)))
        taken = _median(lambda: client.gather(client.map(_nothing, range(count), pure=False)))
    of_dask = _row("empty task of Dask workers", taken / count * 1e3, "ms", f"{count}")
    return [of_a_run, of_dask]


def empty_graph(plan: Plan, layers: int) -> tuple[dict[Any, Any], Any]:
    """The graph of the first layers of a run, whose tasks do nothing, and what it is asked for."""
    nodes = nodes_to_make(plan.spec, (), frozenset(range(layers)))
    all_tiles = tiles(plan.organ)
    blocks = [
        angle_blocks(part.job.info.projections, plan.cut.angle_block) for part in plan.organ.parts
    ]
    nothing = Steps(**dict.fromkeys(Steps.__dataclass_fields__, _nothing))
    return TaskGraph(
        nothing,
        list(cut_pieces(plan, nodes)),
        lambda tile: blocks[all_tiles[tile].part],
        plan.cut,
        plan.spec,
        nodes,
        (),
        False,
    ).build()


def weak_scaling(rows: int, columns: int) -> list[dict[str, object]]:
    """The same work for each worker: rows in proportion to them."""
    found: list[dict[str, object]] = []
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for workers in (1, 2, 4):
            scan = Path(folder) / f"scan-{workers}.zarr"
            simulate_scan(
                scan, acquisition="full", columns=columns, rows=rows * workers, angles=600,
                pixel_size_um=10, distance_m=2, propagation=False, seed=1,
            )  # fmt: skip
            request = Request(
                (str(scan),),
                str(Path(folder) / f"volume-{workers}.ome.zarr"),
                {
                    "phase": {"method": "none"},
                    "axis": {"value": (columns - 1) / 2},
                    "volume": {"window": [-1.0, 3.0], "chunk": 32},
                    "compute": {"memory": "1GB", "threads": 1},
                },
            )
            began = time.perf_counter()
            run_on_dask(request, "local", Profile(cpus=1, shares=workers, at_a_time=workers))
            taken = time.perf_counter() - began
            first = taken if first is None else first
            note = f"efficiency {first / taken:.2f} of 1, {rows * workers} rows"
            found.append(_row(f"weak scaling, {workers} workers", taken, "s", note))
    return found


def _nothing(*_arguments: object) -> None:
    return None


def _median(work: Callable[[], object], repeats: int = 3) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def _row(what: str, value: float, unit: str, note: str) -> dict[str, object]:
    return {"what": what, "value": value, "unit": unit, "note": note}


if __name__ == "__main__":
    main()
