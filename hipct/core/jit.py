"""Numba, where it is installed, for the inner loops that NumPy cannot express fast.

An operation ``f`` of ``module.py`` has at most one accelerated inner loop, in
``module_numba.py``. It is imported only through :func:`has_numba`, so that the array code runs
without numba too.
"""

from __future__ import annotations

import importlib.util
from functools import cache


@cache
def has_numba() -> bool:
    """Whether the accelerated inner loops can be used."""
    return importlib.util.find_spec("numba") is not None
