"""The passes of the flat field over counts on the host: in plain NumPy, and compiled.

The plain one is what the other has to equal: bit for bit as transmission, and within the error of
the compiled logarithm (:mod:`hipct.core.log_numba`) as line integrals.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.runs import run_of_rows
from hipct.core.threads import parallel_for
from hipct.preparation.flat_times import InTime
from hipct.preparation.repair import mend_rows

TILE_ROWS = 64
"""Rows whose references (1.5 MB at 2048 columns) stay in the cache over all angles, and long
enough runs of memory: 16 rows take 20 % more time."""

COMPILED = (np.uint8, np.uint16, np.uint32, np.int32, np.float32)
"""Types that are read without a copy."""


def compiled(
    projections: NDArray[Any],
    wanted: range,
    dark: NDArray[np.float32],
    references: NDArray[np.float32],
    in_time: InTime,
    *,
    out: NDArray[np.float32],
    keep: bool = False,
    minimum: float = 0.0,
) -> NDArray[np.int64]:
    """Mended transmission, or line integrals, of the wanted rows, all of it in one pass.

    Parameters
    ----------
    projections : ndarray, shape (angles, rows, columns)
    wanted : range
        Rows, of step 1.
    dark : ndarray, shape (rows, columns), float32
    references : ndarray, shape (groups, rows, columns), float32
    in_time : InTime
        Place of each projection between the groups.
    out : ndarray, shape (angles, wanted rows, columns), float32
        May be a view of sinograms.
    keep : bool
        Whether values at or below 0 stay.
    minimum : float
        Above 0: ``-log(max(T, minimum))`` instead of T.

    Returns
    -------
    ndarray of int64, shape (wanted rows, 5)
        Values that are dead, not finite, not positive, of empty rows, and below the minimum.
    """
    from hipct.preparation.flat_numba import flat_field_rows

    if projections.dtype not in COMPILED:
        projections = projections.astype(np.float32)
    angles, _, columns = projections.shape
    found = np.zeros((len(wanted), 5), np.int64)
    done: list[NDArray[np.int64]] = []

    def work(start: int, stop: int) -> None:
        mine = np.zeros_like(found)
        flat_field_rows(
            projections,
            wanted.start,
            dark,
            references,
            in_time.before,
            in_time.after,
            in_time.weights,
            keep,
            np.float32(minimum),
            TILE_ROWS,
            start,
            stop,
            *run,
            mine,
        )
        done.append(mine)

    with run_of_rows(out) as run:
        tiles = -(-len(wanted) // TILE_ROWS)
        parallel_for(work, tiles * angles, smallest=max(1, 2**18 // (TILE_ROWS * columns)))
    for mine in done:
        found += mine
    return found


def plain(
    projections: NDArray[Any],
    dark: NDArray[np.float32],
    references: NDArray[np.float32],
    in_time: InTime,
    *,
    out: NDArray[np.float32],
    keep: bool,
) -> NDArray[np.int64]:
    """Mended transmission of all rows; as :func:`compiled`, without the last count."""
    found = np.zeros((projections.shape[1], 4), np.int64)
    dead = np.isnan(references[0])
    for angle, (frame, before, after, weights) in enumerate(zip(projections, *in_time)):
        reference = references[before] * weights[0]
        if after != before:
            reference = reference + references[after] * weights[1]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            transmission = (frame.astype(np.float32) - dark) / reference
        finite = np.isfinite(transmission)
        usable = finite if keep else finite & (transmission > 0)
        lost = ~usable.any(axis=1)
        seen = (dead, ~finite & ~dead, finite & ~usable)
        for kind, mask in enumerate(seen):
            found[:, kind] += np.where(lost, 0, mask.sum(axis=1))
        found[:, 3] += lost * transmission.shape[1]
        out[angle] = mend_rows(transmission, usable)
    return found
