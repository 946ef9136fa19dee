"""Threads that fetch what is looked at: the latest view first, the former one not at all."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable

from hipct.viewing.reads_cache import Key


class Loader:
    """Fetches chunks in threads that end with the process and keep nothing waiting.

    Parameters
    ----------
    fetch : callable
        Takes a key and fetches its chunk; raises nothing.
    threads : int
        Chunks that are fetched at a time. The threads start with the first chunk.

    Attributes
    ----------
    threads : int
    yields : bool
        Whether its threads let others be served first; to be set before the first chunk.
    on_change : callable
        Called by a thread after each chunk that somebody looks at.
    """

    def __init__(self, fetch: Callable[[Key], None], threads: int) -> None:
        self._fetch, self.threads, self.yields = fetch, threads, True
        self.on_change: Callable[[], object] = lambda: None
        self._always: deque[Key] = deque()
        self._wanted: deque[Key] = deque()
        self._later: deque[Key] = deque()
        self._busy: dict[Key, bool] = {}
        self._looked_at: frozenset[Key] = frozenset()
        self._running: list[threading.Thread] = []
        self._condition = threading.Condition()
        self._closed = False

    @property
    def pending(self) -> int:
        """Chunks of the present view that have not come yet."""
        with self._condition:
            busy = sum(seen for seen in self._busy.values())
            return len(self._always) + len(self._wanted) + busy

    def want_always(self, keys: Iterable[Key]) -> None:
        """Fetch these first, whatever is looked at next."""
        with self._condition:
            self._always.extend(k for k in keys if k not in self._always and not self._is_busy(k))
            self._wake()

    def want(self, keys: Iterable[Key]) -> None:
        """Fetch these, in this order, in place of all that was wanted before."""
        with self._condition:
            keys = list(keys)
            self._looked_at = frozenset(keys)
            self._wanted = deque(k for k in keys if not self._is_busy(k))
            self._wake()

    def want_later(self, keys: Iterable[Key]) -> None:
        """Fetch these when nothing else is left to do; nobody is told."""
        with self._condition:
            self._later = deque(keys)
            self._wake()

    def given_up(self, key: Key) -> bool:
        """Whether a chunk that is on its way only keeps others waiting, which are looked at."""
        with self._condition:
            if self._closed:
                return True
            return key not in self._looked_at and bool(self._always or self._wanted)

    def close(self) -> None:
        """Fetch no more, and tell nobody."""
        with self._condition:
            self._closed = True
            self.on_change = lambda: None
            for queue in (self._always, self._wanted, self._later):
                queue.clear()
            self._condition.notify_all()

    def _is_busy(self, key: Key) -> bool:
        """Whether a chunk is on its way; from now on somebody looks at it."""
        if key not in self._busy:
            return False
        self._busy[key] = True
        return True

    def _wake(self) -> None:
        if self._closed or not (self._always or self._wanted or self._later):
            return
        while len(self._running) < self.threads:
            thread = threading.Thread(target=self._work, name="hipct-view", daemon=True)
            self._running.append(thread)
            thread.start()
        self._condition.notify_all()

    def _work(self) -> None:
        while True:
            with self._condition:
                self._condition.wait_for(
                    lambda: self._closed or self._always or self._wanted or self._later
                )
                if self._closed:
                    return
                seen = bool(self._always or self._wanted)
                key = (self._always or self._wanted or self._later).popleft()
                if self._is_busy(key):
                    continue
                self._busy[key] = seen
            self._fetch(key)
            with self._condition:
                seen = self._busy.pop(key)
            if seen:
                self.on_change()
