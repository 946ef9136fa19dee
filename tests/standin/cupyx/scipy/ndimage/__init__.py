"""Filters of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from cupy._functions import checked


def _correlate1d(input: np.ndarray, weights: np.ndarray, **named: Any) -> Any:
    import scipy.ndimage

    return scipy.ndimage.correlate1d(input, weights, **named)


correlate1d = checked(
    "correlate1d(input, weights, axis=-1, output=None, mode='reflect', cval=0.0, origin=0)",
    _correlate1d,
)


__all__ = ["correlate1d"]
