"""Buffers between two stages: on the device or in memory where they fit, else in a scratch file.

A file is written and read by ``pwrite`` and ``preadv``, never mapped: mapped pages would count
as the process's own memory, which is exactly what staging is there to avoid.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hipct.core.arrays import Array
from hipct.core.device import HOST, Device
from hipct.core.errors import OutputError


class Buffer:
    """A three-dimensional array whose first axis is read and written in runs.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    dtype : dtype
        Type of its values.
    path : Path, optional
        Scratch file; without one the buffer lives in memory.
    device : Device
        Where the blocks that are written live, and the buffer itself if ``on_device``.
    on_device : bool
        Keep the buffer on the device.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        dtype: DTypeLike,
        path: Path | None = None,
        *,
        device: Device = HOST,
        on_device: bool = False,
    ) -> None:
        self.shape, self.dtype, self.path = shape, np.dtype(dtype), path
        self._device = device
        self._array: Array | None = None
        self._file = -1
        # Whether blocks can be written where they belong, without a copy.
        self._open = path is None and (on_device or not device.on_gpu)
        if path is None:
            self._array = (
                device.xp.empty(shape, dtype) if on_device else device.host_array(shape, dtype)
            )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        # Nobody else needs the name, and without it a kill leaves no file behind.
        path.unlink()

    def write(self, first: int, block: Array) -> None:
        """Write ``block`` from index ``first`` of the first axis on; it spans the other axes."""
        if self._array is not None:
            self._device.download(block, self._array[first : first + len(block)])
        else:
            block = np.ascontiguousarray(self._device.download(block), dtype=self.dtype)
            self._pwrite(self._offset(first, 0), block)

    @contextmanager
    def filling(self, columns: slice) -> Iterator[tuple[Array, int]]:
        """Where to put the range ``columns`` of the second axis, kept when the block ends.

        Yields an array of the device and the index along its second axis where the range begins.
        """
        if self._open:
            yield self._array, columns.start
            return
        count = columns.stop - columns.start
        block = self._device.xp.empty((self.shape[0], count, self.shape[2]), self.dtype)
        yield block, 0
        for first in range(self.shape[0]):
            if self._array is not None:
                self._device.download(block[first], self._array[first, columns], wait=False)
            else:
                self._pwrite(
                    self._offset(first, columns.start), self._device.download(block[first])
                )
        self._device.finish()

    def read(self, first: int, last: int) -> Array:
        """Rows ``first .. last`` of the first axis (a view where the buffer is not a file)."""
        if self._array is not None:
            return self._array[first:last]
        block = np.empty((last - first, *self.shape[1:]), self.dtype)
        self._pread(self._offset(first, 0), block)
        return block

    def band(self, rows: slice) -> NDArray[Any]:
        """Range ``rows`` of the second axis, over the whole first and last axis."""
        if self._array is not None:
            part: NDArray[Any] = self._array[:, rows]
            return part
        block = np.empty((self.shape[0], rows.stop - rows.start, self.shape[2]), self.dtype)
        for first in range(self.shape[0]):
            self._pread(self._offset(first, rows.start), block[first])
        return block

    def close(self) -> None:
        """Free the memory or the disk space."""
        self._array = None
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _offset(self, first: int, second: int) -> int:
        return (first * self.shape[1] + second) * self.shape[2] * self.dtype.itemsize

    def _pread(self, offset: int, block: NDArray[Any]) -> None:
        view = memoryview(block.data).cast("B")
        done = 0
        while done < len(view):
            count = os.preadv(self._file, [view[done:]], offset + done)
            if count == 0:
                raise OutputError(f"the scratch file {self.path} was cut short.")
            done += count

    def _pwrite(self, offset: int, block: NDArray[Any]) -> None:
        view = memoryview(block.data).cast("B")
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(self._file, view[done:], offset + done)
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise OutputError(
                f"the scratch file {self.path} could not be written: {error.strerror}"
                + ("; set compute.scratch to a disk with more space." if full else ".")
            ) from error
