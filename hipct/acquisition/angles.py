"""Rotation angles that the user gives where the files hold none, and their checks."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.core.errors import InputError, MissingMetadata

HOW_TO_GIVE_ANGLES = (
    "give them with --angles start:stop[:exclusive] in degrees (Python: angles=, an array in "
    "radians or such a text)"
)


def parse_angles(text: str, count: int) -> NDArray[np.float64]:
    """Angles from ``start:stop`` or ``start:stop:exclusive``, in degrees.

    Parameters
    ----------
    text : str
        First and last angle in degrees; with ``:exclusive`` the last one is one step short of
        ``stop``. Either order, any range.
    count : int
        Number of projections.

    Returns
    -------
    numpy.ndarray
        (count,) float64, radians.

    Raises
    ------
    InputError
        If the text does not read so.

    Examples
    --------
    >>> np.degrees(parse_angles("0:180:exclusive", 4)).round(9).tolist()
    [0.0, 45.0, 90.0, 135.0]
    >>> np.degrees(parse_angles("360:0", 3)).round(9).tolist()
    [360.0, 180.0, 0.0]
    """
    parts = [part.strip() for part in text.split(":")]
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2] != "exclusive"):
        raise InputError(
            f"The angles {text!r} are not start:stop or start:stop:exclusive in degrees, "
            "for example 0:180:exclusive or 0:360."
        )
    try:
        start, stop = float(parts[0]), float(parts[1])
    except ValueError as error:
        raise InputError(
            f"The angles {text!r} do not start with two numbers (degrees), for example 0:360."
        ) from error
    if not (np.isfinite(start) and np.isfinite(stop) and start != stop):
        raise InputError(
            f"The angles {text!r} have to be two different finite numbers (degrees), for example "
            "0:360."
        )
    return np.radians(np.linspace(start, stop, count, endpoint=len(parts) == 2))


def given_angles(angles: ArrayLike | str | None, count: int) -> NDArray[np.float64] | None:
    """Angles as the caller gave them, in radians; ``None`` if none were given.

    Raises
    ------
    InputError
        If their number is not ``count``, or one is not finite.
    """
    if angles is None:
        return None
    if isinstance(angles, str):
        return parse_angles(angles, count)
    try:
        values = np.asarray(angles, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"The angles given are not numbers ({error}).") from error
    if values.shape != (count,):
        raise InputError(
            f"{values.size} angles of shape {values.shape} were given for {count} projections; "
            f"give one angle a projection."
        )
    if not np.isfinite(values).all():
        raise InputError(
            f"The angle given for projection {int(np.argmin(np.isfinite(values)))} is not a "
            "finite number."
        )
    return values


def no_angles(source: str, count: int, looked_for: str) -> MissingMetadata:
    """The error for a scan without angles."""
    return MissingMetadata(
        f"{source} holds no rotation angles ({looked_for}) for its {count} projections, and "
        f"hipct does not assume any; {HOW_TO_GIVE_ANGLES}."
    )
