"""``hipct retry``."""

from __future__ import annotations

import click

from hipct.cli.console import progress


@click.command(name="retry")
@click.argument("run", metavar="OUT.ome.zarr")
@click.option(
    "--cluster", metavar="FILE|PROFILE", help="Another profile than the run was submitted with"
)
@click.option(
    "--dask", metavar="local|slurm|ADDRESS", help="On Dask workers instead of Slurm's jobs"
)
@click.option("--allow-missing", is_flag=True, help="Store what fails again as 0, and say so")
def command(*, run: str, cluster: str | None, dask: str | None, allow_missing: bool) -> None:
    """Do again what has failed or is left of a run that was submitted.

    Only shares with layers left are queued, and the job that makes the volume whole.
    """
    from hipct.cluster.retry import retry

    with progress() as observer:
        click.echo(
            retry(run, profile=cluster, dask=dask, allow_missing=allow_missing, observer=observer)
        )
