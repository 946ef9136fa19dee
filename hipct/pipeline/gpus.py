"""Several GPUs: one Dask worker each, every worker a stream of its own over some of the layers.

A worker holds the resource ``GPU`` once and takes one share of the layers, cut where phase tiles
end. It writes whole shards and records whole layers in the run's ledger, as a single stream would;
what the levels above need of two shares is left to the process that has dealt them.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hipct.acquisition.scan import Scan
from hipct.core.device import open_device
from hipct.core.errors import DeviceError
from hipct.core.progress import Observer, Silent
from hipct.core.threads import available_cores, set_thread_count
from hipct.pipeline.assembly import Assembly
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.plan import Plan
from hipct.pipeline.report import Busy, StageClock
from hipct.pipeline.stream import Stream
from hipct.pipeline.tiles import tiles
from hipct.volume.window import Window

POLL_S = 0.5
"""How often the ledger is looked at for progress."""


@dataclass(frozen=True)
class Share:
    """What one GPU does of a run; travels to its worker."""

    scans: tuple[Scan, ...]
    plan: Plan
    window: Window
    ledger: Ledger
    scratch: Path
    gpu: int
    threads: int
    layers: frozenset[int]


@dataclass(frozen=True)
class Done:
    """What a worker has done, and what it had to say."""

    voxels: int
    busy: Busy
    device_peak_bytes: int
    notes: list[str]


class Noted(Silent):
    """Keeps the sentences of a worker until it has done its share."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def say(self, message: str) -> None:
        """Keep a sentence."""
        self.notes.append(message)


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
    first, depth = plan.organ.rows.start, plan.spec.layer
    left = [layer for layer in range(plan.spec.layers(0)) if layer not in done]
    # A tile that two runs share is prepared by both.
    ends = {(tile.rows.stop - first) // depth for tile in tiles(plan.organ)}
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
    scans: Sequence[Scan],
    plan: Plan,
    window: Window,
    ledger: Ledger,
    scratch: Path,
    *,
    shares: list[frozenset[int]],
    clock: StageClock,
    observer: Observer,
) -> tuple[int, int]:
    """Make layers of level 0 on several GPUs, as they were dealt.

    Returns
    -------
    voxels : int
        Voxels reconstructed.
    device_peak_bytes : int
        Most memory taken on one GPU.

    Raises
    ------
    DeviceError
        If worker processes end without a word.
    HipctError
        Whatever stops a worker.
    """
    from distributed import Client, wait
    from distributed.scheduler import KilledWorker

    done = len(ledger.layers())
    threads = max(1, available_cores() // len(shares))
    work = [
        Share(tuple(scans), plan, window, Ledger(ledger.folder), scratch, gpu, threads, layers)
        for gpu, layers in enumerate(shares)
    ]
    left = sum(map(len, shares))
    observer.say(f"{left} layers are shared between {len(shares)} GPUs.")
    observer.start("layers", left)
    seen = 0
    with _workers(len(shares)) as cluster, Client(cluster) as client:
        futures = [
            client.submit(_work, share, resources={"GPU": 1}, pure=False, retries=0)
            for share in work
        ]
        waiting: Any = futures
        while waiting:
            with suppress(TimeoutError):
                waiting = wait(waiting, timeout=POLL_S, return_when="FIRST_COMPLETED").not_done
            now = len(ledger.layers()) - done
            observer.advance("layers", now - seen)
            seen = now
            for future in futures:
                if future.status != "error":
                    continue
                try:
                    future.result()
                except KilledWorker as error:
                    raise DeviceError(
                        "The process of a GPU was ended from outside several times, as a system "
                        "does that has no memory left; give a smaller --memory, or --set "
                        "compute.gpus=1, and repeat the command: it goes on where it stood."
                    ) from error
        results: list[Done] = client.gather(futures)
    observer.finish("layers")
    for result in results:
        clock.merge(result.busy)
        for note in result.notes:
            observer.say(note)
    return sum(each.voxels for each in results), max(each.device_peak_bytes for each in results)


def _workers(count: int) -> Any:
    """Worker processes, each with one GPU to give away."""
    from distributed import LocalCluster

    try:
        return LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            # Without a dashboard too a scheduler answers for its health, on some free port.
            scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
            # hipct plans its own memory; Dask's limits would stop a worker in the middle of it.
            memory_limit=0,
            resources={"GPU": 1},
            silence_logs=logging.ERROR,
        )
    except (RuntimeError, OSError) as error:
        raise DeviceError(
            f"The {count} processes of the GPUs could not be started ({error}); a Python script "
            "needs 'if __name__ == \"__main__\":' around what it does, and with compute.gpus=1 "
            "one GPU is used without them."
        ) from error


def _work(share: Share) -> Done:
    """One share, in a worker's process."""
    set_thread_count(share.threads)
    plan = share.plan
    clock, noted = StageClock(), Noted()
    device, _ = open_device("cupy", share.gpu)
    # What is neither in a lane nor bound to an array, such as the end of a plan, is for it as well.
    device.xp.cuda.Device(share.gpu).use()
    device.set_budget(plan.device_budget_bytes)
    stream = Stream(
        share.scans,
        plan,
        Assembly(plan.organ, plan.size, clock, share.window, xp=device.xp),
        share.ledger,
        clock,
        noted,
        share.scratch / f"gpu-{share.gpu}",
        device,
        share.layers,
    )
    voxels = stream.run()
    return Done(voxels, clock.busy(), device.peak_bytes, noted.notes)
