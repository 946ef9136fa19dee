"""Every stage on the CPU, against every peer that installs from PyPI, and how near to its floor.

    python -m benchmarks.cpu [--quick] [--repeats 5] [--threads N] [--stage fbp axis] [--large]
    python -m benchmarks.cpu --scaling [--quick] [--repeats 5] [--stage fbp axis]

Contenders of a row's stage and size get the same arrays and run in turns, warm; the figure is the
median. What takes many seconds (column ``spread`` 1) runs once. ``error`` is what the stage's
module says: rms over the object, largest difference, or pixels of an axis. ``floor`` and ``aim``
name a condition and what was reached. All stages take a quarter of an hour on two cores;
``--large`` adds 10240 columns, which takes a few minutes and 7 GB of memory. ``--scaling`` times
ours alone, with 1, 2, 4 ... threads, into a table of its own (``cpu_scaling``).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial

from benchmarks.common import options, save_table, versions
from benchmarks.cpu_case import Case, Contender, Row, at_most_ms, run
from benchmarks.cpu_fbp import batches, half_acquisition, large
from benchmarks.cpu_projections import facts, projections
from benchmarks.cpu_scaling import scaling
from benchmarks.cpu_sinograms import axis, rings

PACKAGES = (
    "finufft",
    "nabu",
    "pyopencl",
    "algotom",
    "astra-toolbox",
    "scikit-image",
    "tomopy",
)
COLUMNS = (
    "stage", "size", "code", "time", "unit", "times hipct", "error", "floor", "floor met", "aim",
    "aim met", "spread", "remark",
)  # fmt: skip


def start_up(*, quick: bool) -> Iterator[Case]:
    """How long a command takes before it does anything."""
    del quick

    def start(*arguments: str) -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    yield Case(
        "start-up",
        "hipct --help",
        {
            "hipct": Contender(partial(start, "-m", "hipct", "--help"), floor=(at_most_ms(300),)),
            "python alone": Contender(partial(start, "-c", "")),
        },
        unit="ms",
    )


STAGES: dict[str, Callable[..., Iterator[Case]]] = {
    "fbp": batches,
    "half": half_acquisition,
    "projections": projections,
    "rings": rings,
    "axis": axis,
    "start-up": start_up,
}


def main() -> None:
    chosen, which = _options()
    rows: list[Row] = []
    if which.scaling:
        cases = (case for name in which.stage for case in STAGES[name](quick=chosen.quick))
        rows += scaling(cases, chosen.repeats)
        command = f"python -m benchmarks.cpu --scaling{_asked(chosen, which)}"
        save_table("cpu_scaling", rows, command, out=chosen.out)
        return
    for name in which.stage:
        for case in STAGES[name](quick=chosen.quick):
            found = run(case, chosen.repeats)
            ours = next(row["time"] for row in found if str(row["code"]).startswith("hipct"))
            rows += [row | {"times hipct": row["time"] / ours} for row in found]  # type: ignore[operator]
            for row in found:
                judged = f"{row['time']:.3g} {row['unit']} | {row['floor']} | {row['aim']}"
                print(f"{case.stage} {case.size}: {row['code']} {judged}", file=sys.stderr)
    if which.large:
        rows += large(quick=chosen.quick)
    command = f"python -m benchmarks.cpu{_asked(chosen, which)}"
    command += f" --threads {chosen.threads}" if chosen.threads else ""
    command += " --large" if which.large else ""
    save_table(
        "cpu",
        [{key: row.get(key) for key in COLUMNS} for row in rows],
        command,
        out=chosen.out,
        facts=facts() | versions(PACKAGES),
    )


def _asked(chosen: argparse.Namespace, which: argparse.Namespace) -> str:
    stages = "" if list(which.stage) == list(STAGES) else f" --stage {' '.join(which.stage)}"
    return f" --repeats {chosen.repeats}{' --quick' if chosen.quick else ''}{stages}"


def _options() -> tuple[argparse.Namespace, argparse.Namespace]:
    parser = argparse.ArgumentParser(add_help=False)  # --help is answered by `options`
    parser.add_argument("--stage", nargs="*", choices=list(STAGES), default=list(STAGES))
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--scaling", action="store_true")
    which, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    return options(__doc__), which


if __name__ == "__main__":
    main()
