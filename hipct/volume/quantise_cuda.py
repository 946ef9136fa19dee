"""Launch of ``kernels/quantise.cu`` for :func:`hipct.volume.quantise.quantise`."""

from __future__ import annotations

from typing import Any

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import C_NAMES, Constant, load
from hipct.volume.disc import images

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (
    ("quantise", {"VALUE": "float"}),
    ("quantise", {"VALUE": "double"}),
)
_THREADS = 256
_COLUMNS = 2048
"""Columns that a block takes."""


def quantise_images(values: Array, low: Any, per_grey: Any, reach: int, out: Array) -> Array:
    """Quantise (..., rows, columns) inside of the disc; zeros outside of it.

    Returns the numbers of voxels below, above and NaN, uint64, on the device.
    """
    xp = namespace(values, out)
    kernel = load(xp, "quantise", VALUE=C_NAMES[values.dtype])
    counts = xp.zeros(3, xp.uint64)
    for part, grey in zip(images(values, reach), images(out, reach)):
        slices, rows, columns = part.shape
        kernel(
            (-(-columns // _COLUMNS), rows, slices),
            (_THREADS,),
            values=part,
            grey=grey,
            counts=counts,
            slices=slices,
            rows=rows,
            columns=columns,
            reach=reach,
            low=low,
            per_grey=per_grey,
        )
    return counts
