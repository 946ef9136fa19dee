"""Gridding on a device: which tile of the grid takes which lines, and the kernels that do it.

Lines, sorted by direction, pass in blocks, which bounds the memory of their spectra. A block is a
wedge of the plane; for each tile of the grid that it touches, the lines that can reach the tile
are one run, found by direction alone. Where many lines meet, a run is parted into shares with
sums of their own. All of this follows from the geometry and from nothing else, so that no bit of
a slice depends on the slices beside it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, load
from hipct.reconstruction.gridding import PLACES, GridPlan
from hipct.reconstruction.kernel import WIDTH, kernel_table

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("gridding", {}), ("fold_grid", {}))
"""Kernel files of this module with the constants that they are compiled with."""

LANES = 8
"""Slices that travel together, as in ``gridding.cuh``."""

TILE = 16
"""Cells along the side of a tile, as in ``gridding.cuh``."""

BLOCK_LINES = 1024
"""Most lines of a block: spectra of 130 MB for 2048 columns and 670 MB for 10240."""

SHARE_LINES = 64
"""Most lines that one warp takes, so that tiles near the origin do not outlast all others."""

_WARP = 32


@dataclass(frozen=True, eq=False)
class LineBlock:
    """Lines of a block as the kernels take them, and the tiles that they touch.

    Every block of a plan has the same number of lines, so that one plan of cuFFT serves all; what
    the last one lacks is filled up with lines that no tile takes.
    """

    order: Array
    """Projection of each line: (lines,) int32."""
    steps: Array
    """Cells along u and v from one sample to the next, times 2^40: (lines, 2) int64."""
    turns: Array
    """Phase ramp in turns per sample, times 2^64: (lines,) uint64."""
    constants: Array
    """1 / step along u and v, angular weight, -1 if turned else 1: (lines, 4) float32."""
    work: Array
    """Row and column of a tile, first line and line after the last, number of the part or -1:
    (items, 5) int32."""
    shared: Array
    """Row and column of a tile that several warps share, first part and part after the last:
    (tiles, 4) int32."""
    parts: int

    def upload(self, xp: ModuleType) -> LineBlock:
        """The same on a device."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return LineBlock(**{
            name: xp.asarray(value) if isinstance(value, np.ndarray) else value
            for name, value in values.items()
        })  # fmt: skip


@dataclass(frozen=True, eq=False)
class HalfPlane:
    """The grid of :data:`LANES` slices and its rim: layout in ``gridding.cuh``."""

    cells: int
    grid: Array
    """(LANES, cells, cells // 2 + 1) complex64; v = 0 and u = 0 first."""
    rim_rows: Array
    rim_columns: Array

    @classmethod
    def zeros(cls, xp: ModuleType, cells: int) -> HalfPlane:
        """An empty grid."""
        half = cells // 2
        return cls(
            cells=cells,
            grid=xp.zeros((LANES, cells, half + 1), xp.complex64),
            rim_rows=xp.zeros((LANES, 4, half + 4), xp.complex64),
            rim_columns=xp.zeros((LANES, cells, 3), xp.complex64),
        )

    def arguments(self) -> dict[str, Any]:
        """What the kernels take of it."""
        return {entry.name: getattr(self, entry.name) for entry in fields(self)}


def block_lines(plan: GridPlan) -> int:
    """Lines of each block: as few blocks as possible, of about equal length."""
    lines = len(plan.order)
    return -(-lines // -(-lines // BLOCK_LINES))


def line_blocks(plan: GridPlan) -> list[LineBlock]:
    """The lines of a plan in blocks, in host memory."""
    step = block_lines(plan)
    return [_line_block(plan, first, step) for first in range(0, len(plan.order), step)]


def spread_tiles(
    half_plane: HalfPlane, spectra: Array, block: LineBlock, response: Array, table: Array
) -> None:
    """Add a block of lines to the grid: filtered, weighted, with the phase of the axis.

    Parameters
    ----------
    half_plane : HalfPlane
        Changed in place.
    spectra : array, shape (LANES, lines, samples), complex64
        Transforms of the padded rows, as they are.
    block : LineBlock
        On the device.
    response : array, shape (samples,), float32
        As :meth:`GridPlan.sample_response` gives it.
    table : array, shape (512, 8), float32
        :func:`hipct.reconstruction.kernel.kernel_table`.
    """
    xp = namespace(spectra)
    partial = xp.empty((block.parts, LANES, TILE, TILE), xp.complex64)
    places = half_plane.arguments()
    load(xp, "gridding", "grid_tiles")(
        (len(block.work),),
        (_WARP,),
        spectra=spectra,
        work=block.work,
        steps=block.steps,
        turns=block.turns,
        constants=block.constants,
        response=response,
        table=table,
        partial=partial,
        lines=spectra.shape[1],
        samples=spectra.shape[2],
        items=len(block.work),
        parts=block.parts,
        **places,
    )
    load(xp, "gridding", "merge_tiles")(
        (len(block.shared), LANES),
        (TILE * TILE,),
        partial=partial,
        tiles=block.shared,
        parts=block.parts,
        count=len(block.shared),
        **places,
    )


def fold_margins(half_plane: HalfPlane) -> None:
    """Add the rim of the grid where it belongs, and make its edge columns Hermitian (in place)."""
    cells = half_plane.cells
    threads = 5 * cells + 4 * (cells // 2 + 1)
    kernel = load(namespace(half_plane.grid), "fold_grid")
    kernel((-(-threads // 256), LANES), (256,), **half_plane.arguments())


def upload_table(xp: ModuleType) -> Array:
    """The table of taps on a device."""
    return xp.asarray(kernel_table())


def _line_block(plan: GridPlan, first: int, count: int) -> LineBlock:
    lines = slice(first, min(first + count, len(plan.order)))
    missing = count - (lines.stop - lines.start)

    def filled(values: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])

    steps = np.stack([plan.step_u[lines], plan.step_v[lines]], axis=1)
    fixed = (steps * 2.0**PLACES).astype(np.int64)
    inverse = np.divide(1.0, steps, out=np.full(steps.shape, 1e30), where=fixed != 0)
    ramp = plan.shift[lines] / plan.geometry.length
    ramp -= np.rint(ramp)
    turns = np.rint(ramp * 2.0**62).astype(np.int64).astype(np.uint64) << np.uint64(2)
    weight = plan.geometry.weight[plan.order[lines]]
    sign = np.where(plan.turned[lines], -1.0, 1.0)
    work, shared, parts = _deal(plan, lines)
    return LineBlock(
        order=filled(plan.order[lines].astype(np.int32)),
        steps=filled(fixed),
        turns=filled(turns),
        constants=filled(np.column_stack([inverse, weight, sign]).astype(np.float32)),
        work=work,
        shared=shared,
        parts=parts,
    )


def _deal(plan: GridPlan, lines: slice) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """Tiles with their lines, parted where these are many, the longest work first."""
    row, column, first, last = _touched(plan, lines)
    count = last - first
    parts = -(-count // SHARE_LINES)
    tile = np.repeat(np.arange(row.size), parts)
    before = np.cumsum(parts) - parts
    part = np.arange(tile.size) - before[tile]
    several = parts > 1
    # Parts of shared tiles are numbered through; a tile that nobody shares has none.
    first_part = np.cumsum(np.where(several, parts, 0)) - np.where(several, parts, 0)
    number = np.where(several[tile], first_part[tile] + part, -1)
    start = first[tile] + count[tile] * part // parts[tile]
    stop = first[tile] + count[tile] * (part + 1) // parts[tile]
    work = np.stack([row[tile], column[tile], start, stop, number], axis=1)
    # In coarse classes of work, so that neighbours in the grid stay neighbours in time.
    longest_first = np.argsort(-np.ceil(np.log2(stop - start)), kind="stable")
    shared = np.stack([row, column, first_part, first_part + parts], axis=1)[several]
    return (
        np.ascontiguousarray(work[longest_first], dtype=np.int32),
        np.ascontiguousarray(shared, dtype=np.int32),
        int(parts[several].sum()),
    )


def _touched(plan: GridPlan, lines: slice) -> tuple[NDArray[np.intp], ...]:
    """Tiles that a block of lines can touch: row, column, first line, line after the last.

    Samples with a tap in a tile lie in a square that is WIDTH - 1 cells larger; the lines that
    meet the circle around it are taken, a few too many.
    """
    rows, columns = plan.shape
    half = plan.grid // 2
    middle = (TILE - WIDTH + 1) / 2
    v, u = np.meshgrid(
        np.arange(0, rows, TILE) + middle - half, np.arange(0, columns, TILE) + middle,
        indexing="ij",
    )  # fmt: skip
    radius = (TILE + WIDTH - 1) / np.sqrt(2) + 0.01
    distance = np.hypot(u, v)
    wedge = np.where(
        distance > radius, np.arcsin(np.minimum(radius / distance, 1.0)), 2 * np.pi
    )  # fmt: skip
    to_tile = np.arctan2(v, u)
    # Rounding may swap neighbours by a hair.
    direction = np.maximum.accumulate(np.arctan2(plan.step_v[lines], plan.step_u[lines]))
    first = np.searchsorted(direction, to_tile - wedge - 1e-9, side="left")
    last = np.searchsorted(direction, to_tile + wedge + 1e-9, side="right")
    row, column = np.nonzero((last > first) & (distance - radius <= half))
    return row, column, first[row, column], last[row, column]
