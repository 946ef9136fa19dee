"""``hipct plan``."""

from __future__ import annotations

import json
from typing import Any

import click

from hipct.cli.console import progress
from hipct.cli.options import (
    compute_options,
    open_sources,
    read_settings,
    series_options,
    settings,
    source_options,
)


@click.command(name="plan")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@settings
@source_options
@series_options
@compute_options
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON")
def command(
    *,
    sources: tuple[str, ...],
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None,
    backend: str | None,
    device_memory: str | None,
    as_json: bool,
    **opening: Any,
) -> None:
    """Tell what a reconstruction will need, without running it.

    Prints slabs, halos, the peak memory of every stage and the size of the volume. A job that
    cannot fit into the memory is refused, and the stage that is too large is named.

    SOURCE is what 'hipct reconstruct' would take.
    """
    # Wrong settings are told before the heavy imports.
    config = read_settings(source, overrides, memory, backend, device_memory)
    from hipct.pipeline.plan import make_plan

    opened = open_sources(sources, **opening)
    with opened, progress() as observer:
        plan = make_plan(opened, config, observer=observer)
    click.echo(json.dumps(plan.as_dict(), indent=2) if as_json else plan.text())
