"""The latest value wins: what is shown of jobs that come faster than they are done."""

from __future__ import annotations

import queue
import threading
import time

import pytest

from hipct.live.cancel import Cancelled, stop_if
from hipct.viewing.background import LatestWins

PATIENCE_S = 60.0


class Window:
    """Stands for the thread of a window: calls what is delivered when it is told to."""

    def __init__(self):
        self.calls = queue.Queue()

    def deliver(self, call, *arguments):
        self.calls.put((call, arguments, threading.get_ident()))

    def work(self, within_s=PATIENCE_S):
        """Obey the next call."""
        call, arguments, _ = self.calls.get(timeout=within_s)
        call(*arguments)

    def work_off(self, wins):
        end = time.monotonic() + PATIENCE_S
        while wins.busy or not self.calls.empty():
            assert time.monotonic() < end
            if self.calls.empty():
                time.sleep(0.002)
            else:
                self.work()


@pytest.fixture
def window():
    return Window()


@pytest.fixture
def wins(window):
    made = LatestWins("test", window.deliver)
    yield made
    made.close()


def test_of_many_values_the_first_and_the_last_are_done(wins, window):
    begun, shown, ended = [], [], []
    gate, at_work = threading.Event(), threading.Event()

    def job(value):
        def work(cancelled):
            begun.append(value)
            at_work.set()
            yield f"rough {value}"
            gate.wait(PATIENCE_S)
            stop_if(cancelled)
            yield f"fine {value}"

        return work

    wins.submit(job(0), shown.append, ended.append)
    at_work.wait(PATIENCE_S)
    for value in range(1, 50):
        wins.submit(job(value), shown.append, ended.append)
    gate.set()
    window.work_off(wins)
    assert begun == [0, 49]
    # The rough picture of the first was there; its fine one was no longer wanted.
    assert shown == ["rough 0", "rough 49", "fine 49"]
    assert ended == [None]


def test_work_is_elsewhere_and_results_come_home(wins, window):
    seen = {}

    def work(cancelled):
        seen["work"] = threading.get_ident()
        seen["newer"] = cancelled()
        yield 1

    def show(value):
        seen["shown"] = threading.get_ident(), value

    wins.submit(work, show)
    window.work_off(wins)
    here = threading.get_ident()
    assert seen["shown"] == (here, 1)
    assert seen["work"] != here
    assert seen["newer"] is False


def test_an_error_ends_one_job_and_not_the_thread(wins, window):
    ended = []

    def broken(cancelled):
        yield 1
        raise ValueError("no such slice")

    wins.submit(broken, lambda _: None, ended.append)
    window.work_off(wins)
    assert [str(error) for error in ended] == ["no such slice"]
    shown = []
    wins.submit(lambda _: iter([2]), shown.append, ended.append)
    window.work_off(wins)
    assert shown == [2]
    assert ended[1] is None


def test_the_end_is_that_of_the_latest_job(wins, window):
    ended = []
    wins.submit(lambda _: iter([1]), lambda _: None, lambda _: ended.append("first"))
    end = time.monotonic() + PATIENCE_S
    while window.calls.qsize() < 2:
        assert time.monotonic() < end
        time.sleep(0.002)
    # Shown, and another one asked for, before its end is told.
    wins.submit(lambda _: iter([2]), lambda _: None, lambda _: ended.append("second"))
    window.work_off(wins)
    assert ended == ["second"]


def test_what_gives_up_by_itself_is_no_error(wins, window):
    ended = []

    def given_up(cancelled):
        raise Cancelled
        yield

    wins.submit(given_up, lambda _: None, ended.append)
    window.work_off(wins)
    assert ended == []


def test_cancelled_work_is_not_shown_even_if_it_is_done(wins, window):
    shown, ended = [], []
    wins.submit(lambda _: iter([1]), shown.append, ended.append)
    end = time.monotonic() + PATIENCE_S
    while window.calls.qsize() < 2:
        assert time.monotonic() < end
        time.sleep(0.002)
    wins.cancel()
    window.work_off(wins)
    assert shown == ended == []


def test_closing_stops_the_job_and_the_thread(window):
    wins = LatestWins("closing", window.deliver)
    at_work, stopped = threading.Event(), threading.Event()

    def work(cancelled):
        at_work.set()
        while not cancelled():
            time.sleep(0.002)
        stopped.set()
        yield 1

    wins.submit(work, lambda _: None)
    at_work.wait(PATIENCE_S)
    wins.close()
    assert stopped.is_set()
    assert not any(each.name == "closing" for each in threading.enumerate())
    wins.submit(work, lambda _: None)
    assert not wins.busy
