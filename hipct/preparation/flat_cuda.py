"""The flat field on a device: one pass from raw counts to mended transmission."""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import C_NAMES, Constant, load
from hipct.preparation.flat_times import InTime

RAW = {
    np.dtype(kind): C_NAMES[np.dtype(kind)]
    for kind in (np.uint8, np.uint16, np.uint32, np.int32, np.float32)
}
"""Types of raw counts that the kernels read, and their names there."""

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = tuple(
    ("flat_field", {"RAW": name}) for name in RAW.values()
)

WARPS = 8
COLUMNS = 64
ANGLES = 32
"""Of ``kernels/flat_field.cu``: rows, columns and angles of a block."""


def flat_field_rows(
    projections: Array,
    dark: Array,
    references: Array,
    in_time: InTime,
    *,
    keep: bool,
    out: Array,
) -> Array:
    """Transmission of all projections.

    Parameters
    ----------
    projections : array, shape (angles, rows, columns)
        Raw counts. What the kernel does not read, and views, are copied.
    dark : array, shape (rows, columns), float32
    references : array, shape (groups, rows, columns), float32
        NaN at dead pixels.
    in_time : InTime
        Groups of flats of the projections; the group after is that before or the next one.
    keep : bool
        Whether values at or below 0 are usable.
    out : array, shape of the projections, float32

    Returns
    -------
    array, shape (rows, 4), uint64
        Replaced values of each row by kind, still on the device.
    """
    xp = namespace(projections, dark, references, out)
    raw = projections
    if raw.dtype not in RAW:
        raw = raw.astype(np.float32)
    raw = xp.ascontiguousarray(raw)
    if xp.may_share_memory(raw, out):
        # Neighbours of an unusable pixel are read again after others have been written.
        raw = raw.copy()
    # A view with gaps is filled at the end.
    target = out if out.flags.c_contiguous else xp.empty(out.shape, np.float32)
    angles, rows, columns = raw.shape
    found = xp.zeros((rows, 4), np.uint64)
    load(xp, "flat_field", RAW=RAW[raw.dtype])(
        (-(-columns // COLUMNS), -(-rows // WARPS), -(-angles // ANGLES)),
        (32, WARPS),
        projections=raw,
        dark=xp.ascontiguousarray(dark),
        references=xp.ascontiguousarray(references),
        before=xp.asarray(in_time.before.astype(np.int32)),
        weights=xp.asarray(in_time.weights.view(np.complex64).reshape(-1)),
        out=target,
        found=found,
        angles=angles,
        rows=rows,
        columns=columns,
        groups=len(references),
        keep=int(keep),
    )
    if target is not out:
        out[...] = target
    return found
