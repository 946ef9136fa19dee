"""Where the time of a run went: stages, bytes, rates, peak memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil

STAGES = (
    "read",
    "to device",
    "flat",
    "phase",
    "move",
    "log",
    "flat and log",
    "phase and log",
    "annuli",
    "axis",
    "motion",
    "levels",
    "rings",
    "outside",
    "reconstruct",
    "blend",
    "quantise",
    "from device",
    "write",
)
"""Stages in the order of the data."""


CHILDREN_S = 1.0
"""How often the memory watch looks for new child processes."""


@dataclass(frozen=True)
class Busy:
    """Busy seconds and bytes by stage, and the intervals (begin, end) in which a stage was busy."""

    seconds: dict[str, float]
    bytes: dict[str, int]
    intervals: list[tuple[float, float]]


class StageClock:
    """Collects the intervals during which each stage was busy; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._intervals: list[tuple[float, float]] = []
        self._seconds: dict[str, float] = {}
        self._bytes: dict[str, int] = {}
        self.started = time.perf_counter()

    @contextmanager
    def stage(self, name: str, size: int = 0) -> Iterator[None]:
        """Time a block of work on ``size`` bytes as part of stage ``name``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            end = time.perf_counter()
            with self._lock:
                self._seconds[name] = self._seconds.get(name, 0.0) + end - begin
                self._bytes[name] = self._bytes.get(name, 0) + size
                self._intervals.append((begin, end))

    def merge(self, other: Busy) -> None:
        """Add the times of another process of this machine, whose clock is the same."""
        with self._lock:
            for name, seconds in other.seconds.items():
                self._seconds[name] = self._seconds.get(name, 0.0) + seconds
                self._bytes[name] = self._bytes.get(name, 0) + other.bytes[name]
            self._intervals += other.intervals

    def busy(self) -> Busy:
        """Everything timed so far, to be merged elsewhere."""
        with self._lock:
            return Busy(dict(self._seconds), dict(self._bytes), list(self._intervals))

    def report(
        self, *, voxels: int, peak_bytes: int, device: str = "CPU", device_peak_bytes: int = 0
    ) -> RunReport:
        """Table of everything timed so far, and the memory that it took."""
        wall = time.perf_counter() - self.started
        with self._lock:
            stages = stage_times(self._seconds, self._bytes)
            idle = wall - covered(self._intervals)
        return RunReport(
            wall, max(idle, 0.0), stages, voxels, peak_bytes, device, device_peak_bytes
        )


@dataclass(frozen=True)
class StageTime:
    """Busy time in seconds and bytes handled by one stage."""

    seconds: float
    bytes: int


def stage_times(seconds: Mapping[str, float], sizes: Mapping[str, int]) -> dict[str, StageTime]:
    """Times by stage, in the order of the data."""
    return {
        name: StageTime(seconds[name], sizes[name])
        for name in (*STAGES, *sorted(seconds.keys() - set(STAGES)))
        if name in seconds
    }


@dataclass(frozen=True)
class RunReport:
    """What a run took.

    Attributes
    ----------
    wall_s : float
        Duration of the run in seconds.
    other_s : float
        Time in which no stage was busy.
    stages : dict
        Busy seconds and bytes by stage. Stages overlap, so their sum may exceed ``wall_s``.
    voxels : int
        Voxels of level 0 that this run reconstructed.
    peak_bytes : int
        Largest resident memory seen during the run.
    device : str
        What it was computed on.
    device_peak_bytes : int
        Most memory that arrays and work spaces took on a GPU; 0 on the CPU.
    machines : mapping
        Of a run by several processes: how many of them were at work on each machine. ``wall_s`` is
        then that from the start of the first to the end of the last, ``other_s`` the time in which
        none was at work (in a queue, say), and the peaks are those of the largest process.
    """

    wall_s: float
    other_s: float
    stages: dict[str, StageTime]
    voxels: int
    peak_bytes: int
    device: str = "CPU"
    device_peak_bytes: int = 0
    machines: Mapping[str, int] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {
            "wall_s": round(self.wall_s, 3),
            "other_s": round(self.other_s, 3),
            "peak_bytes": self.peak_bytes,
            "device": self.device,
            "device_peak_bytes": self.device_peak_bytes,
            "voxels": self.voxels,
            "voxels_per_s": round(self.voxels / self.wall_s) if self.wall_s else 0,
            "stages": {
                name: {"seconds": round(stage.seconds, 3), "bytes": stage.bytes}
                for name, stage in self.stages.items()
            },
        } | ({"machines": dict(self.machines)} if self.machines else {})

    def table(self) -> str:
        """The report as a text table."""
        lines = [f"{'stage':<12}{'busy s':>10}{'% of wall':>11}{'GB':>9}{'GB/s':>8}"]
        for name, stage in self.stages.items():
            size = stage.bytes / 1e9
            rate = f"{size / stage.seconds:8.2f}" if stage.bytes and stage.seconds else " " * 8
            amount = f"{size:9.3f}" if stage.bytes else " " * 9
            lines.append(
                f"{name:<12}{stage.seconds:>10.2f}{_percent(stage.seconds, self.wall_s):>11}"
                f"{amount}{rate}"
            )
        lines.append(f"{'other':<12}{self.other_s:>10.2f}{_percent(self.other_s, self.wall_s):>11}")
        lines.append(
            f"{'wall':<12}{self.wall_s:>10.2f}   "
            f"{self.voxels / 1e6 / max(self.wall_s, 1e-9):.1f} Mvoxel/s, "
            f"peak memory {self.peak_bytes / 1e9:.2f} GB; stages overlap, "
            "so their sum may exceed the wall time"
        )
        if self.machines:
            lines.append(f"{'processes':<12}{told_machines(self.machines)}")
        if self.device_peak_bytes:
            lines.append(
                f"{'device':<12}{self.device}, peak memory {self.device_peak_bytes / 1e9:.2f} GB"
            )
        return "\n".join(lines)


def told_machines(machines: Mapping[str, int]) -> str:
    """Processes on their machines in words."""
    return ", ".join(f"{count} on {name}" for name, count in machines.items())


class MemoryWatch:
    """Samples the resident memory of this process and its children while it is entered."""

    def __init__(self, interval_s: float = 0.02) -> None:
        self.peak_bytes = 0
        self._interval = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        process = psutil.Process()
        children: list[psutil.Process] = []
        looked = float("-inf")
        while True:
            # Asking for children looks at every process of the machine, which takes a while.
            if time.monotonic() - looked > CHILDREN_S:
                children, looked = process.children(recursive=True), time.monotonic()
            resident = sum(map(_resident, (process, *children)))
            self.peak_bytes = max(self.peak_bytes, resident)
            if self._stop.wait(self._interval):
                return


def _resident(process: psutil.Process) -> int:
    with suppress(psutil.Error):  # it may have ended meanwhile
        return int(process.memory_info().rss)
    return 0


def covered(intervals: list[tuple[float, float]]) -> float:
    """Length of the union of intervals."""
    total, reach = 0.0, float("-inf")
    for begin, end in sorted(intervals):
        total += max(0.0, end - max(begin, reach))
        reach = max(reach, end)
    return total


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
