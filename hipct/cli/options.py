"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from hipct.acquisition.scan import Scan
    from hipct.pipeline.config import Config

Function = TypeVar("Function", bound=Callable[..., object])


def source_options(command: Function) -> Function:
    """``--angles`` and ``--entry``: what a source may not tell by itself."""
    for option in (
        click.option(
            "--entry", metavar="NAME", help="Which scan of an NXtomo file with several [the first]"
        ),
        click.option(
            "--angles",
            metavar="START:STOP[:exclusive]",
            help="Angles in degrees, instead of what the files hold",
        ),
    ):
        command = option(command)
    return command


def open_source(path: str, angles: str | None, entry: str | None) -> Scan:
    """A scan store or source, opened with the options of :func:`source_options`.

    Raises
    ------
    InputError
        If it cannot be read.
    """
    from hipct.acquisition.open import open_scan

    number = int(entry) if entry is not None and entry.isdecimal() else entry
    return open_scan(path, angles=angles, entry=number)


def compute_options(command: Function) -> Function:
    """``--backend`` and ``--device-memory``: what computes."""
    for option in (
        click.option(
            "--device-memory",
            metavar="40GB",
            help="Memory of each GPU that may be taken [80 % of what is free]",
        ),
        click.option(
            "--backend",
            type=click.Choice(["auto", "numpy", "cupy"]),
            help="Where arrays live: on the CPU (numpy), on a GPU (cupy), or auto",
        ),
    ):
        command = option(command)
    return command


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
    device_memory: str | None = None,
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
    options = {
        "compute.memory": memory,
        "compute.backend": backend,
        "compute.device_memory": device_memory,
    }
    given = [f"{key}={value}" for key, value in options.items() if value is not None]
    return merge(config, [*overrides, *given])
