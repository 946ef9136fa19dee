"""``hipct check``."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

FAULTY = 1


@click.command(name="check")
@click.argument("volume")
@click.option(
    "--deep", is_flag=True, help="Read every byte, check every checksum, decode what has none"
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON")
def command(*, volume: str, deep: bool, as_json: bool) -> int:
    """Validate an OME-Zarr volume.

    VOLUME is a folder or an address (s3://, gs://, http://). Checks the metadata by the
    specification and by rules of our own: units, scales, half-voxel translations, shapes and types
    of the levels, the omero window, consolidated metadata, missing and torn shards or chunks, files
    that are left over, and a sample of voxels of every level against the level below.

    Prints one line for each fault. The exit code is 0 for a good volume, 1 if there are errors,
    2 if VOLUME is no OME-Zarr volume at all.
    """
    from hipct.volume.check import check_volume

    findings = check_volume(volume, deep=deep)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            click.echo(str(finding))
        verdict = f"{_count(errors, 'error')}, {_count(len(findings) - errors, 'warning')}"
        click.echo(f"{volume}: {verdict if findings else 'good'}")
    return FAULTY if errors else 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
