"""The streamed run: one Dask graph that carries its own memory bound.

Tasks are chained into lanes (read, prepare, reconstruct, write) that overlap. A buffer is a slot:
the first task that fills it depends on the last task that emptied it. So the bound holds under
any scheduler and any number of workers, not because somebody counts bytes while it runs.

::

    read k        after prepare k-2                    (two blocks of frames in flight)
    prepare k     after read k, prepare k-1, and the slabs of the tile that had this buffer
    slab j        after its tile is prepared, slab j-1, and the layer that had this buffer
    layer (0, i)  after its slabs; hands its 2x2x2 means to layer (1, i // 2), and so on upwards

On a GPU the slab is three tasks, each with a stream of its own, so that copies in and out pass
beside the computation::

    lift j        line integrals to the device; after its tile is prepared, lift j-1, slab j-2
    slab j        after lift j, slab j-1, lower j-2
    lower j       voxels to the host; after slab j, lower j-1, and the layer that had this buffer
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable
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
from hipct.core.progress import Observer
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.pieces import Piece, cut_pieces, nodes_to_make
from hipct.pipeline.plan import Plan, tiles
from hipct.pipeline.preparation import TilePreparation, angle_blocks
from hipct.pipeline.report import StageClock
from hipct.pipeline.scratch import Buffer
from hipct.pipeline.slabs import SlabChain
from hipct.preparation.counts import PixelCounts
from hipct.volume.quantise import ClipCounts
from hipct.volume.reduce import reduce_block, reduced_shape
from hipct.volume.writer import PyramidTree, read_reduced, write_bands, write_node

LANES = 4
"""Tasks that overlap on the CPU: read, prepare, reconstruct, write."""

DEVICE_LANES = 6
"""Tasks that overlap on a GPU: copies in and out have lanes of their own."""


@dataclass
class Stream:
    """Runs what is left of a job.

    Parameters
    ----------
    scan, plan : Scan, Plan
        What to read and how to cut it.
    chain : SlabChain
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

    scan: Scan
    plan: Plan
    chain: SlabChain
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
        job, cut = self.plan.job, self.plan.cut
        self._tiles = tiles(job)
        self._done = self.ledger.done()
        self._mine = nodes_to_make(self.plan.spec, self._done, self.layers)
        self._pieces = list(cut_pieces(self.plan, self._mine))
        self._blocks = angle_blocks(job.info.projections, cut.angle_block)
        self._halved = self._layers_of_even_pieces() if self.device.on_gpu else set()
        # What fitted into the device's memory at a time; less once it has run out.
        self._most = {"projections": cut.angle_block, "slices": cut.slab_rows}

    def run(self) -> int:
        """Do what is left; returns the voxels reconstructed."""
        graph, wanted = self._graph()
        pieces = sum(len(piece.rows) for piece in self._pieces)
        tiles_left = len({piece.tile for piece in self._pieces})
        self.observer.start("prepare", tiles_left * len(self._blocks))
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
        side = self.plan.spec.shape[1]
        return pieces * side * side

    def _graph(self) -> tuple[dict[Any, Any], list[Any]]:
        """Tasks that are left, and the ones whose end is the end of the run."""
        last_slab = {piece.tile: j for j, piece in enumerate(self._pieces)}
        ends = "lower" if self.device.on_gpu else "slab"
        slabs_of: dict[int, list[Any]] = {}
        for j, piece in enumerate(self._pieces):
            slabs_of.setdefault(piece.layer, []).append((ends, j))
        graph, prepared = self._preparation_tasks(last_slab)
        layers = list(slabs_of)
        order = {layer: place for place, layer in enumerate(layers)}
        for j, piece in enumerate(self._pieces):
            emptied: list[Any] = []
            place = order[piece.layer] - self.plan.cut.layer_buffers
            if place >= 0 and slabs_of[piece.layer][0] == (ends, j):
                emptied.append(("node", 0, layers[place]))
            last = last_slab[piece.tile] == j
            if self.device.on_gpu:
                before = [("lift", j - 1)] if j else []
                before += [("slab", j - 2)] if j > 1 else []
                graph["lift", j] = (self._lift, j, [prepared[piece.tile], *before])
                before = [("slab", j - 1)] if j else []
                before += [("lower", j - 2)] if j > 1 else []
                graph["slab", j] = (self._compute, j, ("lift", j), last, before)
                before = [("lower", j - 1)] if j else []
                graph["lower", j] = (self._lower, j, ("slab", j), [*before, *emptied])
            else:
                before = [("slab", j - 1)] if j else []
                wait = [prepared[piece.tile], *before, *emptied]
                graph["slab", j] = (self._slab, j, last, wait)
        return graph | self._writing_tasks(slabs_of), self._ends()

    def _preparation_tasks(
        self, last_slab: dict[int, int]
    ) -> tuple[dict[Any, Any], dict[int, Any]]:
        """Read and prepare every block of every tile; and the last task of each tile."""
        graph: dict[Any, Any] = {}
        prepared: dict[int, Any] = {}
        order = list(last_slab)
        blocks = itertools.product(enumerate(order), self._blocks)
        for k, ((place, tile), block) in enumerate(blocks):
            wait_read = [("read", k - 1)] if k >= 1 else []
            wait_read += [("prepare", k - 2)] if k >= 2 else []
            wait = [("prepare", k - 1)] if k >= 1 else []
            emptied = place - self.plan.cut.tile_buffers
            if block.start == 0 and emptied >= 0:
                wait.append(("slab", last_slab[order[emptied]]))
            graph["read", k] = (self._read, tile, block, wait_read)
            graph["prepare", k] = (self._prepare, tile, block, ("read", k), wait)
            prepared[tile] = ("prepare", k)
        return graph, prepared

    def _writing_tasks(self, slabs_of: dict[int, list[Any]]) -> dict[Any, Any]:
        """Write every layer of every level, from the slabs or from the layers below."""
        graph: dict[Any, Any] = {}
        tree = PyramidTree(self.plan.spec)
        for level, index in self._mine:
            if level == 0:
                graph["node", 0, index] = (self._write_layer, index, slabs_of[index])
                continue
            below = tree.children(level, index)
            for child in below:
                if child in self._done:
                    graph["node", *child] = (self._read_reduced, *child)
            halves = [("node", *child) for child in below]
            graph["node", level, index] = (self._write_level, level, index, halves)
        return graph

    def _ends(self) -> list[Any]:
        """The layers that no other layer of this stream is made of; of all of them, the root."""
        tree = PyramidTree(self.plan.spec)
        return [("node", *node) for node in self._mine if tree.parent(*node) not in self._mine]

    def _read(self, tile: int, block: slice, _wait: list[Any]) -> Array | None:
        if self._stopped.is_set():
            return None
        if tile not in self._preparations:
            self._pixels[tile] = PixelCounts()
            with self.device.lane("read"):
                self._preparations[tile] = TilePreparation(
                    self.scan,
                    self.plan.job,
                    self._tiles[tile].rows,
                    self.clock,
                    self._pixels[tile],
                    tile=self._tiles[tile].prepared,
                    device=self.device,
                )
        return self._preparations[tile].read(block)

    def _prepare(self, tile: int, block: slice, raw: Array, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        info, rows, cut = self.plan.job.info, self._tiles[tile].rows, self.plan.cut
        preparation = self._preparations[tile]
        with self.device.lane("prepare"):
            if tile not in self._tile_buffers:
                self._tile_buffers[tile] = Buffer(
                    (len(rows), info.projections, info.columns),
                    np.float32,
                    self.scratch / f"tile-{tile}" if cut.stage_tile else None,
                    device=self.device,
                    on_device=cut.tile_on_device,
                )
            buffer = self._tile_buffers[tile]

            def work(part: slice) -> None:
                frames = raw[part.start - block.start : part.stop - block.start]
                with buffer.filling(part) as (lines, first):
                    preparation.line_integrals(frames, part, lines, first)

            self._in_parts(work, block, "projections")
            if block.stop == info.projections:
                # Here, because plans of transforms end on the device that they were made for.
                del preparation, self._preparations[tile]
        if block.stop == info.projections:
            self.ledger.record_tile(tile, self._pixels[tile].as_dict())
        self.observer.advance("prepare")

    def _slab(self, j: int, last_of_tile: bool, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        piece = self._pieces[j]
        grey = self._grey(piece, self._lines(piece))
        with self.clock.stage("quantise"):
            self._keep(piece, grey)
        if last_of_tile:
            self._tile_buffers.pop(piece.tile).close()

    def _lift(self, j: int, _wait: list[Any]) -> Array | None:
        if self._stopped.is_set():
            return None
        lines = self._lines(self._pieces[j])
        if self.plan.cut.tile_on_device:
            return lines
        with self.clock.stage("to device", lines.nbytes), self.device.lane("lift"):
            return self.device.upload(lines)

    def _compute(
        self, j: int, lines: Array, last_of_tile: bool, _wait: list[Any]
    ) -> tuple[Array, Array | None] | None:
        if self._stopped.is_set():
            return None
        piece = self._pieces[j]
        with self.device.lane("reconstruct"):
            grey = self._grey(piece, lines)
            with self.clock.stage("quantise"):
                halves = reduce_block(grey) if piece.layer in self._halved else None
        if last_of_tile:
            self._tile_buffers.pop(piece.tile).close()
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
        first = self.plan.job.rows.start + piece.layer * self.plan.spec.layer
        return piece.rows.start - first

    def _layers_of_even_pieces(self) -> set[int]:
        """Layers whose pieces all begin at even rows, so that each can be halved by itself."""
        if len(self.plan.spec.levels) == 1:
            return set()
        odd = {piece.layer for piece in self._pieces if self._row_in_layer(piece) % 2}
        return {piece.layer for piece in self._pieces} - odd

    def _lines(self, piece: Piece) -> Array:
        """Line integrals of a piece, where its tile's buffer keeps them."""
        first = self._tiles[piece.tile].rows.start
        buffer = self._tile_buffers[piece.tile]
        with self.clock.stage("read" if self.plan.cut.stage_tile else "reconstruct"):
            return buffer.read(piece.rows.start - first, piece.rows.stop - first)

    def _grey(self, piece: Piece, lines: Array) -> Array:
        """16-bit slices of a piece."""
        counts = self._clipped.setdefault(piece.layer, ClipCounts())
        side = self.plan.spec.shape[1]
        grey = self.device.xp.empty((len(piece.rows), side, side), np.uint16)

        def work(part: slice) -> None:
            self.chain.grey(lines[part], counts, out=grey[part])

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
            reduced = write_bands(self.ledger.volume, spec, 0, index, buffer.band, reduce=reduce)
        self.ledger.record(0, index, {"voxels": self._clipped.pop(index).as_dict()})
        self._layer_buffers.pop(index).close()
        return reduced if halves is None else halves.read(0, halves.shape[0])

    def _write_level(
        self, level: int, index: int, blocks: list[NDArray[np.uint16]]
    ) -> NDArray[np.uint16] | None:
        if self._stopped.is_set():
            return None
        with self._writing(level, index):
            reduced = write_node(self.ledger.volume, self.plan.spec, level, index, blocks)
        self.ledger.record(level, index, {})
        return reduced

    def _writing(self, level: int, index: int) -> AbstractContextManager[None]:
        """Time of writing a layer, and its size."""
        spec = self.plan.spec
        size = math.prod(spec.levels[level].layer_shape(index)) * spec.dtype.itemsize
        return self.clock.stage("write", size)

    def _read_reduced(self, level: int, index: int) -> NDArray[np.uint16] | None:
        with self.clock.stage("read"):
            return read_reduced(self.ledger.volume, self.plan.spec, level, index)
