"""What sources of files share: options that reopen them, and fingerprints of what they read."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError
from hipct.exchange.source_options import SourceOptions
from hipct.volume.fingerprint import fingerprint_of
from hipct.volume.layout import Vector3
from hipct.volume.pyramid_source import WHOLE, VolumeSource

__all__ = ["AxesSource", "FileSource", "fingerprint_of"]


class FileSource(VolumeSource):
    """A source at a path; another process opens it again by the same words."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.path = path
        self.name = str(path)
        self.options = options

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (type(self), self.words(), self.voxel_size_um)

    def words(self) -> tuple[Any, ...]:
        """What it was opened with."""
        return (self.path, self.options)

    def fingerprint(self) -> str:
        """Names, sizes and times of the files."""
        return fingerprint_of([self.path])


class AxesSource(FileSource):
    """A source whose stored axes may stand in another order than z, y, x.

    Classes below say how stored axes are read; slices of a volume stored as x, y, z lie across all
    of its chunks and are read none the less in one go each.
    """

    _order: tuple[int, int, int]

    def place_axes(
        self,
        stored: tuple[int, ...],
        order: tuple[int, int, int],
        chunk: tuple[int, ...] | None = None,
    ) -> None:
        """Set the shape and the rows of a chunk, from the stored ones."""
        if len(stored) != 3 or 0 in stored:
            raise FormatError(
                f"{self.name} has the shape {stored}; a volume has three axes, none empty."
            )
        self._order = order
        if chunk is not None:
            self.rows_together = int(chunk[order[1]])
        self.shape = (int(stored[order[0]]), int(stored[order[1]]), int(stored[order[2]]))

    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Read the stored region and turn it round."""
        region = [WHOLE] * 3
        region[self._order[0]], region[self._order[1]] = z, y
        stored = self._read_stored((region[0], region[1], region[2]))
        return np.ascontiguousarray(stored.transpose(self._order), self.dtype)

    @abstractmethod
    def _read_stored(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        """Voxels of a region, in the order of the stored axes."""


def _reopened(
    kind: type[FileSource], words: tuple[Any, ...], voxel_um: Vector3 | None
) -> FileSource:
    source = kind(*words)
    source.voxel_size_um = voxel_um
    return source
