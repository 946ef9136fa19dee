"""What the chain costs on a GPU, stage by stage, and whether it is right there, in one call.

    python -m benchmarks.gpu [--quick] [--repeats N] [--out DIR] [--minutes 8]
                             [--only check projections slices run] [--check 512x400x256]
                             [--sizes 2048x3000x32 ...] [--run 2048x3000x256] [--folder DIR]

Needs NumPy, CuPy and a GPU; SciPy to compare with NumPy, numba to do so quickly, and what is
missing beyond is named in the table. First every stage is compared with NumPy, then all are timed
by CUDA events in turns, with cuFINUFFT and ASTRA where they are installed, then a whole run from a
scan store. Figures are printed as they come. A part that fails is told and the others go on; none
is begun after so many minutes: the table names what is left for a call with --only. Ends with 1 and
names the stages if any is wrong, with 2 where there is no GPU.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import gpu_check
from benchmarks.common import Timing, measure, options, relative_rms, save_table
from benchmarks.gpu_clock import device_facts, event_clock
from benchmarks.gpu_data import Size
from benchmarks.gpu_peers import PEERS, LeftOut, Peer
from benchmarks.gpu_run import whole_run
from benchmarks.gpu_stages import (
    SliceStages,
    Stage,
    projection_bytes,
    projection_shape,
    projection_stages,
    slice_bytes,
)
from hipct.core.device import Device, open_device
from hipct.core.errors import HipctError

CHECK, RUN = Size(512, 400, 256), Size(2048, 3000, 256)
SIZES = (Size(2048, 3000, 32), Size(4096, 6000, 16), Size(10240, 12000, 8))
QUICK_CHECK, QUICK_RUN = Size(160, 120, 32), Size(256, 300, 64)
QUICK_SIZES = (Size(256, 400, 16), Size(1024, 1500, 16))

PARTS = ("check", "projections", "slices", "run")
MINUTES = 8.0

COLUMNS = (
    "size",
    "stage",
    "ms",
    "per",
    "ms a slice",
    "MB at least",
    "share of bandwidth",
    "G updates/s",
    "error",
    "spread",
)
EXPLAINED = {
    "MB at least": "what a stage takes and makes, each once, for one projection or slice",
    "share of bandwidth": "of a copy of as many bytes from the device to itself, in this run",
    "G updates/s": "direct: pixels inside the circle times angles; gridding: samples times taps",
    "error": "against NumPy: largest difference over the largest value; of peers: rms of the "
    "difference to hipct's slice over 0.95 of the radius, over the object's value",
    "ms a slice": "projections: of all angles, over their rows; direct: a window of rows where "
    "the slice is large, over its share of the slice",
}

AIMS: tuple[tuple[str, str, float, str | None], ...] = (
    ("FBP, Fourier", "ms a slice", 1.0, "2048 / 3000"),
    ("FBP, Fourier", "ms a slice", 30.0, "10240 / 12000"),
    ("- back-projection alone", "G updates/s", 200.0, None),
    ("flat field", "share of bandwidth", 0.6, None),
    ("logarithm", "share of bandwidth", 0.6, None),
)
"""Stage, column, what is aimed at on an H200, and the size that it is said of."""

SHARE_OF_MEMORY = 0.9
MOST_ADDED = 0.2
"""Share of the other stages' time that ring removal may add."""

Row = dict[str, object]


def main() -> None:
    chosen, asked = _options()
    try:
        device, _ = open_device("cupy")
    except HipctError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    bench = Bench(device, chosen.repeats, asked.minutes)
    try:
        with device.xp.cuda.Device(device.index):
            bench.all(asked)
    finally:
        # Whatever stops it: what was measured until then is worth keeping.
        if bench.rows:
            rows = [{key: row.get(key) for key in COLUMNS} for row in bench.rows]
            save_table("gpu", rows, _command(chosen, asked), out=chosen.out, facts=bench.facts)
        for name, fact in bench.facts.items():
            _say(f"{name}: {fact}")
    if bench.failures:
        sys.exit("\n".join(bench.failures))


class Bench:
    """Rows and facts of the table as they come in."""

    def __init__(self, device: Device, repeats: int, minutes: float = math.inf) -> None:
        self.device, self.xp, self.repeats = device, device.xp, repeats
        self._minutes, self._end = minutes, time.monotonic() + 60 * minutes
        self.rows: list[Row] = []
        self.failures: list[str] = []
        self.facts = device_facts(device) | EXPLAINED
        self.bandwidth = math.nan
        self._parts: defaultdict[tuple[Size, str | None], dict[str, float]] = defaultdict(dict)

    def all(self, asked: argparse.Namespace) -> None:
        """Every part that is asked for, while there is time."""
        if "check" in asked.only:
            self._part("comparison with NumPy", lambda: self.check(asked.check))
        self._part("copy on the device", self.measure_copy)
        for size in asked.sizes:
            if "projections" in asked.only:
                self._part(f"projections at {size.heading}", partial(self.time_projections, size))
            if "slices" in asked.only:
                self._part(f"slices at {size.heading}", partial(self.time_slices, size))
            self.judge_rings(size)
            self.judge_aims(size)
        if "run" in asked.only:
            self._part("whole run", lambda: self.run(asked.run, asked.folder))

    def _part(self, name: str, part: Callable[[], None]) -> None:
        if time.monotonic() > self._end:
            self.facts[name] = f"left out: {self._minutes:g} minutes were over; see --only"
            return
        try:
            part()
        except Exception as error:
            # A device is lent for minutes: what the other parts can tell is not to be lost.
            traceback.print_exc()
            self.failures.append(f"{name}: {type(error).__name__}: {error}")
        with suppress(Exception):  # of a device that has failed for good
            self.device.give_back()

    def add(self, row: Row) -> None:
        """A row of the table, told at once."""
        self.rows.append(row)
        shown = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{value}"
            for key, value in row.items()
            if value is not None
        )
        _say(f"{time.strftime('%H:%M:%S')} " + " | ".join(shown))

    def check(self, size: Size) -> None:
        """Compare every stage with NumPy."""
        reason = gpu_check.missing()
        if reason:
            self.facts["correctness"] = reason
            return
        _say(f"comparing every stage with NumPy at {size} ...")
        failures = gpu_check.check(self.xp, size, self.add)
        self.failures += failures
        self.facts["correctness"] = "; ".join(failures) or (
            f"{len(self.rows)} comparisons at {size.heading} with {size.rows} rows, each within "
            f"its limit: {gpu_check.LIMIT:g} of the largest value, {gpu_check.GREY:g} grey value "
            "of 65535"
        )

    def measure_copy(self) -> None:
        """Bytes a second that a large copy on the device reads and writes."""
        size = min(2 << 30, self.device.free_bytes() // 8) // 4
        seconds = self._copy(size)
        self.bandwidth = 8 * size / seconds
        self.facts["bandwidth"] = (
            f"{self.bandwidth / 1e9:.4g} GB/s, read and written by a copy of {4 * size / 1e9:.2g} "
            "GB on the device"
        )

    def time_projections(self, size: Size) -> None:
        """Stages that take projections."""
        images, rows, columns = projection_shape(size)
        if self._fits(projection_bytes(size), f"projections at {size.heading}"):
            _say(f"timing stages of {images} projections of {rows} x {columns} ...")
            stages = projection_stages(self.xp, size)
            self._time(stages, size, size.angles / rows)

    def time_slices(self, size: Size) -> None:
        """Stages that take sinograms, and the peers."""
        if not self._fits(slice_bytes(size), f"slices at {size.heading}"):
            return
        _say(f"timing stages of {size.rows} slices at {size.heading} ...")
        work = SliceStages(self.xp, size)
        stages = work.stages()
        self.device.give_back()
        errors: dict[str, object] = {}
        with ExitStack() as stack:
            for name, peer in PEERS.items():
                try:
                    opened = stack.enter_context(peer(work.geometry, work.lines))
                    stages += self._peer_stages(opened, work, errors)
                except (LeftOut, RuntimeError, MemoryError) as error:
                    self.facts[f"{name} at {size.heading}"] = f"left out: {error}"
            self._time(stages, size, 1.0, errors)

    def judge_rings(self, size: Size) -> None:
        """Say what ring removal adds to the other stages."""
        chain, rings = self._parts[size, "chain"], self._parts[size, "rings"]
        if not rings or "flat field" not in chain:
            return  # there was no memory for one of them
        total = sum(chain.values())
        parts = [
            f"{name} add {100 * ms / total:.3g} %, "
            + ("more than a fifth" if ms > MOST_ADDED * total else "not more than a fifth")
            for name, ms in rings.items()
        ]
        self.facts[f"rings at {size.heading}"] = (
            f"the other stages take {total:.3g} ms a slice ({' + '.join(chain)}); "
            + "; ".join(parts)
        )

    def judge_aims(self, size: Size) -> None:
        """Hold the figures of a size against what an H200 is meant to reach."""
        told = []
        for stage, column, aim, of_size in AIMS:
            for row in self.rows:
                value = row.get(column)
                named = row["stage"] == stage and row["size"] == size.heading
                if named and of_size in (None, size.heading) and isinstance(value, float):
                    most = column.startswith("ms")
                    met = value <= aim if most else value >= aim
                    told.append(
                        f"{stage} {value:.3g} {column}, at {'most' if most else 'least'} {aim:g}: "
                        + ("met" if met else "missed")
                    )
        if told:
            self.facts[f"aims at {size.heading}"] = "; ".join(told)

    def run(self, size: Size, folder: Path | None) -> None:
        """Time a whole run."""
        _say(f"a whole run of {size} from a scan store ...")
        rows, facts = whole_run(size, folder)
        for row in rows:
            self.add(row)
        self.facts |= facts

    def _copy(self, size: int) -> float:
        source = self.xp.zeros(size, self.xp.float32)
        target = self.xp.empty_like(source)
        return self._measure({"": lambda: self.xp.copyto(target, source)})[""].median

    def _peer_stages(self, peer: Peer, work: SliceStages, errors: dict[str, object]) -> list[Stage]:
        """Stages of a peer that works, with its difference to hipct's slice."""
        size = work.size
        for call in peer.calls.values():
            call()
        work.fourier()
        value = 2 / (size.columns - 1)
        ours, theirs = work.slices[0].get(), peer.first_slice()
        errors |= dict.fromkeys(peer.calls, relative_rms(theirs, ours, value=value))
        moved = 4.0 * size.columns * (size.angles + size.columns)
        return [Stage(name, call, peer.slices, moved) for name, call in peer.calls.items()]

    def _time(
        self,
        stages: list[Stage],
        size: Size,
        for_a_slice: float,
        errors: dict[str, object] | None = None,
    ) -> None:
        timings = self._measure({stage.name: stage.call for stage in stages})
        for stage in stages:
            each = timings[stage.name].median / stage.items
            self._parts[size, stage.part][stage.name] = 1e3 * each * for_a_slice
            self.add({
                "size": size.heading,
                "stage": stage.name,
                "ms": 1e3 * each,
                "per": stage.per,
                "ms a slice": 1e3 * each * for_a_slice,
                "MB at least": stage.bytes / 1e6,
                "share of bandwidth": stage.bytes / each / self.bandwidth,
                "G updates/s": stage.updates / each / 1e9 if stage.updates else None,
                "error": (errors or {}).get(stage.name),
                "spread": timings[stage.name].spread,
            })  # fmt: skip

    def _measure(self, calls: dict[str, Callable[[], object]]) -> dict[str, Timing]:
        # A clock of its own: it keeps the calls that it knows, and with them their arrays.
        return measure(calls, repeats=self.repeats, clock=event_clock(self.xp))

    def _fits(self, needed: int, what: str) -> bool:
        free = self.device.free_bytes()
        if needed <= SHARE_OF_MEMORY * free:
            return True
        self.facts[what] = (
            f"left out: they need about {needed / 1e9:.3g} GB of the device's memory, and "
            f"{free / 1e9:.3g} GB are free"
        )
        return False


def _say(what: str) -> None:
    print(what, flush=True)


def _options() -> tuple[argparse.Namespace, argparse.Namespace]:
    parser = argparse.ArgumentParser(add_help=False)  # --help is answered by `options`
    parser.add_argument("--check", type=Size.parse)
    parser.add_argument("--sizes", type=Size.parse, nargs="+")
    parser.add_argument("--run", type=Size.parse)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    asked, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    chosen = options(__doc__)
    asked.given = {
        name: getattr(asked, name) for name in ("check", "sizes", "run") if getattr(asked, name)
    }
    asked.check = asked.check or (QUICK_CHECK if chosen.quick else CHECK)
    asked.sizes = asked.sizes or (QUICK_SIZES if chosen.quick else SIZES)
    asked.run = asked.run or (QUICK_RUN if chosen.quick else RUN)
    return chosen, asked


def _command(chosen: argparse.Namespace, asked: argparse.Namespace) -> str:
    command = f"python -m benchmarks.gpu --repeats {chosen.repeats}"
    command += " --quick" if chosen.quick else ""
    command += "" if asked.only == PARTS else f" --only {' '.join(asked.only)}"
    for name, value in asked.given.items():
        sizes: Any = value if isinstance(value, list) else [value]
        command += f" --{name} {' '.join(map(str, sizes))}"
    return command


if __name__ == "__main__":
    main()
