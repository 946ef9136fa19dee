"""The rotation axis, found from projections."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array
from hipct.core.errors import InputError
from hipct.reconstruction.axis_compare import Estimate
from hipct.reconstruction.axis_input import (
    Acquisition,
    AxisMethod,
    Float,
    check_options,
    checked_views,
)
from hipct.reconstruction.axis_overlap import MirrorPeak, search_mirror
from hipct.reconstruction.axis_pair import Pairs, Reals, fine_part, mean_view, opposite_pairs
from hipct.reconstruction.axis_refine import refine_pairs
from hipct.reconstruction.axis_sinogram import half_turns, wedge_minimum

_MOST_LINES = 2048
_MOST_SAMPLES = 2048 * 2048
_STRIP_MARGIN_PX = 16
_LEAST_OVERLAP_PX = 32
_SURE = 0.5
_AS_GOOD = 0.8


@dataclass(frozen=True, kw_only=True)
class AxisCandidate:
    """What one method, or one part of the rows, says.

    Attributes
    ----------
    method : str
        ``"pairs"``, ``"sinogram"``, ``"overlap"``, with the part of the rows where not all.
    value : float
        Axis in columns.
    uncertainty_px : float
        Its standard error.
    """

    method: str
    value: float
    uncertainty_px: float


@dataclass(frozen=True, kw_only=True)
class AxisEstimate:
    """A rotation axis and how far to trust it.

    Attributes
    ----------
    value : float
        Axis in detector columns, pixel centres at integers.
    method : str
        Method whose value this is: of several the one with the smallest uncertainty.
    confidence : float
        0 to 1, the product of: how far the evidence of the mirror (see
        :func:`hipct.reconstruction.axis_overlap.mirror_peak`) stands above its next best peak
        and above chance; ``1 / (1 + (2 uncertainty_px)^2)``; and, where two methods ran,
        ``1 / (1 + (their difference / (0.5 px + twice its standard error))^2)``. Below 0.5 the
        notes say so and the value has to be looked at.
    uncertainty_px : float
        Standard error in pixels, estimated from the residuals by columns and by views (see
        :func:`hipct.reconstruction.axis_refine.refine_axis`).
    candidates : tuple of AxisCandidate
        All methods' values, and those of the upper and lower half of the rows.
    notes : tuple of str
        Sentences for a person: doubts, disagreement, tilt, a hint that was not followed.
    """

    value: float
    method: str
    confidence: float
    uncertainty_px: float
    candidates: tuple[AxisCandidate, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Scan:
    """Views and angles, of which the search sees a part and the refinement as much as it can."""

    views: NDArray[Any]
    radians: Float

    @cached_property
    def mean(self) -> Reals:
        """Mean over all views."""
        return mean_view(self.views)

    def sample(self) -> list[Pairs]:
        """Pairs for the search: all columns, some lines."""
        pairs = _search_pairs(self.views.shape[1])
        return opposite_pairs(self.views, self.radians, pairs, lambda: self.mean)

    def strip(self, axis: float, sample: list[Pairs]) -> _Strip:
        """Pairs for the refinement: the columns that both see, and the more lines for it.

        Photon noise decides how well the axis is known, so that every line counts. Where the
        sample has them all, it is that.
        """
        _, rows, columns = self.views.shape
        if len(sample[0].views) < _search_pairs(rows):
            return _Strip(sample, 0)
        reach = min(axis, columns - 1 - axis) + _STRIP_MARGIN_PX
        first, last = max(0, math.floor(axis - reach)), min(columns, math.ceil(axis + reach) + 1)
        pairs = max(1, _MOST_SAMPLES // (rows * (last - first)))
        inside = slice(first, last)
        some = opposite_pairs(
            self.views[:, :, inside], self.radians, pairs, lambda: self.mean[:, inside]
        )
        return _Strip(some, first)


def _search_pairs(rows: int) -> int:
    """Most pairs that the search looks at."""
    return max(1, _MOST_LINES // rows)


@dataclass(frozen=True)
class _Strip:
    """Pairs in a range of columns, which begins at ``first``."""

    sets: list[Pairs]
    first: int


@dataclass(frozen=True)
class _Mirror:
    """Result of the mirror search: its peak, the refined value and those of halves of the rows."""

    peak: MirrorPeak
    value: float
    uncertainty: float
    halves: list[Estimate]
    clarity: float


def find_axis(
    projections: Array,
    angles: ArrayLike,
    *,
    acquisition: Acquisition = "full",
    method: AxisMethod = "auto",
    hint: float | None = None,
    search: float | None = None,
    min_overlap: int | None = None,
) -> AxisEstimate:
    """Find the rotation axis of a scan.

    Parameters
    ----------
    projections : ndarray, (angles, rows, columns)
        Line integrals or transmission (any function of the transmission that grows or falls
        throughout will do) of one or some rows; more rows, less noise. The rows must be flat
        field corrected and finite. The search runs on the host; CuPy arrays are copied.
    angles : array_like, (angles,)
        Radians, in any order, even or not, of any range from 180 degrees (the end angle may be
        left out); beyond 360 degrees they wrap.
    acquisition : {"full", "half"}
        Full: the axis lies in the middle half of the columns. Half: anywhere, of a scan of more
        than 180, usually 360 degrees, as long as ``min_overlap`` columns are seen from both
        sides.
    method : {"auto", "pairs", "sinogram", "overlap"}
        Full scans: ``"pairs"`` mirrors views onto their opposites, ``"sinogram"`` empties the
        outside of the double wedge in the spectrum of the sinogram; ``"auto"`` does both and
        lets their agreement speak for the confidence. Half-acquisition: ``"overlap"`` (=
        ``"auto"``).
    hint : float, optional
        Expected axis in columns, e.g. from the motors.
    search : float, optional
        How far from the hint to look, in columns: a limit. Without it the hint is only
        preferred (within 5 % of the columns, at least 16), and left where another place mirrors
        clearly better. The notes say so either way.
    min_overlap : int, optional
        Fewest columns seen from both sides; default half of the columns (full), 32 (half).

    Returns
    -------
    AxisEstimate

    Raises
    ------
    InputError
        For fewer than 2 views, less than 180 degrees, no opposite views, NaN, shapes that do not
        fit, a hint off the detector, or an unknown method.

    Notes
    -----
    Static stripes (rings) are the same in all views and would pull the axis; they are removed
    through the mean over opposite views, or enter the noise model of the sinogram method. Both
    ends of the detector are kept out of every comparison, so that a truncated object does not
    pull the axis to the middle.

    Examples
    --------
    >>> import numpy as np
    >>> angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    >>> columns = np.arange(128)
    >>> place = 60.3 + 25 * np.cos(angles - 0.4)[:, None]
    >>> projections = np.exp(-((columns - place) ** 2) / 50)[:, None, :]
    >>> round(find_axis(projections, angles).value, 2)
    60.3
    """
    views, radians = checked_views(projections, angles)
    check_options(
        views.shape[2], acquisition, method, hint=hint, search=search, min_overlap=min_overlap
    )
    columns = views.shape[2]
    scan = _Scan(views, radians)
    sets = scan.sample()
    if not sets:
        raise InputError(
            f"No two of the {len(views)} views lie 180 degrees apart; the axis needs opposite "
            "views (check that the angles are in radians)."
        )
    if min_overlap is None:
        min_overlap = columns // 2 if acquisition == "full" else _LEAST_OVERLAP_PX
    notes: list[str] = []
    mirror = _search(scan, sets, hint=hint, search=search, min_overlap=min_overlap, notes=notes)
    if mirror is None:
        raise InputError(
            f"No axis can be tried: {columns} columns with an overlap of {min_overlap} or more"
            f"{'' if hint is None else f' around {hint:g}'} leave no position, or the rows hold "
            "nothing; give other rows, a smaller min_overlap or the axis itself."
        )
    name = "pairs" if acquisition == "full" else "overlap"
    candidates = [AxisCandidate(method=name, value=mirror.value, uncertainty_px=mirror.uncertainty)]
    chosen = candidates[0]
    confidence = mirror.clarity
    if acquisition == "full" and method != "pairs":
        wedge = _sinogram_candidate(scan, mirror.value)
        if wedge is None:
            if method == "sinogram":
                raise InputError(
                    f"The sinogram method found no axis in {len(views)} views; it needs at least "
                    "16 views in 180 degrees and something in them: use method='pairs'."
                )
            notes.append("The sinogram method could not be used, so that no second method agrees.")
        else:
            candidates.append(wedge)
            chosen = wedge if method == "sinogram" else min(candidates, key=_uncertainty)
            confidence *= _agreement(candidates[0], wedge, notes)
    confidence /= 1 + (2 * chosen.uncertainty_px) ** 2
    _compare_rows(mirror.halves, name, candidates, notes)
    if confidence < _SURE:
        notes.append(
            f"The confidence is low ({confidence:.2f}): look at slices around "
            f"{chosen.value:.2f} before you trust this axis."
        )
    return AxisEstimate(
        value=float(chosen.value),
        method=chosen.method,
        confidence=float(confidence),
        uncertainty_px=float(chosen.uncertainty_px),
        candidates=tuple(candidates),
        notes=tuple(notes),
    )


def _search(
    scan: _Scan,
    sets: list[Pairs],
    *,
    hint: float | None,
    search: float | None,
    min_overlap: int,
    notes: list[str],
) -> _Mirror | None:
    """Mirror correlation near the hint; elsewhere only if that is clearly better and allowed."""
    columns = scan.views.shape[2]
    anywhere = _mirror(scan, sets, 0.0, columns - 1.0, min_overlap)
    if hint is None:
        return anywhere
    width = search if search is not None else max(16.0, 0.05 * columns)
    near = _mirror(scan, sets, hint - width, hint + width, min(min_overlap, _LEAST_OVERLAP_PX))
    if anywhere is None or abs(anywhere.value - hint) <= width:
        return near or anywhere
    if near is not None:
        as_good = near.peak.evidence > _AS_GOOD * anywhere.peak.evidence
        as_good = as_good and not near.peak.at_border
        if as_good or search is not None:
            notes.append(
                f"Only columns within {width:g} of {hint:g} were searched, but "
                f"{anywhere.value:.2f} mirrors {'about as well' if as_good else 'better'}."
            )
            return near
    if near is None and search is not None:
        return None
    notes.append(
        f"The hint {hint:g} was not followed: within {width:g} columns of it nothing mirrors "
        f"as well as {anywhere.value:.2f} does."
    )
    return anywhere


def _mirror(
    scan: _Scan, sets: list[Pairs], low: float, high: float, min_overlap: int
) -> _Mirror | None:
    peak = search_mirror(sets[0], low, high, min_overlap)
    if peak is None:
        return None
    (value, uncertainty), *halves = _refined(scan.strip(peak.value, sets), peak.value)
    if not math.isfinite(uncertainty) or abs(value - peak.value) > 3.0 + peak.doubt_px:
        value, uncertainty = peak.value, 1.0
    distinct = (peak.evidence - peak.runner_up) / max(peak.evidence, 1e-12)
    clarity = min(1.0, max(0.0, distinct / 0.3)) * min(1.0, max(0.0, peak.significance / 5))
    return _Mirror(peak, value, uncertainty, halves, 0.2 * clarity if peak.at_border else clarity)


def _refined(strip: _Strip, start: float) -> list[Estimate]:
    """Sub-pixel axis of all rows and of their halves.

    Extrapolated to half a turn where the pairs miss a part of it.
    """
    found = []
    begin = start - strip.first
    for pairs in strip.sets:
        found.append(refine_pairs(pairs, begin))
    if len(found) == 1:
        return [(strip.first + value, error) for value, error in found[0]]
    near, far = (pairs.error_rad for pairs in strip.sets)
    factor = near / (far - near)
    return [
        (
            strip.first + one - factor * (two - one),
            math.hypot((1 + factor) * one_error, factor * two_error),
        )
        for (one, one_error), (two, two_error) in zip(*found)
    ]


def _sinogram_candidate(scan: _Scan, start: float) -> AxisCandidate | None:
    stripes = fine_part(scan.mean)
    reach = max(8.0, 0.02 * scan.views.shape[2])
    found = [
        wedge_minimum(scan.views, turn, start, (start - reach, start + reach), stripes)
        for turn in half_turns(scan.radians)
    ]
    sure = [one for one in found if one and not one.at_border and math.isfinite(one.uncertainty)]
    if not sure:
        return None
    weights = np.array([1 / max(one.uncertainty, 1e-6) ** 2 for one in sure])
    value = float(np.dot(weights, [one.value for one in sure]) / weights.sum())
    return AxisCandidate(
        method="sinogram", value=value, uncertainty_px=float(weights.sum() ** -0.5)
    )


def _agreement(one: AxisCandidate, other: AxisCandidate, notes: list[str]) -> float:
    difference = abs(one.value - other.value)
    error = math.hypot(one.uncertainty_px, other.uncertainty_px)
    if difference > 1.0 + 2 * error:
        notes.append(
            f"Two methods disagree: {one.method} {one.value:.2f}, {other.method} {other.value:.2f}."
        )
    return 1 / (1 + (difference / (0.5 + 2 * error)) ** 2)


def _compare_rows(
    estimates: list[Estimate], name: str, candidates: list[AxisCandidate], notes: list[str]
) -> None:
    """Add the values of the upper and the lower half of the rows, and say if they differ."""
    halves = [
        AxisCandidate(method=f"{name}, {label} rows", value=value, uncertainty_px=error)
        for (value, error), label in zip(estimates, ("upper", "lower"))
        if math.isfinite(error)
    ]
    candidates.extend(halves)
    if len(halves) == 2:
        difference = halves[1].value - halves[0].value
        error = math.hypot(halves[0].uncertainty_px, halves[1].uncertainty_px)
        if abs(difference) > 0.5 + 3 * error:
            notes.append(
                f"Upper and lower rows differ by {difference:.2f} columns: the axis is tilted, "
                "or one of the halves holds too little."
            )


def _uncertainty(candidate: AxisCandidate) -> float:
    return candidate.uncertainty_px
