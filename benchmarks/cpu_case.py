"""What is compared at one size of one stage, and how it stands against its floor and its aim."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from benchmarks.common import Timing, measure
from benchmarks.peers import PeerMissing

Row = dict[str, object]


@dataclass(frozen=True)
class Result:
    """Of one contender: milliseconds of an item, spread of its rounds, error (None: not judged)."""

    ms: float
    spread: float
    error: float | None


Results = Mapping[str, Result]


@dataclass(frozen=True)
class Bar:
    """A condition on one contender; ``value`` says what it reached and is compared with ``bound``.

    None where the peers that it needs are absent.
    """

    text: str
    value: Callable[[Result, Results], float | None]
    bound: float
    most: bool
    """Whether the value may be at most the bound, or has to be at least it."""

    def judged(self, own: Result, results: Results) -> tuple[float, bool] | None:
        """What was reached, and whether it is enough."""
        value = self.value(own, results)
        if value is None:
            return None
        compare = operator.le if self.most else operator.ge
        return value, compare(value, self.bound)


def times_as_fast(factor: float, *peers: str) -> Bar:
    """At least ``factor`` times as fast as the fastest of these peers that ran."""

    def value(own: Result, results: Results) -> float | None:
        there = [results[name].ms for name in peers if name in results]
        return min(there) / own.ms if there else None

    return Bar(f"{factor:g} x {' and '.join(peers)}", value, factor, most=False)


def within(factor: float, other: str) -> Bar:
    """At most ``factor`` times the time of another contender."""
    return Bar(
        f"<= {factor:g} x {other}",
        lambda own, results: own.ms / results[other].ms,
        factor,
        most=True,
    )


def at_most_ms(bound: float) -> Bar:
    """At most so many milliseconds."""
    return Bar(f"{bound:g} ms", lambda own, _: own.ms, bound, most=True)


def as_exact_as(bound: float, unit: str = "") -> Bar:
    """An error of at most so much."""
    return Bar(f"error <= {bound:g}{unit}", lambda own, _: own.error, bound, most=True)


@dataclass(frozen=True)
class Contender:
    """A call that makes ``count`` items.

    ``error`` judges what the call returns. What is ``slow`` is called once and not warmed up by
    itself: its ``warm`` is called before, which compiles it on less.
    """

    call: Callable[[], object]
    count: float = 1
    error: Callable[[object], float] | None = None
    slow: bool = False
    warm: Callable[[], object] | None = None
    remark: str = ""
    floor: tuple[Bar, ...] = ()
    aim: tuple[Bar, ...] = ()


@dataclass(frozen=True)
class Case:
    """Contenders on the same arrays."""

    stage: str
    size: str
    contenders: Mapping[str, Contender]
    unit: str = "ms/slice"
    facts: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def run(case: Case, repeats: int) -> list[Row]:
    """Time the contenders of a case in turns, what is slow once, and judge them."""
    results = dict(_results(case, repeats))
    rows: list[Row] = []
    for name, own in results.items():
        contender = case.contenders[name]
        row: Row = {
            "stage": case.stage,
            "size": case.size,
            "code": name,
            "time": own.ms,
            "unit": case.unit,
            "error": own.error,
        }
        for key, bars in (("floor", contender.floor), ("aim", contender.aim)):
            judged = [(bar, bar.judged(own, results)) for bar in bars]
            row[key] = "; ".join(_sentence(bar, found) for bar, found in judged) or None
            known = [found[1] for _, found in judged if found is not None]
            row[f"{key} met"] = ("yes" if all(known) else "no") if known else None
        rows.append(row | {"spread": own.spread, "remark": contender.remark or None})
    return rows


def _results(case: Case, repeats: int) -> dict[str, Result]:
    errors: dict[str, float | None] = {}
    usable: dict[str, Contender] = {}
    slow: dict[str, Timing] = {}
    for name, contender in case.contenders.items():
        kept: list[object] = []
        try:
            if contender.slow:
                if contender.warm:
                    contender.warm()
                timings = measure(
                    {name: lambda call=contender.call, kept=kept: kept.append(call())},
                    repeats=1,
                    warm_up=False,
                )
                slow |= timings
            else:
                kept.append(contender.call())
        except PeerMissing:
            continue
        usable[name] = contender
        errors[name] = contender.error(kept[0]) if contender.error else None
    quick = {name: one.call for name, one in usable.items() if not one.slow}
    timings = measure(quick, repeats=repeats, warm_up=False) | slow
    return {
        name: Result(
            1e3 * timings[name].median / contender.count, timings[name].spread, errors[name]
        )
        for name, contender in usable.items()
    }


def _sentence(bar: Bar, judged: tuple[float, bool] | None) -> str:
    return bar.text if judged is None else f"{bar.text}: {judged[0]:.3g}"
