"""``hipct snapshot``."""

from __future__ import annotations

from typing import Literal

import click

from hipct.cli.console import progress
from hipct.cli.options import grey_window, voxel_size


@click.command(name="snapshot")
@click.argument("volume")
@click.option("-o", "--out", required=True, metavar="OUT.png", help="The picture")
@click.option(
    "--at",
    metavar="Z,Y,X",
    help="Where the slices cross: voxels, or positions with um or mm after a number [the middle]",
)
@click.option(
    "--size",
    type=int,
    default=600,
    metavar="PX",
    help="Most pixels along an edge of a slice [600]",
)
@click.option(
    "--projection",
    type=click.Choice(["max", "none"]),
    default="max",
    help="A fourth panel: the largest value along oblique rays, or none of it [max]",
)
@click.option(
    "--from",
    "camera",
    metavar="AROUND,ABOVE",
    default="30,20",
    help="Where the projection is seen from, in degrees around z and from above [30,20]",
)
@click.option(
    "--window",
    metavar="LOW:HIGH",
    help="Stored grey values shown black and white [the display window of the volume]",
)
@click.option(
    "--link", metavar="OUT.json", help="State of a Neuroglancer at the same place; prints its link"
)
@click.option("--url", help="With --link: where the folder of VOLUME is served")
@click.option("--voxel-um", metavar="UM|Z,Y,X", help="Voxel size, instead of what VOLUME says")
@click.option("--dataset", metavar="NAME", help="Which array of a file or group with several")
@click.option(
    "--axes",
    metavar="XYZ",
    help="Order of stored axes, the slowest first, if VOLUME says none [zyx]",
)
@click.option("--memory", metavar="1GB", help="Memory that may be taken [1 GB]")
@click.option("--overwrite", is_flag=True, help="Replace earlier outputs")
def command(
    *,
    volume: str,
    out: str,
    at: str | None,
    size: int,
    projection: Literal["max", "none"],
    camera: str,
    window: str | None,
    link: str | None,
    url: str | None,
    voxel_um: str | None,
    dataset: str | None,
    axes: str | None,
    memory: str | None,
    overwrite: bool,
) -> None:
    """Draw a volume as PNG: three slices, a projection, a scale bar, physical units.

    Works without a screen and without napari, on a volume of any size: of a pyramid only levels are
    read that are no finer than the picture, here or on a server; other formats (TIFF, JPEG2000 and
    PNG slices, HDF5, NIfTI, Zarr, N5) pass through once, thinned out. What cannot be read is pink
    in the picture, and named.

    \b
      hipct snapshot organ.ome.zarr -o organ.png
      hipct snapshot organ.ome.zarr -o organ.png --at 12mm,40mm,40mm --from 60,10
      hipct snapshot slices/ -o slices.png --voxel-um 19.89
      hipct snapshot s3://bucket/organ.ome.zarr -o organ.png --link organ.json
    """  # noqa: D301 - click wants the character
    from hipct.core.memory import parse_bytes
    from hipct.exchange.snapshot import DEFAULT_MEMORY_BYTES, snapshot

    with progress() as observer:
        made = snapshot(
            volume,
            out,
            at=at,
            size_px=size,
            projection=projection,
            camera=_camera(camera),
            window=None if window is None else grey_window(window),
            dataset=dataset,
            axes=axes,
            voxel_um=None if voxel_um is None else voxel_size(voxel_um),
            link=link,
            url=url,
            overwrite=overwrite,
            memory_bytes=DEFAULT_MEMORY_BYTES if memory is None else parse_bytes(memory),
            observer=observer,
        )
    for sentence in (*made.notes, *made.faults):
        click.echo(sentence, err=True)
    click.echo(f"{out}: {made.picture.width} x {made.picture.height} pixels, {made.read}")
    if made.link is not None:
        click.echo(made.link)


def _camera(words: str) -> tuple[float, float]:
    from hipct.core.errors import InputError

    try:
        around, above = (float(word) for word in words.split(","))
    except ValueError as error:
        raise InputError(
            f"--from is {words!r}; give degrees around the axis z and from above, such as 30,20."
        ) from error
    return around, above
