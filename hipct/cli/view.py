"""``hipct view``."""

from __future__ import annotations

from pathlib import Path

import click

from hipct.cli.options import read_settings, settings, source_options
from hipct.core.extras import require


@click.command(name="view")
@click.argument("volume")
@click.argument("zooms", nargs=-1, metavar="[ZOOM ...]")
@click.option("--live", is_flag=True, help="VOLUME is a raw scan: it is reconstructed on sight")
@click.option("--tune", is_flag=True, help="With --live: the phase explorer beside the scan")
@settings
@source_options
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
    *,
    volume: str,
    zooms: tuple[str, ...],
    live: bool,
    tune: bool,
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None,
    angles: str | None,
    entry: str | None,
    found: tuple[str, ...],
    bookmarks: Path | None,
) -> None:
    """Open a volume in napari.

    VOLUME is an OME-Zarr volume: a folder, or an address such as s3://BUCKET/organ.ome.zarr, of
    which only what is shown is read. Each ZOOM is shown where it lies in it, by the place that
    hipct register stored in it or left beside it, or that the Human Organ Atlas describes. Either
    may be a clinical volume (.nii, .nii.gz). napari comes with: pip install 'hipct[viewer]'

    With --live, VOLUME is a raw scan or a series of them, as hipct reconstruct takes it, with the
    settings of --config and --set: slices are made when one looks at them, and nothing is written.
    With --tune, settings are turned by sliders beside it, and written for hipct reconstruct.
    """
    of_scan = (source, *overrides, memory, angles, entry, tune or None)
    if live:
        if zooms or found:
            raise click.UsageError("--live shows one scan; volumes are opened without it.")
        config = read_settings(source, overrides, memory)
        require("napari", "viewer", "hipct view")
        from hipct.viewing.live import view_live

        view_live(volume, config, angles=angles, entry=entry, bookmarks=bookmarks, tune=tune)
        return
    if any(each is not None for each in of_scan):
        raise click.UsageError(
            "--tune, --config, --set, --memory, --angles and --entry belong to --live: a volume is "
            "shown as it was made."
        )
    from hipct.viewing.window import view

    view(volume, *zooms, found=found, bookmarks=bookmarks)
