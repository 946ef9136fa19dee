"""Where the chunks of a level come from: our own reader on a disk, Zarr for everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError, HipctError
from hipct.storage.chunk_reader import ChunkReader, open_chunks
from hipct.volume.nodes import is_own
from hipct.volume.open import Volume, read_attributes
from hipct.volume.storage import is_address
from hipct.volume.storage_zarr import chunkwise

Place = tuple[int, ...]


class ChunkSource(Protocol):
    """A level whose chunks can be asked for one by one, by several threads at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the voxels."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """Voxels of a chunk along each axis."""

    def chunk(self, place: Place) -> NDArray[Any]:
        """Voxels of a chunk that lie in the array; an array that nobody else writes to.

        Raises
        ------
        HipctError
            The sentence that says why there are none.
        """


def source_of(volume: Volume, number: int) -> ChunkSource:
    """The chunks of a level of a volume, by the fastest way there is.

    On a disk :mod:`hipct.storage.chunk_reader` reads them; ``python -m benchmarks.view`` compares
    it with zarr-python and tensorstore. What it does not know, and servers, are left to Zarr.
    """
    level = volume.level(number)
    if not is_address(volume.address):
        whole = is_own(read_attributes(volume.address))
        reader = open_chunks(Path(volume.address) / level.path, whole=whole)
        if reader is not None:
            return _OnDisk(reader)
    # The indexes of shards that an array has kept are forgotten with it.
    array = chunkwise(level.array)
    return SlicedSource(array, array.chunks, f"level {level.path} of {volume.address}")


class _OnDisk:
    def __init__(self, reader: ChunkReader) -> None:
        self._reader = reader
        self.shape, self.dtype, self.chunks = reader.shape, reader.dtype, reader.chunks

    def chunk(self, place: Place) -> NDArray[Any]:
        return self._reader[_region(place, self.chunks)]


class SlicedSource:
    """The chunks of an array that is read, or made, where it is sliced.

    Parameters
    ----------
    array : Sliceable
        Has a shape and a dtype, and gives regions of slices without steps to several threads.
    chunks : tuple of int
        Voxels that are asked for at a time: those of its own chunks where it has any.
    name : str
        Of what cannot be read, for the sentence.
    """

    def __init__(self, array: Any, chunks: tuple[int, ...], name: str) -> None:
        self._array, self._name, self.chunks = array, name, tuple(chunks)
        self.shape, self.dtype = tuple(array.shape), np.dtype(array.dtype)

    def chunk(self, place: Place) -> NDArray[Any]:
        """Voxels of a chunk that lie in the array."""
        region = _region(place, self.chunks)
        inside = tuple(slice(r.start, min(r.stop, n)) for r, n in zip(region, self.shape))
        try:
            return np.asarray(self._array[inside])
        except HipctError:
            raise
        except Exception as error:  # Codecs and stores have no common class of errors.
            raise FormatError(
                f"Chunk {place} of {self._name} cannot be read ({type(error).__name__}: {error}); "
                "copy it again from its source, or make it again."
            ) from error


def _region(place: Place, chunks: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(p * c, (p + 1) * c) for p, c in zip(place, chunks))
