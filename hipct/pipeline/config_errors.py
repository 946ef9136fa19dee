"""What is wrong with a configuration, in sentences."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from hipct.core.errors import ConfigError
from hipct.pipeline.settings import allowed, choices

_SHOWN = 3
_WIDEST = 80


@dataclass(frozen=True)
class Origin:
    """Where values of a configuration were read.

    Attributes
    ----------
    name : str
        File name, or ``--set``; empty for values from Python.
    lines : dict
        Line of each key, by (section, name), where the file format tells.
    """

    name: str = ""
    lines: Mapping[tuple[str, ...], int] = field(default_factory=dict)

    def where(self, *keys: str) -> str:
        """The place of a key as `` (name, line n)``, as far as it is known."""
        if not self.name:
            return ""
        line = self.lines.get(keys)
        return f" ({self.name}, line {line})" if line else f" ({self.name})"


NOWHERE = Origin()


def config_error(
    model: type[BaseModel], error: ValidationError, values: Mapping[str, Any], origin: Origin
) -> ConfigError:
    """Sentences for the first few things that a validation found."""
    details = error.errors(include_url=False)
    # An error of a number inside of a pair, or of both kinds of a union, is one error of its key.
    by_key = {tuple(map(str, detail["loc"][:2])): detail for detail in reversed(details)}
    sentences = [_sentence(model, keys, by_key[keys], values, origin) for keys in reversed(by_key)]
    more = len(sentences) - _SHOWN
    if more > 0:
        sentences[_SHOWN:] = [f"{more} more {'is' if more == 1 else 'are'} wrong."]
    return ConfigError(" ".join(sentences))


def unknown_key(model: type[BaseModel], key: str, origin: Origin = NOWHERE) -> str:
    """Sentence for a dotted key that is no setting, with the nearest one that is."""
    known = [".".join(keys) for keys, _ in settings(model)]
    sections = list(model.model_fields)
    section, _, name = key.partition(".")
    if not name and section in sections:
        hint = f"it is a section, with the settings {_names(model, section)}"
    elif near := _nearest(key, known, sections):
        hint = f"did you mean {near}?"
    elif section in sections:
        hint = f"known in {section} are {_names(model, section)}"
    else:
        hint = f"the sections are {', '.join(sections)}"
    end = "" if hint.endswith("?") else "."
    return f"{_cut(key)} is not a setting{origin.where(*key.split('.'))}; {hint}{end}"


def settings(model: type[BaseModel]) -> Iterator[tuple[tuple[str, str], FieldInfo]]:
    """Every setting of the model, by (section, name)."""
    for section, holder in model.model_fields.items():
        kind = holder.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            for name, setting in kind.model_fields.items():
                yield (section, name), setting


def _sentence(
    model: type[BaseModel],
    keys: tuple[str, ...],
    detail: ErrorDetails,
    values: Mapping[str, Any],
    origin: Origin,
) -> str:
    key = ".".join(keys)
    if detail["type"] == "extra_forbidden":
        return unknown_key(model, key, origin)
    if len(keys) == 1:
        if detail["type"] == "value_error":
            return f"{detail['ctx']['error']}{origin.where(*keys)}."
        given = _show(values.get(key))
        return (
            f"{key} is {given}{origin.where(*keys)}; it is a section: give settings such as "
            f"{key}.{_names(model, key).split(', ', maxsplit=1)[0]}."
        )
    setting = dict(settings(model))[(keys[0], keys[1])]
    section = values.get(keys[0])
    value = section.get(keys[1]) if isinstance(section, Mapping) else detail["input"]
    options = [str(option) for option in choices(setting)]
    near = difflib.get_close_matches(str(value)[:60], options, n=1)
    hint = f"; did you mean {near[0]}?" if near else "."
    return f"{key} is {_show(value)}{origin.where(*keys)}; allowed is {allowed(setting)}{hint}"


def _nearest(key: str, known: list[str], sections: list[str]) -> str:
    """The setting or section that was probably meant; empty where nothing is near."""
    if len(key) > _WIDEST:
        return ""
    if "." not in key:
        # A setting without its section is the commonest slip.
        same = [full for full in known if full.partition(".")[2] == key]
        if same:
            return " or ".join(same)
        known = known + sections
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.7)
    return near[0] if near else ""


def _names(model: type[BaseModel], section: str) -> str:
    return ", ".join(keys[1] for keys, _ in settings(model) if keys[0] == section)


def _show(value: Any) -> str:
    """A value as Python writes it, on one line of bounded length."""
    return _cut(" ".join(reprlib.repr(value).split()))


def _cut(text: str) -> str:
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "..."
