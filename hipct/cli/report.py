"""``hipct report``."""

from __future__ import annotations

import click

from hipct.cli.console import progress


@click.command(name="report")
@click.argument("volume", metavar="RUN|VOLUME")
@click.option("-o", "--out", required=True, metavar="OUT.html", help="The page; OUT.json beside it")
@click.option("--scan", metavar="PATH", help="What it was made of, if that has moved")
@click.option("--overwrite", is_flag=True, help="Replace an earlier report")
def command(*, volume: str, out: str, scan: str | None, overwrite: bool) -> None:
    """Tell how good a volume is: figures with lights, pictures, all that was done.

    VOLUME is an OME-Zarr volume, here or at an address (s3://, gs://, http://); RUN is the
    NAME.report.json that a run has left. 'hipct reconstruct' makes the same page at its end.

    The page is one file of HTML; the JSON beside it has the same for programs. Figures of noise and
    detail need a few rows of the projections: these are looked for where the volume says that they
    were. What is not there is left out, and the page says what and why.

    \b
      hipct report organ.ome.zarr -o organ.quality.html
      hipct report organ.ome.zarr -o organ.quality.html --scan /archive/scan.nx
    """  # noqa: D301 - click wants the character
    from hipct.core.files import refuse_existing
    from hipct.quality.making import report_of
    from hipct.quality.report import report_files, write_report

    # Names that cannot be written are told before the work.
    for path in report_files(out):
        if not overwrite:
            refuse_existing(path)
    with progress() as observer:
        report = report_of(volume, scan=scan, observer=observer)
    page, beside = write_report(report, out, overwrite=overwrite)
    for figure in report.figures:
        if figure.light in ("red", "yellow"):
            click.echo(f"{figure.light:<7} {figure.title}: {figure.shown}. {figure.note}".rstrip())
    if report.evidence.frames_why:
        click.echo(f"The projections were not looked at: {report.evidence.frames_why}")
    click.echo(f"{report.verdict}\n\npage  {page}\njson  {beside}")
