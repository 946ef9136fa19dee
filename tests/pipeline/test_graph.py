"""The graph of a stream, done in any order it allows: it ends, and never holds too much."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from hipct.pipeline.cut import Cut
from hipct.pipeline.graph import Steps, TaskGraph
from hipct.pipeline.organ import Organ, Part
from hipct.pipeline.pieces import cut_pieces, nodes_to_make
from hipct.pipeline.tiles import tiles_together
from hipct.volume.layout import PyramidSpec

STEPS = Steps(*(lambda *_, name=name: name for name in Steps.__annotations__))


def some_organ(rng):
    """Sub-scans at random heights: gaps, several in one row, tiles lower than their overlap."""
    count = int(rng.integers(1, 7))
    offsets = np.cumsum(rng.uniform(2.0, rng.choice([12.0, 80.0]), count))
    parts = []
    for number, offset in enumerate(offsets - offsets[0]):
        info = SimpleNamespace(rows=int(rng.integers(24, 90)), projections=2, columns=8)
        job = SimpleNamespace(info=info, tile_rows=int(rng.integers(8, 48)), halo=0)
        parts.append(Part(job, 3.5, float(offset), number=number, name=f"scan-{number}"))
    last = int(max(part.offset_px + part.job.info.rows for part in parts)) - 6
    start = int(rng.integers(5, 12))
    return Organ(tuple(parts), range(start, max(start + 1, last)), 5)


def waits_for(graph, task):
    """Keys of the graph that a task names."""
    found = []
    for item in task[1:] if isinstance(task, tuple) and callable(task[0]) else task:
        if isinstance(item, tuple) and item in graph:
            found.append(item)
        elif isinstance(item, list):
            found += waits_for(graph, item)
    return found


class Held:
    """Buffers as the stream fills and frees them."""

    def __init__(self, pieces, ends):
        self.pieces, self.ends = pieces, ends
        self.tiles, self.layers = set(), set()
        self.most_tiles = self.most_layers = 0

    def do(self, key, task):
        if key[0] == "prepare":
            self.tiles.add(task[1])
        if key[0] == "slab":
            assert self.tiles.issuperset(self.pieces[key[1]].tiles)
            self.tiles.difference_update(next(item for item in task[2:] if isinstance(item, list)))
        if key[0] == self.ends:
            self.layers.add(self.pieces[key[1]].layer)
        if key[:2] == ("node", 0):
            self.layers.discard(key[2])
        self.most_tiles = max(self.most_tiles, len(self.tiles))
        self.most_layers = max(self.most_layers, len(self.layers))


def do_all(graph, rng, held):
    """Do every task whose time has come, in a random order; returns how many were done."""
    waiting = {key: set(waits_for(graph, task)) for key, task in graph.items()}
    then = {key: [] for key in graph}
    for key, before in waiting.items():
        for other in before:
            then[other].append(key)
    ready = [key for key, before in waiting.items() if not before]
    done = 0
    while ready:
        key = ready.pop(int(rng.integers(len(ready))))
        held.do(key, graph[key])
        done += 1
        for other in then[key]:
            waiting[other].discard(key)
            if not waiting[other]:
                ready.append(other)
    return done


@pytest.mark.parametrize("on_gpu", [False, True])
def test_whatever_the_tiles_it_ends_and_its_buffers_are_enough(on_gpu):
    rng = np.random.default_rng(5)
    together = []
    for _ in range(60):
        organ = some_organ(rng)
        least = tiles_together(organ)
        layer = int(rng.choice([16, 32]))
        cut = Cut(
            1, int(rng.integers(1, 20)), least + int(rng.integers(2)), int(rng.integers(1, 3)),
            stage_tile=False, stage_layer=False, layer_rows=layer, shard_plane=64,
        )  # fmt: skip
        spec = PyramidSpec(
            shape=(len(organ.rows), 64, 64), voxel_size_um=None, chunk=32, layer=layer
        )
        layers = range(spec.layers(0))
        done = {(0, n): None for n in layers if rng.random() < 0.3}
        nodes = nodes_to_make(spec, done)
        pieces = list(cut_pieces(SimpleNamespace(organ=organ, spec=spec, cut=cut), nodes))
        blocks = [slice(0, 1), slice(1, 2)]
        graph, wanted = TaskGraph(
            STEPS, pieces, lambda _, b=blocks: b, cut, spec, nodes, done, on_gpu
        ).build()
        held = Held(pieces, "lower" if on_gpu else "slab")
        assert do_all(graph, rng, held) == len(graph)
        assert set(wanted) <= graph.keys()
        assert not held.tiles
        assert not held.layers
        assert held.most_tiles <= cut.tile_buffers
        assert held.most_layers <= cut.layer_buffers
        made = [row - organ.rows.start for piece in pieces for row in piece.rows]
        assert made == [row for row in range(len(organ.rows)) if (0, row // layer) in nodes]
        together.append(least)
    assert max(together) >= 4
