"""Options that commands of ``hipct atlas`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from hipct.atlas.catalogue import Catalogue

Function = TypeVar("Function", bound=Callable[..., object])


def descriptions_option(function: Function) -> Function:
    """``--descriptions``: data sets beside those of hoa-tools."""
    option = click.option(
        "--descriptions",
        metavar="FOLDER",
        multiple=True,
        help="Folder of further descriptions (schema 1.1); may be given again",
    )
    return option(function)


def json_option(function: Function) -> Function:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON")(function)


def server_options(function: Function) -> Function:
    """``--mirror`` and ``--timeout``: where a data set is read from, and how long to wait."""
    for option in (
        click.option(
            "--timeout",
            "timeout_s",
            default=30.0,
            show_default=True,
            help="Seconds of silence after which a server is asked again",
        ),
        click.option(
            "--mirror",
            metavar="URL|FOLDER",
            envvar="HIPCT_ATLAS_MIRROR",
            help="Copy of the buckets to read instead of Google's server [$HIPCT_ATLAS_MIRROR]",
        ),
    ):
        function = option(function)
    return function


def read_catalogue(folders: tuple[str, ...]) -> Catalogue:
    """Data sets of hoa-tools and of the folders given."""
    from hipct.atlas.catalogue import load_catalogue

    return load_catalogue(*folders)
