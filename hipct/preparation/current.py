"""Machine current of a scan: gaps and absurd readings filled from the neighbours in time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError
from hipct.preparation.counts import PixelCounts

LOWEST_SHARE = 0.1
"""Readings below this share of the median are absurd.

Beamline scripts reject readings below 20 mA of about 200. Files hold milliampere or ampere, so
the rule is a share and needs no unit.
"""


def repair_current(
    current: ArrayLike | None,
    flat_current: ArrayLike | None = None,
    *,
    projection_index: ArrayLike | None = None,
    flat_index: ArrayLike | None = None,
    counts: PixelCounts | None = None,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Machine current of projections and flats, usable for every frame.

    Readings that are not finite, not above 0, or below a tenth of the median of the good ones,
    are interpolated linearly in time (frame number) between the nearest good ones of both
    projections and flats. Flats without any reading get theirs from the projections. Call it once
    for the whole scan, so that blocks of angles do not depend on their borders.

    Parameters
    ----------
    current : array_like, shape (projections,), or None
        Any unit. ``None``: the scan has no current, and nothing is normalised by it.
    flat_current : array_like, shape (flats,), or None
        The same unit as ``current``.
    projection_index, flat_index : array_like
        Frame numbers in order of acquisition; ``projection_index`` defaults to 0, 1, 2 ...;
        ``flat_index`` is needed with ``flat_current``.
    counts : PixelCounts, optional
        Takes the number of interpolated readings as ``current_repaired``.

    Returns
    -------
    (current, flat_current) : float64 arrays
        ``(None, None)`` where ``current`` is None; ``flat_current`` is None where neither
        ``flat_current`` nor ``flat_index`` tells of flats.

    Raises
    ------
    InputError
        If shapes disagree or no reading is usable.

    Examples
    --------
    >>> repaired, _ = repair_current([200.0, 0.0, 196.0, float("nan"), 3.0, 190.0])
    >>> repaired.tolist()
    [200.0, 198.0, 196.0, 194.0, 192.0, 190.0]
    """
    if current is None:
        return None, None
    readings = _vector(current, "current")
    times = (
        np.arange(len(readings), dtype=np.float64)
        if projection_index is None
        else _vector(projection_index, "projection_index", len(readings))
    )
    flats, flat_times = _flats(flat_current, flat_index)
    together = np.concatenate([readings, flats])
    when = np.concatenate([times, flat_times])
    good = _usable(together)
    if not good.any():
        raise InputError(
            f"None of the {len(together)} machine current readings is above 0; "
            "run without current normalisation or give the current."
        )
    order = np.argsort(when[good], kind="stable")
    filled = np.where(good, together, np.interp(when, when[good][order], together[good][order]))
    if counts is not None:
        counts.add(current_repaired=int((~good).sum()))
    no_flats = flat_current is None and flat_index is None
    return filled[: len(readings)], None if no_flats else filled[len(readings) :]


def _flats(
    flat_current: ArrayLike | None, flat_index: ArrayLike | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if flat_current is None and flat_index is None:
        return np.empty(0), np.empty(0)
    if flat_index is None:
        raise InputError(
            "flat_current was given without flat_index; give the frame numbers of the flats, "
            "so that a missing reading can be filled from its neighbours in time."
        )
    times = _vector(flat_index, "flat_index")
    if flat_current is None:
        return np.full(len(times), np.nan), times
    return _vector(flat_current, "flat_current", len(times)), times


def _usable(readings: NDArray[np.float64]) -> NDArray[np.bool_]:
    positive = np.isfinite(readings) & (readings > 0)
    if positive.any():
        positive &= readings >= LOWEST_SHARE * np.median(readings[positive])
    return positive


def _vector(values: ArrayLike, name: str, length: int | None = None) -> NDArray[Any]:
    vector = np.asarray(values, dtype=np.float64)
    if vector.ndim != 1 or (length is not None and len(vector) != length):
        allowed = "one axis" if length is None else f"shape ({length},)"
        raise InputError(f"{name} has shape {vector.shape}; it needs {allowed}.")
    if name.endswith("index") and not np.isfinite(vector).all():
        raise InputError(f"{name} holds values that are not finite; frame numbers are needed.")
    return vector
