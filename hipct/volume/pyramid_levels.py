"""The other levels of a volume whose finest one is there: each of its voxels read once.

Chunks are decoded, reduced and forgotten one at a time; nothing of the finest level is held. The
new levels grow beside the volume. They take their places when all of them are whole, and the
metadata speak of them last, so that the volume is at every moment what its metadata say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import lcm, prod
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError, InputError, PlanError
from hipct.core.files import write_json
from hipct.core.memory import format_bytes, free_memory
from hipct.core.progress import Observer, Silent
from hipct.core.threads import thread_count
from hipct.storage.chunk_reader import ChunkReader, open_chunks
from hipct.volume.array_metadata import array_files
from hipct.volume.fingerprint import fingerprint_of
from hipct.volume.layout import PyramidSpec
from hipct.volume.nodes import is_own
from hipct.volume.open import read_attributes
from hipct.volume.pyramid_ledger import PyramidLedger, refuse_other
from hipct.volume.pyramid_plan import Kind, Projection, PyramidPlan
from hipct.volume.pyramid_tasks import PyramidTasks
from hipct.volume.reduce import REDUCED_DTYPES, Reduction, reduce_block, reduced_shape
from hipct.volume.volume_levels import VolumeLevels

_UNFINISHED = (".partial", ".run")
_MOST_WORKERS = 4
_CHUNKS_HELD = 6
_EDGES = (16, 512)


def build_levels(
    path: Path | str,
    *,
    kind: Kind | None = None,
    projection: Projection | None = None,
    memory_bytes: int | None = None,
    observer: Observer | None = None,
    restart: bool = False,
    overwrite: bool = False,
) -> PyramidPlan:
    """Build the coarser levels of an OME-Zarr volume (0.4 or 0.5) from its finest one.

    A build that was killed goes on where it stood when it is called again in the same way; until
    the end the volume stays as it is.

    Parameters
    ----------
    path : path
        The volume, on a local disk; axes z, y, x.
    kind : {"image", "labels"}, optional
        What the voxels are; by default what the volume says, or an image.
    projection : {"min", "max"}, optional
        Reduce an image by its smallest or largest value instead of the mean.
    memory_bytes : int, optional
        Memory to stay within; default half of what is free.
    observer : Observer, optional
        Told of every layer.
    restart : bool
        Whether to throw away an unfinished build with other parameters.
    overwrite : bool
        Whether coarser levels that are there already are replaced.

    Returns
    -------
    PyramidPlan
        How they were built; its level 0 is the one that was there.

    Raises
    ------
    InputError
        If the voxels cannot be reduced so.
    FormatError
        If the path is no volume, is being written, or is damaged.
    PlanError
        If the memory is too small.
    OutputError
        If there are other levels already, or the disk refuses.
    """
    path, observer = Path(path), observer or Silent()
    _refuse_unfinished(path)
    attributes = read_attributes(path)
    folder, array = _finest(path, attributes)
    spec, meaning = _spec(path, array, attributes, kind, projection)
    plan = _plan(spec, meaning, memory_bytes)
    levels = VolumeLevels(path, attributes, len(spec.levels))
    before = fingerprint_of([folder])
    ledger = PyramidLedger(path, ".levels")
    earlier = ledger.open()
    try:
        goes_on = bool(earlier) and not restart
        parameters = {
            "source": before,
            "reduction": spec.reduction,
            "shape": list(spec.shape),
            "chunk": spec.chunk,
            "layer": spec.layer,
        }
        if goes_on:
            refuse_other(earlier, parameters, ledger)
        # Levels may stand in their places already: they are no others, and not made again.
        if not (goes_on and earlier.get("published")):
            levels.refuse_others(overwrite)
            if goes_on:
                ledger.look_again(spec)
            else:
                ledger.begin(parameters)
            observer.say(f"{plan}.")
            _write_arrays(ledger.volume, spec)
            # What hipct wrote has a file for every shard, of zeros too.
            chunks = open_chunks(folder, whole=is_own(attributes))
            _FromLevel(plan, ledger, observer, folder, chunks or array).run()
            if fingerprint_of([folder]) != before:
                raise FormatError(
                    f"{folder} has changed while it was read; wait until it is whole, and run "
                    "again with --restart (Python: restart=True)."
                )
            ledger.note({**ledger.state(), "published": True})
        levels.publish(ledger.volume, ledger.folder / "replaced", spec)
        ledger.remove()
    except BaseException:
        if not ledger.done():
            ledger.remove()
        raise
    finally:
        ledger.close()
    return plan


def _write_arrays(path: Path, spec: PyramidSpec) -> None:
    """Metadata of the new levels, by their numbers."""
    for number in range(1, len(spec.levels)):
        for name, content in array_files(spec, number).items():
            file = path / str(number) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, content)


@dataclass
class _FromLevel(PyramidTasks):
    """Halves of the finest level from its chunks."""

    folder: Path
    array: ChunkReader | zarr.Array[Any]

    def make(self, index: int) -> tuple[NDArray[Any] | None, dict[str, Any]]:
        return self.again(index), {}

    def again(self, index: int) -> NDArray[Any]:
        spec = self.plan.spec
        rows = spec.levels[0].rows(index)
        depth, height, width = spec.levels[0].layer_shape(index)
        reduced = np.empty(reduced_shape((depth, height, width)), spec.dtype)

        def use(start: tuple[int, ...], voxels: NDArray[Any]) -> None:
            first = ((start[0] - rows.start) // 2, start[1] // 2, start[2] // 2)
            place = tuple(slice(a, a + n) for a, n in zip(first, reduced_shape(voxels.shape)))
            reduce_block(voxels, out=reduced[place], how=spec.reduction)

        if isinstance(self.array, ChunkReader) and _is_even(self.array):
            self.array.each_chunk((rows, slice(0, height), slice(0, width)), use)
            return reduced
        some = lcm(2, int(self.array.chunks[1]))
        for top in range(0, height, some):
            band = slice(top, min(top + some, height))
            with reading(self.folder, "Zarr"):
                voxels = np.asarray(self.array[rows, band, slice(0, width)])
            use((rows.start, top, 0), voxels)
        return reduced


def _is_even(array: ChunkReader) -> bool:
    """Whether each chunk can be reduced by itself."""
    return all(c % 2 == 0 or c >= n for c, n in zip(array.chunks, array.shape))


def _finest(path: Path, attributes: Mapping[str, Any]) -> tuple[Path, zarr.Array[Any]]:
    """The finest level; others may be listed that are not there."""
    with reading(path, "OME-Zarr"):
        multiscale = attributes.get("ome", attributes)["multiscales"][0]
        axes = [axis["name"] for axis in multiscale["axes"]]
        if axes != ["z", "y", "x"]:
            raise FormatError(
                f"{path} is stored as {', '.join(axes)}, and levels are built of z, y, x; make a "
                "new volume of it: hipct pyramid SOURCE OUT."
            )
        folder = path / str(multiscale["datasets"][0]["path"])
        return folder, zarr.open_array(folder, mode="r")


def _spec(
    path: Path,
    array: zarr.Array[Any],
    attributes: Mapping[str, Any],
    kind: Kind | None,
    projection: Projection | None,
) -> tuple[PyramidSpec, Kind]:
    """Layout of the levels: chunks like those of the finest one, as far as hipct writes them."""
    ome = attributes.get("ome", attributes)
    said = attributes.get("hipct", {}).get("reduction")
    labelled = said == "mode" or "image-label" in ome
    meaning: Kind = kind or ("labels" if labelled else "image")
    if meaning == "labels" and projection is not None:
        raise InputError(
            f"The projection {projection} of labels was asked for; labels are reduced by their "
            "mode, leave the projection out."
        )
    reduction: Reduction = "mode" if meaning == "labels" else projection or "mean"
    if projection is None and kind is None and said in ("min", "max"):
        reduction = said
    dtype = np.dtype(array.dtype).newbyteorder("=")
    if dtype not in REDUCED_DTYPES[reduction]:
        allowed = " or ".join(np.dtype(each).name for each in REDUCED_DTYPES[reduction])
        raise InputError(
            f"{path} holds {dtype}, and levels by {reduction} are built of {allowed}; make "
            "a new volume of it: hipct pyramid SOURCE OUT --window LOW:HIGH, or --labels."
        )
    depth, height, width = (
        c if c % 2 == 0 and _EDGES[0] <= c <= _EDGES[1] and c < n else 128
        for c, n in zip(array.chunks, array.shape)
    )
    chunk = max(height, width)
    spec = PyramidSpec(
        shape=(array.shape[0], array.shape[1], array.shape[2]),
        voxel_size_um=None,
        dtype=dtype,
        chunk=chunk,
        layer=depth if chunk % depth == 0 or depth % chunk == 0 else chunk,
        shard_plane=max(1024, chunk),
        reduction=reduction,
        version="0.5" if (path / "zarr.json").is_file() else "0.4",
    )
    if len(spec.levels) == 1:
        raise InputError(f"{path} is no larger than one chunk; it needs no other levels.")
    return spec, meaning


def _plan(spec: PyramidSpec, kind: Kind, memory_bytes: int | None) -> PyramidPlan:
    """As many layers at a time as the memory holds; of the finest level only chunks are held."""
    budget = free_memory() // 2 if memory_bytes is None else memory_bytes
    size = spec.dtype.itemsize
    chunks = thread_count() * _CHUNKS_HELD * prod(spec.levels[0].chunk) * size
    reduced = prod(reduced_shape(spec.levels[0].layer_shape(0))) * size

    def need(workers: int) -> int:
        return chunks + workers * reduced + 8 * reduced // 3

    if need(1) > budget:
        raise PlanError(
            f"Levels of {' x '.join(str(n) for n in spec.shape)} voxels need "
            f"{format_bytes(need(1))} and {format_bytes(budget)} are allowed; give more memory."
        )
    most = min(_MOST_WORKERS, thread_count(), spec.layers(0))
    workers = max(n for n in range(1, most + 1) if n == 1 or need(n) <= budget)
    return PyramidPlan(spec, kind, False, workers, need(workers))


def _refuse_unfinished(path: Path) -> None:
    for suffix in _UNFINISHED:
        sibling = path.with_name(path.name + suffix)
        if sibling.exists():
            raise FormatError(
                f"{path} is being written, or a run was broken off: {sibling} lies beside it; let "
                "it end or remove it."
            )
