"""Several GPUs: one Dask worker each, every worker a stream of its own over some of the layers.

A worker holds the resource ``GPU`` once and takes one share of the layers, cut where phase tiles
end. It writes whole shards and records whole layers in the run's ledger, as a single stream would;
what the levels above need of two shares is left to the process that has dealt them.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.core.device import Device, gpu_count, open_device
from hipct.core.errors import MissingExtra
from hipct.core.extras import require
from hipct.core.progress import Observer, Silent
from hipct.core.threads import available_cores, set_thread_count
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.plan import Plan, make_reconstructor, tiles
from hipct.pipeline.report import Busy, StageClock
from hipct.pipeline.slabs import SlabChain
from hipct.pipeline.stream import Stream
from hipct.volume.window import Window

POLL_S = 0.5
"""How often the ledger is looked at for progress."""


@dataclass(frozen=True)
class Share:
    """What one GPU does of a run; travels to its worker."""

    scan: Scan
    plan: Plan
    window: Window
    ledger: Ledger
    scratch: Path
    gpu: int
    threads: int
    layers: frozenset[int]


@dataclass(frozen=True)
class Done:
    """What a worker has done."""

    voxels: int
    busy: Busy
    device_peak_bytes: int


def gpus_to_use(device: Device, wanted: int | None, observer: Observer) -> int:
    """GPUs that a run shares its work between: those wanted, at most those that answer.

    One, and a sentence why, where the package that starts the workers is missing.
    """
    if not device.on_gpu:
        return 1
    count = min(gpu_count(), wanted or math.inf)
    if count > 1:
        try:
            require("distributed", "cluster", "Sharing the work between several GPUs")
        except MissingExtra as error:
            observer.say(f"{count} GPUs answer, and one is used. {error}")
            return 1
    return int(count)


def deal(plan: Plan, done: set[int], shares: int) -> list[frozenset[int]]:
    """Layers that are left, in runs of about equal length, cut at borders of tiles if there are.

    Parameters
    ----------
    plan : Plan
        The plan of the run.
    done : set of int
        Layers of level 0 that are written.
    shares : int
        Number of runs at most.
    """
    first, depth = plan.job.rows.start, plan.spec.layer
    left = [layer for layer in range(plan.spec.layers(0)) if layer not in done]
    # A tile that two runs share is prepared by both.
    ends = {(tile.rows.stop - first) // depth for tile in tiles(plan.job)}
    runs: list[frozenset[int]] = []
    start = 0
    for number in range(1, shares + 1):
        stop = round(number * len(left) / shares)
        near = [
            place
            for place in range(start + 1, len(left))
            if left[place] in ends and abs(place - stop) <= len(left) / (4 * shares)
        ]
        if number < shares and near:
            stop = min(near, key=lambda place: abs(place - stop))
        if stop > start:
            runs.append(frozenset(left[start:stop]))
            start = stop
    return runs


def run_on_gpus(
    scan: Scan,
    plan: Plan,
    window: Window,
    ledger: Ledger,
    scratch: Path,
    *,
    gpus: int,
    clock: StageClock,
    observer: Observer,
) -> tuple[int, int]:
    """Make all layers of level 0 that are left on several GPUs.

    Returns
    -------
    voxels : int
        Voxels reconstructed.
    device_peak_bytes : int
        Most memory taken on one GPU.

    Raises
    ------
    InputError
        If the scan was not opened from files.
    HipctError
        Whatever stops a worker.
    """
    from distributed import Client, LocalCluster, wait

    done = {layer for level, layer in ledger.done() if level == 0}
    threads = max(1, available_cores() // gpus)
    shares = [
        Share(scan, plan, window, Ledger(ledger.folder), scratch, gpu, threads, layers)
        for gpu, layers in enumerate(deal(plan, done, gpus))
    ]
    left = sum(len(share.layers) for share in shares)
    observer.say(f"{left} layers are shared between {len(shares)} GPUs.")
    observer.start("layers", left)
    seen = 0
    with (
        LocalCluster(
            n_workers=len(shares),
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # hipct plans its own memory; Dask's limits would stop a worker in the middle of it.
            memory_limit=0,
            resources={"GPU": 1},
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,
    ):
        futures = [
            client.submit(_work, share, resources={"GPU": 1}, pure=False, retries=0)
            for share in shares
        ]
        waiting: Any = futures
        while waiting:
            with suppress(TimeoutError):
                waiting = wait(waiting, timeout=POLL_S, return_when="FIRST_COMPLETED").not_done
            now = sum(level == 0 for level, _ in ledger.done()) - len(done)
            observer.advance("layers", now - seen)
            seen = now
            for future in futures:
                if future.status == "error":
                    future.result()
        results: list[Done] = client.gather(futures)
    observer.finish("layers")
    for result in results:
        clock.merge(result.busy)
    return sum(each.voxels for each in results), max(each.device_peak_bytes for each in results)


def _work(share: Share) -> Done:
    """One share, in a worker's process."""
    set_thread_count(share.threads)
    plan = share.plan
    job, axis, clock = plan.job, plan.axis, StageClock()
    assert axis is not None
    device, _ = open_device("cupy", share.gpu)
    # What is neither in a lane nor bound to an array, such as the end of a plan, is for it as well.
    device.xp.cuda.Device(share.gpu).use()
    device.set_budget(plan.device_budget_bytes)
    engine = make_reconstructor(job, axis, xp=device.xp)
    stream = Stream(
        share.scan,
        plan,
        SlabChain(job, engine, axis, clock, share.window),
        share.ledger,
        clock,
        Silent(),
        share.scratch / f"gpu-{share.gpu}",
        device,
        share.layers,
    )
    voxels = stream.run()
    return Done(voxels, clock.busy(), device.peak_bytes)
