"""A crop of the atlas as a volume of our own: fetched block by block, in bounded memory.

Beside the output stands ``<output>.run`` while it is made: the pyramid, its records, and under
``blocks`` the stored blocks that have come. A killed download goes on from there. The output has
its name only when it is whole.
"""

from __future__ import annotations

import os
import shutil
import threading
import uuid
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

import hipct
from hipct.atlas.crop import Crop, absent_blocks
from hipct.atlas.grid import BlockGrid, Place, Readers
from hipct.atlas.opening import AtlasVolume
from hipct.core.errors import FormatError, OutputError, PlanError, RemoteError
from hipct.core.files import free_bytes
from hipct.core.memory import format_bytes, free_memory
from hipct.core.progress import Observer, Silent
from hipct.volume.layout import PyramidSpec
from hipct.volume.omezarr import update_attributes
from hipct.volume.publish import publish, refuse_other_than_volume
from hipct.volume.pyramid import (
    PyramidTree,
    create_pyramid,
    pyramid_memory_bytes,
    read_layer,
    read_reduced,
    set_display_window,
    write_node,
)
from hipct.volume.pyramid_ledger import PyramidLedger
from hipct.volume.reduce import REDUCED_DTYPES, reduce_block
from hipct.volume.writer import write_bands

_STAGE = "download"
_CHUNK = 128
_PLANES = (1024, 512, 256, 128)
_ENCODER_BYTES = 20_000_000
"""Beside the shards: buffers of the codecs, and memory that the allocator keeps."""


def download_crop(
    volume: AtlasVolume,
    crop: Crop,
    out: Path | str,
    *,
    overwrite: bool = False,
    restart: bool = False,
    memory_bytes: int | None = None,
    observer: Observer | None = None,
) -> None:
    """Fetch a region of a data set and write it as OME-Zarr 0.5 with all coarser levels.

    Each stored block is fetched once, also over several calls: the same call goes on where a
    former one stood. The volume has the name of the data set and lies where it lies in
    it (translations count from the centre of the data set's first voxel); its attributes tell
    where it is from.

    Parameters
    ----------
    volume : AtlasVolume
        From :func:`hipct.atlas.opening.open_set`.
    crop : Crop
        From :func:`hipct.atlas.crop.make_crop`.
    out : path
        The new OME-Zarr, by custom ``NAME.ome.zarr``.
    overwrite : bool
        Whether an existing volume is replaced, once the new one stands.
    restart : bool
        Whether to throw away an unfinished download of another region.
    memory_bytes : int, optional
        Memory that the process may have, with all that it holds already; default: what it has and
        half of what is free.
    observer : Observer, optional
        Told of every block.

    Raises
    ------
    RemoteError
        If the server fails for good; what has come is kept.
    FormatError
        If a block is damaged where it lies, or the voxels are neither uint8 nor uint16 (labels:
        nor uint32).
    PlanError
        If one layer needs more than ``memory_bytes``.
    OutputError
        If the output exists, is being written, was begun with another region, or the disk is full.
    """
    out, observer = Path(out), observer or Silent()
    kinds = REDUCED_DTYPES[volume.reduction]
    if crop.level.array.dtype not in kinds:
        allowed = " and ".join(kind.name for kind in map(np.dtype, kinds))
        raise FormatError(
            f"{volume.dataset.name} has {crop.level.array.dtype} voxels; {allowed} can be "
            "downloaded."
        )
    refuse_other_than_volume(out, overwrite)
    spec = _spec(volume, crop, memory_bytes)
    ledger = PyramidLedger(out)
    recorded = ledger.open()
    try:
        spec = _begin(ledger, recorded, _parameters(volume, crop, spec), spec, restart)
        if not (ledger.volume / "zarr.json").exists():
            create_pyramid(ledger.volume, spec, _attributes(volume, crop), overwrite=True)
        if free_bytes(out.parent) < spec.nbytes:
            observer.say(
                f"The disk of {out} has {format_bytes(free_bytes(out.parent))} left; the crop "
                f"takes up to {format_bytes(spec.nbytes)}, less what compression saves."
            )
        job = _Download(crop, spec, ledger, observer)
        with Readers() as readers:
            absent = job.run(readers)
        for sentence in absent_blocks(crop, absent):
            observer.say(sentence)
        update_attributes(ledger.volume, {"hipct": {"blocks_not_stored": len(absent)}})
        if spec.window is None:
            set_display_window(ledger.volume, spec)
        publish(ledger.volume, out, overwrite=overwrite)
        ledger.remove()
    except RemoteError as error:
        raise RemoteError(
            f"{error} What has come is kept in {ledger.folder}; the same command goes on from it."
        ) from error
    finally:
        ledger.close()


@dataclass
class _Download:
    """One call: the layers of the pyramid in the order of its tree."""

    crop: Crop
    spec: PyramidSpec
    ledger: PyramidLedger
    observer: Observer

    def run(self, readers: Readers) -> set[Place]:
        """Write every layer that has no record; gives the blocks that are not stored."""
        done = self.ledger.done()
        absent: set[Place] = set()
        halves: dict[tuple[int, int], NDArray[Any] | None] = {}
        self.observer.start(_STAGE, self.crop.blocks)
        for node in (tree := PyramidTree(self.spec)).nodes():
            level, index = node
            path = self.ledger.volume
            if level:
                parts = [halves.pop(child) for child in tree.children(level, index)]
                blocks = [part for part in parts if part is not None]
                halves[node] = write_node(path, self.spec, level, index, blocks)
                continue
            blocks_of = _Blocks(
                self.crop, self.spec, index, self.ledger.folder, self.observer, readers
            )
            record = done.get(node)
            whole, reduced = (False, None) if record is None else self._former(index)
            if record is None or not whole:
                reduced = write_bands(
                    path, self.spec, 0, index, blocks_of.read, reduce=len(self.spec.levels) > 1
                )
                record = {"absent": sorted(blocks_of.absent)}
                self.ledger.record(*node, record)
            else:
                self.observer.advance(_STAGE, blocks_of.own)
            blocks_of.forget()
            halves[node] = reduced
            absent |= {(z, y, x) for z, y, x in record["absent"]}
        self.observer.finish(_STAGE)
        return absent

    def _former(self, index: int) -> tuple[bool, NDArray[Any] | None]:
        """Whether the files of a layer that a former call wrote are whole, and its reduced block.

        They are read to the last byte: what a machine had not brought to its disk when it went
        down is found.
        """
        try:
            if len(self.spec.levels) == 1:
                read_layer(self.ledger.volume, self.spec, 0, index)
                return True, None
            return True, read_reduced(self.ledger.volume, self.spec, 0, index)
        except FormatError as error:
            self.observer.say(f"{error} It is fetched again.")
            return False, None


@dataclass
class _Blocks:
    """Stored blocks of one layer, kept on the disk until no layer needs them.

    Attributes
    ----------
    absent : blocks that are not stored, those shared with the layer before left out
    """

    crop: Crop
    spec: PyramidSpec
    index: int
    folder: Path
    observer: Observer
    readers: Readers
    absent: set[Place] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _seen: set[Place] = field(default_factory=set, repr=False)
    _fresh: set[Place] = field(default_factory=set, repr=False)

    @property
    def _array(self) -> BlockGrid:
        return self.crop.level.array

    @property
    def _rows(self) -> slice:
        rows, first = self.spec.levels[0].rows(self.index), self.crop.box[0].start
        return slice(first + rows.start, first + rows.stop)

    @property
    def own(self) -> int:
        """Number of blocks that no layer before has touched."""
        _, y, x = self.crop.box
        return sum(self._is_own(place) for place in self._array.places((self._rows, y, x)))

    def read(self, rows: slice) -> NDArray[Any]:
        """Rows of axis y of the layer."""
        _, y, x = self.crop.box
        part = slice(y.start + rows.start, y.start + rows.stop)
        return self._array.read((self._rows, part, x), self, self.readers)

    def forget(self) -> None:
        """Remove the blocks that no later layer touches."""
        kept = self._rows.stop // self._array.chunks[0]
        for file in self._kept().glob("*"):
            number = file.name.partition("-")[0]
            if not number.isdecimal() or int(number) < kept:
                file.unlink(missing_ok=True)

    def _is_own(self, place: Place) -> bool:
        return self.index == 0 or place[0] * self._array.chunks[0] >= self._rows.start

    def _kept(self) -> Path:
        return self.folder / "blocks"

    def fetch(self, place: Place) -> bytes | None:
        """Bytes of a block, from the disk if they have come before."""
        try:
            # An empty file stands for a block that is not stored.
            return self._file(place).read_bytes() or None
        except FileNotFoundError:
            return self._fetch_anew(place)

    def decode(self, data: bytes | None, place: Place) -> NDArray[Any]:
        """Values of a block, which is then kept: nothing is kept that is no block."""
        try:
            values = self._array.decode(data, place)
        except FormatError:
            if place in self._fresh:
                raise
            data = self._fetch_anew(place)
            values = self._array.decode(data, place)
        if place in self._fresh:
            _keep(self._file(place), data or b"")
        with self._lock:
            self._fresh.discard(place)
            first = place not in self._seen and self._is_own(place)
            self._seen.add(place)
            if first and data is None:
                self.absent.add(place)
        if first:
            self.observer.advance(_STAGE)
        return values

    def _fetch_anew(self, place: Place) -> bytes | None:
        data = self._array.fetch(place)
        with self._lock:
            self._fresh.add(place)
        return data

    def _file(self, place: Place) -> Path:
        return self._kept() / "-".join(str(n) for n in place)


def _keep(file: Path, data: bytes) -> None:
    """Write by rename, without waiting for the disk: a torn block is found and fetched again."""
    temporary = file.with_name(f".{file.name}.{uuid.uuid4().hex}.tmp")
    try:
        file.parent.mkdir(exist_ok=True)
        temporary.write_bytes(data)
        os.replace(temporary, file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OutputError(f"{file} could not be written: {error.strerror or error}.") from error


def _spec(volume: AtlasVolume, crop: Crop, memory_bytes: int | None) -> PyramidSpec:
    """The pyramid with the largest shards that fit into the memory."""
    # What is loaded at the first block is held too: the compiler of the loops above all.
    reduce_block(np.zeros((2, 2, 2), crop.level.array.dtype), how=volume.reduction)
    held = psutil.Process().memory_info().rss
    allowed = held + free_memory() // 2 if memory_bytes is None else memory_bytes
    array = crop.level.array
    for plane in _PLANES:
        spec = PyramidSpec(
            shape=crop.shape,
            voxel_size_um=crop.level.voxel_size_um,
            dtype=array.dtype,
            chunk=_CHUNK,
            layer=_CHUNK,
            shard_plane=plane,
            window=volume.window,
            unit=volume.unit,
            name=volume.dataset.name,
            reduction=volume.reduction,
            origin_um=crop.origin_um,
        )
        need = held + _ENCODER_BYTES + array.reading_bytes
        need += pyramid_memory_bytes(spec, 1, array.dtype.itemsize)
        if need <= allowed:
            return spec
    raise PlanError(
        f"Writing a layer of {_CHUNK} x {crop.shape[1]} x {crop.shape[2]} voxels needs "
        f"{format_bytes(need)} of memory, {format_bytes(held)} of it held already, and "
        f"{format_bytes(allowed)} are allowed; give more, or a smaller region, or a coarser level."
    )


def _begin(
    ledger: PyramidLedger,
    recorded: dict[str, Any],
    parameters: dict[str, Any],
    spec: PyramidSpec,
    restart: bool,
) -> PyramidSpec:
    """The pyramid to go on with: that of an unfinished download, or a new one."""
    if recorded and not restart:
        # The ledger notes what it needs itself beside.
        plane = recorded.get("shard_plane", spec.shard_plane)
        same = parameters | {"shard_plane": plane}
        changed = sorted(key for key in same if recorded.get(key) != same[key])
        if not changed:
            return replace(spec, shard_plane=int(plane))
        raise OutputError(
            f"{ledger.folder} holds an unfinished download of something else (it differs in "
            f"{', '.join(changed)}); let that one end, choose another output, or throw it away "
            "with --restart (Python: restart=True)."
        )
    shutil.rmtree(ledger.folder / "blocks", ignore_errors=True)
    ledger.begin(parameters)
    return spec


def _parameters(volume: AtlasVolume, crop: Crop, spec: PyramidSpec) -> dict[str, Any]:
    """What decides the voxels and their files."""
    array = crop.level.array
    return {
        "dataset": volume.dataset.name,
        "url": volume.dataset.url,
        "level": crop.level.number,
        "crop_zyx": [[part.start, part.stop] for part in crop.box],
        "stored": [list(array.shape), list(array.chunks), str(array.dtype), array.compression],
        "shard_plane": spec.shard_plane,
    }


def _attributes(volume: AtlasVolume, crop: Crop) -> dict[str, Any]:
    return {
        "version": hipct.__version__,
        "atlas": {
            "dataset": volume.dataset.name,
            "address": volume.address,
            "level": crop.level.number,
            "crop_voxels_zyx": [[part.start, part.stop] for part in crop.box],
            "origin_um_zyx": list(crop.origin_um),
            "notes": list(volume.notes),
            "description": dict(volume.dataset.description),
        },
    }
