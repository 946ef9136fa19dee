"""The array namespace: the same functions on NumPy and on CuPy arrays.

A function of hipct asks :func:`namespace` for the module of the arrays it was given and uses
nothing else, so that arrays stay on the device where they are.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from hipct.core.errors import InputError

Array = Any
"""A NumPy or CuPy array, where both are taken."""


def namespace(*arrays: Array) -> ModuleType:
    """Module (``numpy`` or ``cupy``) that the arrays belong to.

    Raises
    ------
    InputError
        If host and device arrays are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> namespace(np.zeros(3)).__name__
    'numpy'
    """
    on_device = {_is_cupy(array) for array in arrays if array is not None}
    if on_device == {True, False}:
        raise InputError(
            "NumPy and CuPy arrays were mixed in one call; move all of them to one side "
            "with cupy.asarray or cupy.asnumpy."
        )
    if True in on_device:
        import cupy

        return cupy  # type: ignore[no-any-return]
    return np


def fft_module(xp: ModuleType) -> ModuleType:
    """FFT module of SciPy's interface for an array namespace (keeps float32)."""
    if xp is np:
        import scipy.fft

        return scipy.fft  # type: ignore[no-any-return]
    import cupyx.scipy.fft

    return cupyx.scipy.fft  # type: ignore[no-any-return]


def _is_cupy(array: Array) -> bool:
    return type(array).__module__.partition(".")[0] == "cupy"
