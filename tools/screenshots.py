"""Pictures of hipct's windows for the documentation, of simulated scans: ``docs/pictures``.

    python -m tools.screenshots [--out docs/pictures] [--only NAME ...] [--data FOLDER]

NAME is browse, hierarchy, live, explorer, sweep, atlas, plugin or snapshot. All but the last need
a screen: xvfb-run -a -s "-screen 0 1400x1000x24 +extension GLX" gives one. What has been simulated
stays in FOLDER, if it is given, for the next time. Nothing is judged here but that something is
drawn: look at the pictures.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIZE = (1360, 860)
_PATIENCE_S = 120.0
_QUIET_S = 1.0
_LARGEST_BYTES = 290_000
_COLOURS = (160, 112, 80)
"""Of a picture, the fewer the smaller; grey values of a volume are told apart none the less."""
_OVERVIEW = ((280, 340, 340), 20.0)
_ZOOM = ((224, 224, 224), 5.0)
"""Voxels along z, y, x, and their size in micrometres."""
_RADIUS_UM, _HEIGHT_UM, _SEED = 3300.0, 5600.0, 4
_ZOOMS = {"zoom-a": (-300.0, 240.0, -1450.0), "zoom-b": (900.0, -1100.0, 200.0)}
"""Their middles (z, y, x) in micrometres from the middle of the organ."""


class Lab:
    """A folder of simulated data, each made when it is first asked for.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def scan(self) -> Path:
        """A raw scan, as a beamline hands it over."""
        from hipct.simulation import simulate_scan

        path = self.folder / "kidney_scan.zarr"
        if not path.exists():
            simulate_scan(
                path,
                acquisition="full",
                columns=400,
                rows=64,
                angles=600,
                pixel_size_um=10.0,
                distance_m=8.0,
                energy_kev=90.0,
                seed=_SEED,
            )
        return path

    def overview(self) -> Path:
        """An organ."""
        return self._volume("kidney_overview", *_OVERVIEW, (0.0, 0.0, 0.0))

    def zooms(self) -> list[Path]:
        """Parts of the organ, finer, that know their place in it."""
        return [self._volume(f"kidney_{name}", *_ZOOM, at) for name, at in _ZOOMS.items()]

    def _volume(
        self,
        name: str,
        shape: tuple[int, int, int],
        voxel_um: float,
        at: tuple[float, float, float],
    ) -> Path:
        from hipct.simulation.anatomy import build_tall_organ
        from hipct.volume.pyramid import write_pyramid

        path = self.folder / "volumes" / f"{name}.ome.zarr"
        if path.exists():
            return path
        path.parent.mkdir(exist_ok=True)
        organ = build_tall_organ(_RADIUS_UM, height_um=_HEIGHT_UM, seed=_SEED)
        axes = [middle + _centres(n, voxel_um) for middle, n in zip(at, shape)]
        values = organ.volume(*axes, voxel_um=voxel_um, supersampling=2)
        noise = np.random.default_rng(_SEED).normal(0, 0.002, shape)
        corners = [-_centres(n, _OVERVIEW[1])[0] for n in _OVERVIEW[0]]
        place = {
            "zoom": name,
            "overview": "kidney_overview",
            "result": "found",
            "scale": 1.0,
            "rotation": np.eye(3).tolist(),
            "translation": [float(axis[0] + corner) for axis, corner in zip(axes, corners)],
        }
        write_pyramid(
            values + noise.astype(np.float32),
            path,
            voxel_size_um=voxel_um,
            window=(-0.03, 0.11),
            chunk=64,
            attributes={"placed_in": place} if any(at) else {},
        )
        return path


def _centres(count: int, voxel_um: float) -> NDArray[np.float64]:
    return (np.arange(count) - (count - 1) / 2) * voxel_um


def browse(lab: Lab) -> Any:
    """A volume with the panels beside it."""
    return _view(lab.overview())


def hierarchy(lab: Lab) -> Any:
    """Two zooms in their places."""
    viewer = _view(lab.overview(), *lab.zooms())
    _wait(viewer)
    viewer.dims.set_point(0, _place_of("zoom-a")[0])
    return viewer


def live(lab: Lab) -> Any:
    """A raw scan."""
    from hipct.viewing.live import add_live
    from hipct.viewing.window import new_window

    viewer = new_window("kidney_scan")
    shown = add_live(viewer, lab.scan())
    _wait(viewer, lambda: shown.settled and not shown.pending)
    viewer.reset_view()
    return viewer


def explorer(lab: Lab) -> Any:
    """A slice of the raw scan under too small a delta/beta, and under that of soft tissue."""
    panel, viewer = _explorer(lab)
    right = panel.tuning.values["phase.delta_beta"]
    panel.set("phase.delta_beta", right / 6)
    panel.keep_as_before()
    panel.set("phase.delta_beta", right)
    _wait(viewer, lambda: not panel.busy)
    panel.compares.setChecked(True)
    return viewer


def sweep(lab: Lab) -> Any:
    """Slices over a range of delta/beta."""
    panel, viewer = _explorer(lab)
    panel.sweep.run()
    _wait(viewer, lambda: panel.sweep.window is not None)
    return panel.sweep.window


def atlas(lab: Lab) -> Any:
    """Data sets of the atlas, with those of a folder; one of these is open in its overview."""
    from hipct.viewing.atlas_browser import AtlasPanel
    from hipct.viewing.tools import add_panel
    from hipct.viewing.window import new_window

    lab.overview(), lab.zooms()
    viewer = new_window("atlas")
    panel = AtlasPanel(viewer, [lab.folder / "volumes"])
    add_panel(viewer, panel, "Atlas")
    _wait(viewer, lambda: not panel.busy)
    for name in ("kidney_overview", "kidney_zoom-a"):
        panel.open(name)
        _wait(viewer, lambda: not panel.busy)
    # More of the overview around the zoom.
    viewer.scene.camera.zoom /= 1.6
    # What is public, beside what is one's own and was opened.
    panel.sets.words.setText("kidney")
    panel.sets.choose(next(name for name in panel.sets.names if "complete" in name))
    return viewer


def plugin(lab: Lab) -> Any:  # noqa: ARG001 - it brings its own data
    """The sample of the plugin in a plain window of napari."""
    import napari

    viewer = napari.Viewer()
    viewer.open_sample("hipct", "organ")
    viewer.window.add_plugin_dock_widget("hipct", "Position")
    return viewer


WINDOWS: dict[str, Callable[[Lab], Any]] = {
    "browse": browse,
    "hierarchy": hierarchy,
    "live": live,
    "explorer": explorer,
    "sweep": sweep,
    "atlas": atlas,
    "plugin": plugin,
}


def _view(*paths: Path) -> Any:
    """What ``hipct view`` shows; its event loop is run here."""
    from hipct.viewing.window import view

    viewer = view(*paths, show=False)
    viewer.show()
    return viewer


def _explorer(lab: Lab) -> tuple[Any, Any]:
    from hipct.viewing.explorer import add_explorer
    from hipct.viewing.live import live_of

    viewer = live(lab)
    panel = add_explorer(viewer, live_of(viewer.layers[0]))
    _wait(viewer, lambda: panel.tuning is not None and not panel.busy)
    viewer.reset_view()
    return panel, viewer


def _place_of(zoom: str) -> tuple[float, ...]:
    """The middle of a zoom in the coordinates of the overview."""
    shape, voxel_um = _OVERVIEW
    return tuple(at - _centres(n, voxel_um)[0] for at, n in zip(_ZOOMS[zoom], shape))


def _wait(viewer: Any, until: Callable[[], bool] = lambda: True) -> None:
    """Let a window work until something holds, and for a while nothing of its layers is missing."""
    from qtpy.QtWidgets import QApplication

    from hipct.viewing.layers import reads_of

    end, quiet = time.monotonic() + _PATIENCE_S, time.monotonic()
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)
        missing = any((reads := reads_of(one)) and reads.pending for one in viewer.layers)
        if missing or not until():
            quiet = time.monotonic()
        elif time.monotonic() - quiet > _QUIET_S:
            return
    raise TimeoutError("The window did not come to rest.")


def photograph(make: Callable[[Lab], Any], lab: Lab, png: Path) -> None:
    """Open a window, let it come to rest, and keep its picture."""
    from napari._qt.dialogs.qt_notification import NapariQtNotification
    from PIL import Image

    viewer = make(lab)
    viewer.window.resize(*SIZE)
    _wait(viewer)
    if make is not hierarchy and make is not atlas:
        # Panels have taken their room since.
        viewer.reset_view()
    _wait(viewer)
    for notice in viewer.window._qt_window.findChildren(NapariQtNotification):
        notice.close()
    picture = Image.fromarray(viewer.window.screenshot(flash=False, canvas_only=False))
    _keep(picture, png)
    viewer.close()


def snapshot(lab: Lab, png: Path) -> None:
    """What ``hipct snapshot`` draws; needs no screen."""
    from hipct.exchange.snapshot import snapshot as draw

    _keep(draw(lab.overview(), size_px=420).picture, png)


def _keep(picture: Any, png: Path) -> None:
    """Write a picture, small enough for a page."""
    for colours in _COLOURS:
        picture.convert("RGB").quantize(colours, dither=0).save(png, optimize=True)
        if png.stat().st_size <= _LARGEST_BYTES:
            return


def main(arguments: list[str] | None = None) -> int:
    """Make the pictures; 1 if one of them is empty, or there is no screen for it."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m tools.screenshots")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--only", nargs="+", choices=[*WINDOWS, "snapshot"], metavar="NAME")
    parser.add_argument("--data", type=Path)
    given = parser.parse_args(arguments)
    names = given.only or [*WINDOWS, "snapshot"]
    if not os.environ.get("DISPLAY") and names != ["snapshot"]:
        print("There is no screen; run it under xvfb-run.", file=sys.stderr)
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    empty = 0
    with tempfile.TemporaryDirectory() as scratch:
        # Neither read nor change what the user of this machine has set.
        os.environ.setdefault("NAPARI_CONFIG", str(Path(scratch) / "napari.yaml"))
        lab = Lab(given.data or Path(scratch))
        for name in names:
            png = given.out / f"{name}.png"
            if name == "snapshot":
                snapshot(lab, png)
            else:
                photograph(WINDOWS[name], lab, png)
            with Image.open(png) as picture:
                shades = len(np.unique(np.asarray(picture.convert("L"))))
            empty += shades < 20
            print(f"{png}: {png.stat().st_size // 1000} kB, {shades} shades of grey")
    return 1 if empty else 0


if __name__ == "__main__":
    sys.exit(main())
