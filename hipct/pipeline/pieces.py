"""What a stream makes: nodes of the pyramid, and the pieces that level 0 is cut into."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hipct.pipeline.plan import Plan
from hipct.pipeline.tiles import tiles
from hipct.volume.layout import PyramidSpec
from hipct.volume.writer import PyramidTree

Node = tuple[int, int]
"""Level, and number of the layer in it."""


@dataclass(frozen=True)
class Piece:
    """Organ rows that lie in the same tiles, one layer and one slab."""

    tiles: tuple[int, ...]
    layer: int
    rows: range


def nodes_to_make(
    spec: PyramidSpec, done: Collection[Node], layers: Collection[int] | None = None
) -> dict[Node, None]:
    """Nodes that are left and follow from some layers of level 0 (all by default), in their order.

    A node above level 0 is made by whoever makes the last of what it consists of.
    """
    tree = PyramidTree(spec)
    left: dict[Node, None] = {}
    for node in tree.nodes():
        level, index = node
        wanted = level > 0 or layers is None or index in layers
        whole = all(child in left or child in done for child in tree.children(*node))
        if wanted and whole and node not in done:
            left[node] = None
    return left


def cut_pieces(plan: Plan, nodes: Collection[Node]) -> Iterator[Piece]:
    """Pieces of the layers of level 0 among some nodes, in the order of the rows.

    Rows in a gap of the series lie in no tile.
    """
    rows, depth = plan.organ.rows, plan.spec.layer
    all_tiles = tiles(plan.organ)
    edges = {rows.stop, *range(rows.start, rows.stop, depth)}
    edges |= {edge for tile in all_tiles for edge in (tile.rows.start, tile.rows.stop)}
    for start, stop in itertools.pairwise(sorted(edges)):
        layer = (start - rows.start) // depth
        if (0, layer) not in nodes:
            continue
        numbers = tuple(number for number, tile in enumerate(all_tiles) if start in tile.rows)
        for row in range(start, stop, plan.cut.slab_rows):
            yield Piece(numbers, layer, range(row, min(row + plan.cut.slab_rows, stop)))
