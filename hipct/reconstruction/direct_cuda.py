"""The direct engine on a device: rows filtered by cuFFT, back-projected by kernels of our own.

Slices come first in every array. They travel in groups of :data:`LANES`, the last one filled up
with zeros, and angles in blocks of :data:`LINES`, the last one filled up with any: so every
transform has the same shape, and a slice gets the same bits in whatever company.

Plans of cuFFT are held by the engine: CuPy's cache would make a pair, and its work areas, for
every thread of a pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.idle import borrowed
from hipct.core.kernels import Constant, load
from hipct.reconstruction.chunks import ranges
from hipct.reconstruction.fourier_cuda import pad_rows
from hipct.reconstruction.geometry import Geometry, refuse_not_finite
from hipct.reconstruction.gridding_cuda import LANES
from hipct.reconstruction.planes import SLACK, Plane, Span, groups

SLICES = (4, 2, 1)
"""Slices that one thread of the kernel may own."""

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (
    ("back_project", {"SLICES": 4}),
    ("back_project", {"SLICES": 2}),
    ("back_project", {"SLICES": 1}),
    ("back_project_plane", {}),
)
"""Kernel files of this module with the constants that they are compiled with."""

LINES = 256
"""Angles of a block."""

_TILE = 32
"""Side of the tile of pixels that a block of ``back_project`` owns."""

_TILE_OF_PLANE = 16


@dataclass(frozen=True, eq=False)
class Block:
    """Filtered rows of some angles, (lanes, lines, length) of which the first lines are valid."""

    filtered: Array
    cosines: Array
    sines: Array
    begin: bool
    end: bool


@dataclass(frozen=True, eq=False)
class Plans:
    """Plans of cuFFT for the rows of a block, there and back."""

    there: Any
    back: Any


Idle = dict[int, list[Plans]]
"""Plans of an engine that nobody uses, by device."""


def reconstruct(  # noqa: PLR0917
    geometry: Geometry, sinograms: Array, out: Array, rows: slice, columns: slice, idle: Idle
) -> None:
    """Fill ``out`` (slices, rows, columns) with a window of the slices.

    Raises
    ------
    InputError
        If a value of the sinograms is not finite. This is the one thing that is fetched from the
        device, at the end.
    """
    xp = namespace(sinograms, out)
    sums = out if out.flags.c_contiguous else xp.empty(out.shape, xp.float32)
    finite = xp.ones((), bool)
    corner = (range(geometry.size)[rows].start, range(geometry.size)[columns].start)
    with _plans(geometry, sinograms, idle) as plans:
        for group in ranges(len(sinograms), LANES):
            for block in _blocks(geometry, sinograms[group], finite, plans):
                back_project(sums[group], block, geometry, corner)
                del block  # the next block's rows take the place of this one's
        if sums is not out:
            out[...] = sums
        all_finite = bool(finite)
    if not all_finite:
        refuse_not_finite()


def plane(geometry: Geometry, sinograms: Array, out: Array, view: Plane, idle: Idle) -> None:
    """Add a plane through the slices of the sinograms to ``out`` (rows, columns), zeros before.

    Raises
    ------
    InputError
        If a value of the sinograms is not finite.
    """
    xp = namespace(sinograms, out)
    finite = xp.ones((), bool)
    with _plans(geometry, sinograms, idle) as plans:
        for group in groups(len(sinograms), LANES):
            for block in _blocks(geometry, sinograms[group], finite, plans):
                back_project_plane(out, block, view, Span(group, len(sinograms)), geometry)
                del block
        all_finite = bool(finite)
    if not all_finite:
        refuse_not_finite()


def memory_bytes(geometry: Geometry) -> int:
    """Peak bytes of device memory for any number of slices, beside sinograms and slices.

    The work areas of cuFFT's two plans are counted as large as what they transform.
    """
    lines = min(LINES, geometry.angles.size)
    return 5 * LANES * lines * (geometry.length + 2) * 4 + geometry.length * 12 + lines * 24


def back_project(sums: Array, block: Block, geometry: Geometry, corner: tuple[int, int]) -> None:
    """Add a block of angles to the sums (slices, rows, columns) of a window from ``corner``."""
    xp = namespace(sums)
    lanes, lines, length = block.filtered.shape
    slices, rows, columns = sums.shape
    tiles = [
        (first + count - 1) // _TILE - first // _TILE + 1 if count else 0
        for first, count in zip(corner, (rows, columns))
    ]
    # A kernel of the fewest slices that hold all of them.
    variant = min((most for most in SLICES if most >= slices), default=SLICES[0])
    load(xp, "back_project", SLICES=variant)(
        (tiles[1], tiles[0], -(-slices // variant)),
        (_TILE, 8),
        filtered=block.filtered,
        cosines=block.cosines,
        sines=block.sines,
        sums=sums,
        slices=slices,
        angles=block.cosines.size,
        lanes=lanes,
        lines=lines,
        length=length,
        rows=rows,
        columns=columns,
        first_row=corner[0],
        first_column=corner[1],
        pivot_row=geometry.pivot[0],
        pivot_column=geometry.pivot[1],
        axis=geometry.axis,
        reach=geometry.reach,
        begin=int(block.begin),
        end=int(block.end),
    )


def back_project_plane(
    sums: Array, block: Block, view: Plane, span: Span, geometry: Geometry
) -> None:
    """Add a block of angles of a group of slices to the sums (rows, columns) of a plane."""
    rows, columns = sums.shape
    lanes, lines, length = block.filtered.shape
    names = ("z", "y", "x")
    steps = {f"row_step_{name}": step for name, step in zip(names, view.row_step)}
    steps |= {f"column_step_{name}": step for name, step in zip(names, view.column_step)}
    pivot_row, pivot_column = geometry.pivot
    load(namespace(sums), "back_project_plane")(
        (-(-columns // _TILE_OF_PLANE), -(-rows // _TILE_OF_PLANE)),
        (_TILE_OF_PLANE, _TILE_OF_PLANE),
        filtered=block.filtered,
        cosines=block.cosines,
        sines=block.sines,
        sums=sums,
        slices=span.group.stop - span.group.start,
        angles=block.cosines.size,
        lanes=lanes,
        lines=lines,
        length=length,
        rows=rows,
        columns=columns,
        first_slice=span.group.start,
        met=span.met,
        slack=SLACK,
        z=view.origin[0],
        y=view.origin[1] - pivot_row,
        x=view.origin[2] - pivot_column,
        **steps,
        axis=geometry.axis,
        reach=geometry.reach,
    )


def _plans(geometry: Geometry, sinograms: Array, idle: Idle) -> AbstractContextManager[Plans]:
    """Plans for one call, which ends with a fetch."""
    xp = namespace(sinograms)

    def make() -> Plans:
        # CuPy takes shapes and types of a plan from an array.
        fft, length = fft_module(xp), geometry.length
        shape = LANES, min(LINES, geometry.angles.size)
        there = fft.get_fft_plan(xp.empty((*shape, length), xp.float32), axes=2, value_type="R2C")
        spectra = xp.empty((*shape, length // 2 + 1), xp.complex64)
        return Plans(there, fft.get_fft_plan(spectra, length, axes=2, value_type="C2R"))

    return borrowed(idle.setdefault(int(sinograms.device.id), []), make)


def _blocks(geometry: Geometry, sinograms: Array, finite: Array, plans: Plans) -> Iterator[Block]:
    """Weighted, filtered rows of up to LANES slices; ``finite`` becomes false if a value is not."""
    xp: ModuleType = namespace(sinograms)
    fft = fft_module(xp)
    angles = geometry.angles
    lines = min(LINES, angles.size)
    sinograms = xp.ascontiguousarray(sinograms)
    source = xp.asarray(geometry.source.astype(np.int32))
    lateral = xp.asarray(geometry.lateral)
    response = xp.asarray(geometry.response.astype(np.float32))
    padded = xp.empty((LANES, lines, geometry.length), xp.float32)
    for part in ranges(angles.size, lines):
        order = np.minimum(np.arange(part.start, part.start + lines), angles.size - 1)
        pad_rows(sinograms, xp.asarray(order.astype(np.int32)), source, lateral, padded)
        with plans.there:
            spectra = fft.rfft(padded, axis=2)
        # The sum of a row tells of any value that is not finite.
        xp.logical_and(finite, xp.isfinite(spectra[:, :, 0]).all(), out=finite)
        spectra *= response
        with plans.back:
            filtered = fft.irfft(spectra, n=geometry.length, axis=2, overwrite_x=True)
        filtered *= xp.asarray(geometry.weight[order].astype(np.float32))[:, None]
        cosines, sines = xp.asarray(np.cos(angles[part])), xp.asarray(np.sin(angles[part]))
        yield Block(filtered, cosines, sines, part.start == 0, part.stop == angles.size)
        del spectra, filtered  # before the next ones are made
