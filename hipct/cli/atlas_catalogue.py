"""``hipct atlas list``, ``info`` and ``place``: what the descriptions tell; no network."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from hipct.cli.atlas_options import json_option, own_option, read_catalogue

if TYPE_CHECKING:
    from hipct.atlas.dataset import AtlasSet

_UNITS = {
    "energy": "keV",
    "current_start": "mA",
    "latency_time": "s",
    "exposure_time": "s",
    "subframe_time": "s",
    "scan_time": "s",
    "scan_range": "degrees",
    "z_step": "mm",
    "distance_source_sample": "mm",
    "distance_sample_detector": "mm",
    "psho": "mm",
    "pixel_size": "um",
    "scan_solvent_concentration": "%",
    "age": "years",
    "weight": "kg",
    "height": "cm",
    "translation": "voxels of the target",
    "rotation": "degrees about z",
    "scale": "voxels of the target for a voxel",
}
"""As the schema of hoa-tools documents them."""


@click.command(name="list", short_help="List data sets, all or by conditions")
@click.option("--organ", help="Organ, also with its context: lung_left")
@click.option("--donor", help="Identifier of a donor: LADAF-2021-17")
@click.option("--beamline", help="bm05 or bm18")
@click.option(
    "--kind",
    type=click.Choice(["overview", "zoom", "volume", "labels"]),
    help="Overviews or zooms alone; volumes or labels of one's own that nothing describes",
)
@click.option(
    "--resolution",
    metavar="UM|MIN:MAX",
    help="Voxel size in um: one, within 0.5 %, or a range whose ends may be left out",
)
@own_option
@json_option
def list_command(
    *,
    organ: str | None,
    donor: str | None,
    beamline: str | None,
    kind: str | None,
    resolution: str | None,
    own: tuple[str, ...],
    as_json: bool,
) -> None:
    """List data sets, all or those that meet every condition."""
    from hipct.atlas.catalogue import select

    found = select(
        read_catalogue(own),
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
            f"{_gigabytes(one):>8}"
        )
    total = sum(one.gigabytes for one in found)
    size = f"{total / 1e3:.2f} TB" if total >= 10 else f"{total:.2g} GB"
    click.echo(f"{len(found)} data sets, {size} as 16 bit")


@click.command(name="info", short_help="Tell everything that is described of one")
@click.argument("name")
@own_option
@json_option
def info_command(*, name: str, own: tuple[str, ...], as_json: bool) -> None:
    """Tell everything that is described of one data set."""
    from hipct.atlas.catalogue import find_set

    one = find_set(read_catalogue(own, name), name)
    if as_json:
        click.echo(json.dumps(dict(one.description) or _row(one), indent=2, ensure_ascii=False))
        return
    shape = " x ".join(str(n) for n in one.shape)
    size = " x ".join(f"{length / 1e3:.1f}" for length in one.size_um)
    click.echo(f"{one.name}: {shape} voxels (z, y, x), {size} mm, {_gigabytes(one)} GB")
    for line in _lines(_own_facts(one)) + _lines(one.description):
        click.echo(line)


@click.command(name="place", short_help="Place a zoom in its overview, or in another zoom")
@click.argument("zoom")
@click.argument("target", required=False)
@click.option("--level", default=0, show_default=True, help="Level of TARGET that voxels are of")
@click.option(
    "--point",
    metavar="Z,Y,X",
    multiple=True,
    help="A point of ZOOM in um, to be given in TARGET; may be given again",
)
@click.option(
    "--found",
    metavar="FILE",
    multiple=True,
    help="A place that hipct register found between two of the sets; may be given again",
)
@own_option
@json_option
def place_command(
    *,
    zoom: str,
    target: str | None,
    level: int,
    point: tuple[str, ...],
    found: tuple[str, ...],
    own: tuple[str, ...],
    as_json: bool,
) -> None:
    """Place a zoom in its overview, or in any data set that registrations lead to.

    Coordinates are micrometres (z, y, x) from the centre of the first voxel of the finest level;
    those of a volume of one's own are those of its translations, so that a crop counts as the whole
    does. ZOOM and TARGET may be folders of volumes, and TARGET another zoom: transforms are
    composed in the order of the path. What hipct register found is read from the volumes, and from
    NAME.place.json beside them.
    """
    from hipct.atlas.catalogue import find_set
    from hipct.atlas.found import find_places
    from hipct.atlas.graph import place

    catalogue = read_catalogue(own, zoom, target)
    notes: list[str] = []
    near = find_places(catalogue, [*own, zoom, *([target] if target else [])], notes)
    for note in notes:
        click.echo(note, err=True)
    placed = place(
        catalogue,
        find_set(catalogue, zoom),
        None if target is None else find_set(catalogue, target),
        found=[*near, *found],
    )
    transform, (low, high) = placed.transform, placed.box_um()
    points = [(given, transform(given)) for given in map(_point, point)]
    if as_json:
        answer = {
            "path": list(placed.path),
            "scale": transform.scale,
            "rotation_deg": transform.rotation_about_z_deg,
            "matrix_um_zyx": transform.matrix.tolist(),
            "box_um_zyx": [low.tolist(), high.tolist()],
            "level": level,
            "box_voxels_zyx": [list(pair) for pair in placed.box_voxels(level)],
            "points_um_zyx": [[list(given), moved.tolist()] for given, moved in points],
        }
        click.echo(json.dumps(answer, indent=2))
        return
    box = ", ".join(f"{start}:{stop}" for start, stop in placed.box_voxels(level))
    click.echo(" -> ".join(placed.path))
    click.echo(f"scale        {transform.scale:.6f}")
    click.echo(f"rotation     {transform.rotation_about_z_deg:.4f} degrees about z")
    click.echo(f"translation  {_um(transform.translation_um)} um (z, y, x)")
    click.echo(f"box          {_um(low)} to {_um(high)} um")
    click.echo(f"voxels       {box} of level {level} (z, y, x)")
    for given, moved in points:
        voxel = ", ".join(f"{v:.2f}" for v in placed.target_voxels(moved, level))
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
        "part_of": one.part_of,
        "url": one.url,
        "address": one.address,
    }


def _gigabytes(one: AtlasSet) -> str:
    return f"{one.gigabytes:.1f}" if one.gigabytes >= 0.1 else f"{one.gigabytes:.1g}"


def _own_facts(one: AtlasSet) -> dict[str, Any]:
    """What a volume of one's own tells beside its description."""
    if one.address is None and one.placed_in is None and one.part_of is None:
        return {}
    placed = None if one.placed_in is None else dict(one.placed_in)
    return {
        "volume": {
            "address": one.address,
            "kind": one.kind,
            "voxel_size_um": one.voxel_size_um,
            "origin (z, y, x)": f"{_um(one.origin_um)} um",
            "part_of": one.part_of,
            "placed_in": placed and f"{placed['overview']} (hipct register: {placed['result']})",
        }
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
        elif key == "doi" and value is not None:
            lines.append(f"{indent}{key:<28}https://doi.org/{value}")
        elif value is not None:
            told = ", ".join(str(part) for part in value) if isinstance(value, list) else value
            listed = " (x, y, z)" if key in ("shape", "translation") else ""
            unit = f" {_UNITS[key]}" if key in _UNITS else ""
            lines.append(f"{indent}{key + listed:<28}{told}{unit}")
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
