"""A run as jobs of Slurm: one that prepares, an array of shares, one that finishes.

No process has to live for as long as the run: the jobs wait for each other in Slurm's queue, and
what they know of each other stands in the folder of the run.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from hipct.cluster import slurm
from hipct.cluster.profile import Profile
from hipct.cluster.scripts import Script, array_option, job_script
from hipct.cluster.submission import Submission
from hipct.core.errors import HipctError, OutputError
from hipct.core.run_lock import RunLock, told
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request
from hipct.volume.publish import refuse_other_than_volume


def scripts(request: Request, profile: Profile) -> list[Script]:
    """The three scripts of a run, as they would be submitted; nothing is written."""
    after = ("--kill-on-invalid-dep=yes",)
    prepare = job_script(request.folder, "prepare", profile)
    share = job_script(request.folder, "share", profile).with_options(
        array_option(range(profile.shares), profile.at_a_time),
        "--dependency=afterok:PREPARE",
        *after,
    )
    finish = job_script(request.folder, "finish", profile).with_options(
        "--dependency=afterok:PREPARE,afterany:SHARE", *after
    )
    return [prepare, share, finish]


def submit(request: Request, profile: Profile, *, restart: bool = False) -> dict[str, str]:
    """Queue a run.

    Parameters
    ----------
    request : Request
        What is wanted; kept in the folder of the run.
    profile : Profile
        What the cluster is told.
    restart : bool
        Throw away what an unfinished run into the same volume has done.

    Returns
    -------
    dict
        Slurm's number of the job of each stage.

    Raises
    ------
    OutputError
        If the volume exists, or its run is at work or queued.
    ClusterError
        If Slurm is not there or refuses; nothing stays queued then.
    """
    refuse_other_than_volume(Path(request.out), request.overwrite)
    with _submitting(request.folder):
        if restart:
            ledger = Ledger(request.folder)
            ledger.take()
            ledger.discard()
            shutil.rmtree(request.folder / "tasks", ignore_errors=True)
        request.keep()
        return _queue(request.folder, profile, scripts(request, profile))


def resubmit(request: Request, profile: Profile, numbers: Sequence[int]) -> dict[str, str]:
    """Queue some shares of a prepared run again, and the job that finishes.

    Raises
    ------
    OutputError
        If the run is at work or queued.
    ClusterError
        If Slurm is not there or refuses.
    """
    folder = request.folder
    finish = job_script(folder, "finish", profile)
    wanted = [finish]
    if numbers:
        share = job_script(folder, "share", profile)
        array = array_option(numbers, profile.at_a_time)
        wanted = [share.with_options(array), finish.with_options("--dependency=afterany:SHARE")]
    with _submitting(folder):
        return _queue(folder, profile, wanted)


@contextmanager
def _submitting(folder: Path) -> Iterator[None]:
    """One submission at a time, of a run that nobody works on."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror or error}.") from error
    lock = RunLock(folder / "submitting")
    lock.take()
    try:
        refuse_busy(folder)
        yield
    finally:
        lock.release()
        with suppress(OSError):  # it stays unless it is empty
            folder.rmdir()


def _queue(folder: Path, profile: Profile, wanted: Sequence[Script]) -> dict[str, str]:
    """Queue scripts that wait for each other; none of them stays where one is refused."""
    (folder / "logs").mkdir(exist_ok=True)
    earlier = Submission.of(folder)
    kept = Submission(profile, earlier.jobs if earlier else ())
    # The jobs read what they need of the profile, and may start at once.
    kept.keep(folder)
    jobs: dict[str, str] = {}
    try:
        for script in wanted:
            options = [_with_jobs(option, jobs) for option in script.options]
            jobs[script.stage] = slurm.submit_script(script.text, options)
            kept.with_jobs(jobs).keep(folder)
    except HipctError:
        if jobs:
            slurm.cancel(list(jobs.values()))
        raise
    return jobs


def refuse_busy(folder: Path) -> None:
    """Raise if jobs of a run are queued, or a process works on it.

    Raises
    ------
    OutputError
        Naming the jobs or the process.
    """
    refuse_queued(folder)
    for lock in [folder / "lock", *(folder / "locks").glob("[!.]*")]:
        owner = RunLock(lock).living_owner()
        if owner is not None:
            raise OutputError(
                f"{folder} is at work ({told(owner)} holds {lock.name}); wait for it to end, or "
                "end it."
            )


def refuse_queued(folder: Path) -> None:
    """Raise if jobs of a run are queued.

    Raises
    ------
    OutputError
        Naming them.
    """
    known = Submission.of(folder) if folder.is_dir() else None
    waiting = slurm.queued(known.jobs) if known else []
    if waiting:
        numbers = ", ".join(sorted({each.job.partition("_")[0] for each in waiting}))
        raise OutputError(
            f"{folder} has jobs in the queue ({numbers}); look at them with hipct status, or end "
            "them with hipct cancel."
        )


def _with_jobs(option: str, jobs: dict[str, str]) -> str:
    if not option.startswith("--dependency="):
        return option
    for stage, number in jobs.items():
        option = option.replace(stage.upper(), number)
    return option
