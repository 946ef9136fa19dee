"""Voxels whose noise is not that of the scan: masked, clipped, or no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.volume.figures import NOISE_TILE_PX

MOST_CLIPPED = 0.05
"""Share of a square, at either end of the 16 bits, beyond which its noise is not what it was."""


def without_noise(plane: NDArray[Any], inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the stored values of a slice cannot tell noise, by the squares that figures look at.

    These are squares of a single value (a masked background) among what was measured (``inside``),
    squares of which more than a twentieth lies at either end of an integer type (clipped, which
    cuts noise in half), and what is no number.

    Examples
    --------
    >>> noisy = np.random.default_rng(0).integers(100, 200, (32, 32)).astype(np.uint16)
    >>> noisy[:16, :16] = 0
    >>> without_noise(noisy, noisy >= 0)[:, ::16].sum(axis=0).tolist()
    [16, 0]
    """
    side = NOISE_TILE_PX
    bad: NDArray[np.bool_] = ~np.isfinite(plane)
    ends = bad
    if np.issubdtype(plane.dtype, np.integer):
        info = np.iinfo(plane.dtype)
        ends = (plane == info.min) | (plane == info.max)
    rows, columns = (-(-size // side) for size in plane.shape)
    beyond = [(0, count * side - size) for count, size in zip((rows, columns), plane.shape)]

    def squares(values: NDArray[Any]) -> NDArray[Any]:
        cut = np.pad(values, beyond, mode="edge").reshape(rows, side, columns, side)
        return cut.swapaxes(1, 2).reshape(rows, columns, side * side)

    parted = squares(np.where(bad, 0, plane))
    # What was not measured is filled with a value that may be a common one inside.
    single = (np.ptp(parted, axis=2) == 0) & squares(inside).any(axis=2)
    # Where a mask ends, it does so in the middle of a square.
    masked = np.isin(plane, np.unique(parted[single, 0]))
    lost = single | (squares((ends | masked) & inside).mean(axis=2) > MOST_CLIPPED)
    whole = np.repeat(np.repeat(lost, side, axis=0), side, axis=1)
    where: NDArray[np.bool_] = bad | masked | whole[: plane.shape[0], : plane.shape[1]]
    return where
