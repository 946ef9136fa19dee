"""``hipct register``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hipct.atlas.register import ZoomPlace

UNCERTAIN = 1


@click.command(name="register")
@click.argument("zoom")
@click.argument("overview")
@click.option(
    "--start",
    metavar="Z,Y,X",
    help="Where the zoom's middle lies in the overview, in mm, right to half of the zoom's size "
    "[anywhere]",
)
@click.option(
    "--rotation",
    type=float,
    metavar="DEG",
    help="Rotation of the zoom about z, right to 15 degrees [any]",
)
@click.option(
    "--scale",
    type=float,
    default=1.0,
    show_default=True,
    help="True over nominal size of the zoom's voxels, right to 2 %",
)
@click.option("--memory", default="2GiB", show_default=True, help="Memory that the search may take")
@click.option("-o", "--out", metavar="FILE", help="Where the place goes [ZOOM.place.json]")
@click.option("--write", is_flag=True, help="Write the place into the zoom's metadata too")
@click.option("--overwrite", is_flag=True, help="Replace files that exist")
def command(
    *,
    zoom: str,
    overview: str,
    start: str | None,
    rotation: float | None,
    scale: float,
    memory: str,
    out: str | None,
    write: bool,
    overwrite: bool,
) -> int:
    """Find where a zoom lies in its overview.

    ZOOM and OVERVIEW are OME-Zarr volumes with voxel sizes. The zoom is looked for everywhere and
    at any rotation about z; its place, rotation, tilt and scale are then measured on finer and
    finer levels.

    Writes a JSON file with the transform, its errors and the confidence, and beside it a picture of
    the zoom in its overview. The exit code is 0 if the place was found, 1 if it is uncertain: then
    it is the best that there is, and may well be wrong.
    """
    from hipct.atlas.register import register_zoom
    from hipct.atlas.register_picture import place_picture
    from hipct.atlas.register_store import refuse_remote, store_place, write_place
    from hipct.cli.console import progress
    from hipct.core.files import refuse_existing
    from hipct.core.memory import parse_bytes
    from hipct.volume.open import open_volume
    from hipct.volume.pictures import write_png

    volumes = open_volume(zoom), open_volume(overview)
    if write:
        refuse_remote(volumes[0])
    target = Path(out) if out else _beside(zoom)
    picture = target.with_suffix(".png")
    for file in (target, picture):
        refuse_existing(file, overwrite)
    with progress() as observer:
        result = register_zoom(
            *volumes,
            start_um=None if start is None else _position(start),
            rotation_deg=rotation,
            scale=scale,
            memory_bytes=parse_bytes(memory),
            observer=observer,
        )
    write_place(target, result, *volumes)
    write_png(picture, place_picture(*volumes, result.place))
    _tell(result)
    click.echo(f"{'written':<12}{target} and {picture}")
    if not result.found:
        return UNCERTAIN
    if write:
        store_place(result, *volumes)
        click.echo(f"{'':<12}{zoom}, attribute hipct/placed_in")
    return 0


def _tell(result: ZoomPlace) -> None:
    place, error = result.place, result.position_error_um / 1000
    middle = ", ".join(f"{p / 1000:.4f} +- {e:.4f}" for p, e in zip(place.position, error))
    turned = result.rotation_error_deg
    for name, text in {
        "result": f"{'found' if result.found else 'uncertain'}, confidence {result.confidence:.4f}",
        "middle": f"{middle} mm (z, y, x)",
        "rotation": f"{place.angle_deg:.3f} +- {turned[0]:.3f} degrees about z",
        "tilt": f"{place.tilt_deg:.3f} +- {max(turned[1:]):.3f} degrees",
        "scale": f"{place.scale:.6f} +- {result.scale_error:.6f}",
        "evidence": f"correlation {result.ncc:.3f}, {result.lead:.0%} ahead of the next best, "
        f"{result.share:.0%} of {result.parts} parts agree",
    }.items():
        click.echo(f"{name:<12}{text}")


def _beside(zoom: str) -> Path:
    """Beside a folder; of a zoom on a server, in the current folder.

    Examples
    --------
    >>> str(_beside("data/zoom.ome.zarr")), str(_beside("s3://bucket/zoom.ome.zarr/"))
    ('data/zoom.place.json', 'zoom.place.json')
    """
    from hipct.volume.storage import is_address

    path = Path(zoom.rstrip("/").rpartition("/")[2] if is_address(zoom) else zoom)
    name = path.name
    for ending in (".zarr", ".ome"):
        name = name.removesuffix(ending)
    return path.with_name(f"{name}.place.json")


def _position(words: str) -> list[float]:
    from hipct.core.errors import InputError

    try:
        z, y, x = (float(word) * 1000 for word in words.split(","))
    except ValueError as error:
        raise InputError(f"--start is {words!r}; give three numbers in mm: z,y,x.") from error
    return [z, y, x]
