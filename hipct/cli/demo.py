"""``hipct demo``."""

from __future__ import annotations

import click

from hipct.cli.console import progress


@click.command(name="demo")
@click.option("--out", default="demo", show_default=True, metavar="DIR", help="Folder to fill")
def command(out: str) -> None:
    """Simulate a small organ, reconstruct it, show the phase effect.

    Writes a simulated half-acquisition scan, the volume reconstructed from it, and two pictures.
    Takes a minute or two on two cores; the first run compiles some loops for this machine.
    """
    from hipct.pipeline.demo import run_demo

    with progress() as observer:
        demo, result = run_demo(out, observer=observer)
    click.echo(result.report.table())
    click.echo(
        f"\nrotation axis  column {demo.axis_px:.2f} (true {demo.true_axis_px:.2f})\n"
        f"rms error      {100 * demo.rms:.1f} % of the tissue's {demo.tissue_per_cm:.3f} 1/cm "
        f"({100 * demo.rms_without_phase:.0f} % without phase retrieval)\n"
        f"\nthree slices   {demo.slices}\n"
        f"phase effect   {demo.phase_effect}\n"
        f"volume         {demo.volume}\n"
        f"\nLook at the volume with: hipct view {demo.volume}\n"
        "or in any OME-Zarr viewer (napari-ome-zarr, neuroglancer, vizarr)."
    )
