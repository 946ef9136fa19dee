"""A run that was submitted, taken up again or ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hipct.cluster import slurm
from hipct.cluster.profile import Profile, load_profile
from hipct.cluster.status import open_shares
from hipct.cluster.submission import Submission
from hipct.cluster.submit import refuse_busy, resubmit, submit
from hipct.cluster.tasks import keep_logs
from hipct.core.errors import ClusterError
from hipct.core.progress import Observer
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.request import Request, run_folder


def retry(
    run: Path | str,
    *,
    profile: str | None = None,
    dask: str | None = None,
    allow_missing: bool = False,
    observer: Observer | None = None,
) -> str:
    """Do again what has failed or is left of a run.

    Parameters
    ----------
    run : path
        Folder of the run, or the volume that it makes.
    profile : str, optional
        Another cluster profile than the run was submitted with.
    dask : str, optional
        Where to run it with Dask instead of Slurm (:func:`hipct.cluster.dask_run.run_on_dask`).
    allow_missing : bool
        Store layers that fail again as 0.
    observer : Observer, optional
        Told of the progress, with ``dask``.

    Returns
    -------
    str
        What was done, as a sentence.

    Raises
    ------
    OutputError
        If there is no such run, or it is at work.
    ClusterError
        If Slurm is not there or refuses, or Dask workers fail.
    """
    request = Request.of(run)
    if Ledger(request.folder).delivered(Path(request.out)):
        refuse_busy(request.folder)
        keep_logs(request.folder)
        return f"{request.out} is made; nothing is left to do."
    if allow_missing:
        request = replace(request, allow_missing=True)
        request.keep()
    known = Submission.of(request.folder)
    chosen = load_profile(profile) if profile else known.profile if known else Profile()
    if dask is not None:
        from hipct.cluster.dask_run import run_on_dask

        return run_on_dask(request, dask, chosen, observer=observer)
    if "shares" not in Ledger(request.folder).state():
        jobs = submit(request, chosen)
        return f"The run begins anew: {_listed(jobs)}."
    left = open_shares(run)
    jobs = resubmit(request, chosen, left)
    return f"{len(left)} shares have layers left: {_listed(jobs)}."


def cancel(run: Path | str) -> str:
    """End the jobs of a run; what they have written is kept.

    Raises
    ------
    ClusterError
        If the run was not given to Slurm, or Slurm refuses.
    """
    folder = run_folder(run)
    known = Submission.of(folder)
    if known is None:
        raise ClusterError(f"{folder} was not given to Slurm; end the process that works on it.")
    jobs = sorted({each.job.partition("_")[0] for each in slurm.queued(known.jobs)})
    if not jobs:
        return "No job of this run is in the queue."
    slurm.cancel(jobs)
    return f"Ended: {', '.join(jobs)}. What they had written is kept; hipct retry goes on."


def _listed(jobs: dict[str, str]) -> str:
    return ", ".join(f"{stage} {number}" for stage, number in jobs.items())
