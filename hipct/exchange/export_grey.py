"""What grey values an export holds, and what they mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.volume.open import Volume

DTYPES = ("uint8", "uint16", "float32")


@dataclass(frozen=True)
class Grey:
    """How stored grey values become those of an export.

    Attributes
    ----------
    dtype : of the export
    window : stored grey values that become 0 and 255, None for values that stay as they are
    physical : whether the values are physical ones (``stored * scale + offset``)
    scale, offset, unit : ``value = exported * scale + offset`` in ``unit``; None where unknown
    """

    dtype: np.dtype[Any]
    window: tuple[float, float] | None
    physical: tuple[float, float] | None
    scale: float | None
    offset: float | None
    unit: str | None

    def convert(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Exported grey values of stored ones (any shape), half steps rounded to even."""
        if self.window is not None:
            low, high = self.window
            steps = (stored - np.float64(low)) * (255 / (high - low))
            return np.rint(np.clip(np.nan_to_num(steps), 0, 255)).astype(np.uint8)
        if self.physical is not None:
            scale, offset = self.physical
            return (stored * np.float64(scale) + offset).astype(np.float32)
        return stored.astype(self.dtype, copy=False)


def choose_grey(
    volume: Volume, stored: np.dtype[Any], dtype: str | None, window: tuple[float, float] | None
) -> Grey:
    """Grey values of an export.

    Parameters
    ----------
    volume : Volume
    stored : dtype
        Type of the stored grey values.
    dtype : {"uint8", "uint16", "float32"} or None
        None and uint16: as stored. uint8: the display window, from black to white. float32:
        physical values by the stored scale and offset. Labels keep their numbers in any of them.
    window : (float, float) or None
        Stored grey values shown black and white, instead of the display window of the volume.

    Raises
    ------
    InputError
        If the volume cannot be exported so.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"The dtype is {dtype!r}; allowed are {', '.join(DTYPES)}.")
    if volume.labels:
        return _labels(volume, stored, dtype, window)
    if window is not None and dtype != "uint8":
        raise InputError(
            "A window changes the grey values of 8-bit exports only; give --dtype uint8 with it."
        )
    scale, offset, unit = volume.scale, volume.offset, volume.unit
    if dtype == "uint8":
        low, high = _window(volume, window)
        factor = None if scale is None else scale * (high - low) / 255
        base = None if scale is None or offset is None else offset + scale * low
        return Grey(np.dtype(np.uint8), (low, high), None, factor, base, unit)
    if dtype == "float32":
        if scale is None or offset is None:
            if np.issubdtype(stored, np.floating):
                return Grey(np.dtype(np.float32), None, None, scale, offset, unit)
            raise InputError(
                f"{volume.address} does not store what its grey values mean (attribute "
                "hipct/window), so that there are no physical values; give --dtype uint16 for the "
                "stored ones."
            )
        return Grey(np.dtype(np.float32), None, (scale, offset), 1.0, 0.0, unit)
    if dtype == "uint16" and stored not in (np.uint8, np.uint16):
        raise InputError(
            f"{volume.address} holds {stored} and not uint16; give --dtype uint8 or float32."
        )
    kept = stored if dtype is None else np.dtype(np.uint16)
    return Grey(kept, None, None, scale, offset, unit)


def _labels(
    volume: Volume, stored: np.dtype[Any], dtype: str | None, window: tuple[float, float] | None
) -> Grey:
    """Numbers of things: a type that holds all of them, and no window."""
    kept = stored if dtype is None else np.dtype(dtype)
    if window is not None or kept.kind != stored.kind or not np.can_cast(stored, kept):
        option = "--window" if window is not None else f"--dtype {dtype}"
        raise InputError(
            f"{volume.address} holds labels of {stored}, which {option} would change; leave it out."
        )
    return Grey(kept, None, None, None, None, None)


def _window(volume: Volume, window: tuple[float, float] | None) -> tuple[float, float]:
    chosen = volume.display if window is None else window
    if chosen is None:
        raise InputError(
            f"{volume.address} stores no display window to make 8 bits of; give --window LOW:HIGH "
            "in stored grey values."
        )
    low, high = (float(value) for value in chosen)
    if not (np.isfinite([low, high]).all() and low < high):
        raise InputError(f"The window is {low:g}:{high:g}; its second value has to be the larger.")
    return low, high
