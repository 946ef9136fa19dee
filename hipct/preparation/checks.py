"""Checks of arrays that every step of the preparation shares."""

from __future__ import annotations

from typing import Any

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError


def real_numbers(array: Array, name: str) -> Array:
    """``array`` if it holds real numbers, or an error.

    Lists become NumPy arrays; arrays on a device stay there.
    """
    if not hasattr(array, "dtype"):
        array = np.asarray(array)
    if array.dtype.kind not in "uif":
        raise InputError(
            f"{name} has dtype {array.dtype}; it has to hold real numbers (integer or float)."
        )
    return array


def three_axes(array: Array, name: str, axes: str) -> Array:
    """``array`` with real numbers and three axes, none of them empty, or an error."""
    array = real_numbers(array, name)
    if array.ndim != 3 or 0 in array.shape:
        raise InputError(
            f"{name} has shape {array.shape}; it needs the three axes ({axes}), none of them empty."
        )
    return array


def floating(array: Array) -> Array:
    """``array`` as float64 where it is float64, else as float32, native byte order."""
    xp = namespace(array)
    dtype = np.float64 if array.dtype.kind == "f" and array.dtype.itemsize == 8 else np.float32
    return xp.asarray(array, dtype=dtype)


def output(out: Array | None, shape: tuple[int, ...], dtype: Any, like: Array) -> Array:
    """``out`` if it fits, a new array if it is None, or an error."""
    if out is None:
        return namespace(like).empty(shape, dtype)
    namespace(out, like)
    if out.shape != shape or out.dtype != dtype:
        raise InputError(
            f"out has shape {out.shape} and dtype {out.dtype}; "
            f"it needs shape {shape} and dtype {np.dtype(dtype)}."
        )
    return out


def per_frame(values: Any, count: int, name: str, of: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One finite float64 for each frame, or an error."""
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (count,):
        raise InputError(f"{name} has shape {numbers.shape}; it needs one value for each of {of}.")
    if not np.isfinite(numbers).all():
        place = int(np.flatnonzero(~np.isfinite(numbers))[0])
        raise InputError(f"{name}[{place}] is {numbers[place]}; all values have to be finite.")
    return numbers
