"""Failures as notifications, progress in the activity dock, a window that goes on meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hipct.core.errors import FormatError
from hipct.core.progress import Observer
from hipct.viewing.notices import noticed, notify
from hipct.viewing.progress import in_background

pytestmark = pytest.mark.usefixtures("screen")


@pytest.fixture
def said() -> Iterator[list[Any]]:
    """Notifications that came during the test."""
    from napari.utils.notifications import notification_manager

    before = len(notification_manager.records)
    told: list[Any] = []
    notification_manager.notification_ready.connect(told.append)
    yield told
    notification_manager.notification_ready.disconnect(told.append)
    del notification_manager.records[before:]


def test_a_failure_is_shown_in_the_words_of_the_library(said: list[Any]) -> None:
    with noticed():
        raise FormatError("organ.ome.zarr is torn;\n   hipct check names the file.")
    (notice,) = said
    assert notice.message == "organ.ome.zarr is torn; hipct check names the file."
    assert str(notice.severity) == "error"


def test_a_fault_of_ours_brings_its_traceback(said: list[Any]) -> None:
    try:
        raise KeyError("level")
    except KeyError as error:
        notify(error)
    (notice,) = said
    assert "KeyError" in notice.as_html()


def bars() -> list[Any]:
    from napari.utils import progress

    return list(progress._all_instances)


def test_work_goes_on_behind_the_window_with_a_bar(
    make_viewer: Callable[..., Any], until: Callable[..., None], said: list[Any]
) -> None:
    viewer = make_viewer()
    window = threading.get_ident()
    goes_on, seen = threading.Event(), []

    def work(observer: Observer) -> int:
        seen.append(threading.get_ident())
        observer.start("slices", 40)
        for _ in range(10):
            observer.advance("slices")
        time.sleep(0.15)
        observer.advance("slices")
        observer.say("Two flats are missing.")
        assert goes_on.wait(60)
        observer.finish("slices")
        return 42

    in_background("Simulated", work, lambda result: seen.append((result, threading.get_ident())))
    until(lambda: any(bar.n == 11 for bar in bars()))
    (bar,) = [bar for bar in bars() if bar.desc.startswith("Simulated: slices")]
    assert bar.total == 40
    from napari._qt.widgets.qt_progress_bar import QtLabeledProgressBar

    dock = viewer.window._qt_window._activity_dialog
    shown = {
        each.description_label.text(): each._get_value()
        for each in dock.findChildren(QtLabeledProgressBar)
    }
    assert shown["Simulated: slices: "] == 11
    assert len(seen) == 1
    assert [notice.message for notice in said] == ["Two flats are missing."]
    goes_on.set()
    until(lambda: len(seen) == 2 and not bars())
    assert seen[0] != window
    assert seen[1] == (42, window)


@pytest.mark.parametrize("where", ["work", "then"])
def test_work_that_fails_says_so_and_leaves_no_bar(
    where: str, make_viewer: Callable[..., Any], until: Callable[..., None], said: list[Any]
) -> None:
    make_viewer()

    def fail(*_: Any) -> None:
        raise FormatError("The chunk 0/3/1 is torn.")

    def work(observer: Observer) -> None:
        observer.start("slices", 3)
        if where == "work":
            fail()

    in_background("Opening", work, fail)
    until(lambda: bool(said) and not bars())
    assert [notice.message for notice in said] == ["The chunk 0/3/1 is torn."]


def test_nothing_is_told_after_the_window(
    make_viewer: Callable[..., Any], until: Callable[..., None], said: list[Any]
) -> None:
    viewer = make_viewer()
    goes_on = threading.Event()

    def work(observer: Observer) -> None:
        assert goes_on.wait(60)
        observer.start("slices", 3)
        raise FormatError("The chunk 0/3/1 is torn.")

    thread = in_background("Opening", work, lambda _: None)
    until(lambda: len(bars()) == 1)
    viewer.close()
    goes_on.set()
    until(lambda: not thread.is_alive())
    until(lambda: not bars())
    assert not said
