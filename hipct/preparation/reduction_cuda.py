"""The median over frames on a device."""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, load
from hipct.preparation.flat_cuda import RAW

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = tuple(
    ("median", {"RAW": name}) for name in RAW.values()
)

THREADS = 256
"""Of ``kernels/median.cu``: threads of a block."""


def median_rows(frames: Array, dark: Array, factors: Array, out: Array) -> None:
    """Median over frames of ``(frames - dark) * factors``, without values that are not finite.

    Parameters
    ----------
    frames : array, shape (frames, rows, columns)
        What the kernel does not read, and views with gaps, are copied.
    dark : array, shape (rows, columns), float32
    factors : array, shape (frames,), float32
    out : array, shape (rows, columns), float32, C-contiguous
    """
    xp = namespace(frames, dark, factors, out)
    if frames.dtype not in RAW:
        frames = frames.astype(np.float32)
    pixels = out.size
    load(xp, "median", RAW=RAW[frames.dtype])(
        (-(-pixels // THREADS),),
        (THREADS,),
        frames=xp.ascontiguousarray(frames).reshape(len(frames), pixels),
        dark=xp.ascontiguousarray(dark).reshape(pixels),
        factors=factors,
        out=out.reshape(pixels),
        count=len(frames),
        pixels=pixels,
    )
