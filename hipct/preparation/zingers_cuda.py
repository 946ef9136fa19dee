"""The removal of zingers on a device."""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, load

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("zingers", {}),)

THREADS = 256
ROWS = 32
"""Of ``kernels/zingers.cu``: threads of a block, and rows of a thread."""


def replace_bright(transmission: Array, threshold: float, out: Array) -> Array:
    """Values that exceed the median of their neighbours become that median.

    Parameters
    ----------
    transmission : array, shape (angles, rows, columns), float32
    threshold : float
        In units of the transmission.
    out : array, shape of the transmission, float32
        Other memory than the transmission.

    Returns
    -------
    array, shape (rows,), uint64
        Replaced values of each row, still on the device.
    """
    xp = namespace(transmission, out)
    target = out if out.flags.c_contiguous else xp.empty(out.shape, np.float32)
    angles, rows, columns = transmission.shape
    found = xp.zeros(rows, np.uint64)
    load(xp, "zingers")(
        (angles * -(-columns // THREADS), -(-rows // ROWS)),
        (THREADS,),
        transmission=xp.ascontiguousarray(transmission),
        out=target,
        found=found,
        angles=angles,
        rows=rows,
        columns=columns,
        threshold=threshold,
    )
    if target is not out:
        out[...] = target
    return found
