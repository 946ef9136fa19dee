"""Things that are dear to make and cannot be shared, kept for whoever comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Thing = TypeVar("Thing")


@contextmanager
def borrowed(idle: list[Thing], make: Callable[[], Thing]) -> Iterator[Thing]:
    """One of the idle things, or a new one if there is none; idle again when the block ends.

    Safe from any thread. A plan of transforms owns a work area: the device has to be done with it
    when the block ends. After an error the thing is thrown away.

    Examples
    --------
    >>> idle = []
    >>> with borrowed(idle, dict) as first, borrowed(idle, dict) as second:
    ...     first is second
    False
    >>> with borrowed(idle, dict) as third:
    ...     third is first
    True
    """
    try:
        thing = idle.pop()
    except IndexError:
        thing = make()
    yield thing
    idle.append(thing)
