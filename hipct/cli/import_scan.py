"""``hipct import``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hipct.cli.console import progress
from hipct.cli.options import open_source, source_options

if TYPE_CHECKING:
    from hipct.acquisition.series import Series


@click.command(name="import")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("out", metavar="OUT.zarr")
@source_options
@click.option(
    "--series", is_flag=True, help="SOURCE holds the sub-scans of one sample (several SOURCEs do)"
)
@click.option(
    "--allow-gaps",
    is_flag=True,
    help="Series: leave out sub-scans that do not fit, accept gaps in z, and record both",
)
@click.option(
    "--z", "z_um", metavar="UM,UM,...", help="Series: positions in um, in the order of the names"
)
@click.option("--flip-z", is_flag=True, help="Series: the motor counts the other way")
@click.option("--memory", metavar="2GB", help="Memory that may be taken for frames [2 GiB]")
@click.option("--overwrite", is_flag=True, help="Replace OUT once the new store is whole")
def command(
    *,
    sources: tuple[str, ...],
    out: str,
    angles: str | None,
    entry: str | None,
    series: bool,
    allow_gaps: bool,
    z_um: str | None,
    flip_z: bool,
    memory: str | None,
    overwrite: bool,
) -> None:
    """Copy a scan, or all sub-scans of a sample, into a store.

    The format of SOURCE is recognised by its content: NXtomo, DXchange, TIFF and EDF folders,
    BLISS files. A store reads fast by detector rows, which is how a reconstruction reads; frames
    are copied bit for bit. Of a series, the sub-scans are put in order of their height and checked
    against one another; an import that was broken off keeps the sub-scans that are whole.

    \b
      hipct import scan.h5 scan.zarr
      hipct import folder_of_tiffs scan.zarr --angles 0:360:exclusive
      hipct import folder_of_sub_scans organ.series.zarr --series
      hipct import part1.nx part2.nx part3.nx organ.series.zarr
    """  # noqa: D301 - click wants the character
    from hipct.acquisition.store_writer import DEFAULT_MEMORY_BYTES
    from hipct.core.errors import InputError
    from hipct.core.memory import parse_bytes

    size = DEFAULT_MEMORY_BYTES if memory is None else parse_bytes(memory)
    if series or len(sources) > 1:
        if angles is not None or entry is not None:
            raise InputError(
                "--angles and --entry are for one scan; the sub-scans of a series are opened with "
                "what their files say."
            )
        _import_series(
            sources,
            out,
            allow_gaps=allow_gaps,
            z_um=z_um,
            flip_z=flip_z,
            memory_bytes=size,
            overwrite=overwrite,
        )
        return
    if allow_gaps or z_um is not None or flip_z:
        raise InputError(
            "--allow-gaps, --z and --flip-z are for a series; give --series with them if "
            f"{sources[0]} holds one."
        )
    from hipct.acquisition.importing import import_scan

    with (
        open_source(sources[0], angles, entry) as scan,
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


def _import_series(
    sources: tuple[str, ...],
    out: str,
    *,
    allow_gaps: bool,
    z_um: str | None,
    flip_z: bool,
    memory_bytes: int,
    overwrite: bool,
) -> None:
    from hipct.acquisition.series import open_series
    from hipct.acquisition.series_import import import_series

    opened = open_series(
        sources[0] if len(sources) == 1 else sources,
        allow_gaps=allow_gaps,
        z_um=None if z_um is None else _positions(z_um),
        flip_z=flip_z,
    )
    with (
        opened,
        progress() as observer,
        import_series(
            opened, out, overwrite=overwrite, observer=observer, memory_bytes=memory_bytes
        ) as store,
    ):
        _tell(out, store)


def _positions(words: str) -> list[float]:
    from hipct.core.errors import InputError

    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise InputError(
            f"--z is {words!r}; give a position in um for each sub-scan, with commas between."
        ) from error


def _tell(out: str, store: Series) -> None:
    for note in store.notes:
        click.echo(f"note: {note}")
    info = store.info
    click.echo(
        f"{out}: {len(store)} sub-scans of {info.projections} projections of {info.rows} x "
        f"{info.columns} pixels, {store.rows} rows in all"
    )
