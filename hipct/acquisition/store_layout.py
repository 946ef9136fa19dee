"""The scan store's layout on disk; ``docs/scan-store.md`` is its description and measurement.

Inner chunks of 16 angles x 16 rows x all columns make the rows of a slab over all angles one
run of whole chunks; shards of up to 128 angles x 256 rows keep the number of files small.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr

FORMAT = "hipct-scan-store"
SERIES_FORMAT = "hipct-series"
VERSION = 1
ATTRIBUTE = "hipct"

CHUNK_ANGLES = 16
CHUNK_ROWS = 16
SHARD_ANGLES = 128
SHARD_ROWS = 256

_config_lock = threading.Lock()


@contextmanager
def fast_codecs() -> Iterator[None]:
    """Arrays opened inside use the Rust codec pipeline; zarr's own setting is put back after.

    An array keeps the pipeline that it was opened with, so that arrays which the user opens
    elsewhere are as the user configured them.
    """
    with (
        _config_lock,
        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}),
    ):
        yield


def absent_files(folder: Path, array: zarr.Array[Any]) -> list[str]:
    """Names of the files of an array (its shards) that are not in its folder."""
    edges = array.shards or array.chunks
    counts = [math.ceil(size / edge) for size, edge in zip(array.shape, edges)]
    names = [array.metadata.encode_chunk_key(place) for place in np.ndindex(*counts)]
    return [name for name in names if not (folder / name).exists()]


@dataclass(frozen=True)
class FrameLayout:
    """Chunks and shards of one (frames, rows, columns) array.

    Attributes
    ----------
    shape, chunks, shards : tuple of int
        (frames, rows, columns) of the array, of an inner chunk, of a shard.
    """

    shape: tuple[int, int, int]
    chunks: tuple[int, int, int]
    shards: tuple[int, int, int]

    @classmethod
    def of(cls, shape: tuple[int, int, int], shard_frames: int = SHARD_ANGLES) -> FrameLayout:
        """Layout of an array; small arrays get chunks no larger than themselves.

        Examples
        --------
        >>> FrameLayout.of((6000, 2048, 2048)).shards
        (128, 256, 2048)
        >>> FrameLayout.of((181, 2, 640)).chunks
        (16, 2, 640)
        """
        frames, rows, columns = shape
        chunks = (min(CHUNK_ANGLES, max(frames, 1)), min(CHUNK_ROWS, rows), columns)
        shards = (
            _multiple(min(shard_frames, frames), chunks[0]),
            _multiple(min(SHARD_ROWS, rows), chunks[1]),
            columns,
        )
        return cls(shape, chunks, shards)

    @property
    def bands(self) -> list[tuple[int, int]]:
        """Ranges of rows, one for each row of shards."""
        rows, depth = self.shape[1], self.shards[1]
        return [(top, min(top + depth, rows)) for top in range(0, rows, depth)]


def _multiple(size: int, of: int) -> int:
    return of * max(1, -(-size // of))
