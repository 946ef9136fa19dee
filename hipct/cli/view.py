"""``hipct view``."""

from __future__ import annotations

import click


@click.command(name="view")
@click.argument("volume")
def command(volume: str) -> None:
    """Open a volume in napari.

    VOLUME is an OME-Zarr volume: a folder, or an address such as s3://BUCKET/organ.ome.zarr, of
    which only what is shown is read. napari comes with: pip install 'hipct[viewer]'
    """
    from hipct.viewing.window import view

    view(volume)
