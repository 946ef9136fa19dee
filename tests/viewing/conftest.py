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


@pytest.fixture
def photograph() -> Callable[..., Any]:
    """RGB pixels of a window's canvas: ``photograph(viewer)``; with a path, kept as PNG too."""

    def take(viewer: Any, path: Path | None = None) -> Any:
        return viewer.screenshot(
            None if path is None else str(path), canvas_only=True, flash=False
        )[..., :3]

    return take
