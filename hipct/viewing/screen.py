"""Whether there is a screen: without one, Qt ends the process with an abort and no sentence."""

from __future__ import annotations

import os
import sys

from hipct.core.errors import InputError


def require_screen(purpose: str) -> None:
    """Raise where no window can be opened.

    Parameters
    ----------
    purpose : str
        What opens a window, as the subject of a sentence.

    Raises
    ------
    InputError
        If this is Linux and the environment names no screen.
    """
    screens = ("DISPLAY", "WAYLAND_DISPLAY")
    # Other platforms of Qt (offscreen, vnc) are asked for by name, and need none.
    on_screen = os.environ.get("QT_QPA_PLATFORM", "xcb").partition(":")[0] in ("", "xcb", "wayland")
    if sys.platform.startswith("linux") and on_screen and not any(map(os.environ.get, screens)):
        raise InputError(
            f"{purpose} opens a window, and there is no screen here (DISPLAY is not set); run it "
            "where there is one (ssh -X brings it along), or use hipct snapshot for a picture and "
            "hipct serve for a browser, which need none."
        )
