"""``hipct plan``."""

from __future__ import annotations

import json

import click

from hipct.cli.console import progress
from hipct.cli.options import compute_options, open_source, read_settings, settings, source_options


@click.command(name="plan")
@click.argument("scan")
@settings
@source_options
@compute_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON")
def command(
    *,
    scan: str,
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None,
    angles: str | None,
    entry: str | None,
    backend: str | None,
    device_memory: str | None,
    as_json: bool,
) -> None:
    """Tell what a reconstruction will need, without running it.

    Prints slabs, halos, the peak memory of every stage and the size of the volume. A job that
    cannot fit into the memory is refused, and the stage that is too large is named.

    SCAN is a scan store, or a source file or folder that 'hipct import' would take.
    """
    # Wrong settings are told before the heavy imports.
    config = read_settings(source, overrides, memory, backend, device_memory)
    from hipct.pipeline.plan import make_plan

    with open_source(scan, angles, entry) as opened, progress() as observer:
        plan = make_plan(opened, config, observer=observer)
    click.echo(json.dumps(plan.as_dict(), indent=2) if as_json else plan.text())
