"""Pictures of a report: what each shows, and why one is not there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hipct.quality.charts import Curve, chart, data_uri, picture, uri_of
from hipct.quality.evidence import Evidence
from hipct.quality.frames import FrameLook
from hipct.quality.lights import number
from hipct.quality.voxels import VoxelLook

RING_MAP_PX = (420, 5)
"""Width of the map of rings, and height of each of its 24 parts."""

SWEEP_PX = 190
"""Edge of a piece of the axis sweep, at most, where it is drawn larger than it is."""


@dataclass(frozen=True)
class Shown:
    """A picture of a page.

    Attributes
    ----------
    title, caption : str
    html : str
        The picture itself.
    wide : bool
        Whether it takes the width of the page.
    """

    title: str
    caption: str
    html: str
    wide: bool = False


def pictures(known: Evidence) -> Iterator[Shown]:
    """All that there are of a volume."""
    if known.voxels is not None:
        yield from _of_voxels(known, known.voxels)
    if known.frames is not None:
        yield from _of_frames(known.frames)


def _of_voxels(known: Evidence, look: VoxelLook) -> Iterator[Shown]:
    if look.preview is not None:
        yield Shown(
            "Three slices",
            "Through the middle of the volume, in its display window.",
            f"<img src='{uri_of(look.preview)}' alt='three slices'>",
            wide=True,
        )
    if look.counts.any():
        yield _histogram(known, look)
    if look.ring_map is not None:
        yield _rings(look)


def _histogram(known: Evidence, look: VoxelLook) -> Shown:
    centres = (look.edges[1:] + look.edges[:-1]) / 2
    # A logarithm, of a voxel more: what is rare counts as well.
    height = np.log10(1 + look.counts)
    unit = look.unit or "value"
    ends = ((float(look.edges[0]), "0"), (float(look.edges[-1]), "65535"))
    sixteen = known.reconstructed
    return Shown(
        "Histogram and 16-bit window",
        f"Voxels inside of the measured circle, slices {', '.join(map(str, look.heights))} of the "
        f"finest level; {number(look.edges[0])} to {number(look.edges[-1])} {unit} is what can be "
        "stored. A column at an end is what was clipped.",
        chart(
            [Curve("", centres, height, "area")],
            x=unit,
            y="log10 of voxels",
            y_range=(0.0, float(height.max())),
            marks=ends if sixteen else (),
        ),
    )


def _rings(look: VoxelLook) -> Shown:
    assert look.ring_map is not None
    rings = look.ring_map
    reach = max(0.5, float(np.percentile(np.abs(rings), 99.5)))
    scaled = np.clip(255 * (rings / reach + 1) / 2, 0, 255).astype(np.uint8)
    width, height = RING_MAP_PX
    shown = Image.fromarray(scaled).resize((width, height * len(rings)), Image.Resampling.BOX)
    radii = np.arange(rings.shape[1])
    height_of = np.abs(np.median(rings, axis=0))
    profile = chart(
        [Curve("", radii, height_of)],
        x="distance from the axis, voxels",
        y="height over noise",
        y_range=(0.0, max(float(height_of.max()), 1e-3)),
    )
    return Shown(
        "Rings",
        "Above: what is finer than 10 voxels along the radius (to the right), means over 15 "
        f"degrees each (downwards), from {-reach:.2g} (black) to {reach:.2g} times the noise; a "
        "ring is an upright line. Below: its median around the circle.",
        _image(shown, "rings by radius") + profile,
    )


def _of_frames(look: FrameLook) -> Iterator[Shown]:
    where = f"Row {look.row} of {look.name}" if look.name else f"Detector row {look.row}"
    pair = _row([
        ("as it was read", picture(look.raw)),
        ("as it was back-projected", picture(look.lines)),
    ])  # fmt: skip
    yield Shown("Sinogram", f"{where}; columns to the right, views downwards.", pair, wide=True)
    yield Shown(
        "Axis sweep",
        f"A piece of the slice of the same row with the axis at these columns; "
        f"{look.axis_px:.2f} was used.",
        _row(_sweep(look)),
        wide=True,
    )
    if look.resolution is not None:
        found = look.resolution
        inner = slice(1, None)
        marks = [] if found.pixels is None else [(1 / found.pixels, f"{found.pixels:.2f} voxels")]
        yield Shown(
            "Resolution",
            "Fourier ring correlation of slices of even and of odd views, and the half-bit curve.",
            chart(
                [
                    Curve("correlation", found.frequency[inner], found.correlation[inner]),
                    Curve("half bit", found.frequency[inner], found.threshold[inner], "aside"),
                ],
                x="cycles per voxel",
                y="correlation",
                y_range=(min(-0.1, float(found.correlation[inner].min())), 1.0),
                marks=marks,
            ),
        )
    if look.references is not None:
        yield Shown(
            "Flat",
            f"Mean flat less the mean dark; {look.references.counts:.0f} counts in the middle of "
            "all pixels.",
            _image(picture(look.references.flat), "mean flat"),
        )


def _sweep(look: FrameLook) -> list[tuple[str, Image.Image]]:
    pieces = [piece for _, piece in look.sweep]
    # One scale for all: that of the piece in the middle, at the axis that was used.
    low, high = np.percentile(pieces[len(pieces) // 2], (0.5, 99.5))
    return [(f"{axis:.2f}", _scaled(piece, float(low), float(high))) for axis, piece in look.sweep]


def _scaled(piece: NDArray[np.float32], low: float, high: float) -> Image.Image:
    steps = np.clip((piece - low) * (255 / max(high - low, 1e-12)), 0, 255)
    image = Image.fromarray(np.rint(steps).astype(np.uint8))
    larger = max(1, SWEEP_PX // max(piece.shape))
    size = image.width * larger, image.height * larger
    return image.resize(size, Image.Resampling.NEAREST)


def _image(image: Image.Image, words: str) -> str:
    return f"<img src='{data_uri(image)}' alt='{escape(words)}' width='{image.width}'>"


def _row(images: list[tuple[str, Image.Image]]) -> str:
    parts = "".join(f"<div>{_image(image, words)}{escape(words)}</div>" for words, image in images)
    return f"<div class='row'>{parts}</div>"
