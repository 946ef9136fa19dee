"""Reading a pyramid for a window: at once what is there, the rest while it is looked at.

A picture never waits. Where chunks are missing, coarser ones stand in for them, threads of their
own fetch what is missing from the middle outwards, and whoever watches is told when something has
come. What was asked for and is no longer looked at is not fetched. A chunk that cannot be read is a
hole: zeros, and a sentence; it is tried again when it is looked at later.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import HipctError
from hipct.core.threads import available_cores
from hipct.viewing.reads_cache import ChunkCache, Key, default_budget_bytes
from hipct.viewing.reads_lazy import Bounds, LazyLevel
from hipct.viewing.reads_loader import Loader
from hipct.viewing.reads_source import ChunkSource, source_of
from hipct.volume.open import Volume
from hipct.volume.storage import is_address

_AT_ONCE_FROM_SERVERS = 16
_HOLE_S = 5.0
"""For so long a chunk that could not be read is not asked for again."""
_LARGEST_SAMPLE = 2**27
"""Voxels of a level that is looked at as a whole."""
_STAND_IN = 2
"""So many levels coarser is what comes first: a sixteenth of the voxels of a plane."""
Vector = Sequence[float]


class PyramidReads:
    """The levels of a pyramid as a window reads them, behind one bounded cache.

    Parameters
    ----------
    sources : sequence of ChunkSource
        The levels, finest first.
    places : sequence of (scale, translation)
        Voxel size of each level and the centre of its voxel 0, along each axis, in one unit.
    budget_bytes : int, optional
        What decoded chunks may take. Default: :func:`default_budget_bytes`.
    threads : int
        Chunks that are fetched at a time.
    renew : callable, optional
        Opens the sources anew, whose files may have changed. Default: they know of no files.

    Attributes
    ----------
    levels : tuple of LazyLevel
        What napari is given.
    cache : ChunkCache
    """

    def __init__(
        self,
        sources: Sequence[ChunkSource],
        places: Sequence[tuple[Vector, Vector]],
        *,
        budget_bytes: int | None = None,
        threads: int = 1,
        renew: Callable[[], Sequence[ChunkSource]] | None = None,
    ) -> None:
        self._sources, self._renew = tuple(sources), renew
        self._places = tuple((tuple(scale), tuple(first)) for scale, first in places)
        self.places = self._places
        budget = budget_bytes or default_budget_bytes()
        coarsest = self._sources[-1]
        kept = prod(coarsest.shape) * coarsest.dtype.itemsize
        # What stands in for all others stays, unless it leaves too little room for them.
        self._room_bytes = budget - kept if 4 * kept <= budget else budget
        self.cache = ChunkCache(budget, None if self._room_bytes == budget else len(sources) - 1)
        self._loader = Loader(self._fetch, threads)
        self._holes: dict[Key, tuple[float, str]] = {}
        self._on_fault: Callable[[str], object] | None = None
        self._watched = False
        self._last: tuple[int, Bounds] | None = None
        self.levels = tuple(
            LazyLevel(self, number, s.shape, s.chunks, s.dtype)
            for number, s in enumerate(self._sources)
        )

    @property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with chunks that were looked at, each sentence once."""
        return tuple(dict.fromkeys(sentence for _, sentence in self._holes.copy().values()))

    @property
    def pending(self) -> int:
        """Chunks of the present view that have not come yet."""
        return self._loader.pending

    def watch(
        self, on_change: Callable[[], object], on_fault: Callable[[str], object] | None = None
    ) -> None:
        """From now on pictures do not wait.

        Parameters
        ----------
        on_change : callable
            Called, by another thread, whenever a chunk of the present view has come.
        on_fault : callable, optional
            Called, by another thread, with the sentence about a chunk that cannot be read; at
            once with those that are known already.
        """
        self._on_fault = on_fault
        self._loader.on_change = on_change
        self._watched = True
        if on_fault is not None:
            for sentence in self.faults:
                on_fault(sentence)

    def picture(self, level: int, bounds: Bounds) -> NDArray[Any]:
        """Voxels of a part of a level as far as they are known; the rest is asked for.

        Parameters
        ----------
        level : int
            0 is the finest.
        bounds : (first, behind the last) of each axis

        Returns
        -------
        ndarray
            Of the level's dtype and the shape of ``bounds``.
        """
        self.ask(level, [bounds])
        return self.composed(level, bounds)

    def ask(self, level: int, parts: Sequence[Bounds]) -> None:
        """Let the chunks of some parts of a level come, in place of those of the view before."""
        if not parts:
            self._loader.want([])
            return
        source = self._sources[level]
        room = max(1, self._room_bytes // max(1, _chunk_bytes(source)))
        places = list(dict.fromkeys(p for part in parts for p in _places(part, source.chunks)))
        bounds = tuple((min(a for a, _ in ends), max(b for _, b in ends)) for ends in zip(*parts))
        near = _from_the_middle(places, bounds, source.chunks)[:room]
        missing = [(level, p) for p in near if self._is_missing((level, p))]
        if level == len(self._sources) - 1:
            self._loader.want_always(missing)
        else:
            self._loader.want([*self._first_of(level, bounds, missing), *missing])
            self._loader.want_later(self._ahead(level, bounds, room // 2 - len(near)))
            self._last = (level, bounds)

    def read(
        self, level: int, bounds: Bounds, cancelled: Callable[[], bool] = lambda: False
    ) -> NDArray[Any]:
        """Voxels of a part of a level, waited for; chunks are kept.

        Raises
        ------
        HipctError
            If a chunk cannot be read.
        InterruptedError
            If ``cancelled`` says so between two chunks.
        """
        chunks = self._sources[level].chunks
        for place in _places(bounds, chunks):
            if cancelled():
                raise InterruptedError
            if (level, place) not in self.cache:
                self.cache.put((level, place), self._sources[level].chunk(place))
        return self.composed(level, bounds)

    def known(self, position: Vector) -> tuple[Any, int] | None:
        """The value at a place, and its level: the finest that is there; nothing is read.

        Parameters
        ----------
        position : sequence of float
            In the unit of the places of the levels.
        """
        for number, (source, (scale, first)) in enumerate(zip(self._sources, self._places)):
            exact = [(p - f) / s for p, s, f in zip(position, scale, first)]
            # napari shows the slice of a coarse level that is up to half a voxel further on.
            for further in (0.0, 0.5):
                index = tuple(round(e + further) for e in exact)
                if not all(0 <= i < n for i, n in zip(index, source.shape)):
                    continue
                place = tuple(i // c for i, c in zip(index, source.chunks))
                chunk = self.cache.get((number, place))
                if chunk is not None:
                    return chunk[tuple(i % c for i, c in zip(index, source.chunks))], number
        return None

    def given(self, level: int, bounds: Bounds) -> NDArray[Any]:
        """What a level gives: a picture where somebody watches, else everything, waited for."""
        return self.picture(level, bounds) if self._watched else self.read(level, bounds)

    def sample(self) -> NDArray[Any] | None:
        """Values that tell what is black and what is white; None while there are too few."""
        coarsest = self.levels[-1]
        if self.pending or coarsest.size > _LARGEST_SAMPLE:
            return None
        return np.asarray(coarsest)

    def forget(self) -> None:
        """Read everything anew when it is looked at: files may have changed."""
        if self._renew is not None:
            self._sources = tuple(self._renew())
        self._holes.clear()
        self.cache.clear()

    def close(self) -> None:
        """Fetch no more; what is being fetched ends by itself."""
        self._loader.close()

    def __deepcopy__(self, memo: Any) -> PyramidReads:
        """The same levels, which nobody watches yet: a layer that is duplicated asks for them."""
        return PyramidReads(
            self._sources,
            self._places,
            budget_bytes=self.cache.budget_bytes,
            threads=self._loader.threads,
            renew=self._renew,
        )

    def _is_missing(self, key: Key) -> bool:
        if key in self.cache:
            return False
        hole = self._holes.get(key)
        return hole is None or time.monotonic() - hole[0] > _HOLE_S

    def _fetch(self, key: Key) -> None:
        if not self._is_missing(key):
            return
        level, place = key
        try:
            self.cache.put(key, self._sources[level].chunk(place))
        except InterruptedError:  # Nobody waits for it any more; whoever does again asks again.
            return
        except Exception as error:  # A thread that dies would leave the window without chunks.
            sentence = (
                str(error)
                if isinstance(error, HipctError)
                else f"Chunk {place} of level {level} could not be made ({error!r})."
            )
            new = sentence not in self.faults
            self._holes[key] = (time.monotonic(), sentence)
            if new and self._on_fault is not None:
                self._on_fault(sentence)
        else:
            self._holes.pop(key, None)

    def _first_of(self, level: int, bounds: Bounds, missing: list[Key]) -> list[Key]:
        """Chunks of a coarser level that come before those that are missing."""
        coarse = min(level + _STAND_IN, len(self._sources) - 1)
        if len(missing) <= 1 or coarse == level:
            return []
        wider = self._at(level, coarse, bounds)
        places = _places(wider, self._sources[coarse].chunks)
        # A level that is hardly coarser costs as much as what it stands in for.
        if 4 * len(places) > len(missing):
            return []
        return [(coarse, p) for p in places if self._is_missing((coarse, p))]

    def _ahead(self, level: int, bounds: Bounds, room: int) -> list[Key]:
        """Chunks behind those of a slice, in the direction in which the slices went so far."""
        if self._last is None or self._last[0] != level:
            return []
        moves = [b[0] - a[0] for a, b in zip(self._last[1], bounds)]
        thin = [axis for axis, (low, high) in enumerate(bounds) if high - low == 1]
        if len(thin) != 1 or moves[thin[0]] == 0:
            return []
        axis, source = thin[0], self._sources[level]
        step = source.chunks[axis] if moves[axis] > 0 else -source.chunks[axis]
        at = bounds[axis][0] + step
        if not 0 <= at < source.shape[axis]:
            return []
        there = tuple((at, at + 1) if a == axis else b for a, b in enumerate(bounds))
        keys = [(level, p) for p in _places(there, source.chunks)]
        return [key for key in keys if self._is_missing(key)][: max(0, room)]

    def composed(self, level: int, bounds: Bounds) -> NDArray[Any]:
        """Voxels of a part of a level as far as they are known; nothing is asked for."""
        source = self._sources[level]
        shape = tuple(high - low for low, high in bounds)
        if 0 in shape:
            return np.empty(shape, source.dtype)
        found = {p: self.cache.get((level, p)) for p in _places(bounds, source.chunks)}
        holes = [p for p, c in found.items() if c is None and (level, p) in self._holes]
        lacking = sum(chunk is None for chunk in found.values())
        if lacking == len(holes):
            out = np.zeros(shape, source.dtype) if holes else np.empty(shape, source.dtype)
        elif level + 1 < len(self._sources):
            out = self._enlarged(level, bounds)
        else:
            out = np.zeros(shape, source.dtype)
        for place, chunk in found.items():
            if chunk is not None or place in holes:
                there, inside = _overlap(place, source.chunks, bounds)
                out[there] = 0 if chunk is None else chunk[inside]
        return out

    def _enlarged(self, level: int, bounds: Bounds) -> NDArray[Any]:
        """The next coarser level in place of this one."""
        wider = self._at(level, level + 1, bounds)
        part = self.composed(level + 1, wider)
        # The last axis first: it costs most a voxel, and there are fewest then.
        for axis in reversed(range(part.ndim)):
            low, high = bounds[axis]
            index = self._index(level, level + 1, axis, np.arange(low, high)) - wider[axis][0]
            if high - low != part.shape[axis] or index[0] != 0:
                part = part.take(index, axis=axis)
        return part

    def _at(self, level: int, other: int, bounds: Bounds) -> Bounds:
        """Bounds of the same part in another level."""
        ends = [
            self._index(level, other, axis, np.array([low, max(low, high - 1)]))
            for axis, (low, high) in enumerate(bounds)
        ]
        return tuple((int(first), int(last) + 1) for first, last in ends)

    def _index(
        self, level: int, other: int, axis: int, index: NDArray[np.intp]
    ) -> NDArray[np.intp]:
        scale, first = (vector[axis] for vector in self._places[level])
        there_scale, there_first = (vector[axis] for vector in self._places[other])
        there = np.rint((first + index * scale - there_first) / there_scale)
        last = self._sources[other].shape[axis] - 1
        inside: NDArray[np.intp] = np.clip(there, 0, last).astype(np.intp)
        return inside


def reads_of_volume(volume: Volume, budget_bytes: int | None = None) -> PyramidReads:
    """The levels of an open volume as a window reads them."""
    far = is_address(volume.address)

    def sources() -> list[ChunkSource]:
        return [source_of(volume, number) for number in range(len(volume.levels))]

    return PyramidReads(
        sources(),
        [(level.scale, level.translation) for level in volume.levels],
        budget_bytes=budget_bytes,
        # The window needs a core too.
        threads=_AT_ONCE_FROM_SERVERS if far else max(1, available_cores() - 1),
        renew=sources,
    )


def _chunk_bytes(source: ChunkSource) -> int:
    return prod(source.chunks) * source.dtype.itemsize


def _places(bounds: Bounds, chunks: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Chunks that a part touches."""
    return list(product(*(range(a // c, -(-b // c)) for (a, b), c in zip(bounds, chunks))))


def _from_the_middle(
    places: list[tuple[int, ...]], bounds: Bounds, chunks: tuple[int, ...]
) -> list[tuple[int, ...]]:
    middle = [(a + b) / 2 for a, b in bounds]

    def distance(place: tuple[int, ...]) -> float:
        return sum(((p + 0.5) * c - m) ** 2 for p, c, m in zip(place, chunks, middle))

    return sorted(places, key=distance)


def _overlap(
    place: tuple[int, ...], chunks: tuple[int, ...], bounds: Bounds
) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where a chunk lies in a part, and which of its voxels those are."""
    there, inside = [], []
    for p, c, (low, high) in zip(place, chunks, bounds):
        start, stop = max(low, p * c), min(high, (p + 1) * c)
        there.append(slice(start - low, stop - low))
        inside.append(slice(start - p * c, stop - p * c))
    return tuple(there), tuple(inside)
