"""``hipct axis``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hipct.cli.console import progress
from hipct.cli.options import open_source, read_settings, settings, source_options

if TYPE_CHECKING:
    from hipct.acquisition.scan import Scan
    from hipct.core.progress import Observer
    from hipct.pipeline.config import Config


@click.command(name="axis")
@click.argument("scan")
@settings
@source_options
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON")
@click.option("--sweep", metavar="FILE.tif", help="Write one slice over axis values, and a PNG")
@click.option(
    "--values",
    nargs=3,
    type=float,
    metavar="FIRST LAST STEP",
    help="Axis values of the sweep, in columns [the axis found, 5 to either side, step 0.5]",
)
@click.option("--row", type=int, help="Detector row of the sweep [the middle]")
@click.option("--overwrite", is_flag=True, help="Replace the files of the sweep")
def command(
    *,
    scan: str,
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None,
    angles: str | None,
    entry: str | None,
    as_json: bool,
    sweep: str | None,
    values: tuple[float, float, float] | None,
    row: int | None,
    overwrite: bool,
) -> None:
    """Find the rotation axis, or show slices over a range of axes.

    Prints the detector column (pixel centres at whole numbers), how it was found and how sure
    that is. With --sweep, one slice is reconstructed for each of some axis values and written as
    a TIFF stack whose labels are the values, with all of them small in a PNG beside it.

    SCAN is a scan store, or a source file or folder that 'hipct import' would take.

    \b
      hipct axis scan.zarr
      hipct axis scan.zarr --sweep axis.tif --values 1020 1028 0.5
    """  # noqa: D301 - click wants the character
    if sweep is None and (values is not None or row is not None or overwrite):
        raise click.UsageError("--values, --row and --overwrite belong to --sweep.")
    # Wrong settings are told before the heavy imports.
    config = read_settings(source, overrides, memory)
    from hipct.core.jit import compilation_told
    from hipct.pipeline.sweep import check_sweep_files, sweep_axis

    # So are names that cannot be written, before the search.
    if sweep is not None:
        check_sweep_files(sweep, overwrite=overwrite)
    with (
        open_source(scan, angles, entry) as opened,
        progress() as observer,
        compilation_told(observer),
    ):
        result: dict[str, object] = {}
        centre = config.axis.value
        if values is None and (sweep is None or centre is None):
            result = _find(opened, config, observer)
            centre = float(str(result["axis_px"]))
        if sweep is not None:
            made = sweep_axis(
                opened,
                Path(sweep),
                _range(values) if values else _around(centre or 0.0),
                config,
                row=row,
                overwrite=overwrite,
                observer=observer,
            )
            result |= {"row": made.row, "stack": str(made.stack), "picture": str(made.sheet)}
    if as_json:
        click.echo(json.dumps(result, indent=2))
        return
    for name, value in result.items():
        click.echo(f"{name.replace('_px', ''):<12}{value}")
    if "axis_px" in result:
        click.echo(f"\nto use it    --set axis.value={result['axis_px']}")


def _find(scan: Scan, config: Config, observer: Observer) -> dict[str, object]:
    from hipct.pipeline.sweep import find_scan_axis

    estimate = find_scan_axis(scan, config, observer=observer)
    for note in estimate.notes:
        observer.say(note)
    return {
        "axis_px": round(float(estimate.value), 3),
        "method": estimate.method,
        "confidence": round(float(estimate.confidence), 3),
    }


def _range(values: tuple[float, float, float]) -> list[float]:
    first, last, step = values
    count = (last - first) / step if step > 0 else -1.0
    if not 0 <= count <= 200:
        raise click.UsageError(
            f"--values is {first:g} {last:g} {step:g}; LAST has to lie above FIRST, and STEP has "
            "to be above 0 and make at most 201 values."
        )
    return [first + k * step for k in range(int(count + 1e-9) + 1)]


def _around(centre: float) -> list[float]:
    return [round(centre - 5 + 0.5 * k, 3) for k in range(21)]
