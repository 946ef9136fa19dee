"""The Fourier-wavelet ring removal on a device: two thin products with wavelets between them.

Three kernels for a batch of slices, whatever the levels: a chain of sparse products would take
two launches a level and row length, and ten times the traffic of its rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from hipct.core.arrays import Array, namespace
from hipct.core.kernels import Constant, Kernel, load

if TYPE_CHECKING:
    from hipct.preparation.rings_wavelet import WaveletPlan

FILE = "wavelet_stripes"
MOST_ROWS = 5
VARIANTS: tuple[tuple[str, dict[str, Constant]], ...] = tuple(
    (FILE, {"ROWS": rows}) for rows in range(1, MOST_ROWS + 1)
)

WORK_BYTES = 256 * 2**20
"""Work space that batches of slices share; one slice may need more."""

MOST_SLICES = 1024
"""Slices of a batch: by far enough to fill a device, and within the limits of a grid."""

CHUNK = 512
ACROSS = 128
ROW_THREADS = 16
TALL, WIDE = 128, 64
THREADS = 256
"""Of ``kernels/wavelet_stripes.cu``: angles and columns of a block of the first product, threads
that share its vectors, angles and columns of a block of the second, and threads of any block."""

LONGEST_FILTER = 30
LARGEST_PADDING = 150


@dataclass(frozen=True)
class _DevicePlan:
    """Arrays of a plan in the memory of a device."""

    project: Array
    restore: Array
    level_of: Array
    widths: Array
    filters: Array


def work_bytes(slices: int, angles: int, columns: int, vectors: int) -> int:
    """Bytes of device memory that :func:`subtract_stripes` takes at most beside its arguments.

    The plan's own arrays, ``2 * 4 * vectors * angles``, are not in it.
    """
    longest = columns + 2 * LARGEST_PADDING + LONGEST_FILTER
    slice_bytes = _slice_bytes(angles, columns, vectors, longest)
    return _batch(slices, slice_bytes) * slice_bytes


def subtract_stripes(sinograms: Array, plan: WaveletPlan, out: Array) -> bool:
    """Subtract from sinograms what the damped frequencies of their detail bands hold.

    Parameters
    ----------
    sinograms : array, shape (slices, angles, columns), float32, C-contiguous
    plan : WaveletPlan
        For this shape.
    out : array, the same
        May be the sinograms themselves.

    Returns
    -------
    bool
        Whether all values were finite; ``out`` means nothing if not.
    """
    xp = namespace(sinograms, out)
    slices, angles, columns = sinograms.shape
    vectors = len(plan.project)
    arrays = _on_device(xp, xp.cuda.Device().id, plan)
    width = max(plan.widths)
    chunks = -(-angles // CHUNK)
    batch = _batch(slices, _slice_bytes(angles, columns, vectors, width))
    broken = xp.zeros(1, np.uint32)
    sums = xp.empty((batch, chunks, vectors, columns), np.float32)
    buffers = xp.empty((batch, vectors, 2, width), np.float32)
    kept = xp.empty((batch, vectors, columns), np.float32)
    tiles = -(-vectors // (ROW_THREADS * MOST_ROWS))
    rows = -(-vectors // (ROW_THREADS * tiles))
    sizes = {"columns": columns, "vectors": vectors}

    def kernel(name: str) -> Kernel:
        return load(xp, FILE, name, ROWS=rows)

    for first in range(0, slices, batch):
        count = min(batch, slices - first)
        kernel("project_stripes")(
            (-(-columns // ACROSS), chunks, count * tiles),
            (THREADS,),
            sinograms=sinograms[first : first + count],
            project=arrays.project,
            sums=sums[:count],
            slices=count,
            angles=angles,
            **sizes,
        )
        kernel("keep_detail")(
            (vectors, count),
            (THREADS,),
            sums=sums[:count],
            level_of=arrays.level_of,
            widths=arrays.widths,
            filters=arrays.filters,
            buffers=buffers[:count],
            kept=kept[:count],
            broken=broken,
            slices=count,
            blocks=chunks,
            levels=len(plan.parts),
            taps=2 * plan.order,
            padding=plan.padding,
            width=width,
            **sizes,
        )
        kernel("subtract_stripes")(
            (-(-columns // WIDE), -(-angles // TALL), count),
            (THREADS,),
            sinograms=sinograms[first : first + count],
            restore=arrays.restore,
            kept=kept[:count],
            out=out[first : first + count],
            slices=count,
            angles=angles,
            **sizes,
        )
    return not int(broken[0])


def _slice_bytes(angles: int, columns: int, vectors: int, longest: int) -> int:
    """Work space of one slice: sums of blocks of angles, kept rows, and two buffers a row."""
    return 4 * vectors * ((-(-angles // CHUNK) + 1) * columns + 2 * longest)


def _batch(slices: int, slice_bytes: int) -> int:
    """Slices in work at a time."""
    return max(1, min(slices, MOST_SLICES, WORK_BYTES // slice_bytes))


@lru_cache(maxsize=4)
def _on_device(xp: ModuleType, device: int, plan: WaveletPlan) -> _DevicePlan:
    """Arrays of a plan, uploaded once for each device."""
    level_of = np.concatenate(
        [np.full(part.stop - part.start, level) for level, part in enumerate(plan.parts)]
    )
    with xp.cuda.Device(device):
        arrays = _DevicePlan(
            project=xp.asarray(plan.project),
            restore=xp.asarray(np.ascontiguousarray(plan.restore.T)),
            level_of=xp.asarray(level_of.astype(np.int32)),
            widths=xp.asarray(np.array(plan.widths, np.int32)),
            filters=xp.asarray(np.stack(plan.filters)),
        )
        # Later calls may come from other streams, which do not wait for this one's copies.
        xp.cuda.get_current_stream().synchronize()
    return arrays
