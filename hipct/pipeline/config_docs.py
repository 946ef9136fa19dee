"""The configuration explained: a template to fill in, and a page of documentation."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from hipct.pipeline.config import Config
from hipct.pipeline.settings import allowed


def config_template() -> str:
    """All settings with their defaults as YAML, each with a comment."""
    lines = [
        "# Settings of a hipct run, all at their defaults.",
        "# Keep the lines that you change and delete the rest; what is absent has its default.",
    ]
    for name, section in _sections():
        lines += ["", f"{name}:  # {_first_line(section)}"]
        for setting, field in section.model_fields.items():
            lines += _comment(f"{field.description}.")
            lines += _comment(f"Allowed: {allowed(field)}")
            lines.append(f"  {setting}: {_yaml(field)}")
    return "\n".join(lines) + "\n"


def config_markdown() -> str:
    """The page ``docs/config.md``."""
    lines = [_PREAMBLE]
    for name, section in _sections():
        lines += ["", f"## {name}", "", str(_first_line(section)), ""]
        lines += ["| setting | default | allowed | what it does |", "|---|---|---|---|"]
        for setting, field in section.model_fields.items():
            cells = [f"`{name}.{setting}`", f"`{_yaml(field)}`", allowed(field), field.description]
            lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


_PREAMBLE = """\
# Configuration

This page is generated from the model in `hipct/pipeline/config.py`
(`hipct config --docs > docs/config.md`).

A run works without any configuration: every setting has a default. What differs is given in a
YAML or TOML file, by a preset, or on the command line; later ones win:

    hipct config > my.yaml                      # a template with comments
    hipct reconstruct scan.h5 -o organ.ome.zarr --config my.yaml
    hipct reconstruct scan.h5 -o organ.ome.zarr --config bm18 --set phase.delta_beta=1409

In Python: `hipct.load_config("my.yaml")`, or `hipct.Config(phase={"delta_beta": 1409})`.
`null` (in `--set` also `none`) stands for "not given". The merged configuration is written into
the output, so that a volume says how it was made."""


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, holder in Config.model_fields.items():
        if isinstance(holder.annotation, type) and issubclass(holder.annotation, BaseModel):
            yield name, holder.annotation


def _first_line(section: type[BaseModel]) -> str:
    return (section.__doc__ or "").strip().splitlines()[0]


def _comment(text: str) -> list[str]:
    return textwrap.wrap(
        text,
        width=96,
        initial_indent="  # ",
        subsequent_indent="  # ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _yaml(field: FieldInfo) -> str:
    default: Any = field.default
    if isinstance(default, tuple):
        default = list(default)
    return default if isinstance(default, str) else json.dumps(default)
