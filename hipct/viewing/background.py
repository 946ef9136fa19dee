"""Recomputation behind a window, of which only the latest counts.

A slider moves faster than a slice is made. One thread works, at most one job waits, and what is
asked for meanwhile takes the place of the one that waits. The job at work is asked to stop; what it
has made until then is still shown, so that a slider that never rests shows something all the same.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from hipct.live.cancel import Asked, Cancelled
from hipct.viewing.progress import in_window

Work = Callable[[Asked], Iterator[Any]]
"""Makes results, rough ones first; asks whether a newer job waits, and may stop or go on."""

Ended = Callable[[Exception | None], object]


class _Job(NamedTuple):
    number: int
    work: Work
    show: Callable[[Any], object]
    ended: Ended | None


class LatestWins:
    """A thread that does the latest of what it is asked for.

    Parameters
    ----------
    name : str
        Of the thread.
    deliver : callable
        Calls a function with its arguments in the thread of the window, soon and in order.
    """

    def __init__(self, name: str, deliver: Callable[..., None] = in_window) -> None:
        self._deliver = deliver
        self._changed = threading.Condition()
        self._waiting: _Job | None = None
        self._working = False
        self._closed = False
        # Numbers of the latest job, and of the latest that is not wanted any more.
        self._latest = self._dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def busy(self) -> bool:
        """Whether a job works or waits."""
        with self._changed:
            return self._working or self._waiting is not None

    def submit(self, work: Work, show: Callable[[Any], object], ended: Ended | None = None) -> None:
        """Do something in the thread, unless something newer comes before its turn.

        Parameters
        ----------
        work : callable
            Takes a function that tells whether a newer job waits; returns an iterator of results.
            Touches no widget and no layer. :class:`hipct.live.cancel.Cancelled` ends it quietly.
        show : callable
            Called in the thread of the window with each result.
        ended : callable, optional
            Called in the thread of the window when the job has ended and none newer has been asked
            for, with the error that ended it, or None.
        """
        with self._changed:
            if not self._closed:
                self._latest += 1
                self._waiting = _Job(self._latest, work, show, ended)
                self._changed.notify()

    def cancel(self) -> None:
        """Forget what waits, ask what works to stop, and show nothing of either any more."""
        with self._changed:
            self._waiting = None
            self._dropped = self._latest

    def close(self, wait_s: float = 10.0) -> None:
        """Cancel, and end the thread; waits for the job at work to notice."""
        self.cancel()
        with self._changed:
            self._closed = True
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(wait_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._working = False
                self._changed.wait_for(lambda: self._closed or self._waiting is not None)
                if self._closed or self._waiting is None:
                    return
                job, self._waiting = self._waiting, None
                self._working = True
            self._do(job)

    def _do(self, job: _Job) -> None:
        error: Exception | None = None
        try:
            for result in job.work(lambda: not self._is_wanted(job)):
                self._deliver(self._show, job, result)
        except Cancelled:
            return
        except Exception as wrong:  # The window tells it, whatever it is.
            error = wrong
        if job.ended is not None:
            self._deliver(self._end, job, job.ended, error)

    def _is_wanted(self, job: _Job) -> bool:
        """Whether it is the latest, and has not been cancelled."""
        with self._changed:
            return self._dropped < job.number == self._latest

    def _show(self, job: _Job, result: Any) -> None:
        if job.number > self._dropped:
            job.show(result)

    def _end(self, job: _Job, ended: Ended, error: Exception | None) -> None:
        if self._is_wanted(job):
            ended(error)
