"""The streamed run: the tasks of one Dask graph (:mod:`hipct.pipeline.graph`) and their buffers."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dask
import dask.threaded
import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.scan import Scan
from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import FormatError, RemoteError
from hipct.core.progress import Observer
from hipct.pipeline.assembly import Assembly, Lines
from hipct.pipeline.graph import Steps, TaskGraph
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.pieces import Piece, cut_pieces, nodes_to_make
from hipct.pipeline.plan import Plan
from hipct.pipeline.preparation import TilePreparation, angle_blocks
from hipct.pipeline.report import StageClock
from hipct.pipeline.scratch import Buffer
from hipct.pipeline.tiles import tiles
from hipct.preparation.counts import PixelCounts
from hipct.volume.quantise import ClipCounts
from hipct.volume.reduce import reduce_block, reduced_shape
from hipct.volume.writer import Written, read_reduced, write_bands, write_node

LANES = 4
"""Tasks that overlap on the CPU: read, prepare, reconstruct, write."""

DEVICE_LANES = 6
"""Tasks that overlap on a GPU: copies in and out have lanes of their own."""


class UnreadableTile(FormatError):
    """Projections that a tile needs cannot be read.

    Attributes
    ----------
    layers : frozenset of int
        Layers of level 0 that cannot be made without them.
    """

    def __init__(self, message: str, layers: frozenset[int]) -> None:
        super().__init__(message)
        self.layers = layers


@dataclass
class Stream:
    """Runs what is left of a job.

    Parameters
    ----------
    scans : sequence of Scan
        What to read: the scan of each part.
    plan : Plan
        How to cut it.
    assembly : Assembly
        From line integrals to 16-bit slices.
    ledger : Ledger
        Knows what is done, and learns what gets done.
    clock, observer : StageClock, Observer
        Times and progress.
    scratch : Path
        Folder of staged buffers.
    device : Device
        Where it is computed.
    layers : frozenset of int, optional
        Layers of level 0 to make, with what follows from them alone in the levels above; all by
        default.
    """

    scans: Sequence[Scan]
    plan: Plan
    assembly: Assembly
    ledger: Ledger
    clock: StageClock
    observer: Observer
    scratch: Path
    device: Device = HOST
    layers: frozenset[int] | None = None
    _tile_buffers: dict[int, Buffer] = field(default_factory=dict)
    _layer_buffers: dict[int, Buffer] = field(default_factory=dict)
    _half_buffers: dict[int, Buffer] = field(default_factory=dict)
    _preparations: dict[int, TilePreparation] = field(default_factory=dict)
    _pixels: dict[int, PixelCounts] = field(default_factory=dict)
    _clipped: dict[int, ClipCounts] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        organ, cut = self.plan.organ, self.plan.cut
        self._tiles = tiles(organ)
        self._done = self.ledger.done()
        self._mine = nodes_to_make(self.plan.spec, self._done, self.layers)
        self._pieces = list(cut_pieces(self.plan, self._mine))
        self._blocks = [
            angle_blocks(part.job.info.projections, cut.angle_block) for part in organ.parts
        ]
        self._halved = self._layers_of_even_pieces() if self.device.on_gpu else set()
        # What fitted into the device's memory at a time; less once it has run out.
        self._most = {"projections": cut.angle_block, "slices": cut.slab_rows}

    def run(self) -> int:
        """Do what is left; returns the voxels reconstructed."""
        cut, spec = self.plan.cut, self.plan.spec
        graph, wanted = TaskGraph(
            Steps(
                read=self._read,
                prepare=self._prepare,
                slab=self._slab,
                lift=self._lift,
                compute=self._compute,
                lower=self._lower,
                write_layer=self._write_layer,
                write_level=self._write_level,
                read_reduced=self._read_reduced,
            ),
            self._pieces,
            self._blocks_of,
            cut,
            spec,
            self._mine,
            self._done,
            self.device.on_gpu,
        ).build()
        pieces = sum(len(piece.rows) for piece in self._pieces)
        left = {tile for piece in self._pieces for tile in piece.tiles}
        self.observer.start("prepare", sum(len(self._blocks_of(tile)) for tile in left))
        self.observer.start("reconstruct", pieces)
        lanes = DEVICE_LANES if self.device.on_gpu else LANES
        pool = ThreadPoolExecutor(lanes, thread_name_prefix="hipct-lane")
        try:
            # The order of the tasks is given by the graph; fusing them would undo the lanes.
            with dask.config.set({"optimization.fuse.active": False}):
                dask.threaded.get(graph, wanted, pool=pool)
        except BaseException:
            self._stopped.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for held in (self._tile_buffers, self._layer_buffers, self._half_buffers):
                for buffer in held.values():
                    buffer.close()
        self.device.give_back()
        self.observer.finish("prepare")
        self.observer.finish("reconstruct")
        _, height, width = spec.shape
        return pieces * height * width

    def _read(self, tile: int, block: slice, _wait: list[Any]) -> Array | None:
        if self._stopped.is_set():
            return None
        if tile not in self._preparations:
            self._pixels[tile] = PixelCounts()
            which = self._tiles[tile]
            with self.device.lane("read"):
                self._preparations[tile] = TilePreparation(
                    self.scans[which.part],
                    self.plan.organ.parts[which.part],
                    which.own,
                    self.clock,
                    self._pixels[tile],
                    prepared=which.prepared,
                    device=self.device,
                )
        try:
            return self._preparations[tile].read(block)
        except (FormatError, RemoteError, OSError) as error:
            layers = {piece.layer for piece in self._pieces if tile in piece.tiles}
            raise UnreadableTile(str(error), frozenset(layers)) from error

    def _prepare(self, tile: int, block: slice, raw: Array, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        which, cut = self._tiles[tile], self.plan.cut
        job = self.plan.organ.parts[which.part].job
        info, materials = job.info, job.config.phase.materials
        preparation = self._preparations[tile]
        with self.device.lane("prepare"):
            if tile not in self._tile_buffers:
                self._tile_buffers[tile] = Buffer(
                    (len(which.rows), job.line_angles, info.columns),
                    np.float32,
                    self.scratch / f"tile-{tile}" if cut.stage_tile else None,
                    device=self.device,
                    on_device=cut.tile_on_device,
                )
            buffer = self._tile_buffers[tile]

            def work(part: slice) -> None:
                frames = raw[part.start - block.start : part.stop - block.start]
                views = slice(part.start * materials, part.stop * materials)
                with buffer.filling(views) as (lines, first):
                    preparation.line_integrals(frames, part, lines, first // materials)

            self._in_parts(work, block, "projections")
            if block.stop == info.projections:
                # Here, because plans of transforms end on the device that they were made for.
                del preparation, self._preparations[tile]
        if block.stop == info.projections:
            self.ledger.record_tile(tile, self._pixels[tile].as_dict())
        self.observer.advance("prepare")

    def _blocks_of(self, tile: int) -> list[slice]:
        """Blocks of angles of a tile."""
        return self._blocks[self._tiles[tile].part]

    def _slab(self, j: int, last_of: list[int], _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        piece = self._pieces[j]
        grey = self._grey(piece, self._lines(piece))
        with self.clock.stage("quantise"):
            self._keep(piece, grey)
        self._drop(last_of)

    def _drop(self, used_up: list[int]) -> None:
        """Free the buffers of tiles."""
        for tile in used_up:
            self._tile_buffers.pop(tile).close()

    def _lift(self, j: int, _wait: list[Any]) -> Lines | None:
        if self._stopped.is_set():
            return None
        lines = self._lines(self._pieces[j])
        if self.plan.cut.tile_on_device:
            return lines
        size = sum(own.nbytes for _, own in lines)
        with self.clock.stage("to device", size), self.device.lane("lift"):
            return [(part, self.device.upload(own)) for part, own in lines]

    def _compute(
        self, j: int, lines: Lines, last_of: list[int], _wait: list[Any]
    ) -> tuple[Array, Array | None] | None:
        if self._stopped.is_set():
            return None
        piece = self._pieces[j]
        with self.device.lane("reconstruct"):
            grey = self._grey(piece, lines)
            with self.clock.stage("quantise"):
                halves = reduce_block(grey) if piece.layer in self._halved else None
        self._drop(last_of)
        return grey, halves

    def _lower(self, j: int, made: tuple[Array, Array | None], _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        grey, halves = made
        piece = self._pieces[j]
        with self.clock.stage("from device", grey.nbytes), self.device.lane("lower"):
            self._keep(piece, grey)
            if halves is not None:
                self._half_buffers[piece.layer].write(self._row_in_layer(piece) // 2, halves)

    def _row_in_layer(self, piece: Piece) -> int:
        """Row of its layer at which a piece begins."""
        first = self.plan.organ.rows.start + piece.layer * self.plan.spec.layer
        return piece.rows.start - first

    def _layers_of_even_pieces(self) -> set[int]:
        """Layers whose pieces all begin at even rows, so that each can be halved by itself."""
        if len(self.plan.spec.levels) == 1:
            return set()
        odd = {piece.layer for piece in self._pieces if self._row_in_layer(piece) % 2}
        return {piece.layer for piece in self._pieces} - odd

    def _lines(self, piece: Piece) -> Lines:
        """Line integrals of a piece, where the buffers of its tiles keep them."""
        found = []
        with self.clock.stage("read" if self.plan.cut.stage_tile else "reconstruct"):
            for number in piece.tiles:
                tile, buffer = self._tiles[number], self._tile_buffers[number]
                first = tile.rows.start
                lines = buffer.read(piece.rows.start - first, piece.rows.stop - first)
                found.append((tile.part, lines))
        return found

    def _grey(self, piece: Piece, lines: Lines) -> Array:
        """16-bit slices of a piece."""
        counts = self._clipped.setdefault(piece.layer, ClipCounts())
        grey = self.device.xp.empty((len(piece.rows), *self.plan.spec.shape[1:]), np.uint16)

        def work(some: slice) -> None:
            these = [(part, own[some]) for part, own in lines]
            self.assembly.grey(piece.rows[some], these, counts, out=grey[some])

        self._in_parts(work, slice(0, len(piece.rows)), "slices")
        return grey

    def _keep(self, piece: Piece, grey: Array) -> None:
        """Put the slices of a piece into their layer's buffer."""
        spec = self.plan.spec
        if piece.layer not in self._layer_buffers:
            depth = min(spec.layer, spec.shape[0] - piece.layer * spec.layer)
            path = self.scratch / f"layer-{piece.layer}" if self.plan.cut.stage_layer else None
            self._layer_buffers[piece.layer] = Buffer(
                (depth, *spec.shape[1:]), np.uint16, path, device=self.device
            )
            if piece.layer in self._halved:
                z, y, x = reduced_shape((depth, *spec.shape[1:]))
                self._half_buffers[piece.layer] = Buffer((z, y, x), np.uint16, device=self.device)
        self._layer_buffers[piece.layer].write(self._row_in_layer(piece), grey)
        self.observer.advance("reconstruct", len(piece.rows))

    def _in_parts(self, work: Callable[[slice], None], items: slice, what: str) -> None:
        """Do work on items in as many parts as the memory of the device asks for."""
        most, note = self.device.halving(work, items, self._most[what], what)
        self._most[what] = most
        if note is not None:
            self.observer.say(note)

    def _write_layer(self, index: int, _slabs: list[Any]) -> NDArray[np.uint16] | None:
        if self._stopped.is_set():
            return None
        buffer = self._layer_buffers[index]
        with self._writing(0, index):
            spec, halves = self.plan.spec, self._half_buffers.pop(index, None)
            reduce = halves is None and len(spec.levels) > 1
            files: Written = {}
            reduced = write_bands(
                self.ledger.volume, spec, 0, index, buffer.band, reduce=reduce, written=files
            )
        voxels = self._clipped.pop(index).as_dict()
        self.ledger.record(0, index, {"voxels": voxels, "files": files})
        self._layer_buffers.pop(index).close()
        return reduced if halves is None else halves.read(0, halves.shape[0])

    def _write_level(
        self, level: int, index: int, blocks: list[NDArray[np.uint16]]
    ) -> NDArray[np.uint16] | None:
        if self._stopped.is_set():
            return None
        with self._writing(level, index):
            files: Written = {}
            reduced = write_node(
                self.ledger.volume, self.plan.spec, level, index, blocks, written=files
            )
        self.ledger.record(level, index, {"files": files})
        return reduced

    def _writing(self, level: int, index: int) -> AbstractContextManager[None]:
        """Time of writing a layer, and its size."""
        spec = self.plan.spec
        size = math.prod(spec.levels[level].layer_shape(index)) * spec.dtype.itemsize
        return self.clock.stage("write", size)

    def _read_reduced(self, level: int, index: int) -> NDArray[np.uint16] | None:
        with self.clock.stage("read"):
            return read_reduced(self.ledger.volume, self.plan.spec, level, index)
