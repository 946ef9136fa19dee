"""Coarser levels of a volume that does not exist: made of binned projections and fewer angles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hipct.acquisition.scan import Scan
from hipct.live.binned import BinnedScan, binned_column
from hipct.live.cache import ArrayCache
from hipct.live.cancel import Asked, stop_if
from hipct.live.lines import line_integrals
from hipct.live.settled import Settled, frames_key
from hipct.pipeline.config import Config
from hipct.pipeline.engine import crop_window, make_reconstructor, slice_size
from hipct.pipeline.job import resolve
from hipct.pipeline.organ import Part
from hipct.pipeline.slabs import SlabChain
from hipct.pipeline.virtual import Source, Untimed, VirtualScan, source_config, virtual_config
from hipct.reconstruction.stitching_levels import SeriesLevels

HALO_ACCURACY = 1e-2
"""Error that edges beyond the halo may leave in a coarse picture; its halo is a third of a fine
one's."""


@dataclass(frozen=True, eq=False)
class CoarsePart(Part):
    """A part of binned frames.

    Attributes
    ----------
    fine : Part
        The part of whole frames.
    binning, step : int
        Of the binned scan.
    """

    fine: Part | None = None
    binning: int = 1
    step: int = 1

    def shifts_px(self, angles: slice) -> tuple[ArrayLike, ArrayLike]:
        """How far own rows, and columns, lie behind those of the detector in some projections."""
        assert self.fine is not None
        first, stop = (
            None if end is None else end * self.step for end in (angles.start, angles.stop)
        )
        rows, columns = self.fine.shifts_px(slice(first, stop, self.step))
        return np.divide(rows, self.binning), np.divide(columns, self.binning)


class CoarseLevel:
    """Slices of one coarse level.

    Parameters
    ----------
    settled : Settled
        What is known of the scan.
    level : int
        1 or more; a voxel is ``2**level`` fine ones along each axis.
    kept : ArrayCache, optional
        Where binned frames are kept, for other configurations of the scan too.
    """

    def __init__(self, settled: Settled, level: int, kept: ArrayCache | None = None) -> None:
        self._settled, self._level, self._binning = settled, level, 2**level
        self._kept = kept
        organ, b = settled.organ, self._binning
        self._fine_size = slice_size(organ)
        window = crop_window(organ, self._fine_size)
        sides = [side.stop - side.start for side in window]
        self.shape = -(-len(organ.rows) // b), -(-sides[0] // b), -(-sides[1] // b)
        # Where the middle of the fine slice lies on the coarse grid.
        self._middle = tuple(
            ((self._fine_size - 1) / 2 - side.start - (b - 1) / 2) / b for side in window
        )
        self._parts: dict[int, tuple[BinnedScan, CoarsePart, SlabChain]] = {}

    def slices(self, rows: range, cancelled: Asked | None = None) -> NDArray[np.float32]:
        """Some slices (z, y, x), as :meth:`hipct.live.scan.LiveScan.slice` has them."""
        organ, b = self._settled.organ, self._binning
        first = organ.rows.start + rows.start * b
        fine = range(first, min(organ.rows.stop, organ.rows.start + rows.stop * b))
        seen = [k for k, share in enumerate(organ.shares) if _meet(share, fine)]
        total = np.zeros((len(rows), *self.shape[1:]), np.float32)
        for number in seen:
            stop_if(cancelled)
            slices = self._of_part(number, rows, cancelled)
            if len(seen) > 1:
                weights = organ.weights(fine)[number]
                means = np.add.reduceat(weights, range(0, len(fine), b))
                counts = np.add.reduceat(np.ones(len(fine)), range(0, len(fine), b))
                slices *= (means / counts).astype(np.float32)[:, None, None]
            total += slices
        if organ.radius_px is not None:
            y, x = (np.arange(n) - m for n, m in zip(self.shape[1:], self._middle))
            total *= np.hypot(y[:, None], x) <= organ.radius_px / b
        return total

    def part(self, number: int) -> tuple[BinnedScan, CoarsePart]:
        """The binned scan of a part, and what is done to it."""
        return self._made(number)[:2]

    def _made(self, number: int) -> tuple[BinnedScan, CoarsePart, SlabChain]:
        if number not in self._parts:
            self._parts[number] = self._make(number)
        return self._parts[number]

    def _of_part(self, number: int, rows: range, cancelled: Asked | None) -> NDArray[np.float32]:
        scan, part, chain = self._made(number)
        own = part.own(rows)
        inside = range(max(own.start, 0), min(own.stop, scan.info.rows))
        slices = np.zeros((len(rows), *self.shape[1:]), np.float32)
        if inside:
            lines = line_integrals(
                scan, part, inside, cancelled, angle_bytes=scan.bytes_read(len(inside))
            )
            stop_if(cancelled)
            made = chain.slices(lines)
            if part.job.info.pixel_size_um is None:
                # Per pixel of the scan, not of the binned one.
                made /= self._binning
            place = slice(inside.start - own.start, inside.stop - own.start)
            slices[place] = made[:, : self.shape[1], : self.shape[2]]
        return slices

    def _make(self, number: int) -> tuple[BinnedScan, CoarsePart, SlabChain]:
        fine, b = self._settled.organ.parts[number], self._binning
        own = self._settled.organ.rows.start + fine.base
        first_row = own % b - (b if own % b else 0)
        scan = BinnedScan(
            _source(self._settled.scans[number], fine),
            b,
            first_row,
            kept=self._kept,
            key=(self._settled.number, frames_key(fine.job.config), number, b),
        )
        config = coarse_config(fine.job.config, self._level)
        job = resolve(scan, config, of_series=True)
        halo = math.ceil(fine.job.with_halo(HALO_ACCURACY).halo / b)
        size = max(self.shape[1:])
        part = CoarsePart(
            replace(job, halo=halo),
            self._axis(fine),
            -((own - first_row) // b + fine.fraction / b),
            self._centre(fine, size),
            number,
            fine.name,
            _binned_levels(fine, b, first_row),
            None,
            fine.motion,
            fine=fine,
            binning=b,
            step=scan.step,
        )
        return scan, part, SlabChain(part, make_reconstructor(part, size), Untimed())

    def _axis(self, fine: Part) -> float:
        axis = binned_column(fine.known_axis, self._binning)
        # The outermost columns of a full scan lie beside the outermost binned ones.
        last = -(-fine.job.info.columns // self._binning) - 1
        return axis if fine.job.half else min(max(axis, 0.0), float(last))

    def _centre(self, fine: Part, size: int) -> tuple[float, float]:
        """Where the sample of a part stands so that its slices come to lie on the coarse grid."""
        turn = math.radians(fine.job.config.volume.rotation_deg)
        sin, cos = math.sin(turn), math.cos(turn)
        # The engine turns it with the sample: the grid's part of it is turned back before.
        down, right = ((size - 1) / 2 - middle for middle in self._middle)
        y, x = (each / self._binning for each in fine.centre_px)
        return y + down * cos - right * sin, x + down * sin + right * cos


def coarse_config(config: Config, level: int) -> Config:
    """What a configuration leaves to be done for frames that are binned by ``2**level``."""
    b = 2**level
    lengths: dict[str, dict[str, Any]] = {
        "scan": {"first_row": 0, "last_row": None, "pixel_size_um": None},
        "unsharp": {"sigma_px": config.unsharp.sigma_px / b},
        "rings": {
            "size_px": _odd(config.rings.size_px / b),
            "large_px": _odd(config.rings.large_px / b),
            "levels": max(1, config.rings.levels - level),
        },
        "polar": {
            "width_px": _odd(config.polar.width_px / b),
            "arc_px": config.polar.arc_px / b,
            "centre_px": config.polar.centre_px / b,
        },
        "half": {
            "border_px": -(-config.half.border_px // b),
            "outside_px": config.half.outside_px and -(-config.half.outside_px // b),
        },
        "volume": {"crop_y": None, "crop_x": None},
        "axis": {
            "value": None,
            "search_px": config.axis.search_px
            and tuple(binned_column(column, b) for column in config.axis.search_px),
        },
    }
    sections = {
        name: getattr(config, name).model_copy(update=values) for name, values in lengths.items()
    }
    return virtual_config(config).model_copy(update=sections)


def level_shapes(shape: Sequence[int], longest: int) -> list[tuple[int, int, int]]:
    """Shapes of all levels, down to the first whose longest side is at most ``longest``.

    Examples
    --------
    >>> level_shapes((300, 512, 512), 128)
    [(300, 512, 512), (150, 256, 256), (75, 128, 128)]
    """
    z, y, x = shape
    found = [(z, y, x)]
    while max(found[-1]) > longest:
        z, y, x = (-(-side // 2) for side in found[-1])
        found.append((z, y, x))
    return found


def _source(scan: Scan, fine: Part) -> Source:
    config = fine.job.config
    if isinstance(scan, VirtualScan):
        # It is transmission: what belongs to the camera has been done.
        config = virtual_config(config)
    return Source(scan, source_config(config), fine.corrections)


def _binned_levels(fine: Part, b: int, first_row: int) -> SeriesLevels | None:
    """The levels of a series, for rows of binned frames."""
    levels = fine.levels
    if levels is None:
        return None
    # Counted from binned row 0, whose middle lies at the detector row first_row + (b - 1) / 2.
    offset = levels.offset - levels.slope * ((levels.rows - b) / 2 - first_row)
    return SeriesLevels(levels.gain, offset, levels.slope * b, 1)


def _odd(size: float) -> int:
    return max(3, 2 * round((size - 1) / 2) + 1)


def _meet(one: range, other: range) -> bool:
    return max(one.start, other.start) < min(one.stop, other.stop)
