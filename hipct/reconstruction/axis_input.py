"""What the search of the rotation axis takes, checked before it starts."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.errors import InputError
from hipct.reconstruction.axis_pair import typical_step

Acquisition = Literal["full", "half"]
AxisMethod = Literal["auto", "pairs", "sinogram", "overlap"]
Float = NDArray[np.float64]

_METHODS_OF = {"full": ("auto", "pairs", "sinogram"), "half": ("auto", "overlap")}
_CHECKED_SAMPLES = 1 << 17


def checked_views(projections: Array, angles: ArrayLike) -> tuple[NDArray[Any], Float]:
    """Projections on the host (float, any precision) and angles (float64), or InputError."""
    if projections.ndim != 3 or projections.shape[2] < 32 or projections.shape[1] < 1:
        raise InputError(
            f"projections has the shape {projections.shape}; (angles, rows, columns) with at "
            "least 1 row and 32 columns is needed."
        )
    on_host: NDArray[Any] = projections
    if namespace(projections) is not np:
        on_host = projections.get()
    radians = np.asarray(angles, dtype=np.float64)
    if radians.shape != (len(on_host),):
        raise InputError(
            f"angles has the shape {radians.shape}; one angle for each of the {len(on_host)} "
            "projections is needed."
        )
    if len(on_host) < 2:
        raise InputError(
            f"There is {len(on_host)} projection; the axis needs at least 2, 180 degrees apart."
        )
    views = on_host if on_host.dtype.kind == "f" else on_host.astype(np.float32)
    for name, array in (("angles", radians), ("projections", views)):
        # Some views at a time: what tells of them stays in the cache.
        some = max(1, _CHECKED_SAMPLES * len(array) // array.size)
        if not all(np.isfinite(array[k : k + some]).all() for k in range(0, len(array), some)):
            raise InputError(
                f"{name} holds {int(np.sum(~np.isfinite(array)))} NaN or infinite values; "
                "repair them before the axis is searched."
            )
    extent = float(radians.max() - radians.min())
    step = typical_step(np.sort(radians)) if len(radians) > 2 else 0.0
    if extent + step < np.pi - 0.02:
        raise InputError(
            f"The angles cover {math.degrees(extent + step):.2f} degrees; the axis needs 180 or "
            "more (angles are given in radians)."
        )
    return views, radians


def check_options(
    columns: int,
    acquisition: str,
    method: str,
    *,
    hint: float | None,
    search: float | None,
    min_overlap: int | None,
) -> None:
    """Raise InputError unless the options of the search fit each other and the detector."""
    if acquisition not in get_args(Acquisition):
        raise InputError(f"acquisition is {acquisition!r}; it has to be 'full' or 'half'.")
    if method not in _METHODS_OF[acquisition]:
        raise InputError(
            f"method is {method!r}; a {acquisition} acquisition has "
            f"{', '.join(_METHODS_OF[acquisition])}."
        )
    if hint is not None and not 0 <= hint <= columns - 1:
        raise InputError(
            f"The axis is expected at column {hint}, off the detector (0 to {columns - 1}); no "
            "column sees both sides there: give a hint on the detector, or the axis itself."
        )
    if search is not None and not (math.isfinite(search) and search > 0):
        raise InputError(f"search is {search}; it has to be a number of columns above 0.")
    if search is not None and hint is None:
        raise InputError(f"search is {search} columns around a hint, but no hint was given.")
    if min_overlap is not None and not 8 <= min_overlap <= columns:
        raise InputError(f"min_overlap is {min_overlap}; it has to lie between 8 and {columns}.")
