"""What every benchmark needs: timing in turns, the machine, the size of an error, one table.

A benchmark is a module with a ``main()`` that reads :func:`options`, measures, and hands rows
to :func:`write_table`; it runs as ``python -m benchmarks.NAME`` from the repository root.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hipct
from hipct.core.threads import available_cores, set_thread_count

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True)
class Timing:
    """Wall times of one contender, in seconds, in the order in which they were taken."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """Longest over shortest: how far to trust the median."""
        return max(self.seconds) / min(self.seconds)


def wall_time(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(
    contenders: Mapping[str, Callable[[], object]],
    *,
    repeats: int = 5,
    warm_up: bool = True,
    clock: Callable[[Callable[[], object]], float] = wall_time,
) -> dict[str, Timing]:
    """Time several calls in turns, so that a busy moment of the machine hits all of them.

    Parameters
    ----------
    contenders : mapping of str to callable
        What to time, by name.
    repeats : int
        Rounds; every round calls every contender once.
    warm_up : bool
        Call each once before, so that compilation and plans are not counted.
    clock : callable
        Makes a call and says how many seconds it took.
    """
    if warm_up:
        for call in contenders.values():
            call()
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, call in contenders.items():
            seconds[name].append(clock(call))
    return {name: Timing(tuple(values)) for name, values in seconds.items()}


def relative_rms(
    image: NDArray[np.floating],
    truth: NDArray[np.floating],
    *,
    value: float,
    disc: float = 0.95,
    edge: NDArray[np.bool_] | None = None,
) -> float:
    """Root mean square of a difference over the disc of ``disc`` times the radius, over ``value``.

    Parameters
    ----------
    image, truth : ndarray
        (..., n, n), in the same unit.
    value : float
        The body's attenuation, in the same unit.
    disc : float
        Radius of the disc as a fraction of ``n / 2``.
    edge : ndarray of bool, optional
        (n, n), True where pixels lie too near to a true edge to count.
    """
    n = image.shape[-1]
    position = np.arange(n) - (n - 1) / 2
    inside = np.hypot(position[:, None], position) <= disc * n / 2
    if edge is not None:
        inside &= ~edge
    difference = (image.astype(np.float64) - truth)[..., inside]
    return float(np.sqrt(np.mean(difference**2)) / value)


def machine() -> dict[str, str]:
    """What the figures depend on: processor, cores, memory, Python and the array packages."""
    facts = {
        "processor": _processor(),
        "cores": str(available_cores()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "hipct": hipct.__version__,  # which may run from its folder, without being installed
    }
    for package in ("numpy", "scipy", "numba", "zarr", "zarrs"):
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "absent"
    return facts


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Versions of the peers that are installed."""
    installed = {d.name.lower(): d.version for d in importlib.metadata.distributions() if d.name}
    return {name: installed[name] for name in packages if name in installed}


def options(description: str | None) -> argparse.Namespace:
    """Command line that all benchmarks share: ``quick``, ``repeats``, ``threads``, ``out``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it runs")
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default 5)")
    parser.add_argument("--threads", type=int, default=None, help="threads of hipct (default all)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    chosen = parser.parse_args()
    set_thread_count(chosen.threads)
    return chosen


def write_table(
    name: str,
    rows: Sequence[Mapping[str, object]],
    chosen: argparse.Namespace,
    *,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Print rows as a table and write them, with the machine, as ``name.md`` and ``name.json``.

    Parameters
    ----------
    name : str
        Name of the benchmark's module, which is part of the command that is quoted.
    rows : sequence of mappings
        Columns in the order of the first row; floats are shown with three figures.
    chosen : argparse.Namespace
        What :func:`options` returned: where the files go, and the command to quote.
    facts : mapping, optional
        More facts than :func:`machine` gives: sizes, versions of peers.
    """
    command = f"python -m benchmarks.{name} --repeats {chosen.repeats}"
    command += f" --threads {chosen.threads}" if chosen.threads else ""
    command += " --quick" if chosen.quick else ""
    save_table(name, rows, command, out=chosen.out, facts=facts)


def save_table(
    name: str,
    rows: Sequence[Mapping[str, object]],
    command: str,
    *,
    out: Path = RESULTS,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Print rows as a table and write them under ``command`` (see :func:`write_table`)."""
    background = machine() | dict(facts or {})
    columns = list(rows[0])
    lines = [
        "| " + " | ".join(columns) + " |",
        "|" + "---|" * len(columns),
        *("| " + " | ".join(_shown(row.get(key)) for key in columns) + " |" for row in rows),
    ]
    table = "\n".join(lines)
    print(table)
    out.mkdir(parents=True, exist_ok=True)
    described = "\n".join(f"- {key}: {value}" for key, value in background.items())
    (out / f"{name}.md").write_text(f"`{command}`\n\n{table}\n\n{described}\n", encoding="utf-8")
    record = {"command": command, "facts": background, "rows": [dict(row) for row in rows]}
    (out / f"{name}.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _shown(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    return str(value)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
