"""The logarithm on a device: from projections to a block of sinograms in one pass."""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, load

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("line_integral", {}),)

THREADS = 256
VALUES = 4
"""Of ``kernels/line_integral.cu``: threads of a block, and columns of a thread."""


def sinogram_block(
    transmission: Array, wanted: range, minimum: float, out: Array, first: int
) -> Array:
    """Line integrals of the wanted rows, transposed.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns), float32
    wanted : range
        Rows that become slices, of step 1.
    minimum : float
        Smallest transmission.
    out : array, shape (wanted rows, at least first + angles, columns), float32
        May be the transmission where the shape is the same, with one angle or one row.
    first : int
        Index in ``out`` of the first angle.

    Returns
    -------
    array, shape (), uint64
        Number of values that were replaced, still on the device.
    """
    xp = namespace(transmission, out)
    angles, rows, columns = transmission.shape
    clamped = xp.zeros(1, np.uint64)
    across = -(-columns // (THREADS * VALUES))
    load(xp, "line_integral")(
        (across * angles, len(wanted)),
        (THREADS,),
        transmission=xp.ascontiguousarray(transmission),
        out=out,
        clamped=clamped,
        angles=angles,
        rows=rows,
        first_row=wanted.start,
        wanted=len(wanted),
        first_angle=first,
        total=out.shape[1],
        columns=columns,
        minimum=minimum,
    )
    return clamped[0]
