"""Sudden motion: projections that lie further from their neighbours than the turning sample does.

From one projection to the next the sample turns by a small angle, and its image changes by little:
by a shift d, to first order, ``T(k + 1) - T(k) = - d . grad T``, solved for d by least squares over
all pixels (Lucas & Kanade, Proc. IJCAI (1981) 674). Along the rows d is 0 but for noise and motion,
along the columns it is the mean of the turning sample, which varies slowly with the angle: a jump
stands out from the links around it. Steps larger than what the images are smoothed by are told too
small here; how large they are is for the registration to say (:func:`step_size`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.preparation.checks import three_axes
from hipct.preparation.registration import measure_shifts

Float = NDArray[np.float64]

SMALLEST_STEP_PX = 0.3
"""Steps that are smaller are not worth a word."""

_SMOOTH_ROWS, _SMOOTH_COLUMNS = 4, 8
"""Of binomial taps: standard deviations of 1 and 1.4 pixels."""
_AROUND = 40
"""Links on either side that tell what is usual."""
_SPANS = (1, 8)
"""Links over which a sudden motion may last."""
_SIGNIFICANT = 8.0
_MOST_STEPS = 8
FINE_PX = 1.0


@dataclass(frozen=True)
class Jump:
    """Links between projections where the image jumps.

    Attributes
    ----------
    first, last : int
        The projections before and after.
    significance : float
        How far it stands out, in standard deviations of the links around.
    """

    first: int
    last: int
    significance: float


def link_sums(views: Array) -> Array:
    """Sums of least squares for the shift from each view to the next.

    Parameters
    ----------
    views : array, shape (views, rows, columns), float32
        Line integrals of neighbouring projections, 8 rows and 16 columns or more; NumPy or CuPy.
        Sums of several bands of rows may be added.

    Returns
    -------
    array, shape (views - 1, 5), float64
        ``g_r g_r``, ``g_r g_c``, ``g_c g_c``, ``- g_r D`` and ``- g_c D``, g being the gradient and
        D the difference.

    Raises
    ------
    InputError
        If there are fewer.
    """
    views = three_axes(views, "views", "views, rows, columns")
    if len(views) < 2 or views.shape[1] < _SMOOTH_ROWS + 4 or views.shape[2] < _SMOOTH_COLUMNS + 8:
        raise InputError(
            f"views has shape {views.shape}; give 2 or more of at least {_SMOOTH_ROWS + 4} rows "
            f"and {_SMOOTH_COLUMNS + 8} columns."
        )
    xp = namespace(views)
    smooth = views
    for axis, order in ((1, _SMOOTH_ROWS), (2, _SMOOTH_COLUMNS)):
        smooth = _binomial(smooth, order, axis)
    mean = 0.5 * (smooth[1:] + smooth[:-1])
    change = (smooth[1:] - smooth[:-1])[:, 1:-1, 1:-1]
    down = 0.5 * (mean[:, 2:, 1:-1] - mean[:, :-2, 1:-1])
    right = 0.5 * (mean[:, 1:-1, 2:] - mean[:, 1:-1, :-2])
    products = (down * down, down * right, right * right, -down * change, -right * change)
    return xp.stack(
        [product.sum(axis=(1, 2), dtype=np.float64) for product in products], axis=1
    )  # fmt: skip


def link_shifts(sums: Float) -> Float:
    """Shifts (rows, columns) from each view to the next, from their sums on the host."""
    rr, rc, cc, r, c = np.asarray(sums, dtype=np.float64).T
    # Nothing to see makes no shift.
    scale = rr.mean() + cc.mean()
    determinant = np.maximum(rr * cc - rc * rc, (1e-6 * scale) ** 2 + np.finfo(float).tiny)
    shifts: Float = np.stack([cc * r - rc * c, rr * c - rc * r], axis=1) / determinant[:, None]
    return shifts


def find_jumps(shifts: Float) -> tuple[Jump, ...]:
    """Where a series of shifts jumps.

    Parameters
    ----------
    shifts : ndarray, shape (links, 2)
        Of :func:`link_shifts`, in the order of time.

    Returns
    -------
    tuple of Jump
        The largest first, at most 8. Those of less than 8 standard deviations are none.
    """
    count = len(shifts)
    around = min(_AROUND, count // 4)
    if around < 4:
        return ()
    rest = shifts - _median_around(shifts, around)
    usual = np.maximum(1.4826 * np.median(np.abs(rest), axis=0), 1e-6)
    alone = np.hypot(*(rest / usual).T) > 0.5 * _SIGNIFICANT
    best = np.zeros(count)
    length = np.ones(count, dtype=int)
    for span in _SPANS:
        if count < 8 * span:
            continue
        whole = np.cumsum(np.vstack([np.zeros((1, 2)), rest]), axis=0)
        moved = whole[span:] - whole[:-span]
        spread = 1.4826 * np.median(np.abs(moved), axis=0)
        local = 1.4826 * _median_around(np.abs(moved), around)
        far = np.hypot(*(np.abs(moved) / np.maximum(np.maximum(spread, local), 1e-6)).T)
        better = far > best[: far.size]
        best[: far.size][better], length[: far.size][better] = far[better], span
    jumps: list[Jump] = []
    for place in np.argsort(-best, kind="stable"):
        if best[place] < _SIGNIFICANT or len(jumps) == _MOST_STEPS:
            break
        first, last = int(place), int(place + length[place])
        # A motion over some links is found by its fastest.
        while first > 0 and alone[first - 1]:
            first -= 1
        while last < count and alone[last]:
            last += 1
        reach = max(_SPANS)
        if all(last < other.first - reach or first > other.last + reach for other in jumps):
            jumps.append(Jump(first, last, float(best[place])))
    return tuple(jumps)


def step_size(views: Array) -> tuple[float, float, float]:
    """Size of a jump in the middle of four views, and how sure it is.

    Parameters
    ----------
    views : array, shape (4, rows, columns)
        Line integrals of projections as far apart from one another as the two of the jump, which
        are the inner ones; at the end of a scan one of the outer ones may repeat its neighbour.

    Returns
    -------
    rows_px, columns_px : float
        The shift between the inner views less the mean of those beside it.
    confidence : float
        Probability that it is none of noise; 0 if it is smaller than 0.3 px.
    """
    shifts = measure_shifts(
        views[:-1], views[1:], reach_px=(12, 12), fine_px=FINE_PX, remove_static=False
    )
    if shifts[1].confidence < 0.9:
        return 0.0, 0.0, 0.0
    usual = [shift for shift in (shifts[0], shifts[2]) if shift.confidence >= 0.9]
    beside = np.mean([(shift.rows, shift.columns) for shift in usual], axis=0) if usual else 0.0
    moved = np.array([shifts[1].rows, shifts[1].columns]) - beside
    size = float(np.hypot(*moved))
    error = math.sqrt(1.5) * float(np.hypot(*shifts[1].error_px))
    sure = gaussian_confidence(size / max(error, 1e-3), 1)
    return float(moved[0]), float(moved[1]), sure if size >= SMALLEST_STEP_PX else 0.0


def gaussian_confidence(deviations: float, tries: int) -> float:
    """Probability that none of so many normal numbers is as large as half of that.

    Half of the standard deviations that were found: tails of measured numbers are longer.
    """
    return max(0.0, 1.0 - tries * math.erfc(0.5 * deviations / math.sqrt(2)))


def _median_around(values: Float, around: int) -> Float:
    """Median of the values on either side of each, without itself and those next to it."""
    wide = np.pad(values, ((around, around), (0, 0)), mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(wide, 2 * around + 1, axis=0)
    others = np.abs(np.arange(-around, around + 1)) > 1
    median: Float = np.median(windows[..., others], axis=-1)
    return median


def _binomial(array: Array, order: int, axis: int) -> Array:
    """Smoothed by binomial taps, ``order`` shorter."""
    before, after = [slice(None)] * 3, [slice(None)] * 3
    before[axis], after[axis] = slice(None, -1), slice(1, None)
    for _ in range(order):
        array = 0.5 * (array[tuple(before)] + array[tuple(after)])
    return array
