"""The Fourier engine on a device: its kernels around cuFFT's transforms.

Slices come first in every array and travel in groups of :data:`LANES`, the last group filled up
with zeros; lines travel in blocks. So every call of a kernel or a transform has the same shapes,
and a slice gets the same bits in whatever company.

Plans of cuFFT are made by CuPy and held here, not in CuPy's cache: that one keeps the 16 plans
last used for each thread and device, and other stages of a pipeline would push these out. A plan
owns a work area, and two transforms at a time must not share it. So a call takes a pair of plans
for itself, makes one only if none is idle on its device, and hands it back when the device has
finished with it: calls may come from any thread and any stream.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from hipct.core.arrays import Array, fft_module, namespace
from hipct.core.idle import borrowed
from hipct.core.kernels import Constant, load
from hipct.reconstruction.geometry import refuse_not_finite
from hipct.reconstruction.gridding import GridPlan
from hipct.reconstruction.gridding_cuda import (
    LANES,
    SHARE_LINES,
    TILE,
    HalfPlane,
    LineBlock,
    block_lines,
    fold_margins,
    line_blocks,
    spread_tiles,
    upload_table,
)

VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = (("pad_rows", {}), ("unpack", {}))
"""Kernel files of this module with the constants that they are compiled with."""

TRANSFORM_BYTES = 2 << 30
"""Most bytes of the planes that one inverse transform makes (but at least one plane)."""

_THREADS = 256
_UNPACKED_ROWS = 4


@dataclass(frozen=True, eq=False)
class OnDevices:
    """What the engine of one plan keeps on each device that it has been used on."""

    plan: GridPlan
    tables: dict[int, Tables] = field(default_factory=dict)
    idle: dict[int, list[Transforms]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Tables:
    """Vectors of a plan in the memory of a device."""

    blocks: list[LineBlock]
    source: Array
    lateral: Array
    response: Array
    taps: Array
    level: Array

    @classmethod
    def upload(cls, xp: ModuleType, plan: GridPlan) -> Tables:
        """Copy them there, for the use of every stream."""
        tables = cls(
            blocks=[block.upload(xp) for block in line_blocks(plan)],
            source=xp.asarray(plan.geometry.source.astype(np.int32)),
            lateral=xp.asarray(plan.geometry.lateral),
            response=xp.asarray(plan.sample_response().astype(np.float32)),
            taps=upload_table(xp),
            level=xp.asarray(plan.deapodisation),
        )
        xp.cuda.get_current_stream().synchronize()
        return tables


@dataclass(frozen=True, eq=False)
class Transforms:
    """Plans of cuFFT for the rows of a block of lines, and for some planes."""

    rows: Any
    planes: Any


def reconstruct(kept: OnDevices, sinograms: Array, out: Array) -> None:
    """Fill ``out`` with slices.

    Parameters
    ----------
    kept : OnDevices
        The plan, and what it has on the device.
    sinograms : array, shape (slices, angles, columns), float32
    out : array, shape (slices, size, size), float32

    Raises
    ------
    InputError
        If a value of the sinograms is not finite. This is the one thing that is fetched from the
        device, at the end.
    """
    xp = namespace(sinograms, out)
    plan, device = kept.plan, int(sinograms.device.id)
    if device not in kept.tables:
        kept.tables[device] = Tables.upload(xp, plan)
    tables, idle = kept.tables[device], kept.idle.setdefault(device, [])
    with borrowed(idle, lambda: _make_transforms(xp, plan)) as transforms:
        sinograms = xp.ascontiguousarray(sinograms)
        slices = out if out.flags.c_contiguous else xp.empty(out.shape, xp.float32)
        finite = xp.ones((), bool)
        for start in range(0, len(sinograms), LANES):
            group = slice(start, start + LANES)
            half_plane = HalfPlane.zeros(xp, plan.grid)
            _spread(half_plane, sinograms[group], tables, transforms, finite)
            fold_margins(half_plane)
            _slices(half_plane, slices[group], plan, tables, transforms)
            del half_plane  # the next group's takes its place
        if slices is not out:
            out[...] = slices
        all_finite = bool(finite)
    if not all_finite:
        refuse_not_finite()


def memory_bytes(plan: GridPlan) -> int:
    """Peak bytes of device memory for any number of slices, beside sinograms and slices.

    The two work areas of cuFFT, which stay, are counted as large as the spectra that they serve.
    """
    lines, cells = block_lines(plan), plan.grid
    rows = LANES * lines * plan.geometry.length * 4
    spectra = LANES * lines * plan.samples * 8
    plane = cells * (cells // 2 + 1) * 8
    planes = _planes(plan) * plane
    tiles = -(-cells // TILE) * -(-cells // (2 * TILE))
    # Shares of tiles: all lines through a small grid, those near the origin of a large one, where
    # their number falls with the distance (5 bytes for each pair of a line and an angle, counted).
    shares = min(
        tiles * -(-lines // SHARE_LINES) * LANES * TILE * TILE * 8, 6 * lines * len(plan.order)
    )
    tables = 50 * len(plan.order) + 40 * tiles
    return LANES * plane + max(rows + spectra + shares, planes) + spectra + planes + tables


def pad_rows(sinograms: Array, order: Array, source: Array, lateral: Array, out: Array) -> None:
    """out[s, k, j] = sinograms[s, order[k], source[j]] * lateral[j]; 0 for slices that lack."""
    slices, angles, columns = sinograms.shape
    _, lines, length = out.shape
    load(namespace(out), "pad_rows")(
        (-(-length // _THREADS), lines),
        (_THREADS,),
        sinograms=sinograms,
        order=order,
        source=source,
        lateral=lateral,
        out=out,
        slices=slices,
        angles=angles,
        columns=columns,
        lines=lines,
        length=length,
    )


def unpack(
    planes: Array, level: Array, pivot: tuple[float, float], reach: float, out: Array
) -> None:
    """Crop, de-apodise and cut the circle around ``pivot`` (row, column).

    Planes are (planes, cells, cells), ``out`` (slices, n, n).
    """
    slices, size, _ = out.shape
    load(namespace(out), "unpack")(
        (-(-size // _THREADS), -(-size // _UNPACKED_ROWS), slices),
        (_THREADS,),
        planes=planes,
        level=level,
        out=out,
        pivot_row=pivot[0],
        pivot_column=pivot[1],
        reach=reach,
        count=planes.shape[0],
        slices=slices,
        cells=planes.shape[1],
        size=size,
    )


def _spread(
    half_plane: HalfPlane, sinograms: Array, tables: Tables, transforms: Transforms, finite: Array
) -> None:
    """Grid the rows of up to LANES slices, block by block."""
    xp = namespace(sinograms)
    fft = fft_module(xp)
    shape = LANES, len(tables.blocks[0].order), tables.source.size
    rows = xp.empty(shape, xp.float32)
    for block in tables.blocks:
        pad_rows(sinograms, block.order, tables.source, tables.lateral, rows)
        with transforms.rows:
            spectra = fft.rfft(rows, axis=2)
        # The sum of a row tells of any value that is not finite.
        xp.logical_and(finite, xp.isfinite(spectra[:, :, 0]).all(), out=finite)
        spread_tiles(half_plane, spectra, block, tables.response, tables.taps)
        del spectra  # before the next ones are made


def _slices(
    half_plane: HalfPlane, out: Array, plan: GridPlan, tables: Tables, transforms: Transforms
) -> None:
    """Transform the grid and unpack its slices, a few planes at a time."""
    fft = fft_module(namespace(out))
    count, cells = _planes(plan), plan.grid
    for start in range(0, len(out), count):
        part = slice(start, start + count)
        with transforms.planes:
            planes = fft.irfft2(
                half_plane.grid[part], (cells, cells), axes=(1, 2), norm="forward",
                overwrite_x=True,
            )  # fmt: skip
        unpack(planes, tables.level, plan.geometry.pivot, plan.geometry.reach, out[part])
        del planes


def _planes(plan: GridPlan) -> int:
    """Planes of one inverse transform: a power of 2, so that it divides LANES."""
    fit = max(1, TRANSFORM_BYTES // (plan.grid**2 * 4))
    return min(LANES, 1 << int(fit).bit_length() - 1)


def _make_transforms(xp: ModuleType, plan: GridPlan) -> Transforms:
    # CuPy takes shapes and types of a plan from an array.
    fft, cells = fft_module(xp), plan.grid
    rows = xp.empty((LANES, block_lines(plan), plan.geometry.length), xp.float32)
    plan_of_rows = fft.get_fft_plan(rows, axes=2, value_type="R2C")
    del rows
    grid = xp.empty((_planes(plan), cells, cells // 2 + 1), xp.complex64)
    shape = cells, cells
    return Transforms(plan_of_rows, fft.get_fft_plan(grid, shape, axes=(1, 2), value_type="C2R"))
