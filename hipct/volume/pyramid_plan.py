"""What a pyramid of a source will be, and the memory that building it takes.

An image keeps uint8 and uint16. Everything else has more values than 16 bit hold, or negative
ones: it is stored as uint16 through a window that the user gives, so that no voxel changes its
meaning unasked. Labels are whole numbers from 0 and are stored as they are: 8 and 16 bit with
16 bit at most, wider ones as uint32.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm, prod
from typing import Literal

import numpy as np

from hipct.core.errors import InputError, PlanError
from hipct.core.memory import format_bytes, free_memory
from hipct.core.threads import thread_count
from hipct.volume.layout import OmeZarr, PyramidSpec, Vector3
from hipct.volume.pyramid_source import VolumeSource
from hipct.volume.reduce import Reduction, reduced_shape
from hipct.volume.window import Window

Kind = Literal["image", "labels"]
Projection = Literal["min", "max"]

_MOST_WORKERS = 4
_DEPTHS = (128, 64, 32, 16)
_SHARD_PLANE = 1024
_MOST_ROWS = 1024
_CHUNKS_HELD = 4


@dataclass(frozen=True)
class PyramidPlan:
    """How a pyramid is built.

    Attributes
    ----------
    spec : PyramidSpec
        Levels, chunks and shards.
    kind : {"image", "labels"}
        What the voxels are.
    quantised : bool
        Whether values become 16 bit through the window of the spec.
    workers : int
        Layers under way at a time.
    memory_bytes : int
        Most that all of them hold, of voxels and encoded shards.
    """

    spec: PyramidSpec
    kind: Kind
    quantised: bool
    workers: int
    memory_bytes: int

    def __str__(self) -> str:
        spec = self.spec
        sizes = " x ".join(str(n) for n in spec.shape)
        chunk = " x ".join(str(n) for n in spec.levels[0].chunk)
        shard = " x ".join(str(n) for n in spec.levels[0].shard)
        files = f"shards of {shard}" if spec.version == "0.5" else "one a file (OME-Zarr 0.4)"
        return (
            f"{len(spec.levels)} levels of {spec.dtype} from {sizes} voxels, {self.kind} by "
            f"{spec.reduction}, chunks of {chunk}, {files}; "
            f"{spec.layers(0)} layers, {self.workers} at a time, "
            f"within {format_bytes(self.memory_bytes)}"
        )


def plan_pyramid(
    source: VolumeSource,
    *,
    kind: Kind = "image",
    projection: Projection | None = None,
    voxel_size_um: float | Vector3 | None = None,
    window: Window | tuple[float, float] | None = None,
    unit: str = "1/cm",
    chunk: int = 128,
    name: str = "volume",
    memory_bytes: int | None = None,
    depth: int | None = None,
    version: OmeZarr = "0.5",
    consolidated: bool = False,
) -> PyramidPlan:
    """Decide everything about a pyramid before it is built.

    Parameters
    ----------
    source : VolumeSource
        What it is made of; nothing is read.
    kind : {"image", "labels"}
        Images are reduced by the mean, labels by the mode.
    projection : {"min", "max"}, optional
        Reduce an image by its smallest or largest value instead.
    voxel_size_um : float or (float, float, float), optional
        Voxel size in micrometres (z, y, x), instead of what the source says.
    window : Window or (float, float), optional
        Values that grey 0 and grey 65535 stand for. Needed for all but 8 and 16 bit without sign,
        which are stored as they are: theirs may not contradict the source.
    unit : str
        Unit of the window's values.
    chunk : int
        Edge of the chunks, even.
    name : str
        Name shown by viewers.
    memory_bytes : int, optional
        Memory to stay within; default half of what is free. Where it is short, layers are made
        thinner.
    depth : int, optional
        Depth of a layer, of a build that goes on.
    version, consolidated
        As in :class:`hipct.volume.layout.PyramidSpec`.

    Raises
    ------
    InputError
        If the type of the voxels cannot be stored, or a value is not allowed.
    PlanError
        If the thinnest layer needs more memory than is allowed.
    """
    dtype, quantised = _stored_dtype(source, kind, window)
    if projection is not None and kind == "labels":
        raise InputError(
            f"The projection {projection} of labels was asked for; labels are reduced by their "
            "mode, leave the projection out."
        )
    reduction: Reduction = "mode" if kind == "labels" else projection or "mean"
    # Signed and wide values go through the window as what they stand for.
    meaning = Window(*window) if isinstance(window, tuple) else window
    if not quantised and source.value is not None and source.value[0] > 0 and kind == "image":
        scale, offset = source.value
        own = Window(offset, offset + scale * int(np.iinfo(dtype).max))
        if meaning is None:
            meaning, unit = own, source.unit
        else:
            _refuse_other_meaning(source, own, meaning)
    budget = free_memory() // 2 if memory_bytes is None else memory_bytes

    def made(depth: int, workers: int) -> PyramidPlan:
        spec = PyramidSpec(
            shape=source.shape,
            voxel_size_um=source.voxel_size_um if voxel_size_um is None else voxel_size_um,
            dtype=dtype,
            chunk=chunk,
            layer=depth,
            shard_plane=max(_SHARD_PLANE, chunk),
            window=meaning,
            unit=unit,
            name=name,
            reduction=reduction,
            version=version,
            consolidated=consolidated,
            origin_um=source.origin_um,
        )
        need = _memory_bytes(source, spec, quantised, workers)
        return PyramidPlan(spec, kind, quantised, workers, need)

    depths = [depth] if depth else [chunk, *(thinner for thinner in _DEPTHS if thinner < chunk)]
    for thinner in depths:
        if made(thinner, 1).memory_bytes > budget:
            continue
        workers = 1
        layers = -(-source.shape[0] // thinner)
        # A layer of whole slices is decoded, and written, by all threads: a second one would take
        # memory and no less time.
        alone = source.in_order or source.whole_planes
        while not alone and workers < min(_MOST_WORKERS, thread_count(), layers):
            if made(thinner, workers + 1).memory_bytes > budget:
                break
            workers += 1
        return made(thinner, workers)
    least = made(depths[-1], 1)
    raise PlanError(
        f"A layer of {depths[-1]} slices of {source.shape[1]} x {source.shape[2]} voxels of "
        f"{source.name} needs {format_bytes(least.memory_bytes)} and {format_bytes(budget)} are "
        "allowed; give more memory."
    )


def _refuse_other_meaning(source: VolumeSource, own: Window, given: Window) -> None:
    """Voxels that are stored as they are stand for what the source says."""
    apart = max(abs(given.low - own.low), abs(given.high - own.high))
    if apart <= 1e-6 * (own.high - own.low):
        return
    raise InputError(
        f"{source.name} says that its grey values stand for {own.low:g} to {own.high:g} "
        f"{source.unit}, and they are stored as they are; leave --window {given.low:g}:"
        f"{given.high:g} out (Python: window)."
    )


def rows_of_chunks(source: VolumeSource, spec: PyramidSpec) -> int:
    """Rows of chunks that are read at a time, so that the source decodes what it stores once.

    One, where its chunks end with ours; otherwise as many as end together, up to 1024 rows or one
    chunk of the source.
    """
    height, rows = spec.shape[1], spec.levels[0].chunk[1]
    if source.whole_planes:
        return -(-height // rows)
    most = max(_MOST_ROWS, source.rows_together)
    return -(-min(lcm(rows, source.rows_together), most, height) // rows)


def _stored_dtype(
    source: VolumeSource, kind: Kind, window: Window | tuple[float, float] | None
) -> tuple[np.dtype[np.unsignedinteger], bool]:
    """Type of the stored voxels, and whether they go through a window."""
    given = source.dtype
    if kind == "labels":
        if given.kind not in "uib":
            raise InputError(
                f"{source.name} holds {given}, and labels are whole numbers; convert them to "
                "integers, or build the pyramid of an image."
            )
        if window is not None:
            raise InputError("Labels take no window: they are stored as they are.")
        size = given.itemsize
        return np.dtype(np.uint8 if size == 1 else np.uint16 if size == 2 else np.uint32), False
    if given.kind not in "uif":
        raise InputError(f"{source.name} holds {given}; an image has integers or floats.")
    if given.kind == "u" and given.itemsize <= 2:
        return np.dtype(given.type), False
    if window is None:
        raise InputError(
            f"{source.name} holds {given}, and a pyramid of an image uint8 or uint16; give the "
            "values that grey 0 and grey 65535 shall stand for, --window LOW:HIGH (Python: "
            "window=(low, high)), or --labels if these are labels."
        )
    return np.dtype(np.uint16), True


def _memory_bytes(source: VolumeSource, spec: PyramidSpec, quantised: bool, workers: int) -> int:
    """Most memory of a build, all workers together.

    What is read and its stored copy where the types differ: of whole slices a layer a worker and
    what is decoded of it, otherwise bands, one a worker, or one a thread where they are one row of
    chunks. Besides, a thread holds some chunks: one as it is, one encoded, and what blosc takes.
    Each worker makes a reduced layer, and two of every level wait for each other.
    """
    base = spec.levels[0]
    depth, height, width = base.layer_shape(0)
    own, given = spec.dtype.itemsize, source.dtype.itemsize
    # Integers become float32 and floats stay what they are on the way through a window.
    through = max(given, 4) if quantised else 0
    copies = given + through + (0 if own == given and not quantised else own)
    threads = thread_count()
    if source.whole_planes:
        # The next slices are decoded while the ones before are still there.
        planes = min(depth, 4 * threads)
        held = workers * (prod((depth, height, width)) * own + planes * height * width * copies)
    else:
        together = rows_of_chunks(source, spec)
        bands = threads if together == 1 else workers
        held = bands * depth * min(together * base.chunk[1], height) * width * copies
    chunks = threads * _CHUNKS_HELD * prod(base.chunk) * max(own, given)
    reduced = prod(reduced_shape((depth, height, width))) * own
    return held + chunks + workers * reduced + 8 * reduced // 3
