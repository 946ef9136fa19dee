"""``hipct status``."""

from __future__ import annotations

import json
import time

import click


@click.command(name="status")
@click.argument("run", metavar="OUT.ome.zarr")
@click.option("--watch", is_flag=True, help="Print it again every few seconds until nothing runs")
@click.option(
    "--every", type=click.FloatRange(0.1), default=10.0, help="Seconds between, of --watch"
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, for programs")
def command(*, run: str, watch: bool, every: float, as_json: bool) -> None:
    """Tell where a run stands: done, running, failed, left, and how long it will take.

    OUT.ome.zarr is the volume that the run makes, or the folder of the run. Layers that failed are
    listed with the reason and the log.
    """
    from hipct.cluster.status import run_status

    while True:
        status = run_status(run)
        click.echo(json.dumps(status.as_dict()) if as_json else status.text())
        if not watch or status.state not in ("running", "queued"):
            return
        time.sleep(every)
