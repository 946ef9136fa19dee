"""A run on the workers of a Dask scheduler: on this machine, at an address, or started by Slurm.

The same stages and shares as those of batch jobs, dealt by this process while it lives. A share
whose worker dies goes to another one; what it had written is not done again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hipct.cluster.dask_gpus import gpus_offered
from hipct.cluster.dask_workers import (
    LOST_WORKERS,
    ONE_GPU,
    Here,
    gpus_of,
    workers_here,
    workers_of_slurm,
)
from hipct.cluster.limits import within
from hipct.cluster.profile import Profile
from hipct.cluster.submit import refuse_queued
from hipct.cluster.worker import Ending, work
from hipct.core.errors import ClusterError
from hipct.core.extras import require
from hipct.core.progress import Observer, Silent
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request
from hipct.volume.publish import refuse_other_than_volume

POLL_S = 0.5
CONNECT_S = 20.0
"""How long a scheduler is looked for."""
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
    observer = observer or Silent()
    refuse_other_than_volume(Path(request.out), request.overwrite)
    refuse_queued(request.folder)
    request.keep()
    with _workers(where, request, profile, observer) as (client, each, gpus):
        _told(_submit(client, each, "prepare", gpus, shares=profile.shares, restart=restart))
        _shares(client, each, gpus, observer)
        return _told(_submit(client, each, "finish"))


@contextmanager
def _workers(
    where: str, request: Request, profile: Profile, observer: Observer
) -> Iterator[tuple[Any, Request, bool]]:
    """A client, the request as one of its workers does it, and whether they compute on GPUs."""
    from distributed import Client

    if where == LOCAL:
        here = Here.of(request, profile)
        with workers_here(here) as cluster, Client(cluster) as client:
            yield client, here.limits(request, profile), bool(here.cards)
        return
    if profile.cpus is not None:
        request = within(request, cpus=profile.cpus)
    if where == SLURM:
        with (
            workers_of_slurm(profile, request.folder / "logs") as cluster,
            Client(cluster) as client,
        ):
            yield client, request, gpus_of(profile)
        return
    try:
        # As a default, one that does not get through would stay what every graph is computed by.
        found = Client(where, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:  # of what is no address
        raise ClusterError(
            f"No Dask scheduler answers at {where}; give the address that it prints when it "
            f"starts, such as tcp://host:8786, or {LOCAL}, or {SLURM}."
        ) from error
    with found as client, client.as_current():
        yield (
            client,
            request,
            gpus_offered(client, where, request.settings().compute.backend, observer),
        )


def _shares(client: Any, request: Request, gpus: bool, observer: Observer) -> None:
    from distributed import wait

    ledger = Ledger(request.folder)
    dealt: list[list[int]] = ledger.state().get("shares", [])
    before = len(ledger.layers())
    left = sum(map(len, dealt)) - before
    observer.start("layers", left)
    futures = [
        _submit(client, request, "share", gpus, number=number) for number in range(len(dealt))
    ]
    seen, waiting = before, set(futures)
    while waiting:
        with suppress(TimeoutError):
            waiting = wait(waiting, timeout=POLL_S, return_when="FIRST_COMPLETED").not_done
        now = len(ledger.layers())
        observer.advance("layers", now - seen)
        seen = now
    observer.finish("layers")
    for number, future in enumerate(futures):
        state, sentence = _ended(future)
        if state != "done":
            observer.say(f"Share {number} {state}: {sentence}")


def _submit(
    client: Any,
    request: Request,
    stage: str,
    gpus: bool = False,
    *,
    number: int | None = None,
    **more: Any,
) -> Any:
    return client.submit(
        _stage,
        asdict(request),
        stage,
        number,
        more,
        pure=False,
        resources=ONE_GPU if gpus else None,
        key=f"hipct-{stage}-{number}-{id(request)}",
    )


def _stage(request: dict[str, Any], stage: Any, number: int | None, more: Any) -> tuple[str, str]:
    """One stage, on a worker."""
    ending: Ending = work(
        Request(**request | {"sources": tuple(request["sources"])}), stage, number, **more
    )
    return ending.state, ending.sentence


def _ended(future: Any) -> tuple[str, str]:
    from distributed.scheduler import KilledWorker

    try:
        ending: tuple[str, str] = future.result()
    except KilledWorker:
        return "failed", f"Its worker ended {LOST_WORKERS + 1} times, as without memory."
    return ending


def _told(future: Any) -> str:
    """What the stage of a future says; one that went wrong is raised."""
    state, sentence = _ended(future)
    if state != "done":
        raise ClusterError(sentence)
    return sentence
