"""A scan of larger pixels and fewer angles, made of another one while it is read.

Frames are brought to transmission first, with all that is corrected before neighbouring pixels are
looked at (:mod:`hipct.pipeline.virtual`); then their means over squares of pixels are taken. So
what a configuration corrects is corrected in coarse pictures too, at the cost of the angles that
they keep. The means are kept for a while, in blocks: pictures of one place under other settings of
the phase, and of places beside it, are made of them without a look at the frames.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from hipct.core.threads import parallel_for
from hipct.live.cache import ArrayCache
from hipct.live.lines import BLOCK_BYTES
from hipct.pipeline.virtual import Source, VirtualScan, blocks_of, transmission_info

FEWEST_ANGLES = 180
"""Projections that are kept at least, where a scan has them."""

BLOCK_ROWS = 16
"""Rows of the source whose means are kept as one block: those of a chunk of a scan store."""


class BinnedScan(VirtualScan):
    """Means over squares of pixels, of every so manieth projection.

    Parameters
    ----------
    source : Source
        The scan, with all of its rows.
    binning : int
        Pixels along each side of a square.
    first_row : int
        Detector row at which the first square begins; 0, or below it by less than the binning.
        Squares that reach over an edge of the detector are filled up with the pixels at the edge.
    kept : ArrayCache, optional
        Where means are kept that were made.
    key : hashable
        Tells them apart from those of other scans, corrections and binnings.

    Attributes
    ----------
    step : int
        Projection k is projection ``k * step`` of the source.
    """

    def __init__(
        self,
        source: Source,
        binning: int,
        first_row: int = 0,
        *,
        kept: ArrayCache | None = None,
        key: Hashable = None,
    ) -> None:
        super().__init__(source)
        self._kept, self._key = kept, key
        self._source, self._binning, self._first_row = source, binning, first_row
        info = source.job.info
        self.step = max(1, min(binning, info.projections // FEWEST_ANGLES))
        pixel, axis = info.pixel_size_um, info.rotation_axis_px
        angles = info.angles_rad[:: self.step]
        self.info = replace(
            transmission_info(info),
            projections=len(angles),
            angles_rad=angles,
            projection_index=info.projection_index[:: self.step],
            projection_z_um=None,
            rows=-(-(info.rows - first_row) // binning),
            columns=-(-info.columns // binning),
            pixel_size_um=None if pixel is None else pixel * binning,
            rotation_axis_px=None if axis is None else binned_column(axis, binning),
        )
        self.angle_chunk = -(-source.scan.angle_chunk // self.step)
        self._rows_each = max(1, BLOCK_ROWS // binning)
        if kept is not None:
            # With a halo above and below. Who reads goes on from block to block.
            chunk_bytes = self.angle_chunk * self.bytes_read(3 * self._rows_each)
            self.angle_chunk *= max(1, BLOCK_BYTES // chunk_bytes)

    def work_bytes(self, angles: int, rows: int) -> int:
        """Bytes that reading blocks of so many angles and rows takes beside what it gives."""
        return 2 * self._source.frames_bytes(angles * self.step, rows * self._binning)

    def bytes_read(self, rows: int) -> int:
        """Bytes of the source that an angle of so many rows is made of."""
        info = self._source.job.info
        return self.step * rows * self._binning * info.columns * info.dtype.itemsize

    def _make(self, angles: slice, rows: range, out: NDArray[np.float32]) -> None:
        if self._kept is None:
            out[...] = self._binned(range(angles.start, angles.stop), rows)
            return
        for block in blocks_of(angles, self.angle_chunk):
            number = block.start // self.angle_chunk
            first = number * self.angle_chunk
            stop = min(first + self.angle_chunk, self.info.projections)
            means = self._means(range(first, stop), rows, self._kept)
            some = slice(block.start - angles.start, block.stop - angles.start)
            out[some] = means[block.start - first : block.stop - first]

    def _means(self, angles: range, rows: range, kept: ArrayCache) -> NDArray[np.float32]:
        """Means of a block of projections, (angles, rows, columns), with what is kept of them."""
        each = self._rows_each
        numbers = range(rows.start // each, -(-rows.stop // each))
        keys = [("binned", self._key, angles.start, number) for number in numbers]
        found = {key: means for key in keys if (means := kept.get(key)) is not None}
        lacking = [number for number, key in zip(numbers, keys) if key not in found]
        if lacking:
            # In one piece: what lies between is made again sooner than the rest is read twice.
            begin = lacking[0] * each
            made = self._binned(angles, range(begin, min((lacking[-1] + 1) * each, self.info.rows)))
            for number in range(lacking[0], lacking[-1] + 1):
                inside = slice(number * each - begin, (number + 1) * each - begin)
                key = keys[number - numbers.start]
                found[key] = np.ascontiguousarray(made[:, inside])
                kept.put(key, found[key])
        means = np.concatenate([found[key] for key in keys], axis=1)
        return means[:, rows.start - numbers.start * each :][:, : len(rows)]

    def _binned(self, angles: range, rows: range) -> NDArray[np.float32]:
        """Means of some projections, (angles, rows, columns)."""
        info, b, step = self._source.job.info, self._binning, self.step
        first, stop = self._first_row + rows.start * b, self._first_row + rows.stop * b
        read = range(max(0, first), min(info.rows, stop))
        picked = slice(angles.start * step, (angles.stop - 1) * step + 1, step)
        frames = self._source.frames(picked, read)
        beside = (read.start - first, stop - read.stop), (0, -info.columns % b)
        out = np.empty((len(angles), len(rows), self.info.columns), np.float32)

        def work(start: int, end: int) -> None:
            for k in range(start, end):
                out[k] = _squares(np.pad(frames[k], beside, mode="edge"), b)

        parallel_for(work, len(frames))
        return out


def binned_column(column: float, binning: int) -> float:
    """A detector column, pixel centres at whole numbers, in columns of larger pixels.

    Examples
    --------
    >>> binned_column(0.5, 2), binned_column(511.5, 4)
    (0.0, 127.5)
    """
    return (column + 0.5) / binning - 0.5


def _squares(frame: NDArray[np.float32], b: int) -> NDArray[np.float32]:
    """Means over b x b pixels."""
    rows, columns = frame.shape
    # Whole rows are added first: they lie in one piece.
    bands = frame.reshape(rows // b, b, columns).sum(axis=1)
    means: NDArray[np.float32] = bands.reshape(rows // b, columns // b, b).sum(axis=2)
    means *= np.float32(1 / b**2)
    return means
