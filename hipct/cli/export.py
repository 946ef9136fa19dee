"""``hipct export``."""

from __future__ import annotations

from typing import Literal

import click

from hipct.cli.console import progress
from hipct.cli.options import grey_window


@click.command(name="export")
@click.argument("volume")
@click.argument("out")
@click.option(
    "--format",
    "kind",
    required=True,
    type=click.Choice(
        ["tiff", "bigtiff", "jp2", "htj2k", "nifti", "hdf5", "png", "ome-zarr", "neuroglancer"]
    ),
    help="What OUT is: a folder of slices (tiff, jp2, htj2k, png), or a file",
)
@click.option(
    "--level",
    metavar="N|25um",
    help="Number of the level, or the coarsest with voxels of at most this size [0, the finest]",
)
@click.option(
    "--crop",
    metavar="Z0:Z1,Y0:Y1,X0:X1",
    help="Voxels of the level, or positions with um or mm after a number; a bound may be left out",
)
@click.option(
    "--oblique",
    metavar="CZ,CY,CX:NZ,NY,NX[:SIZE]",
    help="One picture (tiff, png): the plane through a point across a normal, voxels or um or mm",
)
@click.option(
    "--dtype",
    type=click.Choice(["uint8", "uint16", "float32"]),
    help="uint16: as stored, uint8: by the display window, float32: values in 1/cm [as stored; "
    "png: uint8]",
)
@click.option(
    "--window",
    metavar="LOW:HIGH",
    help="Stored grey values shown black and white [the display window of the volume]",
)
@click.option("--lossless", is_flag=True, help="jp2 and htj2k without loss")
@click.option(
    "--ratio", type=float, metavar="R", help="jp2 and htj2k: how many times smaller to become [10]"
)
@click.option(
    "--url", help="neuroglancer: where the folder of the volume is served, if VOLUME is a folder"
)
@click.option(
    "--ome-zarr",
    type=click.Choice(["0.5", "0.4"]),
    help="ome-zarr: version; 0.4 is one file a chunk [0.5]",
)
@click.option(
    "--consolidated", is_flag=True, help="ome-zarr: metadata of all levels in one file, for servers"
)
@click.option(
    "--restart", is_flag=True, help="ome-zarr: begin anew instead of going on with a broken-off run"
)
@click.option("--memory", metavar="2GB", help="Memory that slices may take [2 GiB]")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export once this one is whole")
def command(
    *,
    volume: str,
    out: str,
    kind: str,
    level: str | None,
    crop: str | None,
    oblique: str | None,
    dtype: str | None,
    window: str | None,
    lossless: bool,
    ratio: float | None,
    url: str | None,
    ome_zarr: Literal["0.5", "0.4"] | None,
    consolidated: bool,
    restart: bool,
    memory: str | None,
    overwrite: bool,
) -> None:
    """Write a volume or part of it as OME-Zarr, TIFF, JPEG2000, NIfTI, HDF5 or a link.

    Slices are named NAME_000123, by their number in the level; export.json beside them says what
    they are. A crop in um or mm takes the voxels whose centres lie inside. JPEG2000 is 10:1, as
    the Human Organ Atlas distributes it. OME-Zarr is a pyramid again, in its old place; to
    s3://BUCKET/NAME a volume goes as it is, and goes on when the command is repeated. Neuroglancer
    needs no copy: OUT is its state, for the volume at --url, and the link is printed.

    \b
      hipct export organ.ome.zarr slices --format jp2
      hipct export organ.ome.zarr organ.nii.gz --format nifti --level 25um
      hipct export organ.ome.zarr part.h5 --format hdf5 --crop 2:4mm,10:12mm,10:12mm
      hipct export organ.ome.zarr part.ome.zarr --format ome-zarr --crop 2:4mm,10:12mm,10:12mm
      hipct export organ.ome.zarr s3://bucket/organ.ome.zarr --format ome-zarr
      hipct export organ.ome.zarr cut.tif --format tiff --oblique 2,11,11mm:1,0.2,0:4
      hipct export organ.ome.zarr organ.json --format neuroglancer --url https://host/organ.ome.zarr
    """  # noqa: D301 - click wants the character
    from hipct.core.memory import parse_bytes
    from hipct.exchange.export import DEFAULT_MEMORY_BYTES, export_volume

    with progress() as observer:
        written = export_volume(
            volume,
            out,
            format=kind,
            level=level,
            crop=crop,
            oblique=oblique,
            dtype=dtype,
            window=None if window is None else grey_window(window),
            lossless=lossless,
            ratio=ratio,
            url=url,
            ome_zarr=ome_zarr,
            consolidated=consolidated,
            restart=restart,
            overwrite=overwrite,
            memory_bytes=DEFAULT_MEMORY_BYTES if memory is None else parse_bytes(memory),
            observer=observer,
        )
    if written.link is not None:
        click.echo(written.link)
        return
    if "bytes" in written.facts:
        click.echo(f"{out}: {written.facts['bytes']} bytes")
        return
    noun = "voxels" if len(written.shape) == 3 else "pixels"
    facts = written.facts
    size = " x ".join(map(str, written.shape))
    click.echo(f"{out}: {size} {noun} of level {facts['level']}, {facts['dtype']}")
    if "compression" in facts:
        click.echo(_compression(facts["compression"]))


def _compression(facts: dict[str, float | str | bool | None]) -> str:
    text = f"{facts['codec']} {facts['ratio']:.2f}:1"
    if facts["lossless"]:
        return f"{text}, lossless"
    if facts["psnr_db"] is None:
        return f"{text}, no value changed"
    return f"{text}, PSNR {facts['psnr_db']} dB, rms error {facts['rms_error']} grey steps"
