"""A picture of a volume for reports and notebooks: no screen, no napari, no volume too large."""

from __future__ import annotations

import io
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from hipct.core.errors import InputError
from hipct.core.files import write_json
from hipct.core.progress import Observer, Silent
from hipct.exchange.export_neuroglancer import neuroglancer_link, neuroglancer_state
from hipct.exchange.export_output import staged, write_slice
from hipct.exchange.snapshot_volume import Seen, Wanted, see
from hipct.volume.layout import Vector3
from hipct.volume.snapshot_panels import (
    ORIENTATIONS,
    grey_image,
    label_colours,
    pixel_size,
    range_text,
    slice_panel,
)
from hipct.volume.snapshot_projection import Camera, Projection, project
from hipct.volume.snapshot_sheet import INK, PAPER, Panel, compose, volume_title
from hipct.volume.storage import is_address

DEFAULT_MEMORY_BYTES = 10**9
_BLOCK_PX = 256
_BLOCK_BYTES = 24
"""Of a voxel of the block: sums, counts, means, and what comes and goes."""
_NAMED = 3
_MARGIN = 20
"""Pixels around a projection, for the names of the axes."""


@dataclass(frozen=True)
class Snapshot:
    """A picture of a volume; a notebook shows it.

    Attributes
    ----------
    picture : PIL.Image.Image, RGB
    unit_per_px : edge of a pixel of every panel
    unit : ``"um"``, or ``"voxel"`` where the voxel size is not known
    read : what was read of the volume, in words
    faults : what could not be read, as sentences; it is pink in the picture
    notes : what had to be assumed, and which levels are missing, as sentences
    state : of a Neuroglancer that shows the same place, if asked for
    link : address that opens it
    """

    picture: Image.Image
    unit_per_px: float
    unit: str
    read: str
    faults: tuple[str, ...]
    notes: tuple[str, ...]
    state: dict[str, Any] | None = None
    link: str | None = None

    def png(self) -> bytes:
        """The picture as PNG, with its resolution where the voxel size is known."""
        buffer = io.BytesIO()
        options = {}
        if self.unit == "um":
            # Pillow takes dots an inch and stores dots a metre.
            options["dpi"] = (25400 / self.unit_per_px,) * 2
        self.picture.save(buffer, format="PNG", optimize=True, **options)
        return buffer.getvalue()

    def _repr_png_(self) -> bytes:
        return self.png()


def snapshot(
    volume: Path | str,
    png: Path | str | None = None,
    *,
    at: str | None = None,
    size_px: int = 600,
    projection: Literal["max", "none"] = "max",
    camera: tuple[float, float] = (30.0, 20.0),
    window: tuple[float, float] | None = None,
    dataset: str | None = None,
    axes: str | None = None,
    voxel_um: float | Vector3 | None = None,
    link: Path | str | None = None,
    url: str | None = None,
    overwrite: bool = False,
    memory_bytes: int = DEFAULT_MEMORY_BYTES,
    observer: Observer | None = None,
) -> Snapshot:
    """Picture a volume: three orthogonal slices, a projection, a scale bar, physical units.

    Parameters
    ----------
    volume : path or str
        An OME-Zarr volume, here or on a server, of which the levels are read that are no finer
        than the picture; or any other one that :func:`hipct.exchange.source.open_volume_source`
        opens, which passes through once.
    png : path, optional
        Where to write the picture; without it, it is only returned.
    at : str, optional
        The point through which the slices go, ``z,y,x`` in voxels of the finest level, or with um
        or mm after a number; the middle without it.
    size_px : int
        Most pixels along an edge of a slice, 64 to 4000.
    projection : {"max", "none"}
        Whether a fourth panel shows the largest value along oblique rays; of labels it shows the
        first one.
    camera : (float, float)
        Degrees round the axis z, and from above; see
        :class:`hipct.volume.snapshot_projection.Camera`.
    window : (float, float), optional
        Stored grey values shown black and white in the slices, instead of the display window of
        the volume, or of the middle 99 % of the grey values where it has none.
    dataset, axes, voxel_um
        As of ``open_volume_source``.
    link : path, optional
        Where to write the state of a Neuroglancer, as JSON, that shows the same place.
    url : str, optional
        Where the folder of the volume is served, for the link; not needed of one on a server.
    overwrite : bool
        Whether earlier outputs may be replaced.
    memory_bytes : int
        What is read at a time, and the volume that is projected, may take.
    observer : Observer, optional
        Told of slices that pass through.

    Returns
    -------
    Snapshot

    Raises
    ------
    InputError, FormatError
        If it is no volume, is being written, nothing of it can be read, or an option does not fit.
    OutputError
        If an output exists already or cannot be written.
    RemoteError
        If a server does not answer.
    PlanError
        If the memory is too small.
    MissingExtra
        If a package for the format is not installed.
    """
    if not 64 <= size_px <= 4000:
        raise InputError(f"The size is {size_px} pixels; give 64 to 4000.")
    if not np.isfinite(camera).all():
        raise InputError(f"The camera is at {camera[0]:g},{camera[1]:g} degrees; give numbers.")
    if projection not in ("max", "none"):
        raise InputError(f"The projection is {projection!r}; give max or none.")
    if png is not None and Path(png).suffix.lower() != ".png":
        raise InputError(f"{png} shall be a picture, which is written as PNG; name it ....png.")
    if link is not None and url is None and is_address(volume):
        url = str(volume)
    if (link is None) != (url is None):
        raise InputError(
            "A link for Neuroglancer needs the file to write its state to (--link) and the "
            "address at which the folder of the volume is served (--url)."
        )
    block_px = min(_BLOCK_PX, int((memory_bytes / _BLOCK_BYTES / 2) ** (1 / 3)))
    wanted = Wanted(at, size_px, block_px if projection == "max" else 0, memory_bytes // 2)
    with ExitStack() as outputs:

        def output(path: Path | str) -> Path:
            return outputs.enter_context(
                staged(Path(path), volume, folder=False, overwrite=overwrite)
            )

        files = [None if each is None else output(each) for each in (png, link)]
        seen = see(
            volume, wanted, observer or Silent(), dataset=dataset, axes=axes, voxel_um=voxel_um
        )
        state = None if url is None else _state(seen, str(volume), url, window)
        made = _draw(seen, size_px, Camera(*camera), window, state)
        if files[0] is not None:
            write_slice(files[0], made.png())
        if files[1] is not None:
            write_json(files[1], state)
    return made


def _draw(
    seen: Seen,
    size_px: int,
    camera: Camera,
    window: tuple[float, float] | None,
    state: dict[str, Any] | None,
) -> Snapshot:
    shown = window or seen.display or _middle_of(np.concatenate([s.ravel() for s in seen.slices]))
    if not shown[0] < shown[1]:
        raise InputError(f"The window is {shown[0]:g}:{shown[1]:g}; give the lower one first.")
    extent = dict(zip("zyx", seen.extent))
    finest = min(n / m for n, m in zip(seen.extent, _sampled(seen)))
    unit_per_px = pixel_size(extent, finest, size_px)
    panels = [
        slice_panel(
            label_colours(values) if seen.labels else grey_image(values, shown),
            orientation,
            extent,
            unit_per_px=unit_per_px,
            place=place,
            unit=seen.unit,
        )
        for values, orientation, place in zip(seen.slices, ORIENTATIONS, seen.places)
    ]
    if seen.block is not None and np.isfinite(seen.block).any():
        panels.append(_outside(seen, seen.block, camera, unit_per_px))
    picture = compose(
        volume_title(seen.name, seen.shape, seen.voxel, seen.unit, seen.axes),
        panels,
        unit_per_px=unit_per_px,
        unit=seen.unit,
        legend="" if seen.labels else range_text(shown, seen.value),
        notes=_notes(seen),
    )
    link = None if state is None else neuroglancer_link(state)
    return Snapshot(
        picture, unit_per_px, seen.unit, seen.read, seen.faults, seen.notes, state, link
    )


def _sampled(seen: Seen) -> tuple[int, int, int]:
    """Pixels of the slices along z, y, x."""
    (rows, columns), (layers, _), _ = (each.shape for each in seen.slices)
    return layers, rows, columns


def _notes(seen: Seen) -> list[str]:
    if not seen.faults:
        return []
    more = len(seen.faults) - _NAMED
    named = [*seen.faults[:_NAMED], *([f"{more} more could not be read."] if more > 0 else [])]
    return ["Pink could not be read:", *named]


def _middle_of(values: NDArray[np.float32]) -> tuple[float, float]:
    """Grey values that leave out half a per cent at either end."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = (float(end) for end in np.percentile(finite, [0.5, 99.5]))
    return (low, high) if low < high else (low, low + 1)


def _outside(seen: Seen, block: NDArray[np.float32], camera: Camera, unit_per_px: float) -> Panel:
    """The volume from outside, in its box, at the scale of the slices."""
    edges = tuple(length / n for length, n in zip(seen.extent, block.shape))
    empty = 0.0 if seen.labels else float(np.nanmin(block))
    view = project(
        np.nan_to_num(block, nan=empty), (edges[0], edges[1], edges[2]), camera, labels=seen.labels
    )
    values = view.values[np.isfinite(view.values)]
    if seen.labels:
        title, image = "first label from outside", label_colours(view.values, _nearness(view.depth))
    else:
        low, high = (float(end) for end in np.percentile(values, [1, 99.9]))
        window = (low, high) if low < high else (low, low + 1)
        title = f"largest value along rays, {range_text(window, seen.value)}"
        image = grey_image(view.values, window)
    pixels = np.asarray(image).copy()
    pixels[np.isnan(view.values)] = PAPER
    factor = view.pixel / unit_per_px
    size = [max(1, round(n * factor)) for n in view.values.shape]
    scaled = Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    canvas = Image.new("RGB", (size[1] + 2 * _MARGIN, size[0] + 2 * _MARGIN), PAPER)
    canvas.paste(scaled, (_MARGIN, _MARGIN))
    _draw_box(canvas, view, factor)
    return Panel(title, canvas)


def _nearness(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Brightness by distance: 1 of what is nearest, 0.35 of what is farthest."""
    if not np.isfinite(depth).any():
        return np.ones_like(depth)
    near, far = np.nanmin(depth), np.nanmax(depth)
    brightness: NDArray[np.float32] = 1 - 0.65 * np.nan_to_num(
        (depth - near) / max(float(far - near), 1.0)
    )
    return brightness


def _draw_box(canvas: Image.Image, view: Projection, factor: float) -> None:
    """The edges of the volume, and at three of them the axis that runs along."""
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(13)
    # Centres of pixels at integers: their edges, which scaling keeps in place, lie half before.
    corners = (view.corners + 0.5) * factor + _MARGIN - 0.5
    centre = corners.mean(axis=0)
    for bit, name in ((4, "z"), (2, "y"), (1, "x")):
        edges = [corners[[corner, corner | bit]] for corner in range(8) if not corner & bit]
        for edge in edges:
            draw.line([tuple(map(float, end)) for end in edge], fill=(95, 100, 110))
        # On the outline: of the upright edges one at the left, of the others one below.
        outer = min(edges, key=lambda edge: edge[:, 0].sum() if bit == 4 else -edge[:, 1].sum())
        if np.hypot(*(outer[1] - outer[0])) > _MARGIN:
            place = outer.mean(axis=0)
            draw.text(tuple(place + 10 * np.sign(place - centre)), name, INK, font, anchor="mm")


def _state(
    seen: Seen, address: str, url: str, window: tuple[float, float] | None
) -> dict[str, Any]:
    if seen.volume is None:
        raise InputError(
            f"{address} is no OME-Zarr volume, which Neuroglancer could read; make it one: "
            "hipct pyramid."
        )
    state = neuroglancer_state(seen.volume, url, window)
    edges = dict(zip("zyx", seen.voxel))
    point = dict(zip("zyx", seen.point))
    return state | {"position": [point[axis] / edges[axis] for axis in "xyz"]}
