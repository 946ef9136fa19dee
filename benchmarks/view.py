"""How long is a volume of a terabyte waited for in a window, and does the window ever stand still.

The pyramid of ``benchmarks.view_data`` (8192 x 8192 x 8192 voxels of 16 bit; real chunks in every
view that is visited) is opened as ``hipct view`` does, and a person is played: slices at 30 a
second across the border of chunks, zooming from the whole down to single voxels, moving about
there, slices there, and three dimensions. A timer beats every 5 ms in the event loop of the window:
``longest stall`` is the longest time between two beats less those 5 ms; ``of its own`` is the
longest one without the time in which the thread of the window could have gone on and had no core
(Linux counts it), which is what others on a busy machine take from it. ``settled after`` is when
the finest voxels of the last view are drawn.

Needs a display, or ``xvfb-run -a -s "-screen 0 1400x1000x24 +extension GLX"`` before the command,
where the processor draws and stalls hold that too. The pyramid is written first (3 GB, minutes)
into ``--folder``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS, save_table, versions
from benchmarks.view_data import terabyte

BEAT_S = 0.005
STEP_S = 1 / 30
PATIENCE_S = 60.0
QUICK_EDGE = 1024
WINDOW_PX = (1400, 960)


class Watch:
    """A timer in the event loop of this thread: how long it did not beat."""

    def __init__(self) -> None:
        from qtpy.QtCore import Qt, QTimer

        self._statistics = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self.reset()
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._timer.start(round(1e3 * BEAT_S))

    def reset(self) -> None:
        """Forget what was measured."""
        self._last, self._waited = time.perf_counter(), self._waited_s()
        self.longest_s = self.longest_own_s = 0.0

    def _beat(self) -> None:
        now, waited = time.perf_counter(), self._waited_s()
        stall = now - self._last - BEAT_S
        self.longest_s = max(self.longest_s, stall)
        self.longest_own_s = max(self.longest_own_s, stall - (waited - self._waited))
        self._last, self._waited = now, waited

    def _waited_s(self) -> float:
        """Seconds in which this thread was ready and had no core; 0 where nobody counts them."""
        try:
            return int(self._statistics.read_bytes().split()[1]) / 1e9
        except OSError:
            return 0.0


def live_until(holds: Callable[[], bool], limit_s: float = PATIENCE_S) -> float:
    """Let the event loop run until something holds; seconds that it took, ``limit_s`` at most.

    Only events of the loop itself are taken, as ``napari.run`` takes them: a stall is found by the
    timer and not by this.
    """
    from qtpy.QtCore import QEventLoop, QTimer

    loop, start = QEventLoop(), time.perf_counter()

    def look() -> None:
        if holds() or time.perf_counter() - start > limit_s:
            loop.quit()

    asking = QTimer()
    asking.timeout.connect(look)
    asking.start(5)
    loop.exec()
    asking.stop()
    return time.perf_counter() - start


def play(steps: list[Callable[[], object]]) -> None:
    """Do one thing after the other, at 30 a second, in the event loop."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, left = QEventLoop(), list(reversed(steps))

    def go() -> None:
        if left:
            left.pop()()
        else:
            loop.quit()

    timer = QTimer()
    timer.timeout.connect(go)
    timer.start(round(1e3 * STEP_S))
    loop.exec()
    timer.stop()


class Session:
    """A window with the pyramid in it, and what was measured."""

    def __init__(self, path: Path) -> None:
        from hipct.viewing.layers import add_volume, reads_of
        from hipct.viewing.window import new_window
        from hipct.volume.open import open_volume

        self.rows: list[dict[str, object]] = []
        self.viewer = new_window("terabyte")
        self.viewer.window.resize(*WINDOW_PX)
        up = time.perf_counter()
        live_until(lambda: time.perf_counter() - up > 1)
        self.watch = Watch()
        live_until(lambda: False, 0.3)
        self.watch.reset()
        start = time.perf_counter()
        self.layer = add_volume(self.viewer, open_volume(path))
        self.reads: Any = reads_of(self.layer)
        self.viewer.reset_view()
        self.drawn, self.renderer = 0.0, "unknown"
        self.viewer.window._qt_viewer.canvas._scene_canvas.events.draw.connect(self._ask)
        self.layer.events.set_data.connect(self._draw)
        live_until(lambda: bool(self.layer._slice.image.view.any()))
        first = time.perf_counter() - start
        settled = self.settle()
        self.note("first picture", first, first + settled)

    def _draw(self, event: Any = None) -> None:  # noqa: ARG002 - napari hands it over
        self.drawn = time.perf_counter()

    def _ask(self, event: Any = None) -> None:  # noqa: ARG002 - vispy hands it over
        """Who draws: known while something is drawn."""
        from vispy.gloo import gl

        self.renderer = str(gl.glGetParameter(gl.GL_RENDERER))

    def is_settled(self) -> bool:
        """All chunks of the view are there, and were drawn a while ago."""
        quiet = time.perf_counter() - self.drawn
        return bool(self.layer.loaded and not self.reads.pending and quiet > 0.4)

    def settle(self) -> float:
        """Seconds until the finest voxels of the view were drawn."""
        start = time.perf_counter()
        live_until(self.is_settled)
        return max(0.0, self.drawn - start)

    def note(self, what: str, shown: float | None, settled: float) -> None:
        """Keep a row, and begin anew."""
        level = self.layer.data_level
        self.rows.append(
            {
                "what": what,
                "level at the end": level,
                "first picture [s]": shown,
                "settled after [s]": settled,
                "longest stall [ms]": 1e3 * self.watch.longest_s,
                "of its own [ms]": 1e3 * self.watch.longest_own_s,
                "chunks kept [MB]": self.reads.cache.bytes / 1e6,
            }
        )
        live_until(lambda: False, 0.1)
        self.watch.reset()

    def act(self, what: str, steps: list[Callable[[], object]]) -> None:
        """Play something, and note how the window took it."""
        play(steps)
        self.note(what, None, self.settle())


def route(session: Session, edge: int) -> None:
    """What a person does who looks around."""
    viewer, middle = session.viewer, edge // 2
    whole = viewer.scene.camera.zoom
    voxel = float(session.layer.scale[0])

    def to_slice(z: int) -> Callable[[], object]:
        return lambda: viewer.dims.set_point(0, z * voxel)

    def zoom_to(zoom: float) -> Callable[[], object]:
        return lambda: setattr(viewer.scene.camera, "zoom", zoom)

    def look_at(y: float, x: float) -> Callable[[], object]:
        return lambda: setattr(viewer.scene.camera, "center", (0.0, y * voxel, x * voxel))

    session.act(
        "90 slices of the whole, 2 apart", [to_slice(middle - 90 + 2 * i) for i in range(90)]
    )
    finest, steps = 1.0 / voxel, 90
    ratio = (finest / whole) ** (1 / steps)
    session.act(
        "zoom in to single voxels", [zoom_to(whole * ratio**i) for i in range(1, steps + 1)]
    )
    session.act("60 slices there, across chunks", [to_slice(middle - 30 + i) for i in range(60)])
    session.act(
        "move 600 voxels there",
        [look_at(middle + 5 * i, middle - 5 * i) for i in range(1, 120)],
    )
    session.act("zoom out again", [zoom_to(finest / ratio**i) for i in range(1, steps + 1)])
    session.act("three dimensions", [lambda: setattr(viewer.dims, "ndisplay", 3)])
    session.act("and back", [lambda: setattr(viewer.dims, "ndisplay", 2)])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small pyramid, to see that it runs")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "hipct-view")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the result")
    chosen = parser.parse_args()
    if not (os.environ.get("DISPLAY") or sys.platform == "darwin"):
        print("There is no display; run this under xvfb-run (see the module).", file=sys.stderr)
        return 2
    edge = QUICK_EDGE if chosen.quick else 8192
    path = terabyte(chosen.folder, edge)
    with tempfile.TemporaryDirectory() as settings:
        # Neither read nor change what the user of this machine has set.
        os.environ["NAPARI_CONFIG"] = str(Path(settings) / "settings.yaml")
        session = Session(path)
        route(session, edge)
        height, width = session.viewer.canvas.size
        facts = {
            "napari": versions(["napari"])["napari"],
            "canvas": f"{width} x {height} pixels",
            "drawn by": session.renderer,
        }
        session.viewer.close()
    command = "python -m benchmarks.view" + (" --quick" if chosen.quick else "")
    save_table("view", session.rows, command, out=chosen.out, facts=facts)
    return 0


if __name__ == "__main__":
    sys.exit(main())
