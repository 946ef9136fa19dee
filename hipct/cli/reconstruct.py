"""``hipct reconstruct``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hipct.cli.console import progress
from hipct.cli.options import (
    compute_options,
    open_sources,
    read_settings,
    series_options,
    settings,
    source_options,
)

if TYPE_CHECKING:
    from hipct.pipeline.work import RunResult
    from hipct.quality.report import Report


@click.command(name="reconstruct")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("-o", "--out", required=True, metavar="OUT.ome.zarr", help="The volume to write")
@settings
@source_options
@series_options
@compute_options
@click.option("--overwrite", is_flag=True, help="Replace OUT once the new volume is whole")
@click.option("--restart", is_flag=True, help="Throw away what an unfinished run into OUT has done")
@click.option("--no-report", is_flag=True, help="Leave out the report of the quality of the volume")
def command(
    *,
    sources: tuple[str, ...],
    out: str,
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None,
    allow_gaps: bool,
    backend: str | None,
    device_memory: str | None,
    overwrite: bool,
    restart: bool,
    no_report: bool,
    **opening: Any,
) -> None:
    """Turn a scan, or all sub-scans of an organ, into a 16-bit OME-Zarr volume.

    Flat field, phase retrieval, rotation axis, filtered back-projection, one 16-bit window for
    the whole volume, and a multiscale pyramid, streamed in slabs within the memory given. A run
    that was stopped goes on where it stood when the same command is given again.

    Beside the volume it leaves a picture, a report of time and numbers, and the report of its
    quality that 'hipct report' makes.

    SOURCE is a store of a scan or of a series, or a source file or folder that 'hipct import'
    would take; several, or a folder of scans, are the sub-scans of one sample. They are put in
    their places by what neighbours see of each other, brought to one level, and joined on the way.

    \b
      hipct reconstruct scan.zarr -o organ.ome.zarr --config bm18 --memory 16GB
      hipct reconstruct tooth.h5 -o tooth.ome.zarr --set phase.method=none
      hipct reconstruct folder_of_sub_scans -o organ.ome.zarr --config bm18
    """  # noqa: D301 - click wants the character
    # Wrong settings are told before the heavy imports.
    config = read_settings(source, overrides, memory, backend, device_memory)
    from hipct.pipeline.run import reconstruct
    from hipct.quality.making import WorkLook

    opened = open_sources(sources, allow_gaps=allow_gaps, **opening)
    with opened, progress() as observer:
        look = None if no_report else WorkLook(observer)
        result = reconstruct(
            opened,
            Path(out),
            config,
            allow_gaps=allow_gaps,
            overwrite=overwrite,
            restart=restart,
            before_delivery=look,
            observer=observer,
        )
        made = None if look is None else look.leave(result.path)
    click.echo(result.report.table())
    click.echo(
        f"\nvolume   {result.path}\n"
        f"picture  {result.preview}\n"
        f"report   {result.report_path}\n"
        f"{_quality(made)}"
        f"{_geometry(result)}\n"
        f"window   {result.window.low:.4g} to {result.window.high:.4g} {result.unit}\n"
        f"\nhipct view {result.path}"
    )


def _quality(made: tuple[Report, Path] | None) -> str:
    return "" if made is None else f"quality  {made[1]} ({made[0].verdict})\n"


def _geometry(result: RunResult) -> str:
    """The axis, or how well the sub-scans of a series fit together."""
    series = result.provenance.get("series", {})
    if "sub_scans" not in series:
        return f"axis     column {result.axis:.2f}"
    places, axes = series["sub_scans"], [each["axis_px"] for each in series["sub_scans"]]
    off = max(abs(each["motor_error_px"]) for each in places)
    scores = [seam["score"] for seam in series["seams"] if seam["score"] is not None]
    lines = [
        f"series   {len(places)} sub-scans, at most {off:.2f} rows from where the motors have them",
        f"axes     columns {min(axes):.2f} to {max(axes):.2f}",
    ]
    if scores:
        lines.append(f"seams    scores up to {max(scores):.3f} (1: like the rows around them)")
    lines += [
        f"gap      rows {first} to {stop - 1} of the series are in no sub-scan and are stored as 0"
        for first, stop in series["rows_without_data"]
    ]
    return "\n".join(lines)
