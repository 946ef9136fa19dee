"""Scans gone through in parts that fit any memory, for what is measured of whole scans.

The parts follow from the scan alone, never from the memory that is free: sums over them have the
same bits in every run.
"""

from __future__ import annotations

from collections.abc import Iterator

from hipct.acquisition.scan import Scan

BAND_BYTES = 2**28
"""What a part takes as raw frames and as three times float32."""

BLOCK_ANGLES = 64
"""Projections of a part, or a chunk of the scan."""

BAND_STEP = 16
"""Bands of rows are multiples of this, the rows of a chunk of the scan store."""


def bands(scan: Scan, rows: range | None = None, *, copies: int = 1) -> list[range]:
    """Bands of rows, of the whole detector by default.

    ``copies`` are the scans that are held at a time.
    """
    rows = range(scan.info.rows) if rows is None else rows
    bytes_a_row = copies * block_angles(scan) * scan.info.columns * (scan.info.dtype.itemsize + 12)
    height = max(1, BAND_BYTES // bytes_a_row // BAND_STEP) * BAND_STEP
    first = rows.start // BAND_STEP * BAND_STEP
    return [
        range(max(start, rows.start), min(start + height, rows.stop))
        for start in range(first, rows.stop, height)
    ]


def block_angles(scan: Scan) -> int:
    """Projections that are read together."""
    chunk = max(1, scan.angle_chunk)
    return max(chunk, BLOCK_ANGLES // chunk * chunk)


def blocks(scan: Scan, frames: range | None = None) -> Iterator[slice]:
    """Blocks of projections, of all by default; aligned to the chunks of the scan."""
    frames = range(scan.info.projections) if frames is None else frames
    step = block_angles(scan)
    start = frames.start
    while start < frames.stop:
        stop = min((start // step + 1) * step, frames.stop)
        yield slice(start, stop)
        start = stop


def spread_blocks(scan: Scan, projections: int | None) -> list[slice]:
    """Blocks that hold about so many projections, spread evenly over all of them."""
    chunk = max(1, scan.angle_chunk)
    total = scan.info.projections
    if projections is None or projections >= total:
        return list(blocks(scan))
    every = [slice(a, min(a + chunk, total)) for a in range(0, total, chunk)]
    count = min(len(every), -(-projections // chunk))
    return [every[int((k + 0.5) * len(every) / count)] for k in range(count)]
