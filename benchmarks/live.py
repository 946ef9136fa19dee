"""A raw scan browsed: how long until a slice that nobody has made is there, coarse and fine.

    python -m benchmarks.live [--quick] [--repeats 7] [--out DIR]

A scan store of 1500 angles (uint16, full acquisition, phase retrieval with its halo, 1024 columns)
is looked at in places far from one another, so that each slice is made from raw frames, which lie
in the page cache. Warm: the axis is known and what numba compiles is compiled. ``wanted`` is what
the table is judged by. "In the window" is the time from a step of the slider until the reader of
the window is told that the slice has come, with everything in between, without drawing it; what
was being made for the place before is given up first. Processor time is that of all threads.

The last rows are the part of back-projection in it: of a whole slice, and by the direct method,
which can make a part of a slice (and interpolates linearly).
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import options, write_table
from benchmarks.memory import write_scan
from hipct.live.cancel import Cancelled
from hipct.live.first_axis import first_look
from hipct.live.scan import LiveScan
from hipct.pipeline.config import Config
from hipct.pipeline.engine import make_reconstructor
from hipct.pipeline.sections import RingsConfig
from hipct.reconstruction.direct import DirectEngine
from hipct.viewing.live_reads import LiveReads

Seconds = tuple[float, float]
"""By the clock, and of the processor."""

APART = 32
"""Slices between places: nothing that is made at one serves another."""

COARSE_S, FINE_S = 0.3, 1.5
"""What the first row and the second one have to stay below, on two cores."""


def main() -> None:
    chosen = options(__doc__)
    columns, angles, rows = (256, 360, 320) if chosen.quick else (1024, 1500, 320)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.zarr"
        write_scan(path, rows, columns=columns, angles=angles)
        table = measured(path, min(chosen.repeats, rows // APART - 1))
    facts = {"scan": f"{angles} angles of {rows} x {columns} pixels, scan store"}
    write_table("live", table, chosen, facts=facts)
    late = [row["what"] for row in table if row["wanted s"] and row["s"] > row["wanted s"]]
    if late and not chosen.quick:
        sys.exit(f"later than it has to be: {', '.join(late)}")


def measured(path: Path, repeats: int) -> list[dict[str, Any]]:
    table: list[dict[str, Any]] = []

    def add(what: str, seconds: list[Seconds], wanted: float | None = None) -> None:
        wall, processor = zip(*seconds)
        row = {"what": what, "s": statistics.median(wall), "longest s": max(wall)}
        spent = statistics.median(processor)
        row |= {"processor s": spent or None, "wanted s": wanted}
        table.append(row)

    with LiveScan(path, Config()) as live:
        live.with_config(Config(axis={"value": 100.0})).slice(0, level=2)
        add("first look: the axis, roughly", [timed(lambda: first_look(live))])
        add("the axis and all that a run finds", [timed(live.settle)])
        config = live.settled_config
    rings = config.model_copy(update={"rings": RingsConfig(method="sorting")})
    for what, level, asked, wanted in (
        ("coarse (4 x 4 x 4) from raw frames", 2, config, COARSE_S),
        ("fine from raw frames", 0, config, FINE_S),
        ("half size (2 x 2 x 2) from raw frames", 1, config, None),
        ("fine from raw frames, rings removed (sorting)", 0, rings, FINE_S),
    ):
        with LiveScan(path, asked) as live:
            add(what, [made(live, level, k) for k in range(repeats + 1)][1:], wanted)
    with LiveScan(path, config) as live:
        made(live, 2, 1)
        tuned = [retuned(live, 1500.0 + 100 * k) for k in range(repeats)]
        again = [made(each, 2, 1) for each in tuned]
        add("coarse there, under another delta/beta", again)
        live.slice(0)
        near = [timed(partial(live.slice, z)) for z in range(1, min(repeats, 14) + 1)]
        add("fine, slices beside one", near)
        add("given up", [given_up(live, (k + 1) * APART) for k in range(repeats)])
    with LiveScan(path, config) as live:
        coarse, fine = in_window(live, repeats)
        add("in the window: coarse", coarse, COARSE_S)
        add("in the window: fine", fine, FINE_S)
    with LiveScan(path, config) as live:
        for what, seconds in parts(live, repeats):
            add(what, seconds)
    return table


def made(live: LiveScan, level: int, number: int) -> Seconds:
    """Seconds until a slice is there that shares nothing with those of other numbers."""
    return timed(lambda: live.slice((number * APART + 5) >> level, level=level))


def retuned(live: LiveScan, delta_beta: float) -> LiveScan:
    """The scan under another delta/beta."""
    phase = live.config.phase.model_copy(update={"delta_beta": delta_beta})
    return live.with_config(live.config.model_copy(update={"phase": phase}))


def in_window(live: LiveScan, repeats: int) -> tuple[list[Seconds], list[Seconds]]:
    """Seconds from a step of the slider until the coarse and the fine slice are there."""
    reads = LiveReads(live)
    came = threading.Event()
    reads.watch(came.set)
    _, height, width = live.shape
    coarse, fine = [], []
    for number in range(repeats + 1):
        z = number * APART + 5
        begin = time.perf_counter(), time.process_time()
        came.clear()
        reads.picture(0, ((z, z + 1), (0, height), (0, width)))
        came.wait()
        coarse.append(since(begin))
        while (0, (z, 0, 0)) not in reads.cache:
            came.clear()
            came.wait(0.005)
        fine.append(since(begin))
    reads.close()
    return coarse[1:], fine[1:]


def given_up(live: LiveScan, z: int) -> Seconds:
    """Seconds until a slice that is being made ends, once it is not wanted any more."""
    begin = time.perf_counter()
    with suppress(Cancelled):
        live.slice(z, cancelled=lambda: time.perf_counter() > begin + 0.15)
    return max(0.0, time.perf_counter() - begin - 0.15), 0.0


def parts(live: LiveScan, repeats: int) -> Iterator[tuple[str, list[Seconds]]]:
    """Back-projection alone: of whole slices, and of squares in them."""
    part = live.settle().organ.parts[0]
    shape = 1, part.job.info.projections, part.job.info.columns
    lines = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    engine = make_reconstructor(part)
    engine.reconstruct(lines)
    seconds = [timed(partial(engine.reconstruct, lines)) for _ in range(repeats)]
    yield "back-projection of the slice (Fourier)", seconds
    direct = DirectEngine(engine.geometry)
    for side in (128, 240):
        out, window = np.empty((1, side, side), np.float32), slice(10, 10 + side)
        call = partial(direct.reconstruct, lines, out, window, window)
        call()
        seconds = [timed(call) for _ in range(repeats)]
        yield f"back-projection of {side} x {side} pixels of it (direct)", seconds


def timed(call: Callable[[], object]) -> Seconds:
    begin = time.perf_counter(), time.process_time()
    call()
    return since(begin)


def since(begin: Seconds) -> Seconds:
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


if __name__ == "__main__":
    main()
