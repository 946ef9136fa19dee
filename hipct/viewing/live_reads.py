"""Levels that are reconstructed where a window looks: what its reader of pyramids takes for chunks.

A chunk is what is made together: one slice of the finest level, the slices of a coarse level that
stand for 16 fine ones. A picture comes in two steps: of a level that is coarser by 4, then of the
level that is looked at. When the view moves on, what is being made is given up. What comes next,
and the whole coarsest level, are made while nothing else is to do.

Projections lie across the axis of rotation, so a slice across it is made of a few rows of them. A
section along the axis needs all rows: it is stacked of slices of a level of at most 256 of them,
whatever the zoom, and of finer slices where these were made already.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.live.cancel import Cancelled
from hipct.live.scan import LiveScan
from hipct.viewing.reads import PyramidReads
from hipct.viewing.reads_cache import ChunkCache, Key
from hipct.viewing.reads_lazy import Bounds, LazyLevel

STACKED = 256
"""Slices, rows and columns of the level that sections along the axis of rotation are made of."""

AHEAD = 3
"""Slices that are made in the direction in which a person goes, when nothing else is to do."""

STAND_IN = 2
"""Levels by which the picture before the last is coarser."""


class LiveReads(PyramidReads):
    """The levels of a live scan as a window reads them.

    Parameters
    ----------
    live : LiveScan
        With its axis and all that a run finds first.
    """

    def __init__(self, live: LiveScan) -> None:
        super().__init__(
            _sources(self, live), _places(live), budget_bytes=live.budget_bytes, threads=1
        )
        # Its work is done by threads of their own; it would only wait longer for them.
        self._loader.yields = False
        self._take(live)

    def _take(self, live: LiveScan) -> None:
        self.live, self._shapes = live, live.shapes
        self._stacked = next(
            (level for level, shape in enumerate(self._shapes) if level and max(shape) <= STACKED),
            len(self._shapes) - 1,
        )
        self._slice: list[Key] = []
        self._made: NDArray[np.float32] | None = None
        self._last: tuple[int, Bounds] | None = None
        self._move = 1

    def become(self, live: LiveScan) -> None:
        """Make everything of another scan from now on; its slices may have another size."""
        # The sources first: what is made of former ones ends up in the former cache.
        self._sources, self._places = tuple(_sources(self, live)), tuple(_places(live))
        self.places = self._places
        self.cache = ChunkCache(live.budget_bytes)
        self._holes = {}
        self._take(live)
        self.levels = tuple(
            LazyLevel(self, number, source.shape, source.chunks, source.dtype)
            for number, source in enumerate(self._sources)
        )

    def __deepcopy__(self, memo: Any) -> LiveReads:
        """The same levels, which nobody watches yet."""
        return LiveReads(self.live)

    def ask(self, level: int, parts: Sequence[Bounds]) -> None:
        """Let what a view lacks be made, in place of what the view before lacked."""
        if not parts:
            self._loader.want([])
            return
        bounds = tuple((min(a for a, _ in ends), max(b for _, b in ends)) for ends in zip(*parts))
        last = len(self._shapes) - 1
        if level == last:
            if not self._beside(bounds):
                self._slice = []
            self._loader.want([*self._slice, *self._lacking(last, bounds)])
            return
        self._slice = [
            key
            for step in self._steps(level, along_axis=bounds[0][1] - bounds[0][0] > 1)
            for key in self._lacking(step, self._at(level, step, bounds))
        ]
        self._loader.want(self._slice)
        self._loader.want_later(self._next(level, bounds))

    def _beside(self, bounds: Bounds) -> bool:
        """Whether a part of the coarsest level is a thumbnail of what the window shows."""
        if self._last is None:
            return False
        level, shown = self._last
        return self._at(level, len(self._shapes) - 1, shown)[0] == bounds[0]

    def sample(self) -> NDArray[Any] | None:
        """The slices that were made last, if they hold anything."""
        return self._made

    def came(self, slices: NDArray[np.float32]) -> None:
        """Slices have been made."""
        if slices.any():
            self._made = slices

    def given_up(self, source: object, key: Key) -> bool:
        """Whether nobody waits for a chunk that a source makes, and somebody for another one."""
        return source not in self._sources or self._loader.given_up(key)

    def _steps(self, level: int, *, along_axis: bool) -> list[int]:
        """Levels that are made one after another, coarsest first."""
        last = len(self._shapes) - 1
        if along_axis:
            return [last, level] if (level := max(level, self._stacked)) < last else [last]
        return [coarse, level] if (coarse := min(level + STAND_IN, last)) > level else [level]

    def _lacking(self, level: int, bounds: Bounds) -> list[Key]:
        """Chunks of a part that have to be made, from the middle outwards, as many as are kept."""
        chunk, (low, high) = self._sources[level].chunks, bounds[0]
        depth, middle = chunk[0], (low + high) / 2
        room = max(1, self.cache.budget_bytes // (4 * prod(chunk)))
        numbers = sorted(
            range(low // depth, -(-high // depth)),
            key=lambda number: abs((number + 0.5) * depth - middle),
        )
        keys: list[Key] = [(level, (number, 0, 0)) for number in numbers[:room]]
        return [key for key in keys if self._is_missing(key)]

    def _next(self, level: int, bounds: Bounds) -> list[Key]:
        """Slices behind one in the direction of the last move, then the coarsest level."""
        z, behind = bounds[0]
        later: list[Key] = []
        if self._last is not None and self._last[0] == level and self._last[1][0][0] != z:
            self._move = 1 if z > self._last[1][0][0] else -1
        self._last = level, bounds
        if behind - z == 1:
            for ahead in range(1, AHEAD + 1):
                at = z + ahead * self._move
                if 0 <= at < self._shapes[level][0]:
                    later += self._lacking(level, ((at, at + 1), *bounds[1:]))
        coarsest = len(self._shapes) - 1
        whole = tuple((0, side) for side in self._shapes[coarsest])
        return list(dict.fromkeys([*later, *self._lacking(coarsest, whole)]))


class _Slices:
    """Slices of a level, made when they are asked for."""

    def __init__(
        self, reads: LiveReads, live: LiveScan, level: int, shape: tuple[int, int, int]
    ) -> None:
        self._reads, self._live, self._level = reads, live, level
        self.shape, self.dtype = shape, np.dtype(np.float32)
        self.chunks = (min(shape[0], live.together(level)), *shape[1:])

    def chunk(self, place: tuple[int, ...]) -> NDArray[Any]:
        first = place[0] * self.chunks[0]
        rows = range(first, min(first + self.chunks[0], self.shape[0]))
        key = self._level, place
        try:
            slices = self._live.slices(self._level, rows, lambda: self._reads.given_up(self, key))
        except Cancelled:
            raise InterruptedError from None
        self._reads.came(slices)
        return slices


def _sources(reads: LiveReads, live: LiveScan) -> list[_Slices]:
    return [_Slices(reads, live, level, shape) for level, shape in enumerate(live.shapes)]


def _places(live: LiveScan) -> list[tuple[tuple[float, ...], tuple[float, ...]]]:
    voxel = live.voxel_size_um or 1.0
    return [
        ((voxel * 2**level,) * 3, (voxel * (2**level - 1) / 2,) * 3)
        for level in range(len(live.shapes))
    ]
