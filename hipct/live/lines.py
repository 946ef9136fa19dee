"""Line integrals of a few rows, read ahead while others are prepared, and given up on demand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.live.cancel import Asked, stop_if
from hipct.pipeline.organ import Part
from hipct.pipeline.preparation import TilePreparation, angle_blocks
from hipct.pipeline.virtual import Untimed
from hipct.preparation.counts import PixelCounts

BLOCK_BYTES = 24 << 20
"""Raw frames of a block of angles: large enough for two threads, small enough to be given up."""


def line_integrals(
    scan: Scan,
    part: Part,
    own: range,
    cancelled: Asked | None = None,
    *,
    angle_bytes: int | None = None,
) -> NDArray[np.float32]:
    """Line integrals (rows, angles, columns) of a few own rows of a part.

    Parameters
    ----------
    scan : Scan
        That of the part.
    part : Part
    own : range
        Own rows; the halo of phase retrieval is read around them.
    cancelled : callable, optional
        Asked between blocks of angles.
    angle_bytes : int, optional
        Raw bytes that an angle of these rows without their halo takes; by default those that the
        scan has.

    Raises
    ------
    Cancelled
        If it says so.
    FormatError
        If projections cannot be read.
    """
    info = part.job.info
    preparation = TilePreparation(scan, part, own, Untimed(), PixelCounts())
    lines = np.empty((len(own), part.job.line_angles, info.columns), np.float32)
    if angle_bytes is None:
        angle_bytes = len(own) * info.columns * info.dtype.itemsize
    wanted = BLOCK_BYTES * len(own) // (angle_bytes * (len(own) + 2 * part.job.halo))
    step = max(1, scan.angle_chunk)
    blocks = angle_blocks(info.projections, step * max(1, wanted // step))
    with ThreadPoolExecutor(1, thread_name_prefix="hipct-live-read") as reader:
        coming = reader.submit(preparation.read, blocks[0])
        for block, following in zip(blocks, [*blocks[1:], None]):
            raw = coming.result()
            stop_if(cancelled)
            if following is not None:
                coming = reader.submit(preparation.read, following)
            preparation.line_integrals(raw, block, lines, block.start)
    return lines
