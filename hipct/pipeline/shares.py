"""A run by many processes: one prepares it, each does a share of its layers, one finishes it.

The same work as of a single process, cut in three. Findings (axis, places, window) are made once,
by the process that prepares; a share is a run of layers that is reconstructed and written by one
process at a time, wherever it runs; the last one makes what the shares have left of the levels
above, and gives the volume its name.

A layer whose projections cannot be read fails alone: it is recorded with the reason, and the rest
goes on. So does one that has cost several processes their lives.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hipct.core.errors import OutputError
from hipct.core.progress import Observer, Silent
from hipct.pipeline.attempts import Attempts, layers_at_once
from hipct.pipeline.gpus import deal
from hipct.pipeline.report import MemoryWatch
from hipct.pipeline.request import Request
from hipct.pipeline.run import at_work
from hipct.pipeline.stream import UnreadableTile
from hipct.pipeline.work import RunResult, Work
from hipct.volume.publish import refuse_other_than_volume
from hipct.volume.writer import write_layer

_NAMED = 5


@dataclass(frozen=True)
class ShareDone:
    """What a process did of its share.

    Attributes
    ----------
    layers : layers of level 0 that it has written
    failed : layers that could not be made, with the reason
    """

    layers: tuple[int, ...]
    failed: dict[int, str]


def share_name(number: int) -> str:
    """Name of a share, of its lock and of what is told of it.

    Examples
    --------
    >>> share_name(3)
    'share-00003'
    """
    return f"share-{number:05d}"


def prepare_run(
    request: Request, shares: int, *, restart: bool = False, observer: Observer | None = None
) -> list[list[int]]:
    """Find out what a run needs, and deal its layers.

    Parameters
    ----------
    request : Request
        What is wanted; kept in the folder of the run.
    shares : int
        Number of shares at most.
    restart : bool
        Throw away an unfinished run with other parameters.
    observer : Observer, optional
        Told of the progress.

    Returns
    -------
    list of list of int
        Layers of level 0 of each share.

    Raises
    ------
    HipctError
        As :func:`hipct.pipeline.run.reconstruct` does.
    """
    refuse_other_than_volume(Path(request.out), request.overwrite)
    with (
        MemoryWatch() as memory,
        request.open() as opened,
        at_work(
            opened,
            Path(request.out),
            request.settings(),
            allow_gaps=request.allow_gaps,
            restart=restart,
            observer=observer,
        ) as work,
    ):
        work.begin()
        work.record_times("prepare", memory.peak_bytes)
        known: list[list[int]] | None = work.ledger.state().get("shares")
        if known is None:
            known = [sorted(layers) for layers in deal(work.plan, set(), shares)]
            work.ledger.remember(shares=known)
        request.keep()
        return known


def run_share(
    request: Request,
    number: int,
    *,
    log: str | None = None,
    wait_s: float = 0.0,
    observer: Observer | None = None,
) -> ShareDone:
    """Do what is left of one share of a run that has been prepared.

    Parameters
    ----------
    request : Request
    number : int
        Which share, from 0; one that was not dealt has nothing in it.
    log : str, optional
        Where the log of this process lies, for those who look for a failure.
    wait_s : float
        How long another process that has this share is waited for, in seconds.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    OutputError
        If another process works on this share, or the run was not prepared like this.
    HipctError
        Whatever stops the share as a whole.
    """
    observer, out = observer or Silent(), Path(request.out)
    name = share_name(number)
    with (
        MemoryWatch() as memory,
        request.open() as opened,
        at_work(
            opened,
            Path(request.out),
            request.settings(),
            share=name,
            wait_s=wait_s,
            allow_gaps=request.allow_gaps,
            observer=observer,
        ) as work,
    ):
        dealt: list[list[int]] = work.ledger.state().get("shares", [])
        mine = frozenset(dealt[number]) if number < len(dealt) else frozenset()
        before = work.ledger.layers().keys()
        failed: dict[int, str] = {}

        def leave_out(layers: Collection[int], why: str) -> None:
            for layer in sorted(mine.intersection(layers) - failed.keys()):
                failed[layer] = why
                work.ledger.fail(layer, why, log)

        attempts = Attempts(work.ledger.folder, name)
        attempts.take_over(before, layers_at_once(work.plan))
        for layer, why in attempts.killers().items():
            if request.allow_missing:
                leave_out([layer], why)
                observer.say(f"Layer {layer} is left out: {why}")
        try:
            for layers in attempts.rounds(mine - before - failed.keys()):
                with attempts.at(layers):
                    _stream(work, layers, work.scratch / f"{out.name}-{name}", leave_out, observer)
        finally:
            # Of a process that is stopped too: what it has done counts.
            work.record_times(name, memory.peak_bytes)
        after = work.ledger.layers().keys()
        return ShareDone(tuple(sorted((after - before) & mine)), failed)


def _stream(
    work: Work,
    layers: frozenset[int],
    scratch: Path,
    leave_out: Callable[[Collection[int], str], None],
    observer: Observer,
) -> None:
    """Make layers, without those whose projections cannot be read."""
    while True:
        try:
            work.stream_layers(layers, scratch)
        except UnreadableTile as unreadable:
            leave_out(unreadable.layers, str(unreadable))
            layers -= unreadable.layers
            observer.say(f"{unreadable} Its layers are left out; the rest goes on.")
        else:
            return


def finish_run(
    request: Request,
    *,
    keep_folder: bool = False,
    before_delivery: Callable[[Work], None] | None = None,
    observer: Observer | None = None,
) -> RunResult:
    """Make what no share could make alone, and give the volume its name.

    Parameters
    ----------
    request : Request
    keep_folder : bool
        Whether the folder of the run stays, for those who still write logs into it.
    before_delivery : callable, optional
        As of :func:`hipct.pipeline.run.reconstruct`.
    observer : Observer, optional
        Told of the progress.

    Raises
    ------
    OutputError
        If layers are missing: any without ``request.allow_missing``, with it those that nobody has
        come to (their process was killed, say), which can be made.
    HipctError
        As :func:`hipct.pipeline.run.reconstruct` does.
    """
    out = Path(request.out)
    refuse_other_than_volume(out, request.overwrite)
    with (
        MemoryWatch() as memory,
        request.open() as opened,
        at_work(
            opened,
            out,
            request.settings(),
            allow_gaps=request.allow_gaps,
            finishing=True,
            observer=observer,
        ) as work,
    ):
        missing, failed = _missing(work), work.ledger.failed()
        if missing and not (request.allow_missing and failed.keys() >= set(missing)):
            raise OutputError(_sentence(work, missing))
        spec = work.plan.spec
        for layer in missing:
            zeros = np.zeros((), spec.dtype)
            block = np.broadcast_to(zeros, spec.levels[0].layer_shape(layer))
            write_layer(work.ledger.volume, spec, 0, layer, block)
            work.ledger.record(0, layer, {"voxels": {}, "missing": failed[layer]["error"]})
        work.stream()
        if before_delivery is not None:
            before_delivery(work)
        return work.deliver(memory.peak_bytes, request.overwrite, keep_folder=keep_folder)


def _missing(work: Work) -> list[int]:
    done = work.ledger.layers()
    return [layer for layer in range(work.plan.spec.layers(0)) if layer not in done]


def _sentence(work: Work, missing: Sequence[int]) -> str:
    failed = work.ledger.failed()
    named = ", ".join(str(layer) for layer in missing[:_NAMED])
    more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
    why = next((f": {failed[layer]['error']}" for layer in missing if layer in failed), ".")
    return (
        f"{len(missing)} of {work.plan.spec.layers(0)} layers are missing ({named}{more}){why} "
        "hipct retry does them again; with --allow-missing those that fail for a reason are stored "
        "as 0, and the volume says so."
    )
