"""The outermost columns of a detector, which no later step should trust."""

from __future__ import annotations

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.core.threads import parallel_for
from hipct.preparation.checks import floating, output, three_axes


def mend_borders(sinograms: Array, border_px: int, *, out: Array | None = None) -> Array:
    """Replace the outermost columns on both sides by the mean of as many columns beside them.

    Scintillator and camera end there, phase retrieval knows only one side of them, and their
    value counts more than any other: the reconstruction continues each row with it, so that its
    error becomes one of the level of the whole slice, with cupping. The outermost ``border_px``
    pixels of the field are lost for it.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns)
        Line integrals, or projections (angles, rows, columns). Integers become float32.
    border_px : int
        Columns on either side that are replaced; 0 leaves all as they are.
    out : array, shape of the sinograms, their dtype, optional
        May be the sinograms themselves.

    Returns
    -------
    array, shape (slices, angles, columns), float32 (float64 from float64)

    Raises
    ------
    InputError
        If a shape or dtype is wrong, or the borders take more than half of the columns.

    Examples
    --------
    >>> import numpy as np
    >>> mend_borders(np.array([[[9.0, 8.0, 1.0, 3.0, 4.0, 2.0, 7.0, 7.0]]]), 2).tolist()
    [[[2.0, 2.0, 1.0, 3.0, 4.0, 2.0, 3.0, 3.0]]]
    """
    sinograms = floating(three_axes(sinograms, "sinograms", "slices, angles, columns"))
    columns = sinograms.shape[2]
    if not 0 <= border_px <= columns // 4:
        raise InputError(
            f"border_px is {border_px}; it has to lie between 0 and {columns // 4}, a quarter of "
            f"the {columns} columns."
        )
    xp = namespace(sinograms)
    out = output(out, sinograms.shape, sinograms.dtype, sinograms)

    def work(start: int, stop: int) -> None:
        if out is not sinograms:
            out[start:stop] = sinograms[start:stop]
        if border_px:
            part = out[start:stop]
            near = part[:, :, border_px : 2 * border_px]
            part[:, :, :border_px] = near.mean(axis=2, keepdims=True)
            near = part[:, :, columns - 2 * border_px : columns - border_px]
            part[:, :, columns - border_px :] = near.mean(axis=2, keepdims=True)

    if xp is np:
        parallel_for(work, len(sinograms))
    else:
        work(0, len(sinograms))
    return out
