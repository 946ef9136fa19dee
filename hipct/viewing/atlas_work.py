"""Work of a panel in another thread, whose failures the panel tells as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.compat import isalive
from qtpy.QtWidgets import QWidget

from hipct.core.errors import HipctError
from hipct.core.progress import Observer
from hipct.viewing.notices import notify
from hipct.viewing.progress import in_background


class Work:
    """What a panel lets others do, so that its window never waits.

    Parameters
    ----------
    panel : QWidget
        Once it has been closed for good, nothing is told to it.
    say : callable
        Shows a sentence in the panel.
    """

    def __init__(self, panel: QWidget, say: Callable[[str], object]) -> None:
        self._panel, self.say = panel, say
        self._busy = 0

    @property
    def busy(self) -> bool:
        """Whether something goes on."""
        return self._busy > 0

    def do(
        self,
        title: str,
        work: Callable[[Observer], Any],
        then: Callable[[Any], object],
        ended: Callable[[], object] = lambda: None,
    ) -> None:
        """Do something in another thread.

        Parameters
        ----------
        title : str
            What is done, for the activity dock.
        work : callable
            Called in the other thread with an observer; touches no widget and no layer.
        then : callable
            Called in the window's thread with what came of it. Where either fails, the sentence is
            shown in the panel and as a notification.
        ended : callable
            Called in the window's thread before that, whatever came of it.
        """
        self._busy += 1

        def guarded(observer: Observer) -> Any:
            try:
                return work(observer)
            except Exception as error:  # It is told in the window, which lives on.
                return _Failed(error)

        def finished(result: Any) -> None:
            self._busy -= 1
            if not isalive(self._panel):  # type: ignore[no-untyped-call]
                return
            ended()
            try:
                if isinstance(result, _Failed):
                    raise result.error
                then(result)
            except Exception as error:
                ours = isinstance(error, HipctError)
                self.say(str(error) if ours else f"{title} failed ({error!r}).")
                notify(error)

        in_background(title, guarded, finished)


class _Failed:
    """An error on its way to the window's thread."""

    def __init__(self, error: Exception) -> None:
        self.error = error
