"""Inner loops of the removal of large stripes: whole slices by rank, in bands of columns.

Unlike in :mod:`hipct.preparation.rings_sorting_numba` a slice cannot stream through: whether a
column is a stripe is known only after all have been smoothed. Subtracting or dividing a column by
one number, and taking medians at every rank, keep the order within a column: one sort serves both
medians. All arrays by rank are (columns, ranks), ranks padded to whole runs of ``LANES``.
"""
# mypy: disallow-untyped-decorators=False

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from hipct.preparation.networks_numba import STRIP
from hipct.preparation.rings_ranks_numba import rank_columns, restore_columns, work_space
from hipct.preparation.rings_sorting_numba import (
    networks,
    smooth_band_by_network,
    smooth_band_sliding,
    take_medians,
)


def smooth_band(
    ranked: NDArray[np.float32], size: int, first: int, last: int, smooth: NDArray[np.float32]
) -> None:
    """Medians of ``size`` columns at every rank, for columns ``first .. last``."""
    wide, group = networks(size)
    if wide is None:
        smooth_band_sliding(ranked, size, first, last, smooth)
    else:
        smooth_band_by_network(ranked, wide, group, first, last, smooth)


@njit(cache=True, nogil=True, fastmath={"reassoc"})
def mean_of_ranks(row: Any, start: int, stop: int) -> Any:  # pragma: no cover - compiled
    """Mean of the ranks ``start .. stop`` of one column, in float64."""
    total = 0.0
    for rank in range(start, stop):
        total += np.float64(row[rank])
    return total / (stop - start)


@njit(cache=True, nogil=True)
def mean_band(
    values: Any, start: int, stop: int, first: int, last: int, means: Any
) -> None:  # pragma: no cover - compiled
    """Means of the ranks ``start .. stop`` for columns ``first .. last``."""
    for column in range(first, last):
        means[column] = mean_of_ranks(values[column], start, stop)


@njit(cache=True, nogil=True)
def sort_band(
    sinogram: Any,
    first: int,
    last: int,
    ranked: Any,
    origin: Any,
    steps: Any,
    drop: int,
    means: Any,
) -> Any:  # pragma: no cover - compiled
    """Sort columns ``first .. last`` of a sinogram; whether all values are finite.

    ``means`` gets theirs, without ``drop`` ranks at either end.
    """
    work = work_space(steps)
    finite = True
    for left in range(first, last, STRIP):
        right = min(left + STRIP, last)
        finite &= rank_columns(sinogram, left, right, ranked, origin, steps, work)
        mean_band(ranked, drop, len(sinogram) - drop, left, right, means)
    return finite


@njit(cache=True, nogil=True)
def smooth_means_band(
    ranked: Any,
    size: int,
    wide: Any,
    group: Any,
    first: int,
    last: int,
    smooth: Any,
    start: int,
    stop: int,
    means: Any,
) -> None:  # pragma: no cover - compiled
    """Medians of ``size`` columns and the means of their ranks ``start .. stop``."""
    if wide is None:
        smooth_band_sliding(ranked, size, first, last, smooth)
        mean_band(smooth, start, stop, first, last, means)
    else:
        for left in range(first, last, STRIP):
            right = min(left + STRIP, last)
            smooth_band_by_network(ranked, wide, group, left, right, smooth)
            mean_band(smooth, start, stop, left, right, means)


@njit(cache=True, nogil=True)
def level_band(
    ranked: Any, smooth: Any, stripe: Any, level: Any, additive: bool, first: int, last: int
) -> None:  # pragma: no cover - compiled
    """Stripes become their smoothed columns, other columns lose their level, in place."""
    for column in range(first, last):
        if stripe[column]:
            ranked[column] = smooth[column]
        elif additive:
            for rank in range(ranked.shape[1]):
                ranked[column, rank] = np.float32(np.float64(ranked[column, rank]) - level[column])
        else:
            for rank in range(ranked.shape[1]):
                ranked[column, rank] = np.float32(np.float64(ranked[column, rank]) / level[column])


@njit(cache=True, nogil=True)
def restore_band(
    values: Any, origin: Any, first: int, last: int, out: Any, steps: Any
) -> None:  # pragma: no cover - compiled
    """Columns ``first .. last`` by rank back to their angles in ``out`` (angles, columns)."""
    restore_columns(values[first:last], origin, first, last, out, work_space(steps))


@njit(cache=True, nogil=True)
def smooth_and_restore_band(
    ranked: Any, wide: Any, group: Any, origin: Any, first: int, last: int, out: Any, steps: Any
) -> None:  # pragma: no cover - compiled
    """Medians across columns ``first .. last`` back to their angles, strip by strip."""
    columns, ranks = ranked.shape
    smooth = np.empty((STRIP, ranks), np.float32)
    work = work_space(steps)
    for left in range(first, last, STRIP):
        right = min(left + STRIP, last)
        for column in range(left, right, len(group)):
            take_medians(wide, group, ranked, columns, column, ranks, smooth, column - left)
        restore_columns(smooth, origin, left, right, out, work)


@njit(cache=True, nogil=True)
def roughness_band(
    sinogram: Any, near: Any, size: int, first: int, last: int, found: Any
) -> None:  # pragma: no cover - compiled
    """Sum along the angle of ``|s - running mean of s|`` for columns ``first .. last``.

    ``near`` are the angles, continued at both ends by ``size - 1`` in all.
    """
    width = last - first
    total = np.zeros(width, np.float64)
    away = np.zeros(width, np.float64)
    for k in range(size - 1):
        row = sinogram[near[k], first:last]
        for c in range(width):
            total[c] += row[c]
    for angle in range(len(sinogram)):
        _add_roughness(
            sinogram[near[angle + size - 1], first:last],
            sinogram[near[angle], first:last],
            sinogram[angle, first:last],
            size,
            total,
            away,
        )
    found[first:last] = away / size


@njit(cache=True, nogil=True)
def _add_roughness(
    ahead: Any, behind: Any, here: Any, size: int, total: Any, away: Any
) -> None:  # pragma: no cover - compiled
    """One angle: ``size`` times as far as it is from the mean, which moves on."""
    for c in range(len(total)):
        now = total[c] + ahead[c]
        away[c] += abs(size * np.float64(here[c]) - now)
        total[c] = now - behind[c]
