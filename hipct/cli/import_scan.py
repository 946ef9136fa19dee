"""``hipct import``."""

from __future__ import annotations

import click

from hipct.cli.console import progress
from hipct.cli.options import open_source, source_options


@click.command(name="import")
@click.argument("source")
@click.argument("out", metavar="OUT.zarr")
@source_options
@click.option("--memory", metavar="2GB", help="Memory that may be taken for frames [2 GiB]")
@click.option("--overwrite", is_flag=True, help="Replace OUT once the new store is whole")
def command(
    *,
    source: str,
    out: str,
    angles: str | None,
    entry: str | None,
    memory: str | None,
    overwrite: bool,
) -> None:
    """Copy a scan (DXchange, NXtomo, TIFF folder) into a scan store.

    The format of SOURCE is recognised by its content. A scan store reads fast by detector rows,
    which is how a reconstruction reads; frames are copied bit for bit.

    \b
      hipct import scan.h5 scan.zarr
      hipct import folder_of_tiffs scan.zarr --angles 0:360:exclusive
    """  # noqa: D301 - click wants the character
    from hipct.acquisition.importing import import_scan
    from hipct.acquisition.store_writer import DEFAULT_MEMORY_BYTES
    from hipct.core.memory import parse_bytes

    size = DEFAULT_MEMORY_BYTES if memory is None else parse_bytes(memory)
    with (
        open_source(source, angles, entry) as scan,
        progress() as observer,
        import_scan(scan, out, overwrite=overwrite, observer=observer, memory_bytes=size) as store,
    ):
        info = store.info
    for note in info.notes:
        click.echo(f"note: {note}")
    click.echo(
        f"{out}: {info.projections} projections of {info.rows} x {info.columns} pixels, "
        f"{info.flats} flats, {info.darks} darks"
    )
