"""A run on the workers of a Dask scheduler: on this machine, at an address, or started by Slurm.

The same stages and shares as those of batch jobs, dealt by this process while it lives. A share
whose worker dies goes to another one; what it had written is not done again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hipct.cluster.limits import within
from hipct.cluster.profile import Profile
from hipct.cluster.submit import refuse_queued
from hipct.cluster.worker import Ending, work
from hipct.core.errors import ClusterError
from hipct.core.extras import require
from hipct.core.memory import parse_bytes
from hipct.core.progress import Observer, Silent
from hipct.core.threads import available_cores
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request
from hipct.volume.publish import refuse_other_than_volume

POLL_S = 0.5
CONNECT_S = 20.0
"""How long a scheduler is looked for."""
LOST_WORKERS = 3
"""How many workers a share may cost before it counts as failed."""

HERE_ALONE = "127.0.0.1:0"
"""Where Dask's pages are served: to this machine, at any free port."""

ROLES = ("scheduler", "worker", "client")
LOCAL, SLURM = "local", "slurm"


def run_on_dask(
    request: Request,
    where: str,
    profile: Profile,
    *,
    restart: bool = False,
    observer: Observer | None = None,
) -> str:
    """Do a whole run on Dask workers; returns when the volume is whole.

    Parameters
    ----------
    request : Request
    where : str
        ``"local"``, ``"slurm"`` (workers are jobs of the profile), or a scheduler's address:
        ``"tcp://host:8786"``.
    profile : Profile
        Number of shares, and what a worker of Slurm asks for.
    restart : bool
        Throw away what an unfinished run into the same volume has done.
    observer : Observer, optional
        Told of the progress.

    Returns
    -------
    str
        What was made, as a sentence.

    Raises
    ------
    OutputError
        If the volume exists, or jobs of its run are queued.
    ClusterError
        If a stage fails, or the scheduler cannot be reached.
    MissingExtra
        If ``distributed`` or ``dask_jobqueue`` is not installed.
    """
    require("distributed", "cluster", "Running on Dask workers")
    from distributed import Client

    observer = observer or Silent()
    refuse_other_than_volume(Path(request.out), request.overwrite)
    refuse_queued(request.folder)
    request.keep()
    if profile.cpus is not None:
        request = within(request, cpus=profile.cpus)
    with _scheduler(where, profile, request.folder / "logs") as address:
        try:
            client = Client(address, timeout=CONNECT_S)
        except OSError as error:
            raise ClusterError(
                f"No Dask scheduler answers at {where}; give the address that it prints when it "
                "starts, such as tcp://host:8786."
            ) from error
        with client:
            _told(
                _submit(client, request, "prepare", shares=profile.shares, restart=restart).result()
            )
            _shares(client, request, observer)
            return _told(_submit(client, request, "finish").result())


def _shares(client: Any, request: Request, observer: Observer) -> None:
    from distributed import wait
    from distributed.scheduler import KilledWorker

    ledger = Ledger(request.folder)
    dealt: list[list[int]] = ledger.state().get("shares", [])
    before = len(ledger.layers())
    left = sum(map(len, dealt)) - before
    observer.start("layers", left)
    futures = [_submit(client, request, "share", number) for number in range(len(dealt))]
    seen, waiting = before, set(futures)
    while waiting:
        with suppress(TimeoutError):
            waiting = wait(waiting, timeout=POLL_S, return_when="FIRST_COMPLETED").not_done
        now = len(ledger.layers())
        observer.advance("layers", now - seen)
        seen = now
    observer.finish("layers")
    for number, future in enumerate(futures):
        try:
            state, sentence = future.result()
        except KilledWorker:
            state = "failed"
            sentence = f"its worker ended {LOST_WORKERS + 1} times, as without memory."
        if state != "done":
            observer.say(f"Share {number} {state}: {sentence}")


def _submit(
    client: Any, request: Request, stage: str, number: int | None = None, **more: Any
) -> Any:
    resources = {"GPU": 1} if _has_gpus(client) and stage != "finish" else None
    return client.submit(
        _stage,
        asdict(request),
        stage,
        number,
        more,
        pure=False,
        resources=resources,
        key=f"hipct-{stage}-{number}-{id(request)}",
    )


def _stage(request: dict[str, Any], stage: Any, number: int | None, more: Any) -> tuple[str, str]:
    """One stage, on a worker."""
    ending: Ending = work(
        Request(**request | {"sources": tuple(request["sources"])}), stage, number, **more
    )
    return ending.state, ending.sentence


def _told(ending: tuple[str, str]) -> str:
    state, sentence = ending
    if state != "done":
        raise ClusterError(sentence)
    return sentence


def _has_gpus(client: Any) -> bool:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return any("GPU" in worker.get("resources", {}) for worker in workers)


@contextmanager
def _scheduler(where: str, profile: Profile, logs: Path) -> Iterator[Any]:
    """A scheduler with workers; nothing of it listens beyond this machine unless Slurm needs it."""
    import dask

    settings = {
        "distributed.scheduler.allowed-failures": LOST_WORKERS,
        "distributed.admin.tick.limit": "1h",
        "distributed.worker.daemon": False,
    }
    with dask.config.set(settings):
        if where == LOCAL:
            from distributed import LocalCluster

            fitting = available_cores() // (profile.cpus or available_cores())
            with LocalCluster(
                n_workers=profile.at_a_time or max(1, fitting),
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address=None,
                # Without a dashboard too a scheduler answers for its health, on some free port.
                scheduler_kwargs={"dashboard_address": HERE_ALONE},
                # hipct plans its own memory; Dask's limits would stop it in the middle.
                memory_limit=0,
                silence_logs=logging.ERROR,
            ) as cluster:
                yield cluster
        elif where == SLURM:
            with ExitStack() as stack:
                keys = None
                if profile.tls:
                    # Beside the volume: where the workers come to, and gone with them.
                    place = logs.parent.parent
                    made = TemporaryDirectory(prefix=".hipct-keys-", dir=place)
                    keys = Path(stack.enter_context(made))
                cluster = stack.enter_context(_slurm_cluster(profile, logs, keys))
                cluster.scale(jobs=profile.at_a_time or profile.shares)
                yield cluster
        else:
            yield where


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


def _slurm_cluster(profile: Profile, logs: Path, keys: Path | None) -> Any:
    jobqueue = require("dask_jobqueue", "cluster", "Starting Dask workers through Slurm")
    asked = profile.resources("share")
    extra = [f"--{name}={asked[name]}" for name in ("qos", "constraint", "gres") if name in asked]
    memory = parse_bytes(asked.get("memory", "4GB"))
    tls = {"protocol": "tls://", "security": _keys(keys)} if keys is not None else {}
    return jobqueue.SLURMCluster(
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
            *(("--resources", "GPU=1") if "gres" in asked else ()),
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
