"""How many values were replaced before the logarithm, and why."""

from __future__ import annotations

import threading

from hipct.core.errors import InputError

KINDS = (
    "values",
    "dead",
    "nan",
    "nonpositive",
    "empty_row",
    "zinger",
    "clamped",
    "current_repaired",
)


class PixelCounts:
    """Tally of repaired values; one object may be filled from many threads.

    All numbers count values (pixels of frames), apart from ``current_repaired``, which counts
    frames. They add up over disjoint blocks of angles and rows.

    Attributes
    ----------
    values : int
        Values that passed through the flat field, good and bad.
    dead : int
        Values of detector pixels that do not answer to the beam; interpolated along the row.
    nan : int
        NaN or infinite values of living pixels; interpolated along the row.
    nonpositive : int
        Counts at or below the dark level; interpolated along the row.
    empty_row : int
        Values of rows without one usable pixel; set to transmission 1.
    zinger : int
        Bright outliers replaced by the median of their neighbours.
    clamped : int
        Transmissions raised to the minimum (or NaN set to 1) before the logarithm.
    current_repaired : int
        Frames whose machine current was missing or absurd and was interpolated.

    Examples
    --------
    >>> counts = PixelCounts()
    >>> counts.add(dead=2, values=100)
    >>> counts.merge(counts)
    >>> counts.dead, counts.replaced
    (4, 4)
    """

    def __init__(self) -> None:
        self.values = 0
        self.dead = 0
        self.nan = 0
        self.nonpositive = 0
        self.empty_row = 0
        self.zinger = 0
        self.clamped = 0
        self.current_repaired = 0
        self._lock = threading.Lock()

    @property
    def replaced(self) -> int:
        """Values that differ from what the detector said (zingers and clamping included)."""
        return self.dead + self.nan + self.nonpositive + self.empty_row + self.zinger + self.clamped

    def add(self, **numbers: int) -> None:
        """Add numbers by kind.

        Raises
        ------
        InputError
            If a kind is unknown.
        """
        unknown = set(numbers) - set(KINDS)
        if unknown:
            raise InputError(
                f"PixelCounts has no kind {', '.join(sorted(unknown))}; "
                f"the kinds are {', '.join(KINDS)}."
            )
        with self._lock:
            for kind, number in numbers.items():
                setattr(self, kind, getattr(self, kind) + int(number))

    def merge(self, other: PixelCounts) -> None:
        """Add all numbers of another tally."""
        self.add(**other.as_dict())

    def as_dict(self) -> dict[str, int]:
        """Numbers by kind, for reports and JSON."""
        with self._lock:
            return {kind: getattr(self, kind) for kind in KINDS}

    def __repr__(self) -> str:
        inside = ", ".join(f"{kind}={number}" for kind, number in self.as_dict().items() if number)
        return f"PixelCounts({inside})"
