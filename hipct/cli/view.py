"""``hipct view``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="view")
@click.argument("volume")
@click.argument("zooms", nargs=-1, metavar="[ZOOM ...]")
@click.option(
    "--bookmarks",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File in which views are kept by name; made when the first one is.",
)
def command(volume: str, zooms: tuple[str, ...], bookmarks: Path | None) -> None:
    """Open a volume in napari.

    VOLUME is an OME-Zarr volume: a folder, or an address such as s3://BUCKET/organ.ome.zarr, of
    which only what is shown is read. Each ZOOM is shown over it. napari comes with: pip install
    'hipct[viewer]'
    """
    from hipct.viewing.window import view

    view(volume, *zooms, bookmarks=bookmarks)
