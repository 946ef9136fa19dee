"""Options that commands of ``hipct atlas`` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from hipct.atlas.catalogue import Catalogue
    from hipct.volume.storage import Patience

Function = TypeVar("Function", bound=Callable[..., object])


def own_option(function: Function) -> Function:
    """``--with``: data sets beside those of hoa-tools."""
    option = click.option(
        "--with",
        "own",
        metavar="PATH",
        multiple=True,
        help="Volume of one's own, description of one (schema 1.1), or folder of both; may be "
        "given again",
    )
    return option(function)


def json_option(function: Function) -> Function:
    """``--json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON")(function)


def server_options(function: Function) -> Function:
    """``--mirror``, ``--timeout``, ``--attempts``: where a data set is read from, how patiently."""
    for option in (
        click.option(
            "--attempts",
            default=6,
            show_default=True,
            help="How often a server is asked for a block, with pauses that double",
        ),
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


def read_catalogue(
    own: tuple[str, ...], *names: str | None, patience: Patience | None = None
) -> Catalogue:
    """Data sets of hoa-tools, one's own, and volumes that are named by their folder or address."""
    from hipct.atlas.catalogue import find_set, load_catalogue
    from hipct.atlas.own import is_own
    from hipct.core.errors import InputError

    notes: list[str] = []
    catalogue = load_catalogue(*own, notes=notes, patience=patience)
    further = []
    for name in names:
        if name is None or not is_own(name):
            continue
        try:
            find_set(catalogue, name)
        except InputError:
            further.append(name)
    if further:
        catalogue = load_catalogue(*own, *further, patience=patience)
    for note in notes:
        click.echo(note, err=True)
    return catalogue
