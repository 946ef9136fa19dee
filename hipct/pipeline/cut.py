"""How the work is cut, and the memory that each cut takes.

Three heights are cut independently, and none of them changes a voxel: the phase tile, fixed by
its halo; the write layer, fixed by the chunks of the volume; and the compute slab, free. What
does not fit is staged in a scratch file, the layer before the tile, because a layer is usually
smaller than its line integrals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from hipct.pipeline.job import Job
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.layout import PyramidSpec

PROCESS_BYTES = 420_000_000
"""Resident memory of the process with all libraries loaded and kernels compiled (measured)."""

BLOCKS = (128, 64, 32, 16, 8, 4, 2, 1)
"""Projections prepared at a time, before rounding to the chunks of the scan."""

SHARD_PLANES = (1024, 512, 256)
"""Edges of a shard in y and x; smaller ones are encoded in less memory, as more files."""

LAYER_ROWS = (128, 64, 32)
"""Rows of a write layer; at most the edge of a chunk."""

PREPARE = "flat field and phase"
RECONSTRUCT = "reconstruction of a slab"


class Files(NamedTuple):
    """What the cut decides about the files of the volume, so that a resumed run keeps it."""

    layer_rows: int
    shard_plane: int


@dataclass(frozen=True)
class Cut:
    """How the work is cut; none of it changes a voxel.

    Attributes
    ----------
    angle_block : int
        Projections read and prepared at a time.
    slab_rows : int
        Slices reconstructed at a time.
    tile_buffers, layer_buffers : int
        Tiles of line integrals and layers of voxels held at a time; two overlap the stages.
    stage_tile, stage_layer : bool
        Whether that buffer is a scratch file instead of memory.
    layer_rows : int
        Rows of a write layer: the depth of the volume's chunks and shards.
    shard_plane : int
        Edge in y and x of the shards (files) of the volume.
    """

    angle_block: int
    slab_rows: int
    tile_buffers: int
    layer_buffers: int
    stage_tile: bool
    stage_layer: bool
    layer_rows: int
    shard_plane: int

    @property
    def files(self) -> Files:
        """What the cut decides about the files of the volume."""
        return Files(self.layer_rows, self.shard_plane)

    def scratch_bytes(self, job: Job, spec: PyramidSpec) -> int:
        """Size of the scratch files."""
        tile = tile_bytes(job) * self.tile_buffers if self.stage_tile else 0
        layer = layer_bytes(spec) * self.layer_buffers if self.stage_layer else 0
        return tile + layer


def cuts(job: Job, batch: int, angle_chunk: int, files: Files | None) -> Iterator[Cut]:
    """Cuts from the fastest to the leanest.

    Parameters
    ----------
    job : Job
        What is to be cut.
    batch : int
        Slices that the engine reconstructs at its best.
    angle_chunk : int
        Projections in a chunk of the scan; blocks are multiples where they can be.
    files : Files, optional
        Shards of the volume, where an earlier run has begun it.
    """
    chunk, projections = max(1, angle_chunk), job.info.projections
    blocks = {min(projections, chunk * max(1, size // chunk)) for size in BLOCKS}
    slabs = sorted({max(1, batch >> k) for k in range(7)}, reverse=True)
    staging = [(False, False), (False, True), (True, False), (True, True)]
    edge = job.config.volume.chunk
    # A thinner layer is the last resort: it makes more chunks and files, for good.
    shapes = product([rows for rows in LAYER_ROWS if rows <= edge], staging)
    planes = [plane for plane in SHARD_PLANES if plane >= edge]
    held = [(2, 2), (1, 2), (1, 1)]
    for (rows, staged), plane, buffers in product(shapes, planes, held):
        if files is not None and files != Files(rows, plane):
            continue
        for slab, block in product(slabs, sorted(blocks, reverse=True)):
            yield Cut(block, slab, *buffers, *staged, rows, plane)


def memory_by_stage(
    job: Job, spec: PyramidSpec, cut: Cut, reconstructor: Reconstructor
) -> dict[str, int]:
    """Bytes that each stage holds at its peak."""
    info = job.info
    frame = min(info.rows, job.tile_rows + 2 * job.halo) * info.columns
    sinogram = info.projections * info.columns * 4
    rings = 2 * sinogram if job.config.rings.method != "none" else 0
    staged = sinogram if cut.stage_tile else 0
    return {
        "process": PROCESS_BYTES,
        "flats and darks": (info.flats + info.darks) * frame * (info.dtype.itemsize + 4),
        "raw frames": 3 * cut.angle_block * frame * info.dtype.itemsize,
        # Transmission, what a filter makes of it, and the block on its way to a scratch file.
        PREPARE: (3 if cut.stage_tile else 2) * cut.angle_block * frame * 4,
        "line integrals of a tile": 0 if cut.stage_tile else cut.tile_buffers * tile_bytes(job),
        RECONSTRUCT: reconstructor.memory_bytes(cut.slab_rows)
        + cut.slab_rows * (reconstructor.size**2 * 6 + rings + staged),
        "voxels of a layer": 0 if cut.stage_layer else cut.layer_buffers * layer_bytes(spec),
        "writing": _write_bytes(spec, cut),
    }


def peak_bytes(memory: dict[str, int], cut: Cut) -> int:
    """Peak of the run: with one tile buffer, preparation and reconstruction take turns."""
    turns = memory[PREPARE], memory[RECONSTRUCT]
    always = sum(memory.values()) - sum(turns)
    return always + (sum(turns) if cut.tile_buffers > 1 else max(turns))


def tile_bytes(job: Job) -> int:
    """Line integrals of a phase tile."""
    return min(job.tile_rows, len(job.rows)) * job.info.projections * job.info.columns * 4


def layer_bytes(spec: PyramidSpec) -> int:
    """Voxels of a write layer."""
    depth, height, width = spec.shape
    return min(spec.layer, depth) * height * width * spec.dtype.itemsize


def _write_bytes(spec: PyramidSpec, cut: Cut) -> int:
    """Bytes of encoding and reducing.

    A shard's parts, their sum, and the shard before it on its way to disk; the band that is read
    back from a staged layer; the halves that wait in every level above.
    """
    level, layer = spec.levels[0], layer_bytes(spec)
    shard = min(math.prod(level.shard) * spec.dtype.itemsize, layer)
    band = layer * min(level.shard[1], level.shape[1]) // level.shape[1] if cut.stage_layer else 0
    return 3 * shard + band + layer // 3
