"""``hipct atlas browse``: the data sets in a window."""

from __future__ import annotations

import click

from hipct.cli.atlas_options import own_option, server_options


@click.command(name="browse", short_help="List, open and crop them in a window")
@click.argument("names", nargs=-1, metavar="[NAME ...]")
@server_options
@own_option
def browse_command(
    *,
    names: tuple[str, ...],
    mirror: str | None,
    timeout_s: float,
    attempts: int,
    own: tuple[str, ...],
) -> None:
    """List the data sets in a window of napari, open them where they lie, and fetch crops.

    Each NAME is opened at once, the others in their places in the first one. napari comes with: pip
    install 'hipct[viewer]'
    """
    from hipct.atlas.catalogue import find_set
    from hipct.cli.atlas_options import read_catalogue
    from hipct.core.extras import require
    from hipct.volume.storage import Patience

    patience = Patience(timeout_s, attempts)
    catalogue = read_catalogue(own, patience=patience)
    found = [find_set(catalogue, name).name for name in names]
    require("napari", "viewer", "hipct atlas browse")
    from hipct.viewing.atlas_browser import browse

    browse(*found, own=own, mirror=mirror, patience=patience)
