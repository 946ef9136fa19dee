"""``hipct view``."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(name="view")
@click.argument("volume")
@click.argument("zooms", nargs=-1, metavar="[ZOOM ...]")
@click.option(
    "--found",
    metavar="FILE",
    multiple=True,
    help="A place that hipct register found between two of them; may be given again",
)
@click.option(
    "--bookmarks",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File in which views are kept by name; made when the first one is.",
)
def command(
    volume: str, zooms: tuple[str, ...], found: tuple[str, ...], bookmarks: Path | None
) -> None:
    """Open a volume in napari.

    VOLUME is an OME-Zarr volume: a folder, or an address such as s3://BUCKET/organ.ome.zarr, of
    which only what is shown is read. Each ZOOM is shown where it lies in it, by the place that
    hipct register stored in it or left beside it, or that the Human Organ Atlas describes. Either
    may be a clinical volume (.nii, .nii.gz). napari comes with: pip install 'hipct[viewer]'
    """
    from hipct.viewing.window import view

    view(volume, *zooms, found=found, bookmarks=bookmarks)
