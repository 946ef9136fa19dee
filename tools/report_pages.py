"""Pictures of two reports for docs/report.md: of a good scan, and of one with many faults.

    python -m tools.report_pages [OUT_DIR]

Simulates both scans, reconstructs them and photographs their pages in headless Chromium, in an
empty folder that is removed. Look at the pictures: nothing here judges them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

from hipct.pipeline.config import Config
from hipct.pipeline.run import reconstruct
from hipct.quality.making import WorkLook
from hipct.simulation.scan import simulate_scan

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SIZE = (1120, 4080)
SHADES, SIGNALS = 26, ("2e8540", "d99a00", "c4281b", "9aa0a8", "2563a8", "82a2c9", "5c6370")
"""Greys, and colours of the page that are no grey."""

_CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "chrome")

GOOD: dict[str, Any] = {
    "acquisition": "full",
    "columns": 320,
    "rows": 64,
    "angles": 640,
    "pixel_size_um": 10.0,
    "distance_m": 8.0,
    "noise": 8000.0,
    "rings": 0.0,
    "flats": 100,
    "seed": 7,
}
BAD = GOOD | {"rings": 0.1, "dead_pixels": 0.01, "angles": 70, "flats": 20}
SETTINGS: dict[str, Any] = {"motion": {"flag": True}}
WRONG = SETTINGS | {"axis": {"value": 164.5}, "volume": {"window": (0.0, 0.065)}}


def main() -> None:
    """Make both pictures."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else PICTURES
    out.mkdir(parents=True, exist_ok=True)
    chromium = next(filter(None, map(shutil.which, _CHROMIUM)), None)
    if chromium is None:
        sys.exit(f"No browser of {', '.join(_CHROMIUM)} is installed.")
    out = out.resolve()
    # Pages name the scan as it was given: without the folder of this machine.
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for name, scan, settings in (("good", GOOD, SETTINGS), ("bad", BAD, WRONG)):
            page = made(Path(name), scan, settings)
            photograph(chromium, page, out / f"report-{name}.png")


def made(folder: Path, scan: dict[str, Any], settings: dict[str, Any]) -> Path:
    """The page of a simulated scan."""
    folder.mkdir()
    look = WorkLook()
    result = reconstruct(
        simulate_scan(folder / "scan.zarr", **scan),
        folder / "organ.ome.zarr",
        Config(**settings),
        before_delivery=look,
    )
    left = look.leave(result.path)
    if left is None:
        sys.exit(f"The report of {result.path} could not be made.")
    return left[1]


def photograph(chromium: str, page: Path, png: Path) -> None:
    """A page from its top, in few colours."""
    width, height = SIZE
    options = ["--headless", "--disable-gpu", "--no-sandbox", "--hide-scrollbars"]
    command = [chromium, *options, f"--window-size={width},{height}", f"--screenshot={png}"]
    subprocess.run(
        [*command, page.resolve().as_uri()], check=True, capture_output=True, timeout=120
    )
    with Image.open(png) as picture:
        greys = [round(255 * k / (SHADES - 1)) for k in range(SHADES) for _ in "rgb"]
        colours = Image.new("P", (1, 1))
        colours.putpalette(greys + [each for word in SIGNALS for each in bytes.fromhex(word)])
        few = picture.convert("RGB").quantize(palette=colours, dither=Image.Dither.NONE)
    few.save(png, optimize=True)


if __name__ == "__main__":
    main()
