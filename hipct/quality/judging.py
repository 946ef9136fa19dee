"""A figure from what is known of it: with its light, or with the reason why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from hipct.quality.definitions import DEFINITIONS
from hipct.quality.evidence import Evidence
from hipct.quality.lights import LIMITS, Figure
from hipct.quality.noted import said_of

Judge = Callable[[Evidence], Figure]


def judged(key: str, value: float | None, note: str = "") -> Figure:
    """A figure with its light."""
    title, unit, text = DEFINITIONS[key]
    limits = LIMITS.get(key)
    light = limits.light(value) if limits is not None and value is not None else "grey"
    return Figure(key, title, text, value, unit, light, note)


def without_limits(figure: Figure) -> Figure:
    """The same figure without a light."""
    return replace(figure, light="grey")


def all_judged(judges: Mapping[str, Judge], known: Evidence) -> Iterable[Figure]:
    """All figures; where a fact is damaged, what it decides says so and the others stand."""
    for key, judge in judges.items():
        try:
            figure = judge(known)
        except Exception as error:  # What others have written into a volume breaks as it likes.
            figure = judged(key, None, f"It could not be computed: {said_of(error)}")
        yield figure
