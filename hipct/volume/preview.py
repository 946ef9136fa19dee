"""A picture of a volume: three orthogonal slices through its centre, with a scale bar."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from hipct.core.errors import InputError
from hipct.volume.open import Volume, VolumeLevel, open_volume
from hipct.volume.pictures import grey, write_png
from hipct.volume.snapshot_panels import ORIENTATIONS, pixel_size, range_text, slice_panel
from hipct.volume.snapshot_sheet import Panel, compose, volume_title


def orthogonal_preview(path: Path | str, png: Path | str, *, max_px: int = 800) -> Path:
    """Write a PNG of three orthogonal slices through the centre of a volume.

    The slices come from the finest level that fits, drawn to scale (voxels that are no cubes
    included), with the stored display window, a scale bar, and the values of black and white.

    Parameters
    ----------
    path : path or str
        An OME-Zarr volume: its folder, or its address on a server.
    png : path
        The picture; an existing one is replaced.
    max_px : int
        Longest edge of a slice in pixels, at least 64.

    Returns
    -------
    Path
        ``png``.

    Raises
    ------
    InputError, FormatError, RemoteError
        If the volume cannot be opened or ``max_px`` is too small.
    OutputError
        If the picture cannot be written.
    """
    if max_px < 64:
        raise InputError(f"max_px is {max_px}; give at least 64.")
    volume = open_volume(path)
    level = _level_that_fits(volume, max_px)
    black, white = volume.display or _range_of(level)
    panels, um_per_px = _panels(volume, level, (black, white), max_px)
    title = volume_title(
        volume.name, volume.shape, volume.voxel_size_um, volume.length_unit, "".join(volume.axes)
    )
    picture = compose(
        title,
        panels,
        unit_per_px=um_per_px,
        unit=volume.length_unit,
        legend=range_text((black, white), _value(volume)),
    )
    write_png(Path(png), picture)
    return Path(png)


def _level_that_fits(volume: Volume, max_px: int) -> VolumeLevel:
    fitting = [level for level in volume.levels if max(level.array.shape) <= max_px]
    return fitting[0] if fitting else volume.levels[-1]


def _range_of(level: VolumeLevel) -> tuple[float, float]:
    middle = np.asarray(level.chunkwise[level.array.shape[0] // 2])
    known = middle[np.isfinite(middle)]
    if not known.size:
        return 0.0, 1.0
    return float(known.min()), float(max(known.max(), known.min() + 1))


def _panels(
    volume: Volume, level: VolumeLevel, window: tuple[float, float], max_px: int
) -> tuple[list[Panel], float]:
    size = dict(zip(volume.axes, level.array.shape))
    voxel = dict(zip(volume.axes, level.scale))
    start = dict(zip(volume.axes, level.translation))
    extent = {axis: size[axis] * voxel[axis] for axis in "zyx"}
    um_per_px = pixel_size(extent, min(voxel.values()), max_px)
    panels = []
    for orientation in ORIENTATIONS:
        across, rows, columns = orientation
        middle = size[across] // 2
        index = tuple(middle if axis == across else slice(None) for axis in volume.axes)
        plane = np.asarray(level.chunkwise[index])
        if volume.axes.index(rows) > volume.axes.index(columns):
            plane = plane.T
        panels.append(
            slice_panel(
                Image.fromarray(grey(plane, *window)),
                orientation,
                extent,
                unit_per_px=um_per_px,
                place=start[across] + middle * voxel[across],
                unit=volume.length_unit,
            )
        )
    return panels, um_per_px


def _value(volume: Volume) -> tuple[float, float, str] | None:
    if volume.scale is None or volume.offset is None:
        return None
    return volume.scale, volume.offset, volume.unit or ""
