"""The Dask graph of a stream: which task waits for which, so that memory stays bounded.

Tasks are chained into lanes (read, prepare, reconstruct, write) that overlap. A buffer is a slot:
the first task that fills it depends on the last task that emptied it. So the bound holds under
any scheduler and any number of workers, not because somebody counts bytes while it runs.

::

    read k        after prepare k-2                    (two blocks of frames in flight)
    prepare k     after read k, prepare k-1, and the slabs of the tile that had this buffer
    slab j        after its tiles are prepared, slab j-1, and the layer that had this buffer
    layer (0, i)  after its slabs; hands its 2x2x2 means to layer (1, i // 2), and so on upwards

On a GPU the slab is three tasks, each with a stream of its own, so that copies in and out pass
beside the computation::

    lift j        line integrals to the device; after its tiles are prepared, lift j-1, slab j-2
    slab j        after lift j, slab j-1, lower j-2
    lower j       voxels to the host; after slab j, lower j-1, and the layer that had this buffer
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from hipct.pipeline.cut import Cut
from hipct.pipeline.pieces import Node, Piece
from hipct.volume.layout import PyramidSpec
from hipct.volume.writer import PyramidTree

Graph = dict[Any, Any]


@dataclass(frozen=True)
class Steps:
    """What the tasks do; the last argument of each is what it waits for."""

    read: Callable[..., Any]
    prepare: Callable[..., Any]
    slab: Callable[..., Any]
    lift: Callable[..., Any]
    compute: Callable[..., Any]
    lower: Callable[..., Any]
    write_layer: Callable[..., Any]
    write_level: Callable[..., Any]
    read_reduced: Callable[..., Any]


@dataclass(frozen=True)
class TaskGraph:
    """Builds the graph of what is left of a run.

    Attributes
    ----------
    steps : Steps
        What the tasks do.
    pieces : sequence of Piece
        Level 0, in the order of its rows.
    blocks : callable
        Blocks of angles of a tile.
    cut : Cut
        How many buffers there are.
    spec : PyramidSpec
        The volume.
    mine, done : collection of Node
        Layers to make, and those that are made already.
    on_gpu : bool
        Whether slabs are lifted to a device and lowered from it.
    """

    steps: Steps
    pieces: Sequence[Piece]
    blocks: Callable[[int], Sequence[slice]]
    cut: Cut
    spec: PyramidSpec
    mine: Collection[Node]
    done: Collection[Node]
    on_gpu: bool

    def build(self) -> tuple[Graph, list[Any]]:
        """Tasks that are left, and the ones whose end is the end of the run."""
        steps = self.steps
        last_slab = {tile: j for j, piece in enumerate(self.pieces) for tile in piece.tiles}
        ends = "lower" if self.on_gpu else "slab"
        slabs_of: dict[int, list[Any]] = {}
        for j, piece in enumerate(self.pieces):
            slabs_of.setdefault(piece.layer, []).append((ends, j))
        graph, prepared = self._preparation(last_slab)
        layers = list(slabs_of)
        order = {layer: place for place, layer in enumerate(layers)}
        for j, piece in enumerate(self.pieces):
            emptied: list[Any] = []
            place = order[piece.layer] - self.cut.layer_buffers
            if place >= 0 and slabs_of[piece.layer][0] == (ends, j):
                emptied.append(("node", 0, layers[place]))
            last = [tile for tile in piece.tiles if last_slab[tile] == j]
            filled = [prepared[tile] for tile in piece.tiles]
            if self.on_gpu:
                before = [("lift", j - 1)] if j else []
                before += [("slab", j - 2)] if j > 1 else []
                graph["lift", j] = (steps.lift, j, [*filled, *before])
                before = [("slab", j - 1)] if j else []
                before += [("lower", j - 2)] if j > 1 else []
                graph["slab", j] = (steps.compute, j, ("lift", j), last, before)
                before = [("lower", j - 1)] if j else []
                graph["lower", j] = (steps.lower, j, ("slab", j), [*before, *emptied])
            else:
                before = [("slab", j - 1)] if j else []
                graph["slab", j] = (steps.slab, j, last, [*filled, *before, *emptied])
        return graph | self._writing(slabs_of), self._ends()

    def _preparation(self, last_slab: dict[int, int]) -> tuple[Graph, dict[int, Any]]:
        """Read and prepare every block of every tile; and the last task of each tile."""
        graph: Graph = {}
        prepared: dict[int, Any] = {}
        blocks = (
            (place, tile, block)
            for place, tile in enumerate(sorted(last_slab))
            for block in self.blocks(tile)
        )
        ends: list[int] = []
        for k, (place, tile, block) in enumerate(blocks):
            wait_read = [("read", k - 1)] if k >= 1 else []
            wait_read += [("prepare", k - 2)] if k >= 2 else []
            wait = [("prepare", k - 1)] if k >= 1 else []
            emptied = place - self.cut.tile_buffers
            if block.start == 0:
                if emptied >= 0:
                    # So many of the tiles before, in whatever order they end.
                    wait.append(("slab", ends[emptied]))
                bisect.insort(ends, last_slab[tile])
            graph["read", k] = (self.steps.read, tile, block, wait_read)
            graph["prepare", k] = (self.steps.prepare, tile, block, ("read", k), wait)
            prepared[tile] = ("prepare", k)
        return graph, prepared

    def _writing(self, slabs_of: dict[int, list[Any]]) -> Graph:
        """Write every layer of every level, from the slabs or from the layers below."""
        graph: Graph = {}
        tree = PyramidTree(self.spec)
        for level, index in self.mine:
            if level == 0:
                graph["node", 0, index] = (self.steps.write_layer, index, slabs_of[index])
                continue
            below = tree.children(level, index)
            for child in below:
                if child in self.done:
                    graph["node", *child] = (self.steps.read_reduced, *child)
            halves = [("node", *child) for child in below]
            graph["node", level, index] = (self.steps.write_level, level, index, halves)
        return graph

    def _ends(self) -> list[Any]:
        """The layers that no other layer of this stream is made of; of all of them, the root."""
        tree = PyramidTree(self.spec)
        return [("node", *node) for node in self.mine if tree.parent(*node) not in self.mine]
