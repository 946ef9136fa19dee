"""Pictures of a volume in the viewers that people open it with: Neuroglancer and napari.

    python -m tools.look_in_viewers VOLUME OUT_DIR [--viewer neuroglancer|napari]

Neuroglancer is its own package's (pip install neuroglancer) in headless Chromium, which reads the
volume from ``hipct serve``'s server; napari reads it by the plugin napari-ome-zarr, as others do,
and by ``hipct view``. Nothing is judged here but that something is drawn: look at the pictures.
What is not installed is left out, with the reason. napari needs a screen: xvfb-run -a -s "-screen 0
1400x1000x24 +extension GLX" gives one.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np

SIZE = (1400, 1000)
_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")
_SOFTWARE_GL = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)
_PATIENCE_S = 30.0
# All chunks that the view needs are drawn, for a second.
_READY = "typeof viewer !== 'undefined' && viewer.isReady()"


class Absent(Exception):
    """Something that a viewer needs is not installed."""


def look_in_neuroglancer(volume: Path, out: Path) -> list[Path]:
    """Pictures of the whole, of a few voxels, of a level of the middle, and in 3-D."""
    from hipct.exchange.export_neuroglancer import neuroglancer_state
    from hipct.viewing.serve import VolumeServer
    from hipct.volume.open import open_volume

    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if chromium is None:
        raise Absent(f"no browser of {', '.join(_CHROMIUM)} is installed")
    package = importlib.util.find_spec("neuroglancer")
    if package is None or package.origin is None:
        raise Absent("the viewer is not installed (pip install neuroglancer)")
    # The pages that the package holds look for their address, and take their state from the link.
    client = Path(package.origin).parent / "static" / "client"
    pages = VolumeServer({"v/look": client})
    # Another address than that of the pages: the browser insists on CORS, as it does with a link.
    server = VolumeServer({volume.resolve().name: volume})
    for each in (pages, server):
        threading.Thread(target=each.serve_forever, daemon=True).start()
    state = neuroglancer_state(open_volume(volume), server.url(volume.resolve().name))
    views = {
        name: f"{pages.url('v/look')}/#!{quote(json.dumps(view))}"
        for name, view in _views(state).items()
    }
    try:
        with _browser(chromium) as port:
            pictures = asyncio.run(_photograph(port, views))
    finally:
        for each in (pages, server):
            each.shutdown()
            each.server_close()
    written = []
    for name, data in pictures.items():
        written.append(out / f"neuroglancer_{name}.png")
        written[-1].write_bytes(data)
    return written


def _views(state: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """States that look at different levels: as it is opened, from near, from far."""
    plane = {"layout": "xy", "showAxisLines": False, "selectedLayer": {"visible": False}}
    (layer,) = state["layers"]
    if layer["type"] == "image":
        # As napari does in three dimensions: the brightest voxel along a ray.
        layer = layer | {"volumeRendering": "max"}
    turned = {"projectionOrientation": [0.3, 0.2, 0.1, 0.9], "layers": [layer]}
    scale = state["crossSectionScale"]
    return {
        "opened": state,
        "near": state | plane | {"crossSectionScale": scale / 8},
        "far": state | plane | {"crossSectionScale": scale * 3},
        # Labels without meshes have nothing but their slices to show.
        "3d": state
        | turned
        | {
            "layout": "3d" if layer["type"] == "image" else "xy-3d",
            "selectedLayer": {"visible": False},
        },
    }


@contextlib.contextmanager
def _browser(chromium: str) -> Iterator[int]:
    """A headless browser, and the port of its DevTools."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        options = [*_SOFTWARE_GL, "--no-sandbox", f"--window-size={SIZE[0]},{SIZE[1]}"]
        process = subprocess.Popen(
            [chromium, "--headless=new", *options, "--hide-scrollbars", "--no-first-run",
             f"--user-data-dir={home}", "--remote-debugging-port=0", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            told = Path(home) / "DevToolsActivePort"
            end = time.monotonic() + _PATIENCE_S
            while not (told.is_file() and told.read_text().strip()):
                if process.poll() is not None or time.monotonic() > end:
                    raise Absent(f"{chromium} does not start")
                time.sleep(0.1)
            yield int(told.read_text().split()[0])
        finally:
            process.terminate()
            process.wait()


async def _photograph(port: int, views: dict[str, str]) -> dict[str, bytes]:
    from tornado.websocket import websocket_connect

    with urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        page = next(each for each in json.load(answer) if each["type"] == "page")
    socket = await websocket_connect(page["webSocketDebuggerUrl"], max_message_size=2**28)
    count = 0

    async def ask(method: str, **options: Any) -> Any:
        nonlocal count
        count += 1
        await socket.write_message(json.dumps({"id": count, "method": method, "params": options}))
        while True:
            message = await socket.read_message()
            if message is None:
                raise Absent("the browser has gone away")
            told = json.loads(message)
            if told.get("id") == count:
                return told.get("result", told)

    size = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
    await ask("Emulation.setDeviceMetricsOverride", **size)
    pictures = {}
    for name, link in views.items():
        # Another fragment alone would not load the page again.
        await ask("Page.navigate", url="about:blank")
        await ask("Page.navigate", url=link)
        end, ready = time.monotonic() + _PATIENCE_S, 0
        while ready < 2 and time.monotonic() < end:
            await asyncio.sleep(1)
            found = await ask("Runtime.evaluate", expression=_READY)
            ready = ready + 1 if found.get("result", {}).get("value") is True else 0
        picture = await ask("Page.captureScreenshot", format="png")
        pictures[name] = base64.b64decode(picture["data"])
    socket.close()
    return pictures


def look_in_napari(volume: Path, out: Path) -> list[Path]:
    """Pictures in two and three dimensions, by the plugin of others and by our own hand-over."""
    if not os.environ.get("DISPLAY"):
        raise Absent("there is no screen (xvfb-run gives one)")
    try:
        import napari
        import napari_ome_zarr  # noqa: F401
    except ImportError as error:
        raise Absent(f"{error.name} is not installed") from error
    from hipct.viewing.window import view

    written = []
    for name in ("plugin", "view"):
        if name == "plugin":
            viewer = napari.Viewer(show=True)
            # The plugin prints all metadata.
            with contextlib.redirect_stdout(io.StringIO()):
                viewer.open(str(volume), plugin="napari-ome-zarr")
            viewer.canvas.overlays.scale_bar.visible = True
        else:
            viewer = view(volume, show=False)
            viewer.show()
        viewer.window.resize(*SIZE)
        # Its place since napari 0.9; the former one warns.
        camera = (viewer.scene if hasattr(viewer, "scene") else viewer).camera
        for layer in viewer.layers:
            # The plugin hides labels at first.
            layer.visible = True
            print(f"  napari, {name}: {type(layer).__name__} {layer.name!r}, {layer.scale} um")
        for dimensions in (2, 3):
            viewer.dims.ndisplay = dimensions
            viewer.reset_view()
            if dimensions == 3:
                camera.angles = (10, 30, 120)
            written.append(out / f"napari_{name}_{dimensions}d.png")
            viewer.screenshot(str(written[-1]), canvas_only=True, flash=False)
        viewer.close()
    return written


def main(arguments: list[str] | None = None) -> int:
    """Make the pictures; 1 if one of them is empty, or no viewer is there."""
    from PIL import Image

    parser = argparse.ArgumentParser(prog="python -m tools.look_in_viewers")
    parser.add_argument("volume", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--viewer", choices=["neuroglancer", "napari"], action="append")
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, look in (("neuroglancer", look_in_neuroglancer), ("napari", look_in_napari)):
        if given.viewer and name not in given.viewer:
            continue
        try:
            written += look(given.volume, given.out)
        except Absent as reason:
            print(f"{name} is left out: {reason}.")
    empty = 0
    for path in written:
        with Image.open(path) as picture:
            shades = len(np.unique(np.asarray(picture.convert("L"))))
        empty += shades < 3
        print(f"{path}: {shades} shades of grey")
    return 1 if empty or not written else 0


if __name__ == "__main__":
    sys.exit(main())
