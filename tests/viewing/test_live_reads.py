"""What a window is given of a live scan, step by step, without a window."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from hipct.core.progress import Silent
from hipct.live.cancel import Cancelled
from hipct.pipeline.config import Config
from hipct.viewing.live_reads import LiveReads


class Slices:
    """A live scan whose slices are made when the test lets them; each holds its place."""

    voxel_size_um, budget_bytes = 10.0, 1 << 27

    def __init__(self, shapes):
        self.shapes, self.made, self.begun, self.given_up = shapes, [], [], []
        self.waits_for = None
        self.free = threading.Event()

    def together(self, level):
        return max(1, 32 >> level) if level else 1

    def slices(self, level, rows, cancelled=None):
        piece = level, rows.start
        self.begun.append(piece)
        while self.waits_for == piece and not self.free.is_set():
            if cancelled():
                self.given_up.append(piece)
                raise Cancelled
            time.sleep(0.002)
        self.made.append(piece)
        _, y, x = self.shapes[level]
        first = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None, None]
        return np.broadcast_to(2**level * first + 1, (len(rows), y, x)).copy()


def wait(holds):
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.002)


@pytest.fixture
def slices():
    return Slices([(256, 512, 512), (128, 256, 256), (64, 128, 128), (32, 64, 64)])


@pytest.fixture
def reads(slices):
    watched = LiveReads(slices)
    watched.watch(lambda: None)
    yield watched
    watched.close()


def plane(level, z, size):
    return (level, ((z, z + 1), (0, size), (0, size)))


def shown(reads, place, value):
    return bool((reads.picture(*place) == value).all())


def test_a_slice_comes_coarse_then_fine_and_what_is_next_follows(slices, reads):
    slices.waits_for = (2, 24)
    assert not reads.picture(*plane(0, 100, 512)).any()
    slices.free.set()
    wait(lambda: shown(reads, plane(0, 100, 512), 101))
    assert slices.made[:2] == [(2, 24), (0, 100)]
    # The coarsest level is made as a whole when nothing else is to do.
    wait(lambda: {(3, first) for first in range(0, 32, 4)} <= set(slices.made))
    reads.picture(*plane(0, 101, 512))
    wait(lambda: {(0, 102), (0, 103), (0, 104)} <= set(slices.made))
    # Until a fine slice is there, a coarse one stands in for it.
    slices.waits_for = (2, 0)
    slices.free.clear()
    assert (reads.picture(*plane(0, 20, 512)) == 17).all()


def test_what_is_made_for_a_view_before_is_given_up(slices, reads):
    slices.waits_for = (0, 100)
    reads.picture(*plane(0, 100, 512))
    wait(lambda: (0, 100) in slices.begun)
    reads.picture(*plane(0, 7, 512))
    wait(lambda: (0, 7) in slices.made)
    assert slices.given_up == [(0, 100)]
    assert reads.faults == ()
    # It is made when it is looked at again.
    slices.free.set()
    reads.picture(*plane(0, 100, 512))
    wait(lambda: (0, 100) in slices.made)


def test_a_thumbnail_does_not_push_itself_forward(slices, reads):
    slices.waits_for = (2, 24)
    reads.picture(*plane(0, 100, 512))
    wait(lambda: (2, 24) in slices.begun)
    reads.picture(*plane(3, 12, 64))
    slices.free.set()
    wait(lambda: (3, 12) in slices.made)
    assert slices.made[:3] == [(2, 24), (0, 100), (3, 12)]


def test_sections_along_the_axis_are_stacked_of_a_level_of_256_slices(slices, reads):
    bounds = (0, 256), (300, 301), (0, 512)
    reads.picture(0, bounds)
    wait(lambda: len(slices.made) == 8 + 8)
    wait(lambda: not reads.pending)
    levels = [level for level, _ in slices.made]
    assert levels == [3] * 8 + [1] * 8
    section = reads.picture(0, bounds)[:, 0]
    # Every voxel is that of the coarse slice over it.
    assert (section[:, 17] == 2 * (np.arange(256) // 2) + 1).all()
    assert not [level for level, _ in slices.made if level == 0]


def test_under_another_axis_all_is_made_anew(slices, reads):
    reads.picture(*plane(0, 100, 512))
    wait(lambda: (0, 100) in slices.made)
    slices.waits_for = (0, 50)
    reads.picture(*plane(0, 50, 512))
    wait(lambda: (0, 50) in slices.begun)
    wider = Slices([(256, 600, 600), (128, 300, 300), (64, 150, 150), (32, 75, 75)])
    reads.become(wider)
    wait(lambda: (0, 50) in slices.given_up)
    assert reads.levels[0].shape == (256, 600, 600)
    wider.waits_for = (2, 8)
    assert (reads.picture(*plane(0, 50, 600)) != 51).all()
    wider.free.set()
    wait(lambda: shown(reads, plane(0, 50, 600), 51))
    assert (0, 50) in wider.made


def test_an_axis_for_the_first_picture_is_near_and_told_to_nobody():
    from hipct.live.first_axis import first_look
    from hipct.live.scan import LiveScan
    from tests.pipeline.conftest import disc_scan

    settings = Config(phase={"method": "none"})
    for acquisition, axis in (("full", 203.4), ("half", 300.3)):
        scan = disc_scan(columns=407, rows=48, angles=360, acquisition=acquisition, axis=axis)
        told = Sentences()
        live = LiveScan(scan, settings, observer=told)
        first = first_look(live)
        assert abs(first.axis_px - axis) < 0.5
        assert told.sentences == []
        # The axis of a run is found all the same.
        assert live.axis_px != first.axis_px
        assert abs(live.axis_px - axis) < 0.2
        assert len(told.sentences) == 1
        assert first_look(live.with_config(live.settled_config)) is None
    # Too few columns are common to opposite views for a quick look.
    narrow = disc_scan(columns=203, rows=48, angles=360, acquisition="half", axis=160.3)
    assert first_look(LiveScan(narrow, settings)) is None


class Sentences(Silent):
    """Keeps what it is told."""

    def __init__(self):
        self.sentences = []

    def say(self, message):
        self.sentences.append(message)
