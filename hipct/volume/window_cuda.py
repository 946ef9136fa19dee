"""Launch of ``kernels/histogram.cu`` for :class:`hipct.volume.window.GreyHistogram`."""

from __future__ import annotations

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, load
from hipct.volume.disc import images

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("histogram", {}),)
_THREADS = 256
_COLUMNS = 4096
"""Columns that a block takes."""


def add_to_histogram(values: Array, reach: int, counts: Array) -> None:
    """Count finite float32 values (..., rows, columns) inside of the disc into ``counts``."""
    xp = namespace(values, counts)
    kernel = load(xp, "histogram")
    for part in images(values, reach):
        slices, rows, columns = part.shape
        kernel(
            (-(-columns // _COLUMNS), rows, slices),
            (_THREADS,),
            bits=part.view(xp.uint32),
            counts=counts,
            slices=slices,
            rows=rows,
            columns=columns,
            reach=reach,
        )
