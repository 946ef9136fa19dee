"""Levels of the sub-scans of a series, matched where they overlap.

What differs between sub-scans is first of all the flat field: the beam, the scintillator or the
optics are brighter or darker by a factor than the flats say. In the logarithm a factor becomes a
constant: it adds the same to *all* line integrals of a row, those through air included, and where
the error grows along the detector's rows, the constant does. So levels are matched in line
integrals, before the reconstruction: by an offset, and its slope along z. (In slices the same
error is no constant but a bowl, ``1 / sqrt(R^2 - r^2)`` with zero padding, or almost nothing with
edge padding, which a level and a slope of grey values cannot mend.) A gain of the line integrals,
the other thing that can differ, needs another spectrum: it is fitted on demand.

Both sub-scans see the same rows of the sample, so the means of their line integrals over the same
angles, (rows, columns) and gathered in one pass, have to agree there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.reconstruction.stitching_fit import Float, robust_solve
from hipct.reconstruction.stitching_weights import HALO_ROWS, resample_rows

FEWEST_ROWS = 8
"""Rows in common, at least, from which a level and its slope are told."""

GAIN_COLUMNS = 8
"""Columns that are averaged before gains are compared: noise and fixed patterns of the detector,
which differ from row to row, are finer than the sample, and would count as a gain."""

_SMALLEST_ERROR = 1e-6


@dataclass(frozen=True)
class LevelStep:
    """From the lower to the upper one of two neighbours, in their common rows.

    ``upper = gain * lower + offset + slope * (row - middle)`` for the line integrals.

    Attributes
    ----------
    gain : float
    offset : float
        In the middle of the common rows.
    slope : float
        Per row.
    gain_error, offset_error, slope_error : float
        Standard errors; that of the gain is 0 where none was fitted.
    lower_row, upper_row : float
        The middle of the common rows in detector rows of either sub-scan.
    mean : float
        Of the line integrals of the lower one in the common rows: where a gain other than this one
        is taken, the offset changes by as much as it makes of the mean.
    """

    gain: float
    offset: float
    slope: float
    gain_error: float
    offset_error: float
    slope_error: float
    lower_row: float
    upper_row: float
    mean: float = 0.0


@dataclass(frozen=True, eq=False)
class SeriesLevels:
    """What the line integrals of each sub-scan are off by.

    ``measured = gain * true + offset + slope * (row - (rows - 1) / 2)``; over the series the
    gains have the geometric mean 1, offsets and slopes the mean 0.

    Attributes
    ----------
    gain, offset, slope : ndarray of float64, (sub-scans,)
        The slope is per detector row.
    rows : int
        Rows of the detector.
    """

    gain: Float
    offset: Float
    slope: Float
    rows: int

    def correct(
        self, line_integrals: Array, sub_scan: int, first_row: float, *, axis: int
    ) -> Array:
        """Bring line integrals of a sub-scan to the level of the series, in place.

        Parameters
        ----------
        line_integrals : array, float32 or float64
            With detector rows along ``axis``: 1 for projections, 0 for sinograms.
        sub_scan : int
        first_row : float
            Detector row of the first one.
        axis : int

        Returns
        -------
        array
            ``line_integrals``.
        """
        xp = namespace(line_integrals)
        row = first_row + np.arange(line_integrals.shape[axis]) - (self.rows - 1) / 2
        off = self.offset[sub_scan] + self.slope[sub_scan] * row
        shape = [1] * line_integrals.ndim
        shape[axis] = -1
        line_integrals -= xp.asarray(off.astype(line_integrals.dtype).reshape(shape))
        if self.gain[sub_scan] != 1.0:
            line_integrals *= line_integrals.dtype.type(1 / self.gain[sub_scan])
        return line_integrals


def measure_level(
    lower: Array,
    upper: Array,
    *,
    shift_px: tuple[float, float],
    margin_px: int = 0,
    fit_gain: bool = False,
) -> LevelStep:
    """Compare the levels of two neighbours where they see the same.

    Parameters
    ----------
    lower, upper : array, shape (rows, columns), float32 or float64
        Means of the line integrals of both sub-scans over the same angles, all rows of the
        detector; finite. NumPy or CuPy.
    shift_px : tuple of float
        What lies at (row, column) of ``lower`` lies at (row + shift_px[0], column + shift_px[1])
        of ``upper``: the difference of their offsets with the sign changed, and that of their
        axes.
    margin_px : int
        Rows at either end of both that do not count.
    fit_gain : bool
        Fit a gain as well; it is told by what varies along the columns, and is that of the
        reduced major axis, which noise on both sides leaves alone.

    Returns
    -------
    LevelStep

    Raises
    ------
    InputError
        If less than 8 rows or columns are common, or values are not finite.
    """
    xp = namespace(lower, upper)
    if lower.ndim != 2 or lower.shape != upper.shape:
        raise InputError(
            f"The mean line integrals have the shapes {lower.shape} and {upper.shape}; give "
            "(rows, columns), the same for both."
        )
    dtype = np.float64 if lower.dtype == np.float64 else np.float32
    lower, upper = lower.astype(dtype, copy=False), upper.astype(dtype, copy=False)
    lower, upper, first = _aligned(lower, upper, shift_px[0], 0, margin_px)
    lower, upper, _ = _aligned(lower, upper, shift_px[1], 1, 0)
    means = [part.mean(axis=1, dtype=np.float64) for part in (lower, upper)]
    gain, lack = xp.ones((), np.float64), xp.zeros((), np.float64)
    if fit_gain:
        below, above = (
            _by_blocks(part - mean[:, None]).astype(np.float64)
            for part, mean in zip((lower, upper), means)
        )
        product, squares = (below * above).sum(), ((below**2).sum(), (above**2).sum())
        gain = xp.sign(product) * xp.sqrt(squares[1] / squares[0])
        lack = 1 - product**2 / (squares[0] * squares[1])
    scalars = [gain.reshape(1), lack.reshape(1)]
    flat = xp.concatenate([*scalars, means[0].mean().reshape(1), means[1] - gain * means[0]])
    values = flat if xp is np else flat.get()
    if not np.isfinite(values).all() or values[0] <= 0:
        raise InputError(
            "The line integrals of neighbouring sub-scans hold values that are not finite, or do "
            "not resemble each other; repair them, or look at their positions."
        )
    count = values.size - 3
    middle = first + (count - 1) / 2
    centred = np.arange(count) - (count - 1) / 2
    design = np.column_stack([np.ones(count), centred])
    offset, slope, errors = _line(design, values[3:])
    return LevelStep(
        gain=float(values[0]),
        offset=offset,
        slope=slope,
        # A row is taken for one independent sample.
        gain_error=2 * float(values[0] * np.sqrt(max(values[1], 0.0) / count)),
        offset_error=errors[0],
        slope_error=errors[1],
        lower_row=middle,
        upper_row=middle + shift_px[0],
        mean=float(values[2]),
    )


def match_levels(
    steps: Sequence[LevelStep | None],
    rows: int,
    *,
    slopes: bool = True,
    typical_error: float = 0.05,
) -> SeriesLevels:
    """Levels of a series from the steps between neighbours.

    All steps are adjusted at once by least squares. They cannot tell a constant from the organ, nor
    a ramp over the whole of it, to which sub-scans with the same slope add up: so the offsets and
    the slopes have the mean 0, and a trend of levels with time counts as one of offsets. A weak
    prior on every gain, offset and slope keeps the errors of many steps from adding up to a drift;
    that of the gains is as narrow as the steps, beyond their errors, say that gains differ: those
    of sub-scans that do not differ are 1.

    Parameters
    ----------
    steps : sequence of length sub-scans - 1
        Of each pair of neighbours; ``None`` where they were not compared.
    rows : int
        Rows of the detector.
    slopes : bool
        Match slopes as well; else offsets alone.
    typical_error : float
        How far off levels are as a rule, at the ends of a sub-scan, in line integrals (0.05: flats
        wrong by 5 %).

    Returns
    -------
    SeriesLevels

    Raises
    ------
    InputError
        If a number is out of range.
    """
    if rows < 2 or not 0 < typical_error < np.inf:
        raise InputError(
            f"rows is {rows} and typical_error {typical_error}; give 2 rows or more and an error "
            "above 0."
        )
    count = len(steps) + 1
    gain = _gains(steps, typical_error)
    half = (rows - 1) / 2
    means = np.zeros((2, 2 * count))
    means[0, :count] = means[1, count:] = 1 / (count * _SMALLEST_ERROR)
    equations: list[Float] = [np.eye(2 * count) / typical_error, means]
    values: list[Float] = [np.zeros(2 * count + 2)]
    for k, step in enumerate(steps):
        if step is None:
            continue
        # Unknowns are offsets and slopes times half the height.
        ratio = gain[k + 1] / gain[k]
        level, slope = np.zeros(2 * count), np.zeros(2 * count)
        level[[k, k + 1]] = -ratio, 1.0
        level[count + k] = -ratio * (step.lower_row - half) / half
        level[count + k + 1] = (step.upper_row - half) / half
        slope[[count + k, count + k + 1]] = -ratio, 1.0
        level_error = max(step.offset_error, _SMALLEST_ERROR)
        equations.append(level[None] / level_error)
        offset = step.offset + (step.gain - ratio) * step.mean
        values.append(np.array([offset / level_error]))
        if slopes:
            error = max(step.slope_error * half, _SMALLEST_ERROR)
            equations.append(slope[None] / error)
            values.append(np.array([step.slope * half / error]))
    design, target = np.concatenate(equations), np.concatenate(values)
    if not slopes:
        design = design[:, :count]
    solution = np.asarray(np.linalg.lstsq(design, target, rcond=None)[0], np.float64)
    slope_values = solution[count:] / half if slopes else np.zeros(count)
    return SeriesLevels(gain, solution[:count], slope_values, rows)


def _gains(steps: Sequence[LevelStep | None], typical_error: float) -> Float:
    count = len(steps) + 1
    known = [(k, step) for k, step in enumerate(steps) if step is not None]
    logs = np.array([np.log(step.gain) for _, step in known])
    errors = np.array([max(step.gain_error / step.gain, _SMALLEST_ERROR) for _, step in known])
    # The variance of the gains, by what a step, a difference of two, has beyond its error.
    variance = float(np.mean(logs**2 - errors**2)) / 2 if known else 0.0
    if variance <= 0:
        return np.ones(count)
    rows = [np.eye(count) / min(np.sqrt(variance), typical_error)]
    values = [np.zeros(count)]
    for (k, _), log, error in zip(known, logs, errors):
        difference = np.zeros((1, count))
        difference[0, [k, k + 1]] = -1 / error, 1 / error
        rows.append(difference)
        values.append(np.array([log / error]))
    found = np.linalg.lstsq(np.concatenate(rows), np.concatenate(values), rcond=None)[0]
    gains: Float = np.exp(found - found.mean())
    return gains


def _by_blocks(values: Array) -> Array:
    """Means over blocks of columns, (rows, blocks); columns that are left over do not count."""
    rows, columns = values.shape
    width = max(1, min(GAIN_COLUMNS, columns // FEWEST_ROWS))
    blocks = columns // width
    return values[:, : blocks * width].reshape(rows, blocks, width).mean(axis=2)


def _aligned(
    lower: Array, upper: Array, shift: float, axis: int, margin: int
) -> tuple[Array, Array, int]:
    """What both see along an axis, the upper one moved to the samples of the lower one.

    Also which of the lower one's samples is the first.
    """
    size = lower.shape[axis]
    before, after = HALO_ROWS
    whole = int(np.floor(shift))
    fraction = shift - whole
    first = max(margin, margin - whole + before)
    last = min(size - margin, size - margin - whole - after)
    if last - first < FEWEST_ROWS:
        raise InputError(
            f"Neighbouring sub-scans have {max(last - first, 0)} {('rows', 'columns')[axis]} in "
            f"common that can be compared, at a shift of {shift:.1f}; at least {FEWEST_ROWS} are "
            "needed."
        )
    cut: list[slice] = [slice(None)] * 2
    cut[axis] = slice(first, last)
    lower = lower[tuple(cut)]
    cut[axis] = slice(first + whole - before, last + whole + after)
    return lower, resample_rows(upper[tuple(cut)], fraction, axis=axis), first


def _line(design: Float, values: Float) -> tuple[float, float, tuple[float, float]]:
    """Level and slope of values, robustly, with errors from how they scatter."""
    scale = 1.0
    everywhere: NDArray[np.bool_] = np.ones(len(values), bool)
    for _ in range(2):
        solution = robust_solve(design / scale, values / scale, everywhere)
        spread = 1.4826 * float(np.median(np.abs(solution.residuals))) * scale
        scale = max(spread, 1e-12)
    # Neighbouring rows are not independent: what is not alike reaches over some of them.
    errors = 2 * np.sqrt(np.diagonal(solution.covariance))
    offset, slope = (float(value) for value in solution.values)
    return offset, slope, (float(errors[0]), float(errors[1]))
