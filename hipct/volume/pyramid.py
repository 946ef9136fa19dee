"""Pyramids from whole arrays: one call, streamed through Dask in bounded memory.

The functions for those who write layer by layer (the reconstruction) are gathered here too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import dask
import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError, PlanError
from hipct.core.memory import free_memory
from hipct.core.progress import Observer, Silent
from hipct.core.threads import thread_count
from hipct.volume.layout import Level, OmeZarr, PyramidSpec, Vector3
from hipct.volume.omezarr import omero, update_attributes
from hipct.volume.publish import publish, refuse_other_than_volume
from hipct.volume.quantise import ClipCounts, Window, quantise
from hipct.volume.reduce import reduce_block, reduced_shape
from hipct.volume.writer import (
    PyramidTree,
    ReadBand,
    create_pyramid,
    read_layer,
    read_reduced,
    write_bands,
    write_layer,
    write_node,
)

__all__ = [
    "Level",
    "PyramidSpec",
    "PyramidTree",
    "create_pyramid",
    "publish",
    "pyramid_graph",
    "pyramid_memory_bytes",
    "read_layer",
    "read_reduced",
    "reduce_block",
    "set_display_window",
    "write_layer",
    "write_node",
    "write_pyramid",
]

_MOST_WORKERS = 4


def pyramid_graph(path: Path | str, spec: PyramidSpec, base: Callable[[int], Any]) -> Any:
    """Dask tasks of a whole pyramid, given those of its finest level.

    Parameters
    ----------
    path : path
        A pyramid made by :func:`create_pyramid`.
    spec : PyramidSpec
    base : callable
        ``base(j)`` gives the Dask delayed object that has written layer ``j`` of level 0 and
        whose value is its reduced block (what :func:`write_node`, or for a layer that a former
        run wrote :func:`read_reduced`, returns).

    Returns
    -------
    dask.delayed.Delayed
        Writes the coarsest level; computing it writes everything.
    """

    def task(node: tuple[int, int]) -> Any:
        level, index = node
        if level == 0:
            return base(index)
        parts = [task(child) for child in PyramidTree(spec).children(level, index)]
        write = partial(write_node, str(path), spec, level, index)
        return dask.delayed(write, pure=False, name="write_node")(
            parts, dask_key_name=f"pyramid-{level}-{index}"
        )

    return task(PyramidTree(spec).root)


def pyramid_memory_bytes(spec: PyramidSpec, workers: int, source_itemsize: int) -> int:
    """Largest memory of :func:`write_pyramid` in bytes, all workers together.

    Per worker the band that is read (and, from floats, its 16-bit copy), the encoded shards (one
    in parts, one joined, one on its way to the disk) and the reduced layer; besides, two reduced
    layers of every level wait for each other.
    """
    base = spec.levels[0]
    depth, height, width = base.layer_shape(0)
    band = depth * min(base.shard[1], height) * width
    own = spec.dtype.itemsize
    copies = source_itemsize + (own if source_itemsize != own else 0)
    reduced = prod(reduced_shape(base.layer_shape(0))) * own
    per_worker = band * copies + 3 * prod(base.shard) * own + reduced
    return workers * per_worker + 8 * reduced // 3


def write_pyramid(
    array: Any,
    path: Path | str,
    *,
    voxel_size_um: float | tuple[float, float, float] | None,
    window: Window | tuple[float, float] | None = None,
    unit: str = "1/cm",
    chunk: int = 128,
    version: OmeZarr = "0.5",
    consolidated: bool = False,
    origin_um: Vector3 = (0.0, 0.0, 0.0),
    attributes: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    memory_bytes: int | None = None,
    observer: Observer | None = None,
) -> None:
    """Write a volume as a multiscale OME-Zarr, whatever its size.

    The volume is read in layers of ``chunk`` rows, each voxel once, and written to
    ``<path>.partial``, which is renamed when everything stands; after an error nothing is left.

    Parameters
    ----------
    array : array-like of shape (z, y, x)
        NumPy, Zarr, Dask or HDF5: anything with ``shape``, ``dtype`` and slicing. uint8 and uint16
        are stored as they are, floating values as uint16 through ``window``.
    path : path
        The new OME-Zarr, by custom ``NAME.ome.zarr``.
    voxel_size_um : float, (float, float, float) or None
        Voxel size in micrometres (z, y, x).
    window : Window or (float, float), optional
        Values that the darkest and the brightest grey value stand for. Needed for floating
        arrays; with integers it is recorded as their meaning.
    unit : str
        Unit of the window's values.
    chunk : int
        Edge of the chunks, and rows of a layer; even. Smaller ones take less memory.
    version, consolidated, origin_um
        As in :class:`PyramidSpec`.
    attributes : mapping, optional
        Provenance, stored under the key ``hipct`` of the group's attributes.
    overwrite : bool
        Whether an existing ``path`` is replaced (when the new one stands).
    memory_bytes : int, optional
        Memory to stay within, the array itself not counted; default half of what is free.
    observer : Observer, optional
        Told of every layer.

    Raises
    ------
    InputError
        If shape, dtype, voxel size, window or chunk cannot be used.
    PlanError
        If one layer needs more than ``memory_bytes``.
    OutputError
        If the path exists or the disk is full.
    """
    path, observer = Path(path), observer or Silent()
    source = _checked(array, window)
    if window is not None and not isinstance(window, Window):
        window = Window(*window)
    spec = PyramidSpec(
        shape=tuple(source.shape),
        voxel_size_um=voxel_size_um,
        dtype=np.dtype(np.uint16) if source.dtype.kind == "f" else np.dtype(source.dtype),
        chunk=chunk,
        layer=chunk,
        shard_plane=max(1024, chunk),
        window=window,
        unit=unit,
        name=path.name.removesuffix(".zarr").removesuffix(".ome") or "volume",
        version=version,
        consolidated=consolidated,
        origin_um=origin_um,
    )
    workers = _workers(spec, source.dtype.itemsize, memory_bytes)
    refuse_other_than_volume(path, overwrite)
    partial_path = path.with_name(path.name + ".partial")
    counts = ClipCounts()
    floating = source.dtype.kind == "f"
    to_grey = partial(quantise, window=window, counts=counts) if window and floating else None
    try:
        create_pyramid(partial_path, spec, attributes, overwrite=True)
        total = spec.layers(0)
        observer.start("pyramid", total)

        def base(index: int) -> Any:
            read = partial(_read_band, source, spec.levels[0].rows(index), spec.dtype, to_grey)
            layer = partial(_write_base, partial_path, spec, index, read, observer)
            return dask.delayed(layer, pure=False, name="write_layer")(
                dask_key_name=f"pyramid-0-{index}"
            )

        root = pyramid_graph(partial_path, spec, base)
        # After an error the pool waits for the layers under way, so that none of them can write
        # into a folder that is being removed.
        with ThreadPoolExecutor(workers, thread_name_prefix="hipct-pyramid") as pool:
            dask.compute(root, scheduler="threads", pool=pool)
        if spec.window is None:
            set_display_window(partial_path, spec)
        elif floating:
            update_attributes(partial_path, {"hipct": {"clipping": counts.as_dict()}})
        observer.finish("pyramid")
        publish(partial_path, path, overwrite=overwrite)
    except BaseException:
        with suppress(OSError):
            shutil.rmtree(partial_path)
        raise


def set_display_window(path: Path | str, spec: PyramidSpec) -> None:
    """Let viewers open a volume with the 0.1 and 99.9 percentile of its coarsest level.

    Labels have no window.
    """
    if spec.reduction == "mode":
        return
    coarsest = read_layer(path, spec, *PyramidTree(spec).root)
    low, high = np.percentile(coarsest, (0.1, 99.9))
    start, end = int(np.floor(low)), int(np.ceil(high))
    if start == end:
        start, end = 0, max(end, 1)
    top = int(np.iinfo(spec.dtype).max)
    update_attributes(Path(path), {"ome": {"omero": omero(spec.name, top, start, end)}})


def _write_base(
    path: Path, spec: PyramidSpec, index: int, read: ReadBand, observer: Observer
) -> NDArray[Any] | None:
    reduced = write_bands(path, spec, 0, index, read, reduce=len(spec.levels) > 1)
    observer.advance("pyramid")
    return reduced


def _read_band(
    source: Any,
    layer: slice,
    dtype: np.dtype[Any],
    to_grey: Callable[[NDArray[Any]], NDArray[Any]] | None,
    rows: slice,
) -> NDArray[Any]:
    part = source[layer, rows]
    if hasattr(part, "compute"):
        # Inside a Dask thread already: another pool would multiply threads and memory.
        part = part.compute(scheduler="synchronous")
    values = np.asarray(part)
    return to_grey(values) if to_grey else values.astype(dtype, copy=False)


def _checked(array: Any, window: Any) -> Any:
    """The array itself, if it can be written."""
    if isinstance(array, (list, tuple)):
        array = np.asarray(array)
    shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
    if shape is None or dtype is None:
        raise InputError(
            f"A {type(array).__name__} has no shape and dtype; give a NumPy, Zarr, Dask or HDF5 "
            "array of shape (z, y, x)."
        )
    kind = np.dtype(dtype)
    if len(shape) != 3:
        raise InputError(f"The volume has the shape {tuple(shape)}; give three axes (z, y, x).")
    if kind.kind == "f":
        if window is None:
            raise InputError(
                f"The volume is {kind}; give window=(low, high), the values that 0 and 65535 "
                "stand for (hipct.volume.quantise.window_from_samples finds them)."
            )
    elif kind.kind != "u" or kind.itemsize > 2:
        raise InputError(
            f"The volume is {kind}; convert it to uint8 or uint16, or to float32 and give a window."
        )
    return array


def _workers(spec: PyramidSpec, source_itemsize: int, memory_bytes: int | None) -> int:
    budget = free_memory() // 2 if memory_bytes is None else memory_bytes
    most = min(_MOST_WORKERS, thread_count(), spec.layers(0))
    for workers in range(most, 0, -1):
        if pyramid_memory_bytes(spec, workers, source_itemsize) <= budget:
            return workers
    need = pyramid_memory_bytes(spec, 1, source_itemsize)
    raise PlanError(
        f"Writing a layer of {spec.layer} rows of {spec.shape[1]} x {spec.shape[2]} voxels needs "
        f"{need / 2**30:.2f} GiB and {budget / 2**30:.2f} GiB are allowed; give more memory or a "
        f"smaller chunk than {spec.chunk}."
    )
