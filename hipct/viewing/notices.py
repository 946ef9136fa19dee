"""Failures as notifications of napari, with the sentence that the library has for them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hipct.core.errors import HipctError


def notify(error: Exception) -> None:
    """Show a failure in napari; may be called from any thread.

    Parameters
    ----------
    error : Exception
        Of one that hipct raises on purpose the sentence is shown, which says what to do; of any
        other one, which is a fault of ours, napari offers the traceback as well.
    """
    from napari.utils.notifications import notification_manager, show_error

    if isinstance(error, HipctError):
        show_error(" ".join(str(error).split()))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)


@contextmanager
def noticed() -> Iterator[None]:
    """What fails inside is shown in napari and ends there, as an event of a window should.

    Examples
    --------
    ::

        with noticed():
            add_volume(viewer, open_volume(path))
    """
    try:
        yield
    except Exception as error:  # Whatever it is, the window stays alive and says so.
        notify(error)
