"""What a person sees while work goes on: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from hipct.core.progress import Observer

_SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(stream: IO[str] | None = None) -> Iterator[Observer]:
    """An observer for the time of a command; it writes to standard error.

    Parameters
    ----------
    stream : text file, optional
        Where to write instead of standard error.
    """
    console = Console(file=stream or sys.stderr, highlight=False)
    if not console.is_terminal:
        yield Lines(console.file)
        return
    with Bars(console) as bars:
        yield bars


class Bars:
    """Progress bars with the time left; one for each stage."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<12}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._lock = threading.Lock()
        self._tasks: dict[str, TaskID] = {}
        self._said: set[str] = set()

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def start(self, stage: str, total: int) -> None:
        """Show a bar for a stage; one that has ended before starts again."""
        with self._lock:
            if stage in self._tasks:
                self._progress.reset(self._tasks[stage], total=total)
            else:
                self._tasks[stage] = self._progress.add_task(stage, total=total)

    def advance(self, stage: str, steps: int = 1) -> None:
        """Move a bar on."""
        with self._lock:
            if stage in self._tasks:
                self._progress.advance(self._tasks[stage], steps)

    def finish(self, stage: str) -> None:
        """Stop the clock of a bar; it stays on the screen."""
        with self._lock:
            if stage in self._tasks:
                self._progress.stop_task(self._tasks[stage])

    def say(self, message: str) -> None:
        """Print a sentence above the bars, the same one only once."""
        with self._lock:
            if message not in self._said:
                self._said.add(message)
                self._progress.console.print(message, markup=False, soft_wrap=True)


class Lines:
    """Progress as lines, for logs: one every ten seconds, and one at the end of a stage."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._stages: dict[str, _Stage] = {}
        self._said: set[str] = set()

    def start(self, stage: str, total: int) -> None:
        """Begin to count a stage."""
        with self._lock:
            self._stages[stage] = _Stage(total)

    def advance(self, stage: str, steps: int = 1) -> None:
        """Count on, and print a line if the last one is old enough."""
        with self._lock:
            if stage not in self._stages:
                return
            counted = self._stages[stage]
            now = time.monotonic()
            counted.count(steps, now)
            if now - counted.printed >= _SECONDS_BETWEEN_LINES:
                counted.printed = now
                self._print(f"{stage}: {counted.done} of {counted.total}{counted.left(now)}")

    def finish(self, stage: str) -> None:
        """Print how long a stage took."""
        with self._lock:
            counted = self._stages.pop(stage, None)
            if counted is not None:
                took = time.monotonic() - counted.started
                self._print(f"{stage}: {counted.done} of {counted.total} in {took:.1f} s")

    def say(self, message: str) -> None:
        """Print a sentence, the same one only once: steps of a command may find the same."""
        with self._lock:
            if message not in self._said:
                self._said.add(message)
                self._print(message)

    def _print(self, line: str) -> None:
        self._stream.write(f"{line}\n")
        self._stream.flush()


class _Stage:
    """Counts of a stage. The first step is left out of the rate: loops are compiled in it."""

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self.started = self.printed = time.monotonic()
        self._first: tuple[float, int] | None = None

    def count(self, steps: int, now: float) -> None:
        self.done += steps
        if self._first is None:
            self._first = (now, self.done)

    def left(self, now: float) -> str:
        if self._first is None or self.done == self._first[1]:
            return ""
        since, before = self._first
        seconds = (now - since) / (self.done - before) * max(0, self.total - self.done)
        return f", about {seconds:.0f} s left"
