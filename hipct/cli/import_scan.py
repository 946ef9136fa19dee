"""``hipct import``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hipct.cli.console import progress
from hipct.cli.options import open_sources, series_options, source_options

if TYPE_CHECKING:
    from hipct.acquisition.series import Series


@click.command(name="import")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("out", metavar="OUT.zarr")
@source_options
@series_options
@click.option("--memory", metavar="2GB", help="Memory that may be taken for frames [2 GiB]")
@click.option("--overwrite", is_flag=True, help="Replace OUT once the new store is whole")
def command(
    *,
    sources: tuple[str, ...],
    out: str,
    memory: str | None,
    overwrite: bool,
    **opening: Any,
) -> None:
    """Copy a scan, or all sub-scans of a sample, into a store.

    The format of SOURCE is recognised by its content: NXtomo, DXchange, TIFF and EDF folders,
    BLISS files. A store reads fast by detector rows, which is how a reconstruction reads; frames
    are copied bit for bit. Of a series, the sub-scans are put in order of their height and checked
    against one another; an import that was broken off keeps the sub-scans that are whole.

    \b
      hipct import scan.h5 scan.zarr
      hipct import folder_of_tiffs scan.zarr --angles 0:360:exclusive
      hipct import folder_of_sub_scans organ.series.zarr
      hipct import part1.nx part2.nx part3.nx organ.series.zarr
    """  # noqa: D301 - click wants the character
    from hipct.acquisition.scan import Scan
    from hipct.acquisition.store_writer import DEFAULT_MEMORY_BYTES
    from hipct.core.memory import parse_bytes

    size = DEFAULT_MEMORY_BYTES if memory is None else parse_bytes(memory)
    opened = open_sources(sources, **opening)
    with opened, progress() as observer:
        if not isinstance(opened, Scan):
            from hipct.acquisition.series_import import import_series

            with import_series(
                opened, out, overwrite=overwrite, observer=observer, memory_bytes=size
            ) as whole:
                _tell(out, whole)
            return
        from hipct.acquisition.importing import import_scan

        with import_scan(
            opened, out, overwrite=overwrite, observer=observer, memory_bytes=size
        ) as store:
            info = store.info
    for note in info.notes:
        click.echo(f"note: {note}")
    click.echo(
        f"{out}: {info.projections} projections of {info.rows} x {info.columns} pixels, "
        f"{info.flats} flats, {info.darks} darks"
    )


def _tell(out: str, store: Series) -> None:
    for note in store.notes:
        click.echo(f"note: {note}")
    info = store.info
    click.echo(
        f"{out}: {len(store)} sub-scans of {info.projections} projections of {info.rows} x "
        f"{info.columns} pixels, {store.rows} rows in all"
    )
