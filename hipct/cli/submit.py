"""``hipct submit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hipct.cli.console import progress
from hipct.cli.options import (
    compute_options,
    opening_options,
    read_settings,
    series_options,
    settings,
    source_options,
)


def _wherever(opening: dict[str, Any]) -> dict[str, Any]:
    """The same for a process in another folder."""
    angles = opening["angles"]
    if angles is not None and Path(angles).exists():
        return opening | {"angles": str(Path(angles).absolute())}
    return opening


@click.command(name="submit")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("-o", "--out", required=True, metavar="OUT.ome.zarr", help="The volume to write")
@click.option(
    "--cluster",
    metavar="FILE|PROFILE",
    default="cpu",
    show_default=True,
    help="What the cluster wants to be told: a YAML file, or cpu, gpu, esrf",
)
@click.option("--shares", type=click.IntRange(1, 10_000), help="Jobs that share the layers")
@click.option(
    "--dask",
    metavar="local|slurm|ADDRESS",
    help="Run on Dask workers, started here, by Slurm, or by others; this command waits for them",
)
@click.option("--dry-run", is_flag=True, help="Print the job scripts, submit nothing")
@settings
@source_options
@series_options
@compute_options
@click.option("--overwrite", is_flag=True, help="Replace OUT once the new volume is whole")
@click.option("--restart", is_flag=True, help="Throw away what an unfinished run into OUT has done")
@click.option(
    "--allow-missing",
    is_flag=True,
    help="Store layers that cannot be made as 0, and say so in the volume",
)
@click.option("--no-report", is_flag=True, help="Leave out the report of the quality of the volume")
def command(
    *,
    sources: tuple[str, ...],
    out: str,
    cluster: str,
    shares: int | None,
    dask: str | None,
    dry_run: bool,
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None,
    backend: str | None,
    device_memory: str | None,
    allow_gaps: bool,
    overwrite: bool,
    restart: bool,
    allow_missing: bool,
    no_report: bool,
    **opening: Any,
) -> None:
    """Run a reconstruction as jobs of a cluster, through Slurm or Dask.

    The work of 'hipct reconstruct', by many processes: one job finds axis, places and window, an
    array of jobs shares the layers, and one makes the volume whole. What is done is never done
    again: 'hipct status' tells how far it is, 'hipct retry' does what has failed, and the same
    command goes on after whatever happened.

    \b
      hipct submit folder_of_sub_scans -o organ.ome.zarr --config bm18 --cluster esrf
      hipct submit scan.zarr -o organ.ome.zarr --cluster mine.yaml --shares 16 --dry-run
      hipct submit scan.zarr -o organ.ome.zarr --dask local
    """  # noqa: D301 - click wants the character
    config = read_settings(source, overrides, memory, backend, device_memory)
    from hipct.cluster.profile import load_profile
    from hipct.pipeline.request import Request

    profile = load_profile(cluster)
    if shares is not None:
        profile = profile.with_shares(shares)
    request = Request(
        sources=tuple(str(Path(each).absolute()) for each in sources),
        out=str(Path(out).absolute()),
        config=config.as_dict(),
        opening=_wherever(opening_options(**opening)),
        allow_gaps=allow_gaps,
        overwrite=overwrite,
        allow_missing=allow_missing,
        report=not no_report,
    )
    if dry_run:
        from hipct.cluster.submit import scripts

        click.echo("\n".join(script.shown() for script in scripts(request, profile)), nl=False)
        return
    request.look(restart=restart)
    if dask is not None:
        from hipct.cluster.dask_run import run_on_dask

        with progress() as observer:
            click.echo(run_on_dask(request, dask, profile, restart=restart, observer=observer))
        return
    from hipct.cluster.submit import submit

    jobs = submit(request, profile, restart=restart)
    listed = ", ".join(f"{stage} {number}" for stage, number in jobs.items())
    click.echo(f"jobs: {listed}\n\nhipct status {out}")
