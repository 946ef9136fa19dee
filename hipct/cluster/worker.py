"""What a job does: one stage of a run, with a record, a log, and an end before its time is up."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

from hipct.cluster import slurm
from hipct.cluster.limits import within_job
from hipct.cluster.tasks import TaskLog, keep_logs, slurm_job, task_name
from hipct.core.errors import ClusterError, HipctError
from hipct.core.run_lock import STALE_S
from hipct.pipeline.attempts import Attempts
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request
from hipct.pipeline.shares import ShareDone, finish_run, prepare_run, run_share
from hipct.quality.making import WorkLook
from hipct.volume.check import check_volume

Stage = Literal["prepare", "share", "finish"]

TAKEN_BY_THE_DEAD_S = 2 * STALE_S
"""How long a job waits for a share: its owner may have died on another machine."""

_NAMED = 3


class Stopped(BaseException):
    """The batch system wants the job to end.

    Attributes
    ----------
    by : signal.Signals
    """

    def __init__(self, by: signal.Signals) -> None:
        super().__init__(by.name)
        self.by = by


@dataclass(frozen=True)
class Ending:
    """How a job ended.

    Attributes
    ----------
    state : ``"done"``, ``"failed"`` or ``"stopped"``
    sentence : what happened
    """

    state: Literal["done", "failed", "stopped"]
    sentence: str


def work(
    request: Request,
    stage: Stage,
    number: int | None = None,
    *,
    shares: int = 1,
    restart: bool = False,
    requeues: int = 0,
    wait_s: float = TAKEN_BY_THE_DEAD_S,
) -> Ending:
    """Do one stage of a run in this process.

    Parameters
    ----------
    request : Request
    stage : {"prepare", "share", "finish"}
    number : int, optional
        Of the share.
    shares : int
        For ``"prepare"``: shares to deal at most.
    restart : bool
        For ``"prepare"``: throw away what an unfinished run has done.
    requeues : int
        How often a job that is stopped for its time asks Slurm to queue it again.
    wait_s : float
        How long another process that has the share is waited for, in seconds.

    Returns
    -------
    Ending
        What failed is in its sentence; nothing but a programming error is raised.
    """
    request, out = within_job(request), Path(request.out)
    published = False
    name = task_name(stage, number)
    log = TaskLog(request.folder, name)
    try:
        # Who was warned and is killed before the slab at hand is done was not killed by its layers.
        with _stoppable(lambda: Attempts(request.folder, name).end()):
            if stage == "prepare":
                ending = _prepared(prepare_run(request, shares, restart=restart, observer=log))
            elif stage == "finish":
                # It may have been stopped after the volume had got its name.
                if not Ledger(request.folder).delivered(out):
                    look = WorkLook(log) if request.report else None
                    finish_run(request, keep_folder=True, before_delivery=look, observer=log)
                    if look is not None:
                        look.leave(out)
                published = True
                ending = _checked(out)
            elif number is None:
                raise ClusterError("A share has a number; give it, from 0.")
            else:
                ending = _shared(
                    run_share(request, number, log=str(log.path), wait_s=wait_s, observer=log)
                )
    except Stopped as stopped:
        ending = _stopped(stopped, requeues)
        log.end(ending.state, sentence=ending.sentence)
        if ending.state == "stopped" and stopped.by is signal.SIGUSR1:
            with suppress(ClusterError):
                slurm.requeue(slurm_job() or "")
        return ending
    except (HipctError, OSError, MemoryError) as error:
        ending = Ending("failed", " ".join(str(error).split()) or type(error).__name__)
    log.end(ending.state, sentence=ending.sentence)
    # Not because there is a volume: it may be the one that is to be replaced.
    if published:
        keep_logs(request.folder)
    return ending


def _prepared(dealt: list[list[int]]) -> Ending:
    layers = sum(map(len, dealt))
    return Ending("done", f"{layers} layers are dealt to {len(dealt)} shares.")


def _shared(share: ShareDone) -> Ending:
    if share.failed:
        why = next(iter(share.failed.values()))
        return Ending("failed", f"{len(share.failed)} layers could not be made: {why}")
    return Ending("done", f"{len(share.layers)} layers were made.")


def _checked(out: Path) -> Ending:
    wrong = [each for each in check_volume(out) if each.severity == "error"]
    gaps = [each.sentence for each in wrong if each.rule == "incomplete"]
    others = [each.sentence for each in wrong if each.rule != "incomplete"]
    if others:
        return Ending("failed", f"{out} is not right: {' '.join(others[:_NAMED])}")
    if gaps:
        return Ending("done", f"{out} is made, with gaps: {' '.join(gaps[:_NAMED])}")
    return Ending("done", f"{out} is whole.")


def _stopped(stopped: Stopped, requeues: int) -> Ending:
    if stopped.by is not signal.SIGUSR1:
        return Ending(
            "stopped", f"Ended by {stopped.by.name}; what it had written is kept, the rest is left."
        )
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", "0"))
    if restarts >= requeues:
        return Ending(
            "failed",
            f"The time limit came for the {restarts + 1}. time; give the jobs more of it, or deal "
            "the layers to more shares.",
        )
    return Ending("stopped", "The time limit is near; the job goes on when Slurm starts it again.")


@contextmanager
def _stoppable(heard: Callable[[], object]) -> Iterator[None]:
    """Turn the batch system's signals into :class:`Stopped`, in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _frame: FrameType | None) -> None:
        with suppress(HipctError, OSError):
            heard()
        raise Stopped(signal.Signals(number))

    caught = (signal.SIGUSR1, signal.SIGTERM)
    before = {each: signal.signal(each, stop) for each in caught}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
