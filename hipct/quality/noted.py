"""What a volume notes of its making, read with its types: a fault in it becomes a sentence."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hipct.core.errors import HipctError, InputError

_LONGEST = 40


class Noted:
    """A table of what a volume notes; what is absent is ``None`` or empty, what is wrong raises.

    Parameters
    ----------
    values : Any
        As it was read; nothing where it is ``None``.
    where : str
        Its name in the volume, empty for all of it.

    Raises
    ------
    InputError
        If it is something else than a table.

    Examples
    --------
    >>> noted = Noted({"estimates": {"axis_px": 96.5, "halo_rows": "x"}})
    >>> noted.table("estimates").number("axis_px")
    96.5
    >>> noted.table("gone").number("axis_px") is None
    True
    >>> noted.table("estimates").number("halo_rows")
    Traceback (most recent call last):
    hipct.core.errors.InputError: The volume notes estimates.halo_rows as 'x'; a number is needed.
    """

    def __init__(self, values: Any, where: str = "") -> None:
        if values is not None and not isinstance(values, Mapping):
            raise _wrong(where or "its making", values, "a table")
        self._values: Mapping[str, Any] = values or {}
        self._where = where

    def __bool__(self) -> bool:
        """Whether anything is noted in it."""
        return bool(self._values)

    def has(self, name: str) -> bool:
        """Whether something is noted under a name."""
        return self._values.get(name) is not None

    def number(self, name: str, least: float = -math.inf, most: float = math.inf) -> float | None:
        """A finite number from ``least`` to ``most``."""
        value = self._values.get(name)
        return None if value is None else _number(value, self._path(name), least, most)

    def positive(self, name: str) -> float | None:
        """A finite number above 0."""
        value = self.number(name)
        if value is not None and value <= 0:
            raise _wrong(self._path(name), value, "a number above 0")
        return value

    def count(self, name: str) -> int:
        """How often something was; 0 where it is not noted."""
        value = self.number(name, 0)
        return 0 if value is None else int(value)

    def text(self, name: str) -> str:
        """A word or a sentence; empty where there is none."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, str):
            raise _wrong(self._path(name), value, "text")
        return value or ""

    def truth(self, name: str) -> bool:
        """Whether something is so; not where it is not noted."""
        value = self._values.get(name)
        if value is not None and not isinstance(value, bool):
            raise _wrong(self._path(name), value, "true or false")
        return bool(value)

    def table(self, name: str) -> Noted:
        """A table in it."""
        return Noted(self._values.get(name), self._path(name))

    def items(self) -> Iterator[tuple[str, Noted]]:
        """All of its values, which are tables, with their names."""
        for name in self._values:
            yield name, self.table(name)

    def rows(self, name: str) -> list[Noted]:
        """A list of tables."""
        return [
            Noted(each, f"{self._path(name)}[{place}]")
            for place, each in enumerate(self._list(name))
        ]

    def texts(self, name: str) -> list[str]:
        """A list of sentences."""
        values = self._list(name)
        for place, each in enumerate(values):
            if not isinstance(each, str):
                raise _wrong(f"{self._path(name)}[{place}]", each, "text")
        return values

    def numbers(self, name: str, length: int) -> tuple[float, ...]:
        """A list of so many finite numbers; empty where it is not noted."""
        return _numbers(self._list(name), self._path(name), length)

    def pairs(self, name: str) -> list[tuple[float, float]]:
        """A list of pairs of finite numbers."""
        path, found = self._path(name), []
        for place, each in enumerate(self._list(name)):
            if not isinstance(each, (list, tuple)):
                raise _wrong(f"{path}[{place}]", each, "a list")
            first, last = _numbers(each, f"{path}[{place}]", 2) or (0.0, 0.0)
            found.append((first, last))
        return found

    def _list(self, name: str) -> list[Any]:
        value = self._values.get(name)
        if value is not None and not isinstance(value, (list, tuple)):
            raise _wrong(self._path(name), value, "a list")
        return list(value or ())

    def _path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name


def said_of(error: BaseException) -> str:
    """What an error says, in one line; where it is none of hipct's, that something is damaged."""
    said = " ".join(str(error).split())
    if isinstance(error, HipctError):
        return said
    kind = type(error).__name__
    return (
        f"What the volume notes of its making is damaged ({f'{kind}: {said}' if said else kind})."
    )


def _number(value: Any, path: str, least: float = -math.inf, most: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(path, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _wrong(path, value, "a finite number")
    if not least <= number <= most:
        allowed = f"{least:g} to {most:g}" if math.isfinite(most) else f"{least:g} or more"
        raise _wrong(path, value, allowed)
    return number


def _numbers(values: Sequence[Any], path: str, length: int) -> tuple[float, ...]:
    if values and len(values) != length:
        raise _wrong(path, values, f"a list of {length} numbers")
    return tuple(_number(each, f"{path}[{place}]") for place, each in enumerate(values))


def _wrong(path: str, value: Any, needed: str) -> InputError:
    said = repr(value)
    said = said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."
    return InputError(f"The volume notes {path} as {said}; {needed} is needed.")
