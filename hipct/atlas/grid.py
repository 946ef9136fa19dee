"""Levels that are stored in blocks: read block by block where they are sliced, as (z, y, x).

Two kinds of threads read a region. Those that fetch wait for a server and hold packed bytes; those
that unpack are few, as many as there is work for, and hold voxels. A block that has come waits for
one of them, so that memory is bounded whatever is faster.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import product
from math import prod
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.core.threads import thread_count

Shape3 = tuple[int, int, int]
Place = tuple[int, int, int]
Box = tuple[slice, slice, slice]
_FETCHERS = 8
"""Blocks on their way at once: waiting for a server costs no core."""
_MOST_UNPACKERS = 4
_COPIES_PACKED = 2
"""The pieces that have come, and the whole of them."""
_COPIES_UNPACKED = 3
"""What the codec makes, what it works with, and what the allocator keeps for each thread."""


class Readers:
    """Threads to read blocks with; a context manager."""

    def __init__(self) -> None:
        self._fetchers = ThreadPoolExecutor(_FETCHERS, thread_name_prefix="hipct-fetch")
        self._unpackers = ThreadPoolExecutor(unpackers(), thread_name_prefix="hipct-unpack")

    def __enter__(self) -> Readers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._fetchers.shutdown(cancel_futures=True)
        self._unpackers.shutdown()

    def run(
        self,
        fetch: Callable[[Place], bytes | None],
        unpack: Callable[[Place, bytes | None], None],
        places: list[Place],
    ) -> None:
        """Fetch and unpack all blocks; after an error none of them goes on in the background."""

        def one(place: Place) -> None:
            data = fetch(place)
            self._unpackers.submit(unpack, place, data).result()

        futures = [self._fetchers.submit(one, place) for place in places]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
            wait(futures)


def unpackers() -> int:
    """Threads that unpack blocks."""
    return min(_MOST_UNPACKERS, thread_count())


class BlockSource(Protocol):
    """Where blocks come from."""

    def fetch(self, place: Place) -> bytes | None:
        """Packed bytes of a block; None where it is not stored. Called from several threads."""

    def decode(self, data: bytes | None, place: Place) -> NDArray[Any]:
        """Values (z, y, x) of a block, cut at the ends of the level. From several threads."""


@dataclass(frozen=True)
class BlockGrid(ABC):
    """A level in blocks.

    Attributes
    ----------
    shape, chunks : voxels of the level and of a block along z, y, x
    fill : value of the voxels of blocks that are not stored
    compression : for people
    """

    shape: Shape3
    chunks: Shape3
    dtype: np.dtype[Any]
    fill: int
    compression: str

    @abstractmethod
    def fetch(self, place: Place) -> bytes | None:
        """Bytes of the block number (z, y, x), None where it is not stored."""

    @abstractmethod
    def decode(self, data: bytes | None, place: Place) -> NDArray[Any]:
        """Values (z, y, x) of a block, cut at the ends of the level.

        Raises
        ------
        FormatError
            If the bytes are no block of this level.
        """

    @property
    def ndim(self) -> int:
        """Three."""
        return 3

    @property
    def size(self) -> int:
        """Number of voxels."""
        return prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes without compression."""
        return self.size * self.dtype.itemsize

    @property
    def reading_bytes(self) -> int:
        """Memory that reading takes beside the region that is read."""
        block = prod(self.chunks) * self.dtype.itemsize
        return block * (_FETCHERS * _COPIES_PACKED + unpackers() * _COPIES_UNPACKED)

    def places(self, box: Box) -> Iterator[Place]:
        """Numbers of the blocks that a box touches."""
        ranges = (range(part.start // c, -(-part.stop // c)) for part, c in zip(box, self.chunks))
        yield from product(*ranges)

    def inside(self, place: Place) -> Shape3:
        """Voxels of a block that lie in the level."""
        z, y, x = (min(c, n - p * c) for p, c, n in zip(place, self.chunks, self.shape))
        return (z, y, x)

    def read(
        self, box: Box, source: BlockSource | None = None, readers: Readers | None = None
    ) -> NDArray[Any]:
        """Values of a box.

        Parameters
        ----------
        box : three slices with start and stop inside of the level
        source : BlockSource, optional
            Where blocks come from; default: this level.
        readers : Readers, optional
            Threads to read with; default: new ones, none for a single block.
        """
        values = np.empty([part.stop - part.start for part in box], self.dtype)
        blocks = source or self

        def unpack(place: Place, data: bytes | None) -> None:
            block = blocks.decode(data, place)
            inner, outer = [], []
            for number, chunk, extent, part in zip(place, self.chunks, block.shape, box):
                first = number * chunk
                start, stop = max(part.start, first), min(part.stop, first + extent)
                inner.append(slice(start - first, stop - first))
                outer.append(slice(start - part.start, stop - part.start))
            values[tuple(outer)] = block[tuple(inner)]

        places = list(self.places(box))
        if readers is not None:
            readers.run(blocks.fetch, unpack, places)
        elif len(places) == 1:
            unpack(places[0], blocks.fetch(places[0]))
        else:
            with Readers() as own:
                own.run(blocks.fetch, unpack, places)
        return values

    def __getitem__(self, region: Any) -> NDArray[Any]:
        """Values of a region: slices, whole numbers and ``...``, as NumPy takes them."""
        return read_region(self.read, region, self.shape, self.dtype)


def read_region(
    read: Callable[[Box], NDArray[Any]], region: Any, shape: Shape3, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """Values of a region as NumPy takes them, of what is read in boxes.

    Parameters
    ----------
    read : callable
        Gives the values of a box; called once, and not at all for a region without voxels.
    region : slices, whole numbers and ``...``
    shape, dtype
        Of all that there is.

    Raises
    ------
    InputError
        If the region has too many axes or runs backwards.
    IndexError
        If a number lies outside.
    """
    box, picks = parse_region(region, shape)
    empty = any(part.stop <= part.start for part in box)
    values = (
        np.empty([max(0, part.stop - part.start) for part in box], dtype) if empty else read(box)
    )
    picked: NDArray[Any] = values[picks]
    return picked


def parse_region(region: Any, shape: Shape3) -> tuple[tuple[slice, slice, slice], tuple[Any, ...]]:
    """Slices that hold a region, and the index that takes the region out of them."""
    given = region if isinstance(region, tuple) else (region,)
    if sum(part is Ellipsis for part in given) > 1:
        raise InputError(f"The region {region} has more than one '...'.")
    if Ellipsis not in given:
        given = (*given, Ellipsis)
    at = given.index(Ellipsis)
    missing = 3 - (len(given) - 1)
    if missing < 0:
        raise InputError(f"The region {region} has more than three axes.")
    given = (*given[:at], *[slice(None)] * missing, *given[at + 1 :])
    box: list[slice] = []
    picks: list[Any] = []
    for part, n in zip(given, shape):
        if isinstance(part, slice):
            start, stop, step = part.indices(n)
            if step < 1:
                raise InputError(f"The region {region} runs backwards; turn it after reading.")
            box.append(slice(start, max(start, stop)))
            picks.append(slice(None, None, step))
            continue
        index = part.__index__()
        if not -n <= index < n:
            raise IndexError(f"index {index} is out of {n} voxels")
        box.append(slice(index % n, index % n + 1))
        picks.append(0)
    return (box[0], box[1], box[2]), tuple(picks)
