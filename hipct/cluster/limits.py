"""What a job may take of its machine, where no control group holds it to that."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from hipct.pipeline.config import SHARE_OF_FREE_MEMORY
from hipct.pipeline.request import Request


def within(
    request: Request, *, cpus: int | None = None, memory_bytes: int | None = None
) -> Request:
    """A request with the threads and the memory of a job, where its configuration sets none."""
    compute = dict(request.config.get("compute") or {})
    if cpus is not None and compute.get("threads") is None:
        compute["threads"] = cpus
    if memory_bytes is not None and compute.get("memory") is None:
        compute["memory"] = memory_bytes
    return replace(request, config={**request.config, "compute": compute})


def within_job(request: Request, environment: Mapping[str, str] = os.environ) -> Request:
    """The same by what Slurm tells its jobs; outside of a job nothing changes.

    ``SLURM_CPUS_PER_TASK``; of ``SLURM_MEM_PER_NODE``, or ``SLURM_MEM_PER_CPU`` times
    ``SLURM_CPUS_ON_NODE`` (MiB), as much as of free memory elsewhere. 0 stands for all of a node.
    """
    cpus = environment.get("SLURM_CPUS_PER_TASK")
    memory = int(environment.get("SLURM_MEM_PER_NODE") or 0)
    if not memory:
        each = int(environment.get("SLURM_MEM_PER_CPU") or 0)
        memory = each * int(environment.get("SLURM_CPUS_ON_NODE") or cpus or 1)
    return within(
        request,
        cpus=int(cpus) if cpus else None,
        memory_bytes=int(memory * 2**20 * SHARE_OF_FREE_MEMORY) if memory else None,
    )
