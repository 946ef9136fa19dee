"""What one setting is: its words, its unit, its bounds, and how it reads from text.

The template, the documentation and the error messages are all made from these.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

_NOTHING = {"", "~", "none", "null"}


def setting(
    default: Any,
    description: str,
    *,
    unit: str = "",
    null: str = "",
    allowed: str = "",
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
) -> Any:
    """Declare a setting.

    Parameters
    ----------
    default
        Value where none is given.
    description : str
        What it does: one sentence without the full stop.
    unit : str
        Physical unit, where it has one.
    null : str
        What null means, for settings that may be null.
    allowed : str
        What is allowed, where the type and the bounds do not tell.
    gt, ge, lt, le : float, optional
        Bounds: above, from, below, up to.
    """
    words: Any = {"unit": unit, "null": null, "allowed": allowed}
    return Field(
        default, description=description, json_schema_extra=words, gt=gt, ge=ge, lt=lt, le=le
    )


def extra(field: FieldInfo, name: str) -> str:
    """One of ``unit``, ``null``, ``allowed`` of a setting."""
    return str(field.json_schema_extra[name])  # type: ignore[index]


class Section(BaseModel):
    """A group of settings. Words such as ``"none"`` or ``"0.5"`` are read by its types."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _read_text(cls, value: Any, info: ValidationInfo) -> Any:
        return from_text(value, cls.model_fields[info.field_name or ""])


def allowed(field: FieldInfo) -> str:
    """What a setting may be, in words."""
    words = extra(field, "allowed") or _of_type(_without_none(field.annotation), field.metadata)
    unit = extra(field, "unit")
    if unit and not extra(field, "allowed"):
        words += f" ({unit})"
    if _takes_none(field.annotation):
        words += f", or null ({extra(field, 'null')})"
    return words


def choices(field: FieldInfo) -> tuple[Any, ...]:
    """Values of a setting that is a choice; empty for the others."""
    plain = _without_none(field.annotation)
    return get_args(plain) if get_origin(plain) is Literal else ()


def from_text(value: Any, field: FieldInfo) -> Any:
    """Text as it stands in a file or behind ``--set``, made ready for the setting's type."""
    plain = _without_none(field.annotation)
    if isinstance(value, bool) and plain is not bool:
        raise ValueError("neither true nor false means anything here")
    if not isinstance(value, str):
        return value
    text = value.strip()
    options = choices(field)
    if text.lower() in _NOTHING and text not in options and _takes_none(field.annotation):
        return None
    if options:
        return {str(option): option for option in options}.get(text, text)
    if get_origin(plain) is tuple:
        inside = text.strip("[]()").strip()
        return [part.strip() for part in inside.split(",")] if inside else []
    return text


def _of_type(plain: Any, metadata: list[Any]) -> str:
    if get_origin(plain) is Literal:
        return "one of " + ", ".join(str(option) for option in get_args(plain))
    if plain is bool:
        return "true or false"
    if get_origin(plain) is tuple:
        return "two numbers, [low, high], the second above the first"
    noun = "a whole number" if plain is int else "a number"
    return " ".join([noun, *(word for bound in metadata for word in _bound(bound))])


def _bound(bound: Any) -> list[str]:
    if isinstance(bound, Gt):
        return [f"above {bound.gt:g}"]
    if isinstance(bound, Ge):
        return [f"from {bound.ge:g}"]
    if isinstance(bound, Lt):
        return [f"to below {bound.lt:g}"]
    if isinstance(bound, Le):
        return [f"up to {bound.le:g}"]
    return []


def _takes_none(annotation: Any) -> bool:
    return type(None) in get_args(annotation)


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
