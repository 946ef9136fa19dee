"""Configurations from files, from presets and from ``key=value``."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from hipct.core.errors import ConfigError
from hipct.pipeline.config import Config
from hipct.pipeline.config_errors import Origin, settings, unknown_key

_LARGEST_FILE = 1_000_000
_SUFFIXES = (".yaml", ".yml", ".toml")
_YAML_TAG = "tag:yaml.org,2002:"
_YAML_TYPES = {"null", "bool", "int", "float", "str", "timestamp", "map", "seq"}


def load_config(source: str | Path) -> Config:
    """Read a configuration from a YAML or TOML file, or from a preset.

    Parameters
    ----------
    source : str or Path
        A file whose name ends in .yaml, .yml or .toml; or the name of a preset, e.g. ``"bm18"``.

    Raises
    ------
    ConfigError
        If there is no such file, it cannot be read, a key is unknown or a value is not allowed.
    """
    path = _find(source)
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
    except OSError as error:
        raise ConfigError(
            f"The configuration {path} cannot be read: {error.strerror or error}."
        ) from error
    if len(data) > _LARGEST_FILE:
        raise ConfigError(f"{path} is larger than 1 MB, which is no configuration.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"The configuration {path} is not UTF-8 text.") from error
    return parse_config(text, name=path.name, toml=path.suffix.lower() == ".toml")


def parse_config(text: str, *, name: str = "", toml: bool = False) -> Config:
    """Configuration from the text of a YAML or TOML file called ``name``.

    Examples
    --------
    >>> parse_config("phase: {delta_beta: 1660}").phase.delta_beta
    1660.0
    """
    lines: dict[tuple[str, ...], int] = {}
    values = _read_toml(text, name) if toml else _read_yaml(text, name, lines)
    origin = Origin(name, lines)
    for key in values:
        if key not in Config.model_fields:
            raise ConfigError(unknown_key(Config, key, origin))
    return Config(origin, **values)


def merge(config: Config, overrides: Iterable[str]) -> Config:
    """A configuration with settings replaced.

    Parameters
    ----------
    config : Config
        Where all other settings come from.
    overrides : iterable of str
        ``"section.name=value"``; later ones win.

    Raises
    ------
    ConfigError
        If a key is unknown or a value is not allowed.

    Examples
    --------
    >>> merge(Config(), ["axis.value=812.25", "phase.method=none"]).axis.value
    812.25
    """
    values: dict[str, dict[str, Any]] = config.model_dump()
    known = {".".join(keys) for keys, _ in settings(Config)}
    for override in overrides:
        key, equals, text = override.partition("=")
        key = key.strip()
        if not equals:
            raise ConfigError(
                f"{override[:80]!r} is no override; give section.name=value, e.g. "
                "phase.delta_beta=1660."
            )
        if key not in known:
            raise ConfigError(unknown_key(Config, key))
        section, _, name = key.partition(".")
        values[section][name] = text
    return Config(**values)


def preset_names() -> list[str]:
    """Names of the presets that come with hipct."""
    folder = _preset_folder()
    return sorted(path.stem for path in folder.glob("*.yaml")) if folder.is_dir() else []


def preset_text(name: str) -> str:
    """Text of a preset, with its comments.

    Raises
    ------
    ConfigError
        If there is no preset of this name.
    """
    if name not in preset_names():
        raise ConfigError(
            f"{name[:80]!r} is no preset; the presets are {', '.join(preset_names())}."
        )
    return (_preset_folder() / f"{name}.yaml").read_text(encoding="utf-8")


def _find(source: str | Path) -> Path:
    path = Path(source)
    if "\0" in str(source):
        raise ConfigError(f"{str(source)[:80]!r} is no file name.")
    if path.suffix.lower() in _SUFFIXES:
        return path
    presets = preset_names()
    if str(source) in presets:
        return _preset_folder() / f"{source}.yaml"
    raise ConfigError(
        f"{str(source)[:80]!r} is neither a .yaml, .yml or .toml file nor a preset; "
        f"the presets are {', '.join(presets)}."
    )


def _preset_folder() -> Path:
    """``configs`` inside of an installed package, or beside it in a checkout."""
    package = Path(str(files("hipct")))
    inside = package / "configs"
    return inside if inside.is_dir() else package.parent / "configs"


def _read_toml(text: str, name: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{name or 'The text'} is not valid TOML: {error}.") from error


def _read_yaml(text: str, name: str, lines: dict[tuple[str, ...], int]) -> dict[str, Any]:
    """Mapping of a YAML text; fills ``lines`` with the line of every key."""
    what = name or "The text"
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            return {}
        if not isinstance(node, yaml.MappingNode):
            raise ConfigError(f"{what} does not consist of sections such as 'phase:'.")
        return _mapping(node, (), what, lines)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" in line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(f"{what} is not valid YAML{place}: {problem}.") from error
    except RecursionError as error:
        raise ConfigError(f"{what} is nested too deeply for a configuration.") from error


def _mapping(
    node: yaml.MappingNode, keys: tuple[str, ...], what: str, lines: dict[tuple[str, ...], int]
) -> dict[str, Any]:
    """Values below a node as text; the types of the settings read it.

    YAML's own typing is left out: it reads 1e-5 as text, and ``off`` as a truth value.
    """
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise ConfigError(f"{what}, line {line}: a key has to be a plain name.")
        key = str(key_node.value)
        if key in values:
            dotted = ".".join((*keys, key))
            raise ConfigError(f"{what}, line {line}: {dotted} is given a second time.")
        lines[*keys, key] = line
        values[key] = _value(value_node, (*keys, key), what, lines)
    return values


def _value(
    node: yaml.Node, keys: tuple[str, ...], what: str, lines: dict[tuple[str, ...], int]
) -> Any:
    line = node.start_mark.line + 1
    if node.tag.removeprefix(_YAML_TAG) not in _YAML_TYPES:
        raise ConfigError(f"{what}, line {line}: {'.'.join(keys)} has a tag, {node.tag[:80]}.")
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag.endswith(":null") else str(node.value)
    if isinstance(node, yaml.SequenceNode) and len(keys) == 2:
        return [part.value if isinstance(part, yaml.ScalarNode) else ... for part in node.value]
    if isinstance(node, yaml.MappingNode) and len(keys) == 1:
        return _mapping(node, keys, what, lines)
    kind = "a list" if isinstance(node, yaml.SequenceNode) else "a group of settings"
    raise ConfigError(f"{what}, line {line}: {'.'.join(keys)} cannot be {kind}.")
