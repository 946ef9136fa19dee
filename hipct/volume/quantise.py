"""From float values to 16-bit grey values, with every clipped voxel counted."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.jit import has_numba
from hipct.core.threads import parallel_for
from hipct.volume.window import Window, window_from_samples

__all__ = ["ClipCounts", "Window", "quantise", "window_from_samples"]


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

    Returns
    -------
    ndarray, uint16, same shape

    Raises
    ------
    InputError
        If the input is not floating, or ``out`` does not fit.
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
    if xp is np and has_numba():
        below, above, nan = _quantise_numba(values, window, grey)
    else:
        below, above, nan = _quantise_array(xp, values, window, grey)
    if counts is not None:
        counts.add(voxels=int(values.size), below=below, above=above, nan=nan)
    return grey


def _quantise_array(
    xp: ModuleType, values: Array, window: Window, grey: Array
) -> tuple[int, int, int]:
    low, per_grey = _constants(values.dtype, window)
    steps = (values - low) * per_grey
    nan = xp.isnan(steps)
    below = steps < 0
    above = steps > 65535
    steps[nan] = 0
    grey[...] = xp.rint(xp.clip(steps, 0, 65535)).astype(xp.uint16)
    return int(below.sum()), int(above.sum()), int(nan.sum())


def _quantise_numba(values: Array, window: Window, grey: Array) -> tuple[int, int, int]:
    from hipct.volume.quantise_numba import quantise_range

    low, per_grey = _constants(values.dtype, window)
    flat, out = np.ascontiguousarray(values).reshape(-1), grey.reshape(-1)
    tallies: list[tuple[int, int, int]] = []

    def task(start: int, stop: int) -> None:
        tallies.append(quantise_range(flat[start:stop], low, per_grey, out[start:stop]))

    parallel_for(task, flat.size, smallest=1 << 18)
    below, above, nan = (sum(column) for column in zip((0, 0, 0), *tallies))
    return below, above, nan


def _constants(dtype: np.dtype[Any], window: Window) -> tuple[Any, Any]:
    kind = dtype.type
    return kind(window.low), kind(1.0 / window.scale)
