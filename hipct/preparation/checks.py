"""Checks of arrays that every step of the preparation shares."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def run_of_rows(
    array: np.ndarray[Any, np.dtype[Any]],
) -> Iterator[tuple[np.ndarray[Any, np.dtype[Any]], tuple[int, int]]]:
    """An array of three axes to be written as one run of memory, and where its rows begin.

    So a compiled loop writes frames and sinograms alike, whatever they are a part of.

    Parameters
    ----------
    array : ndarray, shape (angles, rows, columns)
        Not empty. Where its columns are no run of memory, another array is written instead and
        copied at the end.

    Yields
    ------
    tuple of ndarray, shape (values,), and tuple of int
        Row ``r`` of angle ``a`` begins at ``a * steps[0] + r * steps[1]``.
    """
    size = array.itemsize
    steps = [
        0 if length == 1 else step for length, step in zip(array.shape, array.strides, strict=True)
    ]
    fits = steps[2] in {0, size} and all(step >= 0 and step % size == 0 for step in steps)
    target = array if fits else np.empty_like(array, order="C")
    if not fits:
        steps = list(target.strides)
    angle, row = steps[0] // size, steps[1] // size
    last = (array.shape[0] - 1) * angle + (array.shape[1] - 1) * row + array.shape[2]
    yield np.lib.stride_tricks.as_strided(target, (last,), (size,)), (angle, row)
    if not fits:
        array[...] = target
