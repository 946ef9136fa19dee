"""``hipct atlas``: the group of its commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hipct.atlas.catalogue import AtlasSet, Catalogue
    from hipct.atlas.crop import Unit

Function = TypeVar("Function", bound=Callable[..., object])


@click.group(name="atlas", invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@click.pass_context
def command(ctx: click.Context) -> None:
    """Find, open, download and place data sets of the Human Organ Atlas.

    Data sets are those that the package hoa-tools describes; a NAME may be cut short as long as
    no other name has it as a part.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def _descriptions(function: Function) -> Function:
    option = click.option(
        "--descriptions",
        metavar="FOLDER",
        multiple=True,
        help="Folder of further descriptions (schema 1.1); may be given again",
    )
    return option(function)


def _json(function: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON")(function)


def _server(function: Function) -> Function:
    for option in (
        click.option(
            "--timeout",
            "timeout_s",
            default=30.0,
            show_default=True,
            help="Seconds of silence after which a server is asked again",
        ),
        click.option(
            "--mirror",
            metavar="URL|FOLDER",
            envvar="HIPCT_ATLAS_MIRROR",
            help="Copy of the buckets to read instead of Google's server [$HIPCT_ATLAS_MIRROR]",
        ),
    ):
        function = option(function)
    return function


def _catalogue(folders: tuple[str, ...]) -> Catalogue:
    from hipct.atlas.catalogue import load_catalogue

    return load_catalogue(*folders)


@command.command(name="list")
@click.option("--organ", help="Organ, also with its context: lung_left")
@click.option("--donor", help="Identifier of a donor: LADAF-2021-17")
@click.option("--beamline", help="bm05 or bm18")
@click.option("--kind", type=click.Choice(["overview", "zoom"]), help="Overviews or zooms alone")
@click.option(
    "--resolution",
    metavar="UM|MIN:MAX",
    help="Voxel size in um: one, within 0.5 %, or a range whose ends may be left out",
)
@_descriptions
@_json
def list_command(
    *,
    organ: str | None,
    donor: str | None,
    beamline: str | None,
    kind: str | None,
    resolution: str | None,
    descriptions: tuple[str, ...],
    as_json: bool,
) -> None:
    """List data sets, all or those that meet every condition."""
    from hipct.atlas.catalogue import select

    found = select(
        _catalogue(descriptions),
        organ=organ,
        donor=donor,
        beamline=beamline,
        kind=kind,
        resolution_um=None if resolution is None else _range(resolution),
    )
    if as_json:
        click.echo(json.dumps([_row(one) for one in found], indent=2))
        return
    width = max((len(one.name) for one in found), default=4)
    click.echo(
        f"{'name':<{width}}  {'kind':<8}  {'voxel um':>8}  {'voxels (z, y, x)':>21}  {'GB':>8}"
    )
    for one in found:
        shape = " x ".join(str(n) for n in one.shape)
        click.echo(
            f"{one.name:<{width}}  {one.kind:<8}  {one.voxel_size_um:>8g}  {shape:>21}  "
            f"{one.gigabytes:>8.1f}"
        )
    total = sum(one.gigabytes for one in found)
    click.echo(f"{len(found)} data sets, {total / 1e3:.2f} TB as 16 bit")


@command.command(name="info")
@click.argument("name")
@_descriptions
@_json
def info_command(*, name: str, descriptions: tuple[str, ...], as_json: bool) -> None:
    """Tell everything that is described of one data set."""
    from hipct.atlas.catalogue import find_set

    one = find_set(_catalogue(descriptions), name)
    if as_json:
        click.echo(json.dumps(one.description, indent=2, ensure_ascii=False))
        return
    shape = " x ".join(str(n) for n in one.shape)
    size = " x ".join(f"{length / 1e3:.1f}" for length in one.size_um)
    click.echo(f"{one.name}: {shape} voxels (z, y, x), {size} mm, {one.gigabytes:.1f} GB")
    for line in _lines(one.description):
        click.echo(line)


@command.command(name="open")
@click.argument("name")
@_server
@_descriptions
@_json
def open_command(
    *,
    name: str,
    mirror: str | None,
    timeout_s: float,
    descriptions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Open a data set where it lies, and tell its levels and what was assumed.

    No voxel is read. In Python, hipct.atlas.opening.open_set gives the levels as arrays that read
    the blocks of a region when they are sliced.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.opening import open_set
    from hipct.atlas.remote import Patience

    one = find_set(_catalogue(descriptions), name)
    volume = open_set(one, mirror=mirror, patience=Patience(timeout_s))
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
    click.echo(
        f"{one.name}: {'N5' if volume.format == 'n5' else 'OME-Zarr 0.4'} at {volume.address}"
    )
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


@command.command(name="download")
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
@click.option(
    "--attempts", default=6, show_default=True, help="How often a block is asked for, with pauses"
)
@click.option("--memory", metavar="8GB", help="Memory that may be taken [50 % of what is free]")
@click.option("--overwrite", is_flag=True, help="Replace OUT, once the new volume stands")
@click.option("--restart", is_flag=True, help="Throw away an unfinished download to OUT")
@_server
@_descriptions
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
    descriptions: tuple[str, ...],
) -> None:
    """Fetch a region of a data set as an OME-Zarr volume with all coarser levels.

    The region may be given in voxels of the level or in lengths. OUT has its name only when it is
    whole; after a kill or a dead server the same command goes on where it stood.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.crop import make_crop, parse_ends
    from hipct.atlas.download import download_crop
    from hipct.atlas.opening import open_set
    from hipct.atlas.remote import Patience
    from hipct.cli.console import progress
    from hipct.core.memory import format_bytes, parse_bytes

    one = find_set(_catalogue(descriptions), name)
    ends = parse_ends(crop)
    with progress() as observer:
        volume = open_set(one, mirror=mirror, patience=Patience(timeout_s, attempts))
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


@command.command(name="place")
@click.argument("zoom")
@click.argument("target", required=False)
@click.option("--level", default=0, show_default=True, help="Level of TARGET that voxels are of")
@click.option(
    "--point",
    metavar="Z,Y,X",
    multiple=True,
    help="A point of ZOOM in um, to be given in TARGET; may be given again",
)
@_descriptions
@_json
def place_command(
    *,
    zoom: str,
    target: str | None,
    level: int,
    point: tuple[str, ...],
    descriptions: tuple[str, ...],
    as_json: bool,
) -> None:
    """Place a zoom in its overview, or in any data set that registrations lead to.

    Coordinates are micrometres (z, y, x) from the centre of the first voxel of the finest level.
    TARGET may be another zoom: transforms are composed in the order of the path.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.graph import place, um_to_level_voxels

    catalogue = _catalogue(descriptions)
    found = place(
        catalogue,
        find_set(catalogue, zoom),
        None if target is None else find_set(catalogue, target),
    )
    transform, (low, high) = found.transform, found.box_um()
    size = found.target.voxel_size_um
    points = [(given, transform(given)) for given in map(_point, point)]
    if as_json:
        answer = {
            "path": list(found.path),
            "scale": transform.scale,
            "rotation_deg": transform.rotation_about_z_deg,
            "matrix_um_zyx": transform.matrix.tolist(),
            "box_um_zyx": [low.tolist(), high.tolist()],
            "level": level,
            "box_voxels_zyx": [list(pair) for pair in found.box_voxels(level)],
            "points_um_zyx": [[list(given), moved.tolist()] for given, moved in points],
        }
        click.echo(json.dumps(answer, indent=2))
        return
    click.echo(" -> ".join(found.path))
    click.echo(f"scale        {transform.scale:.6f}")
    click.echo(f"rotation     {transform.rotation_about_z_deg:.4f} degrees about z")
    click.echo(f"translation  {_um(transform.translation_um)} um (z, y, x)")
    click.echo(f"box          {_um(low)} to {_um(high)} um")
    box = ", ".join(f"{start}:{stop}" for start, stop in found.box_voxels(level))
    click.echo(f"voxels       {box} of level {level} (z, y, x)")
    for given, moved in points:
        voxel = ", ".join(f"{v:.2f}" for v in um_to_level_voxels(moved, size, level))
        click.echo(f"point        {_um(given)} um -> {_um(moved)} um, voxel {voxel}")


def _row(one: AtlasSet) -> dict[str, Any]:
    return {
        "name": one.name,
        "kind": one.kind,
        "organ": one.organ,
        "organ_context": one.organ_context,
        "donor": one.donor,
        "voi": one.voi,
        "beamline": one.beamline,
        "voxel_size_um": one.voxel_size_um,
        "shape_zyx": list(one.shape),
        "registered_to": one.registered_to,
        "url": one.url,
    }


def _lines(values: Mapping[str, Any], depth: int = 0) -> list[str]:
    lines = []
    indent = "  " * depth
    for key, value in values.items():
        if isinstance(value, Mapping):
            lines += [f"{indent}{key}", *_lines(value, depth + 1)]
        elif key == "contributors":
            people = ", ".join(f"{one['first_name']} {one['last_name']}" for one in value)
            lines.append(f"{indent}{key:<28}{people}")
        elif value is not None:
            told = ", ".join(str(part) for part in value) if isinstance(value, list) else value
            lines.append(f"{indent}{key + (' (x, y, z)' if key == 'shape' else ''):<28}{told}")
    return lines


def _range(words: str) -> tuple[float, float]:
    from hipct.core.errors import InputError

    low, colon, high = words.partition(":")
    try:
        if not colon:
            return float(low), float(low)
        return float(low or 0), float(high or "inf")
    except ValueError as error:
        raise InputError(
            f"--resolution is {words!r}; give a voxel size in um, such as 6.5, or a range 2:7."
        ) from error


def _point(words: str) -> tuple[float, float, float]:
    from hipct.core.errors import InputError

    try:
        z, y, x = (float(word) for word in words.split(","))
    except ValueError as error:
        raise InputError(f"--point is {words!r}; give three numbers in um, Z,Y,X.") from error
    return z, y, x


def _um(values: Any) -> str:
    return "(" + ", ".join(f"{value:.2f}" for value in values) + ")"
