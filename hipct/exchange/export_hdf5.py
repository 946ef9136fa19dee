"""HDF5: one chunked dataset that every HDF5 library reads without a plugin.

The filters are HDF5's own shuffle and deflate. The chunks are packed here on all threads and handed
over as they are, since the library itself packs one at a time.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.progress import Observer
from hipct.core.threads import parallel_for
from hipct.exchange.export_bands import Source, read_bands
from hipct.exchange.export_output import facts_text

DATASET = "data"
_CHUNK = (16, 128, 128)
_DEFLATE_LEVEL = 1


def write_hdf5(source: Source, path: Path, facts: dict[str, Any], observer: Observer) -> None:
    """Write the dataset ``data`` (z, y, x) with what its values and voxels mean as attributes.

    Attributes of ``data``: ``axes``, ``scale``, ``offset``, ``unit`` (value = stored * scale +
    offset), ``voxel_size_um``, ``origin_um`` (centre of the first voxel), ``element_size_um`` (what
    Fiji and ilastik look for), all along z, y, x. The dataset ``hipct`` holds all facts as JSON.

    Parameters
    ----------
    source : Source
    path : path
    facts : dict
    observer : Observer
    """
    import h5py

    depth = _depth(source)
    chunk = tuple(min(c, n) for c, n in zip((depth, *_CHUNK[1:]), source.shape))
    working = 2 * depth * source.slice_bytes
    with open(path, "w+b") as plain, h5py.File(disk := _Disk(plain), "w") as file:
        data = file.create_dataset(
            DATASET,
            shape=source.shape,
            dtype=source.grey.dtype,
            chunks=chunk,
            shuffle=True,
            compression="gzip",
            compression_opts=_DEFLATE_LEVEL,
        )
        data.attrs.update(_attributes(source))
        for number, axis in enumerate("zyx"):
            data.dims[number].label = axis
        # As a dataset: an attribute holds 64 kB at most.
        file["hipct"] = facts_text(facts)
        # Chunks begin with the export, bands end where the volume's own chunks end: the slices
        # that do not fill a layer of chunks wait for the next band.
        layer = np.empty((chunk[0], *source.shape[1:]), source.grey.dtype)
        for band in read_bands(source, path.parent, working, observer):
            for number in range(band.start, band.stop):
                place = number % chunk[0]
                layer[place] = band.slice(number)
                if place == chunk[0] - 1 or number == source.shape[0] - 1:
                    _write_layer(data, layer[: place + 1], number - place, chunk)
                    disk.check()
    disk.check()


class _Disk:
    """A file that tells of its refusals when it is asked.

    HDF5 brings the process down, at the latest when it ends, if it cannot close a file: what is
    left of the cache cannot be written. So it never hears that a disk is full.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._error: OSError | None = None
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def check(self) -> None:
        """Raise what the disk has refused since the beginning."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        self._try(lambda: self._file.write(data))
        return len(data)

    def truncate(self, size: int) -> int:
        self._try(lambda: self._file.truncate(size))
        return size

    def flush(self) -> None:
        self._try(self._file.flush)

    def readinto(self, buffer: Any) -> int:
        read = self._file.readinto(buffer)  # type: ignore[attr-defined]
        return int(read)

    def _try(self, task: Callable[[], Any]) -> None:
        if self._error is None:
            try:
                task()
            except OSError as error:
                self._error = error


def _attributes(source: Source) -> dict[str, Any]:
    grey = source.grey
    attributes: dict[str, Any] = {"axes": "zyx"}
    if grey.scale is not None and grey.offset is not None:
        attributes |= {"scale": grey.scale, "offset": grey.offset, "unit": str(grey.unit)}
    if source.view.volume.length_unit == "um":
        attributes["voxel_size_um"] = attributes["element_size_um"] = np.array(source.view.voxel)
        attributes["origin_um"] = np.array(source.origin)
    return attributes


def _depth(source: Source) -> int:
    depth = _CHUNK[0]
    while depth > 1 and 2 * depth * source.slice_bytes > source.memory_bytes // 4:
        depth //= 2
    return depth


def _write_layer(data: Any, layer: NDArray[Any], start: int, chunk: tuple[int, ...]) -> None:
    places = list(product(*(range(0, n, c) for n, c in zip(layer.shape[1:], chunk[1:]))))
    lock = threading.Lock()

    def task(first: int, stop: int) -> None:
        for y, x in places[first:stop]:
            values = layer[:, y : y + chunk[1], x : x + chunk[2]]
            if values.shape != chunk:
                whole = np.zeros(chunk, layer.dtype)
                whole[tuple(slice(0, n) for n in values.shape)] = values
                values = whole
            packed = _pack(values)
            with lock:
                data.id.write_direct_chunk((start, y, x), packed)

    parallel_for(task, len(places))


def _pack(values: NDArray[Any]) -> bytes:
    """Shuffle (first bytes of all values, then second ones, ...) and deflate, as HDF5 does."""
    single = np.ascontiguousarray(values).view(np.uint8).reshape(-1, values.dtype.itemsize)
    return zlib.compress(np.ascontiguousarray(single.T).data, _DEFLATE_LEVEL)
