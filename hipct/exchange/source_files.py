"""What sources of files share: options that reopen them, and fingerprints of what they read."""

from __future__ import annotations

import hashlib
import os
from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import FormatError
from hipct.exchange.source import SourceOptions, open_volume_source
from hipct.volume.layout import Vector3
from hipct.volume.pyramid_source import WHOLE, VolumeSource

_HALF_WRITTEN = (".partial", ".tmp", ".part", ".crdownload")


class FileSource(VolumeSource):
    """A source at a path; another process opens it again by the same words."""

    def __init__(self, path: Path, options: SourceOptions) -> None:
        self.path = path
        self.name = str(path)
        self.options = options

    def __reduce__(self) -> tuple[Any, ...]:
        return (
            _reopened,
            (self.name, self.options.dataset, self.options.axes, self.voxel_size_um),
        )

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
    path: str, dataset: str | None, axes: str | None, voxel_um: Vector3 | None
) -> VolumeSource:
    return open_volume_source(path, dataset=dataset, axes=axes, voxel_um=voxel_um)


def fingerprint_of(paths: Iterable[Path]) -> str:
    """A short text that changes when files, or files in folders, do.

    Raises
    ------
    FormatError
        If a file is gone, or named as one that is being written.
    """
    digest = hashlib.sha256()
    for path in paths:
        for file in _files(path):
            if file.name.endswith(_HALF_WRITTEN):
                raise FormatError(
                    f"{file} is being written, or left from a writer that was broken off; wait "
                    "until the volume is whole, or remove this file."
                )
            try:
                state = file.stat()
            except OSError as error:
                raise FormatError(
                    f"{file} cannot be read any more ({error.strerror or error})."
                ) from error
            digest.update(f"{file}\0{state.st_size}\0{state.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _files(path: Path) -> Iterable[Path]:
    if not path.is_dir():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            yield Path(folder) / name
