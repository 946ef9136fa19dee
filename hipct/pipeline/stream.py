"""The streamed run: one Dask graph that carries its own memory bound.

Tasks are chained into lanes (read, prepare, reconstruct, write) that overlap. A buffer is a slot:
the first task that fills it depends on the last task that emptied it. So the bound holds under
any scheduler and any number of workers, not because somebody counts bytes while it runs.

::

    read k        after prepare k-2                    (two blocks of frames in flight)
    prepare k     after read k, prepare k-1, and the slabs of the tile that had this buffer
    slab j        after its tile is prepared, slab j-1, and the layer that had this buffer
    layer (0, i)  after its slabs; hands its 2x2x2 means to layer (1, i // 2), and so on upwards
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator
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
from hipct.core.progress import Observer
from hipct.pipeline.ledger import Ledger
from hipct.pipeline.plan import Plan, tiles
from hipct.pipeline.preparation import TilePreparation, angle_blocks
from hipct.pipeline.report import StageClock
from hipct.pipeline.scratch import Buffer
from hipct.pipeline.slabs import SlabChain
from hipct.preparation.counts import PixelCounts
from hipct.volume.quantise import ClipCounts
from hipct.volume.writer import PyramidTree, read_reduced, write_bands, write_node

LANES = 4


@dataclass(frozen=True)
class Piece:
    """Rows that lie in one tile, one layer and one slab."""

    tile: int
    layer: int
    rows: range


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
    """

    scan: Scan
    plan: Plan
    chain: SlabChain
    ledger: Ledger
    clock: StageClock
    observer: Observer
    scratch: Path
    _tile_buffers: dict[int, Buffer] = field(default_factory=dict)
    _layer_buffers: dict[int, Buffer] = field(default_factory=dict)
    _preparations: dict[int, TilePreparation] = field(default_factory=dict)
    _pixels: dict[int, PixelCounts] = field(default_factory=dict)
    _clipped: dict[int, ClipCounts] = field(default_factory=dict)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        job, cut = self.plan.job, self.plan.cut
        self._tiles = tiles(job)
        self._done = self.ledger.done()
        self._pieces = list(self._cut_pieces(cut.slab_rows))
        self._blocks = angle_blocks(job.info.projections, cut.angle_block)

    def run(self) -> int:
        """Do what is left; returns the voxels reconstructed."""
        graph, wanted = self._graph()
        pieces = sum(len(piece.rows) for piece in self._pieces)
        tiles_left = len({piece.tile for piece in self._pieces})
        self.observer.start("prepare", tiles_left * len(self._blocks))
        self.observer.start("reconstruct", pieces)
        pool = ThreadPoolExecutor(LANES, thread_name_prefix="hipct-lane")
        try:
            # The order of the tasks is given by the graph; fusing them would undo the lanes.
            with dask.config.set({"optimization.fuse.active": False}):
                dask.threaded.get(graph, wanted, pool=pool)
        except BaseException:
            self._stopped.set()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            for buffer in (*self._tile_buffers.values(), *self._layer_buffers.values()):
                buffer.close()
        self.observer.finish("prepare")
        self.observer.finish("reconstruct")
        side = self.plan.spec.shape[1]
        return pieces * side * side

    def _cut_pieces(self, slab_rows: int) -> Iterator[Piece]:
        """Pieces of all layers that are not done, in the order of the rows."""
        first = self.plan.job.rows.start
        depth = self.plan.spec.layer
        for t, tile in enumerate(each.rows for each in self._tiles):
            edges = {tile.start, tile.stop}
            edges |= {row for row in tile if (row - first) % depth == 0}
            for start, stop in itertools.pairwise(sorted(edges)):
                layer = (start - first) // depth
                if (0, layer) in self._done:
                    continue
                for row in range(start, stop, slab_rows):
                    yield Piece(t, layer, range(row, min(row + slab_rows, stop)))

    def _graph(self) -> tuple[dict[Any, Any], list[Any]]:
        """Tasks that are left, and the ones whose end is the end of the run."""
        last_slab = {piece.tile: j for j, piece in enumerate(self._pieces)}
        slabs_of: dict[int, list[Any]] = {}
        for j, piece in enumerate(self._pieces):
            slabs_of.setdefault(piece.layer, []).append(("slab", j))
        graph, prepared = self._preparation_tasks(last_slab)
        layers = list(slabs_of)
        order = {layer: place for place, layer in enumerate(layers)}
        for j, piece in enumerate(self._pieces):
            wait: list[Any] = [prepared[piece.tile]]
            wait += [("slab", j - 1)] if j else []
            place = order[piece.layer] - self.plan.cut.layer_buffers
            if place >= 0 and slabs_of[piece.layer][0] == ("slab", j):
                wait.append(("node", 0, layers[place]))
            graph["slab", j] = (self._slab, j, last_slab[piece.tile] == j, wait)
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
        for level, index in tree.nodes():
            if (level, index) in self._done:
                continue
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
        """The one layer of the coarsest level: every other task stands below it."""
        root = PyramidTree(self.plan.spec).root
        return [] if root in self._done else [("node", *root)]

    def _read(self, tile: int, block: slice, _wait: list[Any]) -> NDArray[np.generic] | None:
        if self._stopped.is_set():
            return None
        if tile not in self._preparations:
            self._pixels[tile] = PixelCounts()
            self._preparations[tile] = TilePreparation(
                self.scan,
                self.plan.job,
                self._tiles[tile].rows,
                self.clock,
                self._pixels[tile],
                tile=self._tiles[tile].prepared,
            )
        return self._preparations[tile].read(block)

    def _prepare(self, tile: int, block: slice, raw: NDArray[np.generic], _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        info, rows = self.plan.job.info, self._tiles[tile].rows
        if tile not in self._tile_buffers:
            path = self.scratch / f"tile-{tile}" if self.plan.cut.stage_tile else None
            self._tile_buffers[tile] = Buffer(
                (len(rows), info.projections, info.columns), np.float32, path
            )
        with self._tile_buffers[tile].filling(block) as lines:
            self._preparations[tile].line_integrals(raw, block, lines)
        if block.stop == info.projections:
            del self._preparations[tile]
            self.ledger.record_tile(tile, self._pixels[tile].as_dict())
        self.observer.advance("prepare")

    def _slab(self, j: int, last_of_tile: bool, _wait: list[Any]) -> None:
        if self._stopped.is_set():
            return
        piece, spec = self._pieces[j], self.plan.spec
        tile_first = self._tiles[piece.tile].rows.start
        layer_first = self.plan.job.rows.start + piece.layer * spec.layer
        if piece.layer not in self._layer_buffers:
            depth = min(spec.layer, spec.shape[0] - piece.layer * spec.layer)
            path = self.scratch / f"layer-{piece.layer}" if self.plan.cut.stage_layer else None
            self._layer_buffers[piece.layer] = Buffer((depth, *spec.shape[1:]), np.uint16, path)
            self._clipped[piece.layer] = ClipCounts()
        buffer = self._tile_buffers[piece.tile]
        with self.clock.stage("read" if self.plan.cut.stage_tile else "reconstruct"):
            lines = buffer.read(piece.rows.start - tile_first, piece.rows.stop - tile_first)
        grey = self.chain.grey(lines, self._clipped[piece.layer])
        del lines
        with self.clock.stage("quantise"):
            self._layer_buffers[piece.layer].write(piece.rows.start - layer_first, grey)
        if last_of_tile:
            self._tile_buffers.pop(piece.tile).close()
        self.observer.advance("reconstruct", len(piece.rows))

    def _write_layer(self, index: int, _slabs: list[Any]) -> NDArray[np.uint16] | None:
        if self._stopped.is_set():
            return None
        buffer = self._layer_buffers[index]
        with self._writing(0, index):
            spec = self.plan.spec
            reduced = write_bands(
                self.ledger.volume, spec, 0, index, buffer.band, reduce=len(spec.levels) > 1
            )
        self.ledger.record(0, index, {"voxels": self._clipped.pop(index).as_dict()})
        self._layer_buffers.pop(index).close()
        return reduced

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
