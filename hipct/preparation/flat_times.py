"""Which groups of flats a projection lies between in time, and how much each of them counts."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError
from hipct.preparation.checks import per_frame


class InTime(NamedTuple):
    """Groups of flats before and after each projection, and their weights times its current."""

    before: NDArray[np.intp]
    after: NDArray[np.intp]
    weights: NDArray[np.float32]


def place_in_time(
    times: NDArray[np.float64],
    angles: int,
    projection_index: ArrayLike | None,
    current: ArrayLike | None,
) -> InTime:
    """Place of each projection between the groups of flats.

    Parameters
    ----------
    times : ndarray, shape (groups,)
        Mean frame number of each group, rising.
    angles : int
        Number of projections.
    projection_index : array_like, shape (angles,)
        Their frame numbers; needed where there are two groups or more.
    current : array_like, shape (angles,), or None
        Their machine current.

    Raises
    ------
    InputError
        If the frame numbers are needed and missing, or a shape or value is wrong.
    """
    if projection_index is not None:
        index = per_frame(projection_index, angles, "projection_index", f"the {angles} projections")
    elif len(times) == 1:
        index = np.zeros(angles)
    else:
        raise InputError(
            f"The flats form {len(times)} groups in time; give projection_index, the "
            "frame numbers of the projections, so that the flat can be interpolated."
        )
    # From the two groups alone: which others there are must not change a bit of it.
    before = np.clip(np.searchsorted(times, index, side="right") - 1, 0, len(times) - 1)
    after = np.minimum(before + 1, len(times) - 1)
    span = np.where(after > before, times[after] - times[before], 1)
    share = np.clip((index - times[before]) / span, 0, 1) * (after > before)
    after = np.where(share > 0, after, before)
    weights = np.stack([1 - share, share], axis=1)
    if current is not None:
        weights *= usable_currents(current, angles, "current", "projections")[:, None]
    return InTime(before, after, weights.astype(np.float32))


def usable_currents(values: ArrayLike, count: int, name: str, of: str) -> NDArray[np.float64]:
    """Machine currents as numbers, one above 0 for each frame.

    Raises
    ------
    InputError
        If the shape is wrong or a value is not finite and above 0.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (count,) or not (np.isfinite(numbers) & (numbers > 0)).all():
        wrong = f"has shape {numbers.shape}"
        if numbers.shape == (count,):
            wrong = f"holds {numbers[~(np.isfinite(numbers) & (numbers > 0))][0]}"
        raise InputError(
            f"{name} {wrong}; it needs one value above 0 for each of the {count} {of} "
            "(repair_current fills missing readings)."
        )
    return numbers
