"""How the work is cut, and the memory that each cut takes.

Three heights are cut independently, and none of them changes a voxel: the phase tile, fixed by
its halo; the write layer, fixed by the chunks of the volume; and the compute slab, free. What
does not fit is staged in a scratch file, the layer before the tile, because a layer is usually
smaller than its line integrals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

from hipct.phase.extent import fast_rows
from hipct.phase.unsharp import unsharp_work_bytes
from hipct.pipeline.organ import Organ, Part
from hipct.pipeline.outside import Outside
from hipct.pipeline.phase import ProjectionFilter
from hipct.pipeline.tiles import parts_together, tiles, tiles_together
from hipct.preparation.references import groups_in_time
from hipct.preparation.rings import ring_memory_bytes
from hipct.reconstruction.reconstructor import Reconstructor
from hipct.volume.layout import PyramidSpec
from hipct.volume.rings_polar import polar_memory_bytes
from hipct.volume.window import HISTOGRAM_BYTES

PROCESS_BYTES = 420_000_000
"""Resident memory of the process with all libraries loaded and kernels compiled (measured)."""

CUDA_BYTES = 1_000_000_000
"""What CUDA's libraries and context add to it: an allowance, until it is measured on a GPU."""

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
    tile_on_device : bool
        Whether the line integrals of a tile stay on the GPU.
    """

    angle_block: int
    slab_rows: int
    tile_buffers: int
    layer_buffers: int
    stage_tile: bool
    stage_layer: bool
    layer_rows: int
    shard_plane: int
    tile_on_device: bool = False

    @property
    def files(self) -> Files:
        """What the cut decides about the files of the volume."""
        return Files(self.layer_rows, self.shard_plane)

    def scratch_bytes(self, organ: Organ, spec: PyramidSpec) -> int:
        """Size of the scratch files."""
        tile = tile_bytes(organ) * self.tile_buffers if self.stage_tile else 0
        layer = layer_bytes(spec) * self.layer_buffers if self.stage_layer else 0
        return tile + layer


def cuts(
    organ: Organ, batch: int, angle_chunk: int, files: Files | None, *, on_gpu: bool = False
) -> Iterator[Cut]:
    """Cuts from the fastest to the leanest.

    Parameters
    ----------
    organ : Organ
        What is to be cut.
    batch : int
        Slices that the engine reconstructs at its best.
    angle_chunk : int
        Projections in a chunk of the scan; blocks are multiples where they can be.
    files : Files, optional
        Shards of the volume, where an earlier run has begun it.
    on_gpu : bool
        Whether a GPU computes: tiles may then stay on it, and slabs of several batches keep its
        copies and launches long enough to overlap.
    """
    job, chunk = organ.largest, max(1, angle_chunk)
    projections = job.info.projections
    blocks = {min(projections, chunk * max(1, size // chunk)) for size in BLOCKS}
    most = min(4 * batch if on_gpu else batch, len(organ.rows))
    slabs = sorted({max(1, most >> k) for k in range(9)}, reverse=True)
    staging = [(False, False), (False, True), (True, False), (True, True)]
    edge = job.config.volume.chunk
    # A thinner layer is the last resort: it makes more chunks and files, for good.
    shapes = product([rows for rows in LAYER_ROWS if rows <= edge], staging)
    planes = [plane for plane in SHARD_PLANES if plane >= edge]
    # Tiles that overlap are held together; one more is filled meanwhile.
    least = tiles_together(organ)
    held = [(least + 1, 2), (least, 2), (least, 1)]
    places = (True, False) if on_gpu else (False,)
    for (rows, staged), plane, buffers, on_device in product(shapes, planes, held, places):
        if files is not None and files != Files(rows, plane):
            continue
        if on_device and staged[0]:
            continue
        for slab, block in product(slabs, sorted(blocks, reverse=True)):
            yield Cut(block, slab, *buffers, *staged, rows, plane, on_device)


def memory_by_stage(
    organ: Organ,
    spec: PyramidSpec,
    cut: Cut,
    reconstructor: Reconstructor,
    reading: Callable[[int, int], int],
    *,
    phases: Sequence[ProjectionFilter] = (),
) -> dict[str, int]:
    """Bytes that each stage holds at its peak, where the CPU computes.

    ``reading`` tells what reading a block of so many angles and rows takes beside the block;
    ``phases`` are filters of projections that take more than the frames that they are given.
    """
    info, frame = organ.largest.info, _images_pixels(organ)
    sinogram = organ.largest.line_angles * info.columns * 4
    staged = sinogram if cut.stage_tile else 0
    return {
        "process": PROCESS_BYTES,
        "flats and darks": (info.flats + info.darks) * frame * (info.dtype.itemsize + 4),
        "raw frames": 3 * cut.angle_block * frame * info.dtype.itemsize
        + reading(cut.angle_block, frame_pixels(organ) // info.columns),
        # Transmission, what a filter makes of it, and the block on its way to a scratch file.
        PREPARE: (2 + cut.stage_tile + _moved(organ)) * cut.angle_block * frame * 4
        + _filter_bytes(organ, cut, phases)
        + _corrections_bytes(organ, cut),
        "line integrals of a tile": 0 if cut.stage_tile else cut.tile_buffers * tile_bytes(organ),
        RECONSTRUCT: reconstructor.memory_bytes(cut.slab_rows)
        + cut.slab_rows * (reconstructor.size**2 * (6 + _summed(organ) + _spliced(organ)) + staged)
        + _slab_filters_bytes(organ, cut, reconstructor.size, on_device=False),
        "voxels of a layer": 0 if cut.stage_layer else cut.layer_buffers * layer_bytes(spec),
        "writing": _write_bytes(spec, cut),
    }


def host_memory_by_stage(
    organ: Organ, spec: PyramidSpec, cut: Cut, reading: Callable[[int, int], int]
) -> dict[str, int]:
    """Bytes that each stage holds at its peak in host memory, where a GPU computes."""
    info, frame = organ.largest.info, _images_pixels(organ)
    slab = cut.slab_rows * organ.largest.line_angles * info.columns * 4
    in_memory = not (cut.stage_tile or cut.tile_on_device)
    return {
        "process": PROCESS_BYTES + CUDA_BYTES,
        "flats and darks": (info.flats + info.darks) * frame * info.dtype.itemsize,
        "raw frames": 3 * cut.angle_block * frame * info.dtype.itemsize
        + reading(cut.angle_block, frame_pixels(organ) // info.columns),
        PREPARE: cut.angle_block * info.columns * 4,
        "line integrals of a tile": cut.tile_buffers * tile_bytes(organ) if in_memory else 0,
        RECONSTRUCT: 2 * slab if cut.stage_tile else 0,
        # The GPU halves the layers as well.
        "voxels of a layer": cut.layer_buffers
        * layer_bytes(spec)
        * (1 if cut.stage_layer else 9)
        // 8,
        "writing": _write_bytes(spec, cut),
    }


def device_memory_by_stage(
    organ: Organ, cut: Cut, reconstructor: Reconstructor, phases: Sequence[ProjectionFilter]
) -> dict[str, int]:
    """Bytes that each stage holds at its peak in the memory of a GPU."""
    info, frame = organ.largest.info, _images_pixels(organ)
    block = cut.angle_block * frame * 4
    slab = cut.slab_rows * organ.largest.line_angles * info.columns * 4
    tile = cut.tile_buffers * tile_bytes(organ)
    together = tiles_together(organ)
    return {
        "flats and darks": (info.flats + info.darks) * frame * info.dtype.itemsize
        + _references_bytes(organ),
        "raw frames": 3 * cut.angle_block * frame * info.dtype.itemsize,
        PREPARE: (2 + _moved(organ)) * block
        + _filter_bytes(organ, cut, phases, unsharp=True)
        + _corrections_bytes(organ, cut),
        # On their way to the host where they do not stay; and three slabs on their way back.
        "line integrals of a tile": tile if cut.tile_on_device else block + 3 * together * slab,
        # Each part that a slab needs has an engine, whose work space stays on the device.
        RECONSTRUCT: parts_together(organ) * reconstructor.memory_bytes(cut.slab_rows)
        + _slab_filters_bytes(organ, cut, reconstructor.size, on_device=True)
        # float32 slices, and 16-bit ones with their halves of the slabs before and after.
        + cut.slab_rows
        * reconstructor.size**2
        * (4 + _summed(organ) + _spliced(organ) + 3 * 9 // 4),
        "search for the window": 0 if organ.job.config.volume.window else HISTOGRAM_BYTES,
    }


def _moved(organ: Organ) -> int:
    """Blocks of frames that moving them takes, or keeping them for a second material."""
    kept = 2 * (organ.job.config.phase.materials > 1)
    return kept + (1 if any(part.moves for part in organ.parts) else 0)


def _corrections_bytes(organ: Organ, cut: Cut) -> int:
    """What correcting blocks of frames takes, at most."""
    return max(
        part.corrections.work_bytes(_frame_rows(part), part.job.info.columns, cut.angle_block)
        if part.corrections is not None
        else 0
        for part in organ.parts
    )


def _summed(organ: Organ) -> int:
    """Bytes of a voxel that summing the slices of several parts takes."""
    return 0 if organ.of_one_scan else 4


def _spliced(organ: Organ) -> int:
    """Bytes of a voxel that splicing the slices of two materials takes."""
    return 8 if organ.job.config.phase.materials > 1 else 0


def _slab_filters_bytes(organ: Organ, cut: Cut, size: int, *, on_device: bool) -> int:
    """What levels and rings take of a slab beside the line integrals and slices given."""
    job = organ.largest
    info, config = job.info, job.config
    slab = cut.slab_rows * info.projections * info.columns * 4
    # Of two materials each has lines of its own.
    copies, work = int(config.phase.materials > 1), 0
    if config.half.border_px or (config.half.match_levels and job.half):
        copies += 1
    if config.rings.method != "none":
        copies += 1
        work = ring_memory_bytes(
            cut.slab_rows,
            info.projections,
            info.columns,
            method=config.rings.method,
            size_px=config.rings.size_px,
            levels=config.rings.levels,
            sigma=config.rings.sigma,
            on_device=on_device,
        )
    polar = polar_memory_bytes(cut.slab_rows, size, on_device=on_device)
    beside = max(
        Outside.of(part.job.info, part.known_axis, config.half).memory_bytes(
            cut.slab_rows, part.job.info.projections, on_device=on_device
        )
        for part in organ.parts
    )
    return beside + copies * slab + max(work, polar if config.polar.enabled else 0)


def _references_bytes(organ: Organ) -> int:
    """What stays of two tiles' flats and darks on a GPU, and what making them takes (measured)."""
    job = organ.largest
    groups = len(groups_in_time(job.info.flat_index)) if job.info.flats else 1
    return (8 * (groups + 1) + 32 * groups + 48) * frame_pixels(organ)


def _filter_bytes(
    organ: Organ, cut: Cut, phases: Sequence[ProjectionFilter], *, unsharp: bool = False
) -> int:
    """Work space of the phase filters, one after another, or of an unsharp mask alone."""
    if phases:
        kept = sum(phase.memory_bytes(0) for phase in phases[1:])
        return kept + max(phase.memory_bytes(cut.angle_block) for phase in phases)
    if not unsharp or organ.job.config.unsharp.method == "none":
        return 0
    return unsharp_work_bytes(cut.angle_block, 4 * frame_pixels(organ))


def _images_pixels(organ: Organ) -> int:
    """Pixels of all images of a view of a phase tile: of several distances there are several."""
    return frame_pixels(organ) * organ.largest.images


def frame_pixels(organ: Organ) -> int:
    """Pixels of a frame of a phase tile with its halo, at most."""
    return max(_frame_rows(part) * part.job.info.columns for part in organ.parts)


def _frame_rows(part: Part) -> int:
    job = part.job
    rows = job.tile_rows + 2 * job.halo + sum(part.halo)
    if job.halo:
        rows = fast_rows(rows)
    if part.corrections is not None:
        rows += 2 * part.corrections.halo_rows
    return min(job.info.rows, rows)


def peak_bytes(memory: dict[str, int], cut: Cut) -> int:
    """Peak of the run: with one tile buffer, preparation and reconstruction take turns."""
    turns = memory[PREPARE], memory[RECONSTRUCT]
    always = sum(memory.values()) - sum(turns)
    return always + (sum(turns) if cut.tile_buffers > 1 else max(turns))


def tile_bytes(organ: Organ) -> int:
    """Line integrals of a phase tile, at most."""
    job = organ.largest
    rows = max((len(tile.rows) for tile in tiles(organ)), default=0)
    return rows * job.line_angles * job.info.columns * 4


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
