"""Windows of napari on a screen, with settings of their own, closed after the test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def screen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A screen and napari to draw on it; the test is skipped where one is missing."""
    if not os.environ.get("DISPLAY"):
        pytest.skip("real pixels need an X display: run under xvfb-run")
    # With its parts, under importorskip: their own imports warn of pydantic.
    pytest.importorskip("napari.viewer", reason="napari is not installed")
    pytest.importorskip("PySide6", reason="no Qt binding is installed")
    with pytest.MonkeyPatch.context() as environment:
        # Neither read nor change what the user of this machine has set.
        environment.setenv("NAPARI_CONFIG", str(tmp_path_factory.mktemp("napari") / "set.yaml"))
        environment.setenv("QT_QPA_PLATFORM", "xcb")
        yield


@pytest.fixture
def make_viewer(screen: None) -> Iterator[Callable[..., Any]]:
    """Opens windows that show themselves: ``make_viewer(**options of napari.Viewer)``."""
    import napari

    opened = []

    def make(**options: Any) -> Any:
        opened.append(napari.Viewer(show=True, **options))
        return opened[-1]

    yield make
    for viewer in opened:
        viewer.close()


@pytest.fixture
def until() -> Callable[..., None]:
    """Lets the window work until something holds: ``until(lambda: ...)``.

    The patience is that of a busy machine: it is spent where a test fails, and nowhere else.
    """

    def wait(holds: Callable[[], bool], within_s: float = 120) -> None:
        from qtpy.QtWidgets import QApplication

        end = time.monotonic() + within_s
        while not holds():
            assert time.monotonic() < end, f"did not come within {within_s} s"
            QApplication.processEvents()
            time.sleep(0.005)

    return wait


def rest(viewer: Any, busy: Callable[[], bool] = lambda: False) -> None:
    """Let a window work until what its layers lack has come and was drawn.

    Nothing may happen for a while, and for many rounds: on a busy machine one takes as long.
    """
    from qtpy.QtWidgets import QApplication

    from hipct.viewing.layers import reads_of

    happened = [True]

    def drawn(event: Any = None) -> None:
        happened[0] = True

    layers = list(viewer.layers)
    for layer in layers:
        layer.events.set_data.connect(drawn)
    end = time.monotonic() + 120
    quiet, rounds = 0.0, 0
    while rounds < 60 or time.monotonic() - quiet < 0.5:
        assert time.monotonic() < end, "the window does not come to rest"
        if happened[0] or busy() or any(r.pending for r in map(reads_of, viewer.layers) if r):
            happened[0], quiet, rounds = False, time.monotonic(), 0
        QApplication.processEvents()
        time.sleep(0.005)
        rounds += 1
    for layer in layers:
        layer.events.set_data.disconnect(drawn)


@pytest.fixture
def photograph() -> Callable[..., Any]:
    """RGB pixels of a window's canvas: ``photograph(viewer)``; with a path, kept as PNG too."""

    def take(viewer: Any, path: Path | None = None) -> Any:
        return viewer.screenshot(
            None if path is None else str(path), canvas_only=True, flash=False
        )[..., :3]

    return take
