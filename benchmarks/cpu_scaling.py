"""How much faster every stage of ours is with more threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from benchmarks.common import measure
from benchmarks.cpu_case import Case, Row
from hipct.core.threads import available_cores, set_thread_count


def scaling(cases: Iterable[Case], repeats: int) -> Iterator[Row]:
    """Times of our contenders with 1, 2, 4 ... threads, in turns, and how many times as fast.

    The efficiency is that over the threads: 1 where every thread does its whole share. Two
    threads of one core, or a memory that one of them fills, leave less.
    """
    most = available_cores()
    counts = sorted({min(2**power, most) for power in range(most.bit_length() + 1)})
    for case in cases:
        for name, contender in case.contenders.items():
            if not name.startswith("hipct") or case.stage == "start-up":
                continue
            calls: dict[str, Callable[[], object]] = {
                str(count): partial(_with_threads, count, contender.call) for count in counts
            }
            timings = measure(calls, repeats=repeats)
            alone = timings["1"].median
            for count in counts:
                own = timings[str(count)]
                yield {
                    "stage": case.stage,
                    "size": case.size,
                    "code": name,
                    "threads": count,
                    "time": 1e3 * own.median / contender.count,
                    "unit": case.unit,
                    "times as fast": alone / own.median,
                    "efficiency": alone / own.median / count,
                    "spread": own.spread,
                }
    set_thread_count(most)


def _with_threads(count: int, call: Callable[[], object]) -> None:
    set_thread_count(count)
    call()
