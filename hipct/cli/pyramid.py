"""``hipct pyramid``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from hipct.cli.console import progress
from hipct.cli.options import grey_window, voxel_size
from hipct.core.errors import InputError


@click.command(name="pyramid")
@click.argument("source")
@click.argument("out", metavar="OUT.ome.zarr", required=False)
@click.option(
    "--levels",
    is_flag=True,
    help="Build the coarser levels of SOURCE, an OME-Zarr volume, in it: OUT is left out",
)
@click.option(
    "--labels", is_flag=True, help="SOURCE holds labels: reduced by the commonest, never a mean"
)
@click.option(
    "--projection",
    type=click.Choice(["min", "max"]),
    help="Reduce by the smallest or largest value instead of the mean",
)
@click.option(
    "--voxel-um",
    metavar="UM|Z,Y,X",
    help="Voxel size in um, instead of what SOURCE says",
)
@click.option(
    "--window",
    metavar="LOW:HIGH",
    help="Values that grey 0 and 65535 stand for; needed for floats, signed and wide integers",
)
@click.option("--unit", metavar="UNIT", default="1/cm", help="Unit of the window's values [1/cm]")
@click.option("--dataset", metavar="NAME", help="Which array of a file or group with several")
@click.option(
    "--axes",
    metavar="XYZ",
    help="Order of stored axes, the slowest first, if SOURCE says none [zyx]",
)
@click.option(
    "--ome-zarr",
    type=click.Choice(["0.5", "0.4"]),
    default="0.5",
    help="Version of OUT; 0.4 has a file a chunk, for readers that know no 0.5 [0.5]",
)
@click.option(
    "--consolidated",
    is_flag=True,
    help="Keep the metadata of all levels in one file too: OUT opens by one request on a server",
)
@click.option("--memory", metavar="8GB", help="Memory that may be taken [half of what is free]")
@click.option(
    "--restart", is_flag=True, help="Begin anew instead of going on with a broken-off run"
)
@click.option("--overwrite", is_flag=True, help="Replace OUT, or levels, once what is new is whole")
def command(
    *,
    source: str,
    out: str | None,
    levels: bool,
    labels: bool,
    projection: Literal["min", "max"] | None,
    voxel_um: str | None,
    window: str | None,
    unit: str,
    dataset: str | None,
    axes: str | None,
    ome_zarr: Literal["0.5", "0.4"],
    consolidated: bool,
    memory: str | None,
    restart: bool,
    overwrite: bool,
) -> None:
    """Turn a volume of any format into an OME-Zarr pyramid.

    SOURCE is told by its content: a folder of TIFF, JPEG2000 or PNG slices, a TIFF of many pages,
    HDF5, NIfTI, a Zarr or N5 array, an OME-Zarr volume. Every voxel is read once; a run that was
    broken off goes on when it is called again.

    \b
      hipct pyramid slices/ organ.ome.zarr --voxel-um 19.89
      hipct pyramid vessels.h5 vessels.ome.zarr --labels
      hipct pyramid floats.nii.gz organ.ome.zarr --window -0.2:1.4
      hipct pyramid organ.ome.zarr old.ome.zarr --ome-zarr 0.4
      hipct pyramid organ.ome.zarr --levels
    """  # noqa: D301 - click wants the character
    from hipct.core.jit import compilation_told
    from hipct.core.memory import parse_bytes
    from hipct.exchange.source import open_volume_source
    from hipct.volume.pyramid_build import build_pyramid

    memory_bytes = None if memory is None else parse_bytes(memory)
    if levels:
        _levels_alone(out=out, voxel_um=voxel_um, window=window, dataset=dataset, axes=axes)
        _build_levels(
            source,
            labels,
            projection=projection,
            memory_bytes=memory_bytes,
            restart=restart,
            overwrite=overwrite,
        )
        return
    if out is None:
        raise InputError(
            "The output is missing; name it: hipct pyramid SOURCE OUT.ome.zarr, or give --levels "
            "to build the coarser levels of an OME-Zarr volume in it."
        )
    opened = open_volume_source(
        source,
        dataset=dataset,
        axes=axes,
        voxel_um=None if voxel_um is None else voxel_size(voxel_um),
    )
    with opened, progress() as observer, compilation_told(observer):
        plan = build_pyramid(
            opened,
            out,
            kind="labels" if labels else "image",
            projection=projection,
            window=None if window is None else grey_window(window),
            unit=unit,
            version=ome_zarr,
            consolidated=consolidated,
            memory_bytes=memory_bytes,
            observer=observer,
            restart=restart,
            overwrite=overwrite,
        )
    size = plan.spec.voxel_size_um
    told = "the voxel size is not known (--voxel-um says it)"
    if isinstance(size, tuple):
        told = f"voxels of {' x '.join(f'{side:g}' for side in size)} um"
    click.echo(
        f"{Path(out)}: {len(plan.spec.levels)} levels from "
        f"{' x '.join(str(n) for n in plan.spec.shape)} {plan.spec.dtype}, {told}"
    )


def _levels_alone(**given: str | None) -> None:
    """Refuse what would make another volume."""
    for name, value in given.items():
        if value is not None:
            raise InputError(
                f"--levels builds the coarser levels of SOURCE in it, by what it says of itself; "
                f"leave {'OUT' if name == 'out' else '--' + name.replace('_', '-')} {value} out."
            )


def _build_levels(
    source: str,
    labels: bool,
    *,
    projection: Literal["min", "max"] | None,
    memory_bytes: int | None,
    restart: bool,
    overwrite: bool,
) -> None:
    from hipct.core.jit import compilation_told
    from hipct.volume.pyramid_levels import build_levels

    with progress() as observer, compilation_told(observer):
        plan = build_levels(
            source,
            kind="labels" if labels else None,
            projection=projection,
            memory_bytes=memory_bytes,
            observer=observer,
            restart=restart,
            overwrite=overwrite,
        )
    click.echo(
        f"{Path(source)}: {len(plan.spec.levels) - 1} coarser levels of "
        f"{' x '.join(str(n) for n in plan.spec.shape)} {plan.spec.dtype}, by {plan.spec.reduction}"
    )
