"""A turned volume as a window reads it: interpolated from the voxels that are there already."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.atlas.grid import Box
from hipct.atlas.resampled import ResampledLevel, SourceLevel, resampled_levels
from hipct.viewing.reads import PyramidReads
from hipct.viewing.reads_cache import Key
from hipct.viewing.reads_lazy import Bounds, LazyLevel
from hipct.viewing.reads_source import ChunkSource

_CHUNKS = (16, 128, 128)
"""napari widens what it asks for to these; nothing is kept of them."""
_KEPT, _KEPT_BYTES = 4, 2**24
"""Pictures: napari asks for each several times, for itself, for its thumbnail and for a refresh."""


class PlacedReads(PyramidReads):
    """The levels of a volume in the axes of another one.

    Chunks are those of the volume, read and kept as :class:`PyramidReads` does; what a window asks
    for is interpolated between them, coarser ones standing in for those that have not come.

    Parameters
    ----------
    sources : sequence of ChunkSource
        The levels, finest first.
    matrices : sequence of (4, 4) ndarray
        For each level from its indices to the world.
    labels : bool
        Whether voxels are numbers of things.
    budget_bytes, threads
        As of :class:`PyramidReads`.
    """

    def __init__(
        self,
        sources: Sequence[ChunkSource],
        matrices: Sequence[NDArray[np.float64]],
        *,
        labels: bool = False,
        budget_bytes: int | None = None,
        threads: int = 1,
    ) -> None:
        self._matrices = tuple(matrices)
        # In voxels of the finest level, along the volume's own axes.
        to_finest = np.linalg.inv(self._matrices[0])
        own = [to_finest @ matrix for matrix in self._matrices]
        places = [(np.diag(m)[:3].tolist(), m[:3, 3].tolist()) for m in own]
        super().__init__(sources, places, budget_bytes=budget_bytes, threads=threads)
        self._to_finest, self._labels = to_finest, labels
        self._came = 0
        self._made: OrderedDict[tuple[int, Bounds], tuple[int, NDArray[Any]]] = OrderedDict()
        levels = [
            SourceLevel(_Composed(self, number), matrix)
            for number, matrix in enumerate(self._matrices)
        ]
        self._grids: list[ResampledLevel] = resampled_levels(levels, labels=labels)
        self.places = tuple((grid.scale, grid.origin) for grid in self._grids)
        self.levels = tuple(
            LazyLevel(self, number, grid.shape, _CHUNKS, grid.dtype)
            for number, grid in enumerate(self._grids)
        )

    @classmethod
    def of(
        cls, reads: PyramidReads, matrices: Sequence[NDArray[np.float64]], *, labels: bool = False
    ) -> PlacedReads:
        """The same chunks in other axes; as many are fetched and kept."""
        return cls(
            reads._sources,
            matrices,
            labels=labels,
            budget_bytes=reads.cache.budget_bytes,
            threads=reads._loader.threads,
        )

    def picture(self, level: int, bounds: Bounds) -> NDArray[Any]:
        """Values of a part of a level as far as they are known; the rest is asked for."""
        grid, box = self._grids[level], _box(bounds)
        self.ask(self._number(level), [_bounds(part) for part in grid.regions(box)])
        came, made = self._made.get((level, bounds), (-1, None))
        if made is None or came != self._came:
            came = self._came
            made = grid.read(box)
            if made.nbytes <= _KEPT_BYTES:
                self._made[level, bounds] = came, made
                while len(self._made) > _KEPT:
                    self._made.popitem(last=False)
        return made

    def forget(self) -> None:
        """Read everything anew when it is looked at: files may have changed."""
        super().forget()
        self._came += 1

    def read(
        self, level: int, bounds: Bounds, cancelled: Callable[[], bool] = lambda: False
    ) -> NDArray[Any]:
        """Values of a part of a level, waited for."""
        grid, box = self._grids[level], _box(bounds)
        for part in grid.regions(box):
            super().read(self._number(level), _bounds(part), cancelled)
        return grid.read(box)

    def known(self, position: Sequence[float]) -> tuple[Any, int] | None:
        """The value of the voxel next to a place in the world, and its level; nothing is read."""
        matrix = self._to_finest
        return super().known(tuple(matrix[:3, :3] @ np.asarray(position) + matrix[:3, 3]))

    def __deepcopy__(self, memo: Any) -> PlacedReads:
        """The same levels, which nobody watches yet."""
        return PlacedReads.of(self, self._matrices, labels=self._labels)

    def _fetch(self, key: Key) -> None:
        super()._fetch(key)
        self._came += 1

    def _number(self, level: int) -> int:
        """Level of the volume that a level of the grid is interpolated from."""
        array = self._grids[level].source.array
        return array.number if isinstance(array, _Composed) else level


class _Composed:
    """A level of the volume as far as it is known, whatever asks for it."""

    def __init__(self, reads: PlacedReads, number: int) -> None:
        source = reads._sources[number]
        self._reads, self.number = reads, number
        self.shape, self.dtype = source.shape, source.dtype

    def __getitem__(self, region: Any) -> NDArray[Any]:
        return self._reads.composed(self.number, _bounds(region))


def _box(bounds: Bounds) -> Box:
    z, y, x = (slice(first, last) for first, last in bounds)
    return (z, y, x)


def _bounds(box: Sequence[slice]) -> Bounds:
    return tuple((int(part.start), int(part.stop)) for part in box)
