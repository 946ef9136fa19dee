"""Progress in a terminal and in a log."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from hipct.cli import console
from hipct.cli.console import Bars, Lines, progress


def test_a_log_gets_plain_lines() -> None:
    stream = io.StringIO()
    with progress(stream) as observer:
        observer.start("axis", 4)
        observer.advance("axis")
        observer.advance("axis", 3)
        observer.finish("axis")
        observer.say("rotation axis at column 12.50 [pair]")
    assert stream.getvalue().splitlines() == [
        "axis: 4 of 4 in 0.0 s",
        "rotation axis at column 12.50 [pair]",
    ]


def test_a_log_tells_from_time_to_time_how_long_it_will_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    stream = io.StringIO()
    lines = Lines(stream)
    lines.start("read", 10)
    for _ in range(10):
        now[0] += 3
        lines.advance("read")
    lines.finish("read")
    assert stream.getvalue().splitlines() == [
        "read: 4 of 10, about 18 s left",
        "read: 8 of 10, about 6 s left",
        "read: 10 of 10 in 30.0 s",
    ]


def test_stages_that_were_never_started_are_left_alone() -> None:
    stream = io.StringIO()
    lines = Lines(stream)
    lines.advance("read")
    lines.finish("read")
    assert stream.getvalue() == ""


def test_a_terminal_gets_a_bar_for_each_stage_and_sentences_above() -> None:
    stream = io.StringIO()
    with Bars(Console(file=stream, force_terminal=True, width=100, color_system=None)) as bars:
        bars.start("prepare", 2)
        bars.start("reconstruct", 3)
        workers = [
            threading.Thread(target=bars.advance, args=(stage,))
            for stage in ["prepare"] * 2 + ["reconstruct"] * 3
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        bars.say("a [sentence]")
        bars.finish("prepare")
        bars.finish("reconstruct")
    shown = stream.getvalue()
    assert "a [sentence]" in shown
    last = shown[shown.rindex("prepare") :]
    assert "2/2" in last
    assert "3/3" in last


def test_a_bar_that_starts_again_counts_from_nothing() -> None:
    stream = io.StringIO()
    with Bars(Console(file=stream, force_terminal=True, width=100, color_system=None)) as bars:
        bars.start("sweep", 2)
        bars.advance("sweep", 2)
        bars.finish("sweep")
        bars.start("sweep", 5)
        bars.advance("sweep", 1)
    assert "1/5" in stream.getvalue()
