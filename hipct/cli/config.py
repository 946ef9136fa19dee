"""``hipct config``."""

from __future__ import annotations

import click


@click.command(name="config")
@click.argument("preset", required=False)
@click.option("--docs", is_flag=True, help="Print the page of documentation (Markdown) instead")
def command(preset: str | None, docs: bool) -> None:
    """Print a configuration file to fill in, or a preset.

    Without PRESET, all settings with their defaults and what is allowed. The presets are bm05 and
    bm18.

    \b
      hipct config > my.yaml
      hipct reconstruct scan.h5 -o organ.ome.zarr --config my.yaml
    """  # noqa: D301 - click wants the character
    from hipct.pipeline.config_docs import config_markdown, config_template
    from hipct.pipeline.config_io import preset_text

    if preset is not None and docs:
        raise click.UsageError("Give either a preset or --docs.")
    if preset is not None:
        text = preset_text(preset)
    else:
        text = config_markdown() if docs else config_template()
    click.echo(text, nl=False)
