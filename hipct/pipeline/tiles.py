"""Phase tiles: the rows of a part that are prepared together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from hipct.pipeline.organ import Organ, Part


@dataclass(frozen=True)
class Tile:
    """A phase tile.

    Attributes
    ----------
    part : int
        Number of the part whose rows these are.
    rows : range
        Organ rows that are wanted of it.
    own : range
        The same as own rows of the part.
    prepared : range
        Own rows that are prepared for them.
    """

    part: int
    rows: range
    own: range
    prepared: range


@lru_cache(maxsize=1)
def tiles(organ: Organ) -> tuple[Tile, ...]:
    """Phase tiles of an organ in the order of their rows; within a part they follow each other.

    A plan asks for those of one organ again for every cut that it weighs.
    """
    found = [
        tile
        for number, rows in enumerate(organ.shares)
        for tile in _of_part(organ.parts[number], rows, number)
    ]
    return tuple(sorted(found, key=lambda tile: (tile.rows.start, tile.part)))


def tiles_together(organ: Organ) -> int:
    """Most tiles that one organ row is made of."""
    return _most_at_once([tile.rows for tile in tiles(organ)])


def parts_together(organ: Organ) -> int:
    """Most parts that one organ row is made of."""
    return _most_at_once(organ.shares)


def _most_at_once(ranges: Sequence[range]) -> int:
    """Most of some ranges that share a number; 1 at least."""
    ends = [(each.start, 1) for each in ranges if each]
    ends += [(each.stop, -1) for each in ranges if each]
    most = held = 0
    for _, change in sorted(ends):
        held += change
        most = max(most, held)
    return max(most, 1)


def _of_part(part: Part, rows: range, number: int) -> list[Tile]:
    """Tiles of a part, anchored at its own row 0.

    Where phase retrieval has a halo, a tile is prepared whole even if only some of its rows are
    wanted, so that a crop has the numbers of the whole volume.
    """
    height, own = part.job.tile_rows, part.own(rows)
    found = []
    for t in range(own.start // height, math.ceil(own.stop / height)):
        whole = _common(range(t * height, (t + 1) * height), range(part.job.info.rows))
        wanted = _common(whole, own)
        if wanted:
            organ_rows = range(wanted.start - part.base, wanted.stop - part.base)
            found.append(Tile(number, organ_rows, wanted, whole if part.job.halo else wanted))
    return found


def _common(one: range, other: range) -> range:
    start = max(one.start, other.start)
    return range(start, max(start, min(one.stop, other.stop)))
