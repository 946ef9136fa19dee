"""From float values to 16-bit grey values, with every clipped voxel counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.volume.disc import WHOLE_PLANE, circle, columns_inside, squared_reach
from hipct.volume.window import Window, window_from_samples

__all__ = ["ClipCounts", "Window", "quantise", "window_from_samples"]


_SMALLEST = 1 << 18
"""Voxels that are worth a thread."""


@dataclass
class ClipCounts:
    """How many voxels did not fit the window; several threads may add to one of these."""

    voxels: int = 0
    below: int = 0
    above: int = 0
    nan: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    def add(self, *, voxels: int, below: int, above: int, nan: int) -> None:
        """Add the counts of one call."""
        with self._lock:
            self.voxels += voxels
            self.below += below
            self.above += above
            self.nan += nan

    def as_dict(self) -> dict[str, int]:
        """The counts, for reports and provenance."""
        with self._lock:
            return {
                "voxels": self.voxels,
                "below": self.below,
                "above": self.above,
                "nan": self.nan,
            }


def quantise(
    slices: Array,
    window: Window,
    *,
    out: Array | None = None,
    counts: ClipCounts | None = None,
    radius_px: float | None = None,
) -> Array:
    """Grey values of a window: ``round((value - low) / scale)``, clipped to 0 .. 65535.

    Rounded to nearest (ties to even), so ``stored * scale + offset`` is within half a grey step
    (0.508 steps when computed as float32) of every value inside the window. NaN becomes 0;
    infinite values are clipped.

    Parameters
    ----------
    slices : ndarray, floating, any shape
        Values in the unit of the window, NumPy or CuPy. Computed as float32 (float64 stays).
    window : Window
        Values of grey 0 and grey 65535.
    out : ndarray, uint16, same shape, C-contiguous, optional
        Where to write.
    counts : ClipCounts, optional
        Voxels below and above the window and NaN are added here.
    radius_px : float, optional
        Radius of a disc about the middle of the last two axes. Voxels outside of it are taken for
        NaN: stored as 0, and counted so.

    Returns
    -------
    ndarray, uint16, same shape

    Raises
    ------
    InputError
        If the input is not floating, ``out`` does not fit, the radius is negative or not a number,
        or there are no two axes for it.
    """
    xp = namespace(slices, out)
    values = xp.asarray(slices)
    if values.dtype.kind != "f":
        raise InputError(
            f"The values to quantise have dtype {values.dtype}; give floating values "
            "(integers need no window: write them as they are)."
        )
    if values.dtype.itemsize < 4:
        values = values.astype(xp.float32)
    grey = xp.empty(values.shape, xp.uint16) if out is None else out
    if grey.shape != values.shape or grey.dtype != np.uint16 or not grey.flags.c_contiguous:
        raise InputError(
            f"out is {grey.dtype} {grey.shape}; it has to be C-contiguous uint16 {values.shape}."
        )
    if radius_px is not None and values.ndim < 2:
        raise InputError(
            f"A disc was asked for in values of shape {values.shape}; give (..., rows, columns)."
        )
    reach = squared_reach(radius_px)
    if not values.flags.c_contiguous:
        values = xp.ascontiguousarray(values)
    if xp is np and has_numba():
        below, above, nan = _quantise_numba(values, window, reach, grey)
    elif xp is not np:
        from hipct.volume.quantise_cuda import quantise_images

        tally = quantise_images(values, *_constants(values.dtype, window), reach, grey)
        if counts is None:
            return grey
        below, above, nan = (int(number) for number in xp.asnumpy(tally))
    else:
        below, above, nan = _quantise_array(values, window, radius_px, grey)
    if counts is not None:
        size = int(values.size)
        counts.add(voxels=size, below=below, above=above, nan=nan + _outside(values.shape, reach))
    return grey


def _quantise_array(
    values: NDArray[np.floating], window: Window, radius_px: float | None, grey: NDArray[np.uint16]
) -> tuple[int, int, int]:
    low, per_grey = _constants(values.dtype, window)
    steps = (values - low) * per_grey
    if radius_px is not None:
        rows, columns = values.shape[-2:]
        steps[..., ~circle(rows, columns, radius_px)] = 0
    nan = np.isnan(steps)
    below = steps < 0
    above = steps > 65535
    steps[nan] = 0
    grey[...] = np.rint(np.clip(steps, 0, 65535)).astype(np.uint16)
    return int(below.sum()), int(above.sum()), int(nan.sum())


def _quantise_numba(
    values: NDArray[np.floating], window: Window, reach: int, grey: NDArray[np.uint16]
) -> tuple[int, int, int]:
    from hipct.volume.quantise_numba import quantise_range, quantise_rows

    low, per_grey = _constants(values.dtype, window)
    tallies: list[tuple[int, int, int]] = []
    if reach == WHOLE_PLANE:
        flat, flat_grey = values.reshape(-1), grey.reshape(-1)

        def pixels(start: int, stop: int) -> None:
            tallies.append(quantise_range(flat[start:stop], low, per_grey, flat_grey[start:stop]))

        parallel_for(pixels, flat.size, smallest=_SMALLEST)
    elif values.size:
        rows, columns = values.shape[-2:]
        inside = columns_inside(rows, columns, reach)
        lines, grey_lines = values.reshape(-1, columns), grey.reshape(-1, columns)

        def whole_rows(start: int, stop: int) -> None:
            part = slice(start, stop)
            tallies.append(
                quantise_rows(lines[part], inside, start, low, per_grey, grey_lines[part])
            )

        parallel_for(whole_rows, len(lines), smallest=max(1, _SMALLEST // columns))
    below, above, nan = (sum(column) for column in zip((0, 0, 0), *tallies))
    return below, above, nan


def _outside(shape: tuple[int, ...], reach: int) -> int:
    """Voxels outside of the disc."""
    if reach == WHOLE_PLANE:
        return 0
    *slices, rows, columns = shape
    return prod(slices) * (rows * columns - int(columns_inside(rows, columns, reach).sum()))


def _constants(dtype: np.dtype[Any], window: Window) -> tuple[Any, Any]:
    kind = dtype.type
    return kind(window.low), kind(1.0 / window.scale)
