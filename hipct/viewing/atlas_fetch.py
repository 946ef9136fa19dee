"""A download that a panel shows, and that can be stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hipct.core.progress import Observer, Silent

_BETWEEN_S = 0.1


class Watched:
    """An observer that tells a panel how far it is, and ends the work when asked to.

    Parameters
    ----------
    tell : callable
        Given steps done and steps in all, by any thread, at most ten times a second, and at the
        end of each stage.

    Attributes
    ----------
    inner : Observer
        Is told the same.
    said : sentences, for the panel
    """

    def __init__(self, tell: Callable[[int, int], object]) -> None:
        self.inner: Observer = Silent()
        self._tell = tell
        self._lock = threading.Lock()
        self._done, self._total, self._told = 0, 0, 0.0
        self._stopped = threading.Event()
        self.said: list[str] = []

    @property
    def stopped(self) -> bool:
        """Whether somebody has asked for the end."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """End the work at its next step."""
        self._stopped.set()

    def start(self, stage: str, total: int) -> None:
        """A stage begins."""
        self._done, self._total = 0, total
        self.inner.start(stage, total)
        self._tell(0, total)

    def advance(self, stage: str, steps: int = 1) -> None:
        """Steps are done.

        Raises
        ------
        InterruptedError
            If somebody has asked for the end.
        """
        if self.stopped:
            raise InterruptedError
        self.inner.advance(stage, steps)
        with self._lock:
            self._done += steps
            now = time.monotonic()
            if now - self._told < _BETWEEN_S:
                return
            self._told = now
        self._tell(self._done, self._total)

    def finish(self, stage: str) -> None:
        """A stage has ended."""
        self.inner.finish(stage)
        self._tell(self._done, self._total)

    def say(self, message: str) -> None:
        """A sentence, kept for the panel."""
        self.said.append(message)
