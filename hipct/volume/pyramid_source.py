"""A volume that a pyramid is made of, wherever its voxels come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hipct.core.errors import InputError
from hipct.volume.layout import Shape3, Vector3, as_voxel_size

WHOLE = slice(None)


class VolumeSource(ABC):
    """Voxels (z, y, x) that are read in bands, each of them once; a context manager.

    Attributes
    ----------
    name : str
        What messages call it: its path.
    format : str
        What it is, e.g. ``"TIFF"``.
    shape : (int, int, int)
        Voxels along z, y, x.
    dtype : dtype
        Of what :meth:`read` returns, in the machine's byte order.
    voxel_size_um : (float, float, float) or None
        Voxel size along z, y, x in micrometres, if the source says it.
    origin_um : (float, float, float)
        Where the centre of the first voxel lies along z, y, x, in micrometres.
    value : (float, float) or None
        ``(scale, offset)`` of ``value = stored * scale + offset`` of integers, if the source says
        it.
    unit : str
        Unit of these values; ``"1"`` where it is not known.
    whole_planes : bool
        Whether a few rows of a slice cost as much as all of them.
    rows_together : int
        Rows that are stored together, so that fewer of them cost as much.
    in_order : bool
        Whether going back along z means to begin again, as in a compressed stream.
    notes : tuple of str
        What had to be assumed, as sentences.
    """

    name: str
    format: str
    shape: Shape3
    dtype: np.dtype[Any]
    voxel_size_um: Vector3 | None = None
    origin_um: Vector3 = (0.0, 0.0, 0.0)
    value: tuple[float, float] | None = None
    unit: str = "1"
    whole_planes: bool = False
    rows_together: int = 1
    in_order: bool = False
    notes: tuple[str, ...] = ()

    @abstractmethod
    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Voxels of the slices ``z`` and the rows ``y``: shape (z, y, x), :attr:`dtype`.

        May be called by several threads.

        Raises
        ------
        FormatError
            If what is stored there is damaged.
        """

    def fingerprint(self) -> str:
        """Something that changes when the source does; empty where nothing tells."""
        return ""

    def close(self) -> None:  # noqa: B027 - most sources hold nothing open
        """Let go of open files."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class ArraySource(VolumeSource):
    """An array as a source: NumPy, Zarr, Dask, HDF5, anything with shape, dtype and slicing.

    Parameters
    ----------
    array : array-like of shape (z, y, x)
    voxel_size_um : float, (float, float, float), optional
        Voxel size in micrometres (z, y, x).

    Raises
    ------
    InputError
        If it has not three axes.

    Examples
    --------
    >>> source = ArraySource(np.zeros((4, 5, 6), np.uint8), voxel_size_um=20)
    >>> source.read(slice(0, 2), slice(1, 4)).shape
    (2, 3, 6)
    """

    format = "array"

    def __init__(self, array: Any, voxel_size_um: float | Vector3 | None = None) -> None:
        shape, dtype = getattr(array, "shape", None), getattr(array, "dtype", None)
        if shape is None or dtype is None:
            raise InputError(
                f"A {type(array).__name__} has no shape and dtype; give a NumPy, Zarr, Dask or "
                "HDF5 array of shape (z, y, x)."
            )
        if len(shape) != 3 or 0 in shape:
            raise InputError(
                f"The volume has the shape {tuple(shape)}; give three axes (z, y, x), none empty."
            )
        self._array = array
        self.name = f"the {type(array).__name__}"
        self.shape = (int(shape[0]), int(shape[1]), int(shape[2]))
        self.dtype = np.dtype(dtype).newbyteorder("=")
        # Of Dask the first one, of Zarr and HDF5 all of them; NumPy has none.
        chunks = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
        self.rows_together = int(chunks[1]) if chunks else 1
        if voxel_size_um is not None:
            self.voxel_size_um = as_voxel_size(voxel_size_um)

    def read(self, z: slice, y: slice = WHOLE) -> NDArray[Any]:
        """Slice the array."""
        part = self._array[z, y]
        if hasattr(part, "compute"):
            # Inside a Dask thread already: another pool would multiply threads and memory.
            part = part.compute(scheduler="synchronous")
        return np.asarray(part).astype(self.dtype, copy=False)
