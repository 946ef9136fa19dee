"""``hipct view``."""

from __future__ import annotations

import click


@click.command(name="view")
@click.argument("volume")
def command(volume: str) -> None:
    """Open a volume in napari.

    VOLUME is an OME-Zarr volume. napari comes with: pip install 'hipct[viewer]'
    """
    from hipct.viewing.napari import view

    view(volume)
