"""``hipct simulate``."""

from __future__ import annotations

import click

from hipct.cli.console import progress


@click.command(name="simulate")
@click.argument("out", metavar="OUT.zarr")
@click.option(
    "--acquisition",
    type=click.Choice(["full", "half"]),
    default="half",
    show_default=True,
    help="Half: the axis lies near a detector edge, 360 degrees; full: 180 degrees",
)
@click.option("--columns", type=int, default=512, show_default=True, help="Detector columns")
@click.option("--rows", type=int, default=512, show_default=True, help="Detector rows")
@click.option("--angles", type=int, default=1500, show_default=True, help="Projections")
@click.option(
    "--energy", type=float, default=90.0, show_default=True, metavar="KEV", help="Photon energy"
)
@click.option(
    "--distance",
    type=float,
    default=3.5,
    show_default=True,
    metavar="M",
    help="Propagation distance; 0 leaves pure absorption",
)
@click.option(
    "--pixel", type=float, default=20.0, show_default=True, metavar="UM", help="Pixel size"
)
@click.option(
    "--delta-beta", type=float, default=1500.0, show_default=True, help="delta/beta of the organ"
)
@click.option(
    "--noise",
    type=float,
    default=5000.0,
    show_default=True,
    metavar="PHOTONS",
    help="Photons per pixel in the open beam; 0 for a scan without noise",
)
@click.option(
    "--rings", type=float, default=0.01, show_default=True, help="Strength of bad pixels' stripes"
)
@click.option("--jar", is_flag=True, help="Put the organ into a jar inside of the field")
@click.option(
    "--organ-size",
    type=float,
    default=1.0,
    show_default=True,
    help="Radius of the organ, relative to what the field holds whole",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes")
@click.option(
    "--run",
    type=int,
    default=0,
    show_default=True,
    help="Another run of a seed: the same organ and detector, other noise; one a distance",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT once the new store is whole")
def command(
    *,
    out: str,
    acquisition: str,
    columns: int,
    rows: int,
    angles: int,
    energy: float,
    distance: float,
    pixel: float,
    delta_beta: float,
    noise: float,
    rings: float,
    jar: bool,
    organ_size: float,
    seed: int,
    run: int,
    overwrite: bool,
) -> None:
    """Write a simulated HiP-CT scan with known truth.

    A random organ is imaged by Fresnel propagation, with photon noise, beam profile and drift,
    and the detector's spots, into a scan store. The truth stands in the store beside the scan.

    \b
      hipct simulate scan.zarr --columns 256 --rows 256 --angles 600
      hipct reconstruct scan.zarr -o organ.ome.zarr
    """  # noqa: D301 - click wants the character
    from hipct.core.jit import compilation_told
    from hipct.simulation.scan import simulate_scan

    with progress() as observer, compilation_told(observer):
        simulate_scan(
            out,
            acquisition="half" if acquisition == "half" else "full",
            columns=columns,
            rows=rows,
            angles=angles,
            energy_kev=energy,
            distance_m=distance,
            pixel_size_um=pixel,
            delta_beta=delta_beta,
            noise=noise or None,
            rings=rings,
            jar=jar,
            organ_size=organ_size,
            seed=seed,
            run=run,
            overwrite=overwrite,
            observer=observer,
        )
    click.echo(
        f"{out}: {angles} projections of {rows} x {columns} pixels, {acquisition} acquisition"
    )
