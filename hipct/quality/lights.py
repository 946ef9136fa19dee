"""Figures with a light: green, yellow or red by documented limits, grey where it cannot be told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

Light = Literal["green", "yellow", "red", "grey"]

ORDER: tuple[Light, ...] = ("red", "yellow", "green", "grey")
"""From the worst."""


@dataclass(frozen=True)
class Limits:
    """Where a light changes; a value that meets a limit has the better light.

    Attributes
    ----------
    green, yellow : float
        Worst value of either light; what is worse is red.
    """

    green: float
    yellow: float

    @property
    def more_is_better(self) -> bool:
        """Whether larger values are better."""
        return self.green > self.yellow

    def light(self, value: float) -> Light:
        """The light of a value; red where it is no number.

        Examples
        --------
        >>> Limits(0.5, 1.5).light(0.5), Limits(0.5, 1.5).light(2), Limits(3, 1).light(2)
        ('green', 'red', 'yellow')
        """
        sign = 1 if self.more_is_better else -1
        if sign * value >= sign * self.green:
            return "green"
        return "yellow" if sign * value >= sign * self.yellow else "red"

    def sentence(self, unit: str) -> str:
        """The limits in words."""
        than = "least" if self.more_is_better else "most"
        unit = f" {unit}" if unit else ""
        return (
            f"green: at {than} {self.green:g}{unit}; yellow: at {than} {self.yellow:g}{unit}; "
            "red: beyond"
        )


LIMITS = {
    "axis_confidence": Limits(0.7, 0.5),
    "axis_error": Limits(0.5, 1.5),
    "axis_drift": Limits(0.5, 1.5),
    "placing": Limits(0.5, 1.5),
    "seam": Limits(1.2, 1.6),
    "sampling": Limits(0.33, 0.16),
    "missing": Limits(0.0, 1.0),
    "repaired": Limits(0.5, 2.0),
    "saturated": Limits(0.01, 1.0),
    "motion": Limits(0.3, 1.0),
    "bubbles": Limits(0.0, 1.0),
    "clipped": Limits(0.5, 2.0),
    "rings": Limits(0.5, 0.7),
    "cnr": Limits(5.0, 2.0),
    "snr": Limits(3.0, 1.0),
    "resolution": Limits(6.0, 12.0),
    "halo": Limits(0.25, 0.5),
    "fresnel": Limits(6.0, 36.0),
}
"""By the key of the figure, in its unit. docs/report.md says why they are there."""


@dataclass(frozen=True)
class Figure:
    """One figure of a report.

    Attributes
    ----------
    key : str
        Stable, for programs.
    title, definition : str
        For people.
    value : float or None
        ``None`` where it could not be computed.
    unit : str
    light : Light
        Grey where there is no value or there are no limits.
    note : str
        What is to be said of the value, or why there is none.
    """

    key: str
    title: str
    definition: str
    value: float | None
    unit: str
    light: Light
    note: str = ""

    @property
    def limits(self) -> str:
        """Where its light changes, in words; empty without limits."""
        return LIMITS[self.key].sentence(self.unit) if self.key in LIMITS else ""

    @property
    def shown(self) -> str:
        """Value and unit."""
        if self.value is None:
            return "not known"
        return f"{number(self.value)} {self.unit}".strip()

    def as_dict(self) -> dict[str, Any]:
        """As JSON values; a number that is not finite is null, and the note says so."""
        known = self.value is not None and math.isfinite(self.value)
        limits = LIMITS.get(self.key)
        return {
            "key": self.key,
            "title": self.title,
            "value": self.value if known else None,
            "unit": self.unit,
            "light": self.light,
            "limits": None if limits is None else {"green": limits.green, "yellow": limits.yellow},
            "definition": self.definition,
            "note": self.note,
        }


def number(value: float) -> str:
    """A number with three figures.

    Examples
    --------
    >>> number(0.01234), number(1234.5), number(2.0), number(float("inf"))
    ('0.0123', '1234', '2', 'infinite')
    """
    if math.isinf(value):
        return "infinite"
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


def worst(lights: list[Light]) -> Light:
    """The worst of some lights; grey of none."""
    return min(lights, key=ORDER.index, default="grey")
