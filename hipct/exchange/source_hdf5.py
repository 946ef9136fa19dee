"""A dataset of an HDF5 file as a source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hipct.acquisition.foreign import reading
from hipct.core.errors import FormatError, InputError
from hipct.exchange.source_files import AxesSource
from hipct.exchange.source_options import SourceOptions
from hipct.volume.layout import as_voxel_size

_NAMED = 6
_VOXEL_SIZE = "element_size_um"
"""Attribute (z, y, x) that Fiji's HDF5 plugin and ilastik write."""


class Hdf5Source(AxesSource):
    """A dataset of three axes.

    Parameters
    ----------
    path : Path
        The file.
    options : SourceOptions
        Which dataset, if there are several, and the order of its axes.

    Raises
    ------
    InputError
        If there is no such dataset, or several.
    FormatError
        If the file is damaged, or being written.
    """

    format = "HDF5"

    def __init__(self, path: Path, options: SourceOptions) -> None:
        import h5py
        import hdf5plugin  # noqa: F401 - brings the compressions that facilities use

        super().__init__(path, options)
        with self._reading():
            self._file = h5py.File(path, "r")
        try:
            with self._reading():
                self._dataset = self._chosen(h5py.Dataset)
                self.dtype = np.dtype(self._dataset.dtype).newbyteorder("=")
                if self.dtype.kind not in "uifb":
                    raise FormatError(f"{self.name} holds {self.dtype}; a volume has numbers.")
                self.place_axes(tuple(self._dataset.shape), options.order(), self._dataset.chunks)
                size = self._dataset.attrs.get(_VOXEL_SIZE)
            if size is not None:
                z, y, x = as_voxel_size(np.asarray(size, np.float64).ravel())
                self.voxel_size_um = (z, y, x)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_stored(self, region: tuple[slice, slice, slice]) -> NDArray[Any]:
        with self._reading():
            return np.asarray(self._dataset[region])

    def _chosen(self, kind: Any) -> Any:
        """The dataset that was named, or the only one of three axes."""
        name = self.options.dataset
        if name is not None:
            if not isinstance(self._file.get(name), kind):
                raise InputError(f"{self.path} has no dataset {name}; it has {self._listed(kind)}.")
            return self._file[name]
        found: list[Any] = []

        def visit(_: str, node: Any) -> None:
            if isinstance(node, kind) and len(node.shape) == 3 and prod(node.shape):
                found.append(node)

        self._file.visititems(visit)
        if len(found) != 1:
            raise InputError(
                f"{self.path} has {len(found)} datasets of three axes ({self._listed(kind)}); "
                "say which by --dataset NAME (Python: dataset=...)."
            )
        return found[0]

    def _listed(self, kind: Any) -> str:
        names: list[str] = []

        def visit(name: str, node: Any) -> None:
            if isinstance(node, kind) and len(node.shape) == 3:
                names.append(name)

        self._file.visititems(visit)
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        return (", ".join(names[:_NAMED]) or "none") + more

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with reading(self.path, "HDF5"):
                yield
        except FormatError as error:
            if "lock file" in str(error) or "already open" in str(error):
                raise FormatError(
                    f"{self.path} is open for writing by another program, or was left so; wait "
                    "until it is whole (h5clear -s removes a mark that was left behind)."
                ) from error
            raise
