"""``hipct atlas``: the group of its commands."""

from __future__ import annotations

import click

from hipct.cli.atlas_access import describe_command, download_command, open_command
from hipct.cli.atlas_browse import browse_command
from hipct.cli.atlas_catalogue import info_command, list_command, place_command


@click.group(name="atlas", invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Find, open, download and place data sets of the Human Organ Atlas.

    Data sets are those that the package hoa-tools describes and, with --with, volumes of one's own;
    a NAME may be cut short as long as no other name has it as a part.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


for _one in (
    list_command,
    info_command,
    open_command,
    download_command,
    place_command,
    describe_command,
    browse_command,
):
    command.add_command(_one)
