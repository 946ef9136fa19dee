"""A configuration written so that a run takes it, with nothing in it but what differs."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from hipct.core.errors import OutputError
from hipct.core.files import refuse_existing, write_atomic
from hipct.pipeline.config import Config
from hipct.pipeline.settings import extra

NOT_KEPT = ("compute",)
"""Sections that belong to a machine and not to a scan; they change no voxel."""


def config_text(config: Config, header: str = "") -> str:
    """A configuration as YAML: what differs from the defaults, each setting with its meaning.

    Parameters
    ----------
    config : Config
    header : str
        Sentences for the first lines.

    Returns
    -------
    str
        :func:`hipct.pipeline.config_io.parse_config` makes the same configuration of it, but for
        the section ``compute``.

    Examples
    --------
    >>> print(config_text(Config(phase={"delta_beta": 1409.5})))
    <BLANKLINE>
    phase:
      # Ratio of refraction to absorption of the sample; it is physical and does not change with
      # binning.
      delta_beta: 1409.5
    <BLANKLINE>
    """
    lines, last = [f"# {line}" for line in textwrap.wrap(header, 96)], ""
    for name, key, value, field in _changed(config):
        if name != last:
            lines += ["", f"{name}:"]
        unit = extra(field, "unit")
        words = f"{field.description}{f' ({unit})' if unit else ''}."
        lines += textwrap.wrap(
            words, 96, initial_indent="  # ", subsequent_indent="  # ", break_on_hyphens=False
        )
        lines.append(f"  {key}: {json.dumps(value)}")
        last = name
    return "\n".join(lines) + "\n"


def settings_words(config: Config) -> list[str]:
    """What differs from the defaults as ``section.name=value``, for ``--set``.

    Examples
    --------
    >>> settings_words(Config(phase={"delta_beta": 1409}, rings={"method": "sorting"}))
    ['phase.delta_beta=1409.0', 'rings.method=sorting']
    """
    return [
        f"{name}.{key}={value if isinstance(value, str) else json.dumps(value)}"
        for name, key, value, _ in _changed(config)
    ]


def write_config(
    config: Config, path: str | Path, *, header: str = "", overwrite: bool = False
) -> Path:
    """Write a configuration for ``hipct reconstruct --config``.

    Parameters
    ----------
    config, header
        As in :func:`config_text`.
    path : path
        The file; its name has to end in .yaml or .yml.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    OutputError
        If the file exists already, has another name, or cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise OutputError(
            f"The configuration is to be written to {path}; the name has to end in .yaml."
        )
    if not overwrite:
        refuse_existing(path)
    write_atomic(path, config_text(config, header).encode())
    return path


def _changed(config: Config) -> Iterator[tuple[str, str, Any, FieldInfo]]:
    """Section, name, JSON value and field of every setting that is not at its default."""
    for name in Config.model_fields:
        section = getattr(config, name)
        initial = type(section)().model_dump(mode="json")
        for key, value in section.model_dump(mode="json").items():
            if name not in NOT_KEPT and value != initial[key]:
                yield name, key, value, type(section).model_fields[key]
