"""Frames and sinograms alike as runs of memory, for compiled loops that write them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


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
