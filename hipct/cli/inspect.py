"""``hipct inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from hipct.cli.options import open_source, source_options

_WHAT = {
    "energy_kev": "the photon energy: --set scan.energy_kev=...",
    "pixel_size_um": "the effective pixel size: --set scan.pixel_size_um=...",
    "distance_m": "the effective propagation distance: --set scan.distance_m=...",
    "rotation_axis_px": "the rotation axis: it will be found, or --set axis.value=...",
    "flats": "flats: without them counts cannot become transmission",
    "darks": "darks: the detector's offset is taken as 0",
}


@click.command(name="inspect")
@click.argument("path")
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON, with all provenance")
def command(*, path: str, angles: str | None, entry: str | None, as_json: bool) -> None:
    """Tell what is in a scan, a store or a volume, and what is missing.

    PATH is a scan in any format that 'hipct import' takes, a store of a scan or of a series, or an
    OME-Zarr volume, which may also lie at an address (s3://, gs://, http://, https://).
    """
    from hipct.acquisition.series_store import is_series_store
    from hipct.volume.storage import is_address

    if is_address(path):
        facts = _volume(path, as_json)
    elif is_series_store(Path(path)):
        facts = _series(path)
    else:
        facts = _volume(path, as_json) if _is_volume(Path(path)) else _scan(path, angles, entry)
    if as_json:
        click.echo(json.dumps(facts, indent=2))
        return
    missing = facts.pop("missing", [])
    members = facts.pop("members", [])
    apart = {name: facts.pop(name, []) for name in ("gaps", "skipped")}
    notes = facts.pop("notes", [])
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        if value is not None:
            click.echo(f"{name:<{width}}{_text(value)}")
    for member in members:
        click.echo(
            f"{'sub-scan':<{width}}{member['name']}: z {member['z_um']:.1f} um, first row "
            f"{member['first_row']:.1f}, {member['flats']} flats, {member['darks']} darks"
        )
    for name, sentences in apart.items():
        for sentence in sentences:
            click.echo(f"{name:<{width}}{sentence}")
    for name in missing:
        click.echo(f"{'missing':<{width}}{_WHAT.get(name, name)}")
    for note in notes:
        click.echo(f"{'note':<{width}}{note}")


def _text(value: Any) -> str:
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _is_volume(path: Path) -> bool:
    from hipct.core.errors import InputError
    from hipct.volume.open import read_attributes

    try:
        read_attributes(path)
    except InputError:
        return False
    return True


def _volume(path: str, as_json: bool) -> dict[str, Any]:
    from hipct.volume.describe import describe_volume
    from hipct.volume.open import open_volume

    facts: dict[str, Any] = dict(describe_volume(path))
    if as_json:
        facts["provenance"] = dict(open_volume(path).provenance)
    return facts


def _series(path: str) -> dict[str, Any]:
    from hipct.acquisition.describe import describe_series
    from hipct.acquisition.series import open_series

    with open_series(path) as series:
        return describe_series(series)


def _scan(path: str, angles: str | None, entry: str | None) -> dict[str, Any]:
    from hipct.acquisition.describe import describe

    with open_source(path, angles, entry) as scan:
        return describe(scan)
