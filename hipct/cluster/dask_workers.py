"""A Dask scheduler with workers: processes of this machine, or jobs of Slurm.

Nothing of it listens beyond this machine unless workers of other machines have to reach it. Where
GPUs compute, a worker sees one card and holds the resource ``GPU`` once: two shares never meet on
a card.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hipct.cluster.limits import within
from hipct.cluster.profile import Profile
from hipct.core.device import gpu_count
from hipct.core.errors import HipctError
from hipct.core.extras import require
from hipct.core.memory import parse_bytes
from hipct.core.threads import available_cores
from hipct.pipeline.request import Request

LOST_WORKERS = 3
"""How many workers a share may cost before it counts as failed."""

HERE_ALONE = "127.0.0.1:0"
"""Where Dask's pages are served: to this machine, at any free port."""

ONE_GPU = {"GPU": 1}
"""What a worker with a card of its own has to give away, and what a share takes."""

ROLES = ("scheduler", "worker", "client")

SETTINGS = {
    "distributed.scheduler.allowed-failures": LOST_WORKERS,
    "distributed.admin.tick.limit": "1h",
    "distributed.worker.daemon": False,
}


@dataclass(frozen=True)
class Here:
    """Workers of this machine.

    Attributes
    ----------
    count : how many
    cards : what each of them sees of the GPUs (``CUDA_VISIBLE_DEVICES``); none where the CPU
        computes
    """

    count: int
    cards: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: Request, profile: Profile) -> Here:
        """One a card; on the CPU as many as the profile wants at a time, or has cores for.

        Raises
        ------
        DeviceError, MissingExtra
            If the request insists on a GPU and there is none.
        """
        cards = _cards(request)
        if cards:
            cards = cards[: profile.at_a_time]
            return cls(len(cards), cards)
        cores = available_cores()
        return cls(profile.at_a_time or max(1, cores // (profile.cpus or cores)))

    def limits(self, request: Request, profile: Profile) -> Request:
        """The request of one worker: its part of cores and memory, unless these are set."""
        return within(
            request,
            cpus=profile.cpus or max(1, available_cores() // self.count),
            memory_bytes=request.settings().memory_bytes() // self.count,
        )


def _cards(request: Request) -> tuple[str, ...]:
    compute = request.settings().compute
    if compute.backend == "numpy":
        return ()
    try:
        count = gpu_count()
    except HipctError:
        if compute.backend == "cupy":
            raise
        return ()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = map(str, range(count)) if visible is None else visible.split(",")
    return tuple(name.strip() for name in names)[:count][: compute.gpus]


@contextmanager
def workers_here(here: Here) -> Iterator[Any]:
    """Worker processes of this machine, started again where one dies."""
    import dask
    from distributed import Nanny, Scheduler, SpecCluster

    options = {
        "nthreads": 1,
        "host": "127.0.0.1",
        "dashboard": False,
        # hipct plans its own memory; Dask's limits would stop it in the middle.
        "memory_limit": 0,
        "silence_logs": logging.ERROR,
    }
    own: Sequence[dict[str, Any]] = [{} for _ in range(here.count)]
    if here.cards:
        own = [{"env": {"CUDA_VISIBLE_DEVICES": card}, "resources": ONE_GPU} for card in here.cards]
    # Without a dashboard too a scheduler answers for its health, on some free port.
    scheduler = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": HERE_ALONE}
    with (
        dask.config.set(SETTINGS),
        SpecCluster(
            workers={k: {"cls": Nanny, "options": options | own[k]} for k in range(here.count)},
            scheduler={"cls": Scheduler, "options": scheduler},
            silence_logs=logging.ERROR,
        ) as cluster,
    ):
        yield cluster


@contextmanager
def workers_of_slurm(profile: Profile, logs: Path) -> Iterator[Any]:
    """Workers that are jobs of Slurm.

    Parameters
    ----------
    profile : Profile
        What a job asks for.
    logs : Path
        Folder of their output.
    """
    import dask

    jobqueue = require("dask_jobqueue", "cluster", "Starting Dask workers through Slurm")
    asked = profile.resources("share")
    extra = [f"--{name}={asked[name]}" for name in ("qos", "constraint", "gres") if name in asked]
    memory = parse_bytes(asked.get("memory", "4GB"))
    with dask.config.set(SETTINGS), ExitStack() as stack:
        tls: dict[str, Any] = {}
        if profile.tls:
            # Beside the volume: where the workers come to, and gone with them.
            made = TemporaryDirectory(prefix=".hipct-keys-", dir=logs.parent.parent)
            tls = {"protocol": "tls://", "security": _keys(Path(stack.enter_context(made)))}
        cluster = stack.enter_context(
            jobqueue.SLURMCluster(
                queue=asked.get("partition"),
                account=asked.get("account"),
                walltime=asked.get("time", "01:00:00"),
                cores=1,
                job_cpu=asked.get("cpus", 1),
                processes=1,
                memory=f"{memory}B",
                job_mem=f"{memory // 2**20}M",
                job_extra_directives=extra,
                job_script_prologue=list(profile.prologue),
                worker_extra_args=[
                    *("--dashboard-address", HERE_ALONE),
                    *(("--resources", "GPU=1") if gpus_of(profile) else ()),
                ],
                log_directory=str(logs),
                interface=profile.interface,
                scheduler_options={
                    "dashboard": False,
                    "dashboard_address": HERE_ALONE,
                    "interface": profile.interface,
                },
                **tls,
            )
        )
        cluster.scale(jobs=profile.at_a_time or profile.shares)
        yield cluster


def gpus_of(profile: Profile) -> bool:
    """Whether a job of the profile that makes a share gets a GPU."""
    asked = str(profile.resources("share").get("gres", ""))
    return asked.startswith("gpu") and not asked.endswith(":0")


def _keys(folder: Path) -> Any:
    """Keys of this run alone, in files that its user alone may read."""
    require("cryptography", "cluster", "Talking to Dask workers by TLS")
    from distributed.security import Security

    folder.chmod(0o700)
    files = {}
    made = Security.temporary()
    for name in ("ca_file", *(f"{who}_{what}" for who in ROLES for what in ("key", "cert"))):
        path = folder / f"{name}.pem"
        path.write_text(getattr(made, f"tls_{name}"))
        files[f"tls_{name}"] = str(path)
    return Security(require_encryption=True, **files)
