"""Numba, where it is installed, for the inner loops that NumPy cannot express fast.

An operation ``f`` of ``module.py`` has at most one accelerated inner loop, in
``module_numba.py``. It is imported only through :func:`has_numba`, so that the array code runs
without numba too.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from hipct.core.progress import Observer

COMPILING = "Loops are being compiled for this machine, which takes about 20 s, once."


@cache
def has_numba() -> bool:
    """Whether the accelerated inner loops can be used."""
    return importlib.util.find_spec("numba") is not None


@contextmanager
def compilation_told(observer: Observer) -> Iterator[None]:
    """Have the observer say so, once, if loops of hipct have to be compiled meanwhile.

    What was compiled before, by this version on this machine, lies in numba's cache and is loaded
    without a word.
    """
    if not has_numba():
        yield
        return
    from numba.core import event

    class Told(event.Listener):  # type: ignore[misc]
        told = False

        def on_start(self, event: Any) -> None:
            if not self.told and event.data["dispatcher"].py_func.__module__.startswith("hipct."):
                self.told = True
                observer.say(COMPILING)

        def on_end(self, event: Any) -> None:
            """Nothing."""

    with event.install_listener("numba:compile", Told()):
        yield
