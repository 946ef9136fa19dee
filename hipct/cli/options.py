"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hipct.acquisition.scan import Scan
    from hipct.acquisition.series import Series
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

    return open_scan(path, angles=angles, entry=_entry(entry))


def series_options(command: Function) -> Function:
    """``--series``, ``--allow-gaps``, ``--z`` and ``--flip-z``: sub-scans of one sample."""
    for option in (
        click.option("--flip-z", is_flag=True, help="Series: the motor counts the other way"),
        click.option(
            "--z",
            "z_um",
            metavar="UM,UM,...",
            help="Series: positions in um, in the order of the names",
        ),
        click.option(
            "--allow-gaps",
            is_flag=True,
            help="Series: leave out sub-scans that do not fit, accept gaps in z, and record both",
        ),
        click.option(
            "--series",
            is_flag=True,
            help="SOURCE is a file that holds the sub-scans of one sample (several SOURCEs, a "
            "folder of scans and a series store are known to be)",
        ),
    ):
        command = option(command)
    return command


def open_sources(
    sources: tuple[str, ...],
    *,
    angles: str | None,
    entry: str | None,
    series: bool,
    allow_gaps: bool,
    z_um: str | None,
    flip_z: bool,
) -> Scan | Series:
    """A scan or a series, by :func:`source_options` and :func:`series_options`.

    Raises
    ------
    InputError
        If it cannot be read, or an option is not for what it is.
    """
    from hipct.acquisition.open_any import open_any

    opening = opening_options(angles=angles, entry=entry, series=series, z_um=z_um, flip_z=flip_z)
    return open_any(sources[0] if len(sources) == 1 else sources, allow_gaps=allow_gaps, **opening)


def opening_options(
    *, angles: str | None, entry: str | None, series: bool, z_um: str | None, flip_z: bool
) -> dict[str, Any]:
    """Arguments of :func:`hipct.acquisition.open_any.open_any`, by the options of the commands."""
    return {
        "angles": angles,
        "entry": _entry(entry),
        "series": series,
        "z_um": None if z_um is None else _positions(z_um),
        "flip_z": flip_z,
    }


def _entry(entry: str | None) -> str | int | None:
    return int(entry) if entry is not None and entry.isdecimal() else entry


def _positions(words: str) -> list[float]:
    from hipct.core.errors import InputError

    try:
        return [float(word) for word in words.split(",")]
    except ValueError as error:
        raise InputError(
            f"--z is {words!r}; give a position in um for each sub-scan, with commas between."
        ) from error


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


def voxel_size(words: str) -> float | tuple[float, float, float]:
    """Micrometres of ``--voxel-um``: one size, or ``z,y,x``.

    Raises
    ------
    InputError
        If it is neither.
    """
    from hipct.core.errors import InputError

    try:
        values = [float(word) for word in words.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3):
        raise InputError(f"--voxel-um is {words!r}; give one size in um, or three as z,y,x.")
    return values[0] if len(values) == 1 else (values[0], values[1], values[2])


def grey_window(words: str) -> tuple[float, float]:
    """Values of ``--window LOW:HIGH``.

    Raises
    ------
    InputError
        If these are no two numbers.
    """
    from hipct.core.errors import InputError

    low, _, high = words.partition(":")
    try:
        return (float(low), float(high))
    except ValueError as error:
        raise InputError(
            f"--window is {words!r}; give two values as LOW:HIGH, such as -0.2:1.4 or 12000:40000."
        ) from error
