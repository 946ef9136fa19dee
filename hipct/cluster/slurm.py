"""Slurm by its own commands; no shell is in between, so that no name can become a command."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hipct.core.errors import ClusterError

_PATIENCE_S = 60.0


@dataclass(frozen=True)
class Queued:
    """A job that Slurm still knows.

    Attributes
    ----------
    job : number, of a member of an array with its place: ``"17_3"``
    state : as Slurm has it: ``PENDING``, ``RUNNING``, ...
    reason : why it waits
    """

    job: str
    state: str
    reason: str


def submit_script(script: str, options: Sequence[str]) -> str:
    """Queue a batch script; returns the number of its job.

    Raises
    ------
    ClusterError
        If Slurm is not there or refuses.
    """
    said = _ask(["sbatch", "--parsable", *options], text=script)
    return said.strip().partition(";")[0]


def queued(jobs: Iterable[str]) -> list[Queued]:
    """What Slurm still has in its queue of some jobs, members of arrays one by one."""
    wanted = sorted(set(jobs))
    if not wanted or shutil.which("squeue") is None:
        return []
    said = _ask(["squeue", "--noheader", "--array", "--me", "--format=%i|%T|%r"])
    rows = (line.split("|", 2) for line in said.splitlines() if line.count("|") >= 2)
    return [
        Queued(job.strip(), state.strip(), reason.strip())
        for job, state, reason in rows
        if job.strip().partition("_")[0] in wanted
    ]


def cancel(jobs: Sequence[str]) -> None:
    """Take jobs out of the queue, and end those that run."""
    _ask(["scancel", *jobs])


def requeue(job: str) -> None:
    """End a job and put it back into the queue."""
    _ask(["scontrol", "requeue", job])


def _remedy(why: str) -> str:
    """What to do about the refusals that say little."""
    if "array specification" in why:
        return (
            ". The cluster allows shorter arrays (MaxArraySize of scontrol show config); deal the "
            "layers to fewer --shares."
        )
    if "generic resource" in why:
        return (
            ". No node has what gres asks for (sinfo -o '%P %G' tells what they have); change gres "
            "or partition of the profile."
        )
    return ""


def _ask(command: list[str], text: str | None = None) -> str:
    try:
        answer = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except FileNotFoundError as error:
        raise ClusterError(
            f"{command[0]} is not on this machine: Slurm is not installed here. Submit from a "
            "login node of the cluster, or give --dask local to use this machine alone."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ClusterError(
            f"{command[0]} did not answer for {_PATIENCE_S:g} s; try again later."
        ) from error
    if answer.returncode:
        why = " ".join(answer.stderr.split()) or f"exit code {answer.returncode}"
        raise ClusterError(f"Slurm refuses: {why}{_remedy(why)}")
    return answer.stdout
