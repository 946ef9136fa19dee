"""A picture across a volume, by trilinear interpolation, tile by tile."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import PlanError
from hipct.core.memory import format_bytes
from hipct.core.progress import Observer
from hipct.core.threads import parallel_for, thread_count
from hipct.exchange.export_bands import STAGE
from hipct.exchange.export_grey import Grey
from hipct.exchange.export_level import LevelView
from hipct.exchange.export_selection import Plane

_TILE = 128
"""Pixels along an edge of a tile, whose bounding box is read at a time."""


def cut_plane(
    view: LevelView, plane: Plane, grey: Grey, memory_bytes: int, observer: Observer
) -> NDArray[Any]:
    """Grey values on a plane.

    Between the centres of voxels the values are interpolated before they are converted (labels are
    those of the nearest voxel); from the outermost centres to the border of the volume they are
    continued. Beyond it the picture is 0, or NaN in float32.

    Parameters
    ----------
    view : LevelView
    plane : Plane
    grey : Grey
    memory_bytes : int
        Bytes that the picture and what is read at a time may take.
    observer : Observer

    Returns
    -------
    ndarray of ``grey.dtype``, (rows, columns)

    Raises
    ------
    PlanError
        If the picture does not fit into the memory.
    FormatError
        If a file of the volume is torn.
    """
    rows, columns = plane.shape
    # A tile's box at worst: as deep as the diagonal of the tile along two axes.
    box = (1.5 * _TILE) ** 3 * (2 * view.dtype.itemsize) + _TILE**2 * 64
    needed = rows * columns * grey.dtype.itemsize + int(box) * thread_count()
    if needed > memory_bytes:
        raise PlanError(
            f"A picture of {rows} x {columns} pixels needs {format_bytes(needed)} of memory and "
            f"may take {format_bytes(memory_bytes)}; give more (--memory), a size, or a coarser "
            "level."
        )
    picture = np.full(plane.shape, np.nan if grey.dtype.kind == "f" else 0, grey.dtype)
    tiles = list(product(range(0, rows, _TILE), range(0, columns, _TILE)))
    observer.start(STAGE, len(tiles))

    def task(start: int, stop: int) -> None:
        for row, column in tiles[start:stop]:
            _cut_tile(view, plane, grey, picture, (row, column))
            observer.advance(STAGE)

    parallel_for(task, len(tiles))
    observer.finish(STAGE)
    return picture


def _cut_tile(
    view: LevelView, plane: Plane, grey: Grey, picture: NDArray[Any], corner: tuple[int, int]
) -> None:
    from scipy.ndimage import map_coordinates

    tile = picture[corner[0] : corner[0] + _TILE, corner[1] : corner[1] + _TILE]
    i = corner[0] + np.arange(tile.shape[0])[:, None]
    j = corner[1] + np.arange(tile.shape[1])[None, :]
    places = []
    inside = np.ones(tile.shape, bool)
    for axis in range(3):
        lengths = plane.first[axis] + plane.down[axis] * i + plane.right[axis] * j
        voxels = (lengths - view.origin[axis]) / view.voxel[axis]
        inside &= (voxels >= -0.5 - 1e-6) & (voxels <= view.shape[axis] - 0.5 + 1e-6)
        places.append(voxels.clip(0, view.shape[axis] - 1))
    if not inside.any():
        return
    wanted = np.array([axis[inside] for axis in places])
    first = np.floor(wanted.min(axis=1)).astype(int)
    last = np.minimum(np.floor(wanted.max(axis=1)).astype(int) + 2, view.shape)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(first, last))
    box = view.read((z, y, x))
    order = 0 if view.volume.labels else 1
    values = map_coordinates(box, wanted - first[:, None], np.float64, order=order, mode="nearest")
    if np.issubdtype(grey.dtype, np.integer) and grey.window is None:
        values = np.rint(values)
    tile[inside] = grey.convert(values)
