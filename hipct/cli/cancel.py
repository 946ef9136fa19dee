"""``hipct cancel``."""

from __future__ import annotations

import click


@click.command(name="cancel")
@click.argument("run", metavar="OUT.ome.zarr")
def command(*, run: str) -> None:
    """End the jobs of a run; what they have written is kept.

    'hipct retry' goes on with it later.
    """
    from hipct.cluster.retry import cancel

    click.echo(cancel(run))
