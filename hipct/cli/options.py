"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from hipct.pipeline.config import Config

Function = TypeVar("Function", bound=Callable[..., object])

SCAN_HELP = "SCAN is a scan store, or a source file or folder that 'hipct import' would take."


def settings(command: Function) -> Function:
    """``--config``, ``--set`` and ``--memory``."""
    for option in (
        click.option(
            "--memory", metavar="8GB", help="Memory that may be taken [80 % of what is free]"
        ),
        click.option(
            "--set",
            "overrides",
            metavar="KEY=VALUE",
            multiple=True,
            help="Override a setting, e.g. phase.delta_beta=1495; may be given again",
        ),
        click.option(
            "--config",
            "source",
            metavar="FILE|PRESET",
            help="YAML or TOML file, or a preset: bm05, bm18",
        ),
    ):
        command = option(command)
    return command


def read_settings(
    source: str | None,
    overrides: tuple[str, ...],
    memory: str | None = None,
    backend: str | None = None,
) -> Config:
    """Configuration of a command: the file, then ``--set``, then the options.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is not allowed.
    """
    from hipct.pipeline.config import Config
    from hipct.pipeline.config_io import load_config, merge

    config = load_config(source) if source else Config()
    options = {"compute.memory": memory, "compute.backend": backend}
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    return merge(config, [*overrides, *given])
