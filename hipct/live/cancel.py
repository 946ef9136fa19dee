"""Work that nobody waits for any more."""

from __future__ import annotations

from collections.abc import Callable

Asked = Callable[[], bool]
"""Tells whether what is being computed is not wanted any more; asked many times a second."""


class Cancelled(Exception):
    """What was being computed is not wanted any more; no error."""


def stop_if(cancelled: Asked | None) -> None:
    """Raise :class:`Cancelled` if that is so."""
    if cancelled is not None and cancelled():
        raise Cancelled
