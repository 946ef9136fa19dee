"""The normalisation by air columns on a device.

The array code passes over all values seven times and holds four copies of them; the kernel reads
and writes each once.
"""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, load

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("air", {}),)

WARPS = 8
"""Of ``kernels/air.cu``: lines of a block."""


def normalise_lines(projections: Array, left: int, right: int, out: Array) -> Array:
    """Divide each row of each projection by the level of its air columns.

    Parameters
    ----------
    projections : array, shape (angles, rows, columns), float32
    left, right : int
        Number of air columns on either side, one at least.
    out : array, shape of the projections, float32
        May be the projections themselves.

    Returns
    -------
    array, shape (), uint64
        Rows without a level, still on the device.
    """
    xp = namespace(projections, out)
    target = out if out.flags.c_contiguous else xp.empty(out.shape, np.float32)
    angles, rows, columns = projections.shape
    lost = xp.zeros(1, np.uint64)
    load(xp, "air")(
        (-(-angles * rows // WARPS),),
        (32, WARPS),
        values=xp.ascontiguousarray(projections).reshape(angles * rows, columns),
        out=target.reshape(angles * rows, columns),
        lost=lost,
        lines=angles * rows,
        columns=columns,
        left=left,
        right=right,
    )
    if target is not out:
        out[...] = target
    return lost[0]
