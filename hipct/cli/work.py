"""``hipct work``: what the jobs of a cluster call."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from hipct.cluster.worker import Stage

FAILED = 2
STOPPED = 75  # EX_TEMPFAIL: the same job may succeed later


@click.command(name="work", hidden=True)
@click.argument("run", metavar="RUN")
@click.argument("stage", type=click.Choice(["prepare", "share", "finish"]))
@click.argument("number", type=click.IntRange(0), required=False)
def command(*, run: str, stage: str, number: int | None) -> None:
    """Do one stage of a run that was submitted; jobs call this.

    The number of a share is that of the member of Slurm's array, unless it is given.
    """
    from hipct.cluster.submission import Submission
    from hipct.cluster.worker import work
    from hipct.pipeline.request import Request

    request = Request.of(run)
    known = Submission.of(request.folder)
    place = os.environ.get("SLURM_ARRAY_TASK_ID")
    if stage == "share" and number is None and place is not None:
        number = int(place)
    ending = work(
        request,
        cast("Stage", stage),
        number,
        shares=known.profile.shares if known else 1,
        requeues=known.profile.requeues if known else 0,
    )
    click.echo(ending.sentence, err=ending.state != "done")
    if ending.state != "done":
        sys.exit(STOPPED if ending.state == "stopped" else FAILED)
