"""Work in the background of a window: bars in napari's activity dock, failures as notifications."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from hipct.core.errors import MissingExtra
from hipct.core.extras import require
from hipct.core.progress import Observer
from hipct.viewing.notices import notify

Result = TypeVar("Result")

_SECONDS_BETWEEN_STEPS = 0.1
"""A bar draws itself anew at every step, in the thread of the window."""


class Activity:
    """An :class:`~hipct.core.progress.Observer` whose stages are bars of the activity dock.

    May be told from any thread: bars are made and moved by the thread of the window, at most ten
    times a second each. A sentence becomes a notification.

    Parameters
    ----------
    title : str
        What is done; the bars say it before the name of the stage.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._lock = threading.Lock()
        self._waiting: dict[str, int] = {}
        self._moved: dict[str, float] = {}
        self._orders: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        # Of the thread of the window alone.
        self._bars: dict[str, Any] = {}
        self._obeys = False

    def start(self, stage: str, total: int) -> None:
        """Show a bar; with ``total`` 0 one that only says that something goes on."""
        with self._lock:
            self._waiting[stage], self._moved[stage] = 0, 0.0
        self._order(self._open, stage, total)

    def advance(self, stage: str, steps: int = 1) -> None:
        """Move a bar on."""
        now = time.monotonic()
        with self._lock:
            if stage not in self._waiting:
                return
            self._waiting[stage] += steps
            if now - self._moved[stage] < _SECONDS_BETWEEN_STEPS:
                return
            self._moved[stage] = now
            steps, self._waiting[stage] = self._waiting[stage], 0
        self._order(self._move, stage, steps)

    def finish(self, stage: str) -> None:
        """Take a bar away."""
        with self._lock:
            self._waiting.pop(stage, None)
        self._order(self._close, stage)

    def say(self, message: str) -> None:
        """Show a sentence."""
        from napari.utils.notifications import show_info

        show_info(message)

    def end(self) -> None:
        """Take all bars away, those too whose stage was broken off."""
        with self._lock:
            stages = list(self._waiting)
        for stage in stages:
            self.finish(stage)

    def _order(self, call: Callable[..., None], *arguments: Any) -> None:
        self._orders.append((call, arguments))
        in_window(self._obey)

    def _obey(self) -> None:
        """Carry out what waits, in its order: a bar that draws itself lets other events in."""
        if self._obeys:
            return
        self._obeys = True
        try:
            while self._orders:
                call, arguments = self._orders.popleft()
                call(*arguments)
        finally:
            self._obeys = False

    def _open(self, stage: str, total: int) -> None:
        from napari import current_viewer
        from napari.utils import progress

        self._close(stage)
        # Told before the window was closed, and carried out after: there is no dock any more.
        if current_viewer() is None:
            return
        try:
            self._bars[stage] = progress(total=total, desc=f"{self._title}: {stage}")
        except RuntimeError:
            # A bar that is made lets other events in, among them that the window is closed.
            if current_viewer() is not None:
                raise

    def _move(self, stage: str, steps: int) -> None:
        bar = self._bars.get(stage)
        if bar is not None:
            bar.update(steps)

    def _close(self, stage: str) -> None:
        bar = self._bars.pop(stage, None)
        if bar is not None:
            bar.close()


def in_window(call: Callable[..., Any], *arguments: Any) -> None:
    """Call a function in the thread of the window, soon; at once if this is that thread.

    Where the last window has been closed for good, nothing is called.
    """
    from qtpy.QtCore import QCoreApplication
    from superqt.utils import ensure_main_thread

    if QCoreApplication.instance() is not None:
        ensure_main_thread(call)(*arguments)


def in_background(
    title: str, work: Callable[[Observer], Result], then: Callable[[Result], object]
) -> threading.Thread:
    """Do something in another thread, and hand what came of it to the thread of the window.

    Parameters
    ----------
    title : str
        What is done, for the activity dock.
    work : callable
        Called in the other thread with an observer to report to; touches no widget and no layer.
    then : callable
        Called in the thread of the window with what ``work`` returned. Where either fails, a
        notification says so.

    Returns
    -------
    threading.Thread
        Has been started; ends with the process.

    Raises
    ------
    MissingExtra
        If napari is not installed, or runs without a window.
    """
    current_viewer = require("napari", "viewer", title).current_viewer
    from qtpy.QtWidgets import QApplication

    if QApplication.instance() is None:
        raise MissingExtra(f"{title} works beside a window of napari, and there is none.")
    activity = Activity(title)

    def hand_over(result: Result) -> None:
        try:
            then(result)
        except Exception as error:
            notify(error)

    def run() -> None:
        activity.start("at work", 0)
        try:
            in_window(hand_over, work(activity))
        except Exception as error:
            # After the last window, threads fail for want of their pools; nobody is told.
            if current_viewer() is not None:
                notify(error)
        finally:
            activity.end()

    thread = threading.Thread(target=run, name=title, daemon=True)
    thread.start()
    return thread
