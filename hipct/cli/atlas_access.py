"""``hipct atlas open``, ``download`` and ``describe``: voxels, and descriptions of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hipct.cli.atlas_options import (
    json_option,
    own_option,
    read_catalogue,
    server_options,
)

if TYPE_CHECKING:
    from hipct.atlas.crop import Unit


@click.command(name="open", short_help="Tell levels and quirks of one where it lies")
@click.argument("name")
@server_options
@own_option
@json_option
def open_command(
    *,
    name: str,
    mirror: str | None,
    timeout_s: float,
    attempts: int,
    own: tuple[str, ...],
    as_json: bool,
) -> None:
    """Open a data set where it lies, and tell its levels and what was assumed.

    No voxel is read. In Python, hipct.atlas.opening.open_set gives the levels as arrays that read
    the blocks of a region when they are sliced.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.opening import open_set
    from hipct.volume.storage import Patience

    patience = Patience(timeout_s, attempts)
    one = find_set(read_catalogue(own, name, patience=patience), name)
    volume = open_set(one, mirror=mirror, patience=patience)
    rows = [
        {
            "level": level.number,
            "shape_zyx": list(level.array.shape),
            "blocks_zyx": list(level.array.chunks),
            "dtype": str(level.array.dtype),
            "compression": level.array.compression,
            "voxel_size_um": level.voxel_size_um,
            "origin_um_zyx": list(level.origin_um),
        }
        for level in volume.levels
    ]
    if as_json:
        answer = {
            "name": one.name,
            "address": volume.address,
            "format": volume.format,
            "levels": rows,
            "notes": list(volume.notes),
        }
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(f"{one.name}: {volume.format} at {volume.address}")
    click.echo("level       voxels (z, y, x)  voxel um  first centre um  blocks")
    for level in volume.levels:
        array = level.array
        shape, blocks = (" x ".join(str(n) for n in one) for one in (array.shape, array.chunks))
        click.echo(
            f"{level.number:>5}  {shape:>21}  {level.voxel_size_um:>8g}  "
            f"{level.origin_um[0]:>15.2f}  {blocks} {array.dtype} {array.compression}"
        )
    for note in volume.notes:
        click.echo(note)


@click.command(name="download", short_help="Fetch a region as an OME-Zarr volume")
@click.argument("name")
@click.argument("out")
@click.option("--level", default=0, show_default=True, help="Level to take; 0 is the finest")
@click.option(
    "--crop",
    metavar="Z0:Z1,Y0:Y1,X0:X1",
    default=":,:,:",
    help="Region; ends may be left out [the whole level]",
)
@click.option(
    "--unit",
    type=click.Choice(["voxel", "um", "mm"]),
    default="voxel",
    show_default=True,
    help="Unit of the region: voxels of the level, or lengths from the centre of the first voxel "
    "of the finest level",
)
@click.option("--memory", metavar="8GB", help="Memory that may be taken [50 % of what is free]")
@click.option("--overwrite", is_flag=True, help="Replace OUT, once the new volume stands")
@click.option("--restart", is_flag=True, help="Throw away an unfinished download to OUT")
@server_options
@own_option
def download_command(
    *,
    name: str,
    out: str,
    level: int,
    crop: str,
    unit: Unit,
    attempts: int,
    memory: str | None,
    overwrite: bool,
    restart: bool,
    mirror: str | None,
    timeout_s: float,
    own: tuple[str, ...],
) -> None:
    """Fetch a region of a data set as an OME-Zarr volume with all coarser levels.

    The region may be given in voxels of the level or in lengths. OUT has its name only when it is
    whole; after a kill or a dead server the same command goes on where it stood.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.crop import make_crop, parse_ends
    from hipct.atlas.download import download_crop
    from hipct.atlas.opening import open_set
    from hipct.cli.console import progress
    from hipct.core.memory import format_bytes, parse_bytes
    from hipct.volume.storage import Patience

    ends = parse_ends(crop)
    patience = Patience(timeout_s, attempts)
    one = find_set(read_catalogue(own, name, patience=patience), name)
    with progress() as observer:
        volume = open_set(one, mirror=mirror, patience=patience)
        region = make_crop(volume, level, ends, unit)
        for note in volume.notes:
            observer.say(note)
        shape = " x ".join(str(n) for n in region.shape)
        observer.say(
            f"{shape} voxels (z, y, x) of {region.level.voxel_size_um:g} um, "
            f"{format_bytes(region.nbytes)}, in {region.blocks} blocks"
        )
        download_crop(
            volume,
            region,
            out,
            overwrite=overwrite,
            restart=restart,
            memory_bytes=None if memory is None else parse_bytes(memory),
            observer=observer,
        )
    click.echo(out)


@click.command(name="describe", short_help="Describe a volume of one's own as the atlas does")
@click.argument("volume")
@click.option(
    "--with",
    "given",
    metavar="FILE",
    required=True,
    help="YAML or JSON: donor, sample, scan, proposal, citation, ... as the schema names them",
)
@click.option(
    "--overview",
    metavar="NAME|VOLUME|FILE",
    help="What hipct register --write placed VOLUME in: its place becomes the registration",
)
@click.option(
    "--out", default=".", show_default=True, metavar="FOLDER", help="Where to write the files"
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist")
def describe_command(
    *, volume: str, given: str, overview: str | None, out: str, overwrite: bool
) -> None:
    """Write the description of a volume of one's own, as the atlas has it (schema 1.1).

    The volume tells its size, its voxels and what hipct recorded of the scan; FILE gives the rest,
    and a sentence names what is missing. What the schema has no place for - all parameters of the
    processing, versions, the window of the grey values - stands in NAME.hipct.json beside
    NAME.json.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.dataset import read_set
    from hipct.atlas.metadata import describe_volume, write_description
    from hipct.volume.open import open_volume

    target = None
    if overview is not None:
        described = overview.endswith(".json")
        catalogue = read_catalogue((overview,) if described else (), overview)
        target = find_set(catalogue, read_set(Path(overview)).name if described else overview)
    made = describe_volume(open_volume(volume), _given(given), overview=target)
    for note in made.notes:
        click.echo(note, err=True)
    for file in write_description(made, out, overwrite=overwrite):
        click.echo(str(file))


def _given(file: str) -> dict[str, Any]:
    import yaml

    from hipct.core.errors import InputError

    try:
        # JSON is YAML.
        content = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"{file} cannot be read ({error}).") from error
    if not isinstance(content, dict):
        raise InputError(f"{file} holds no keys and values.")
    return content
